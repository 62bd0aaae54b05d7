# make demo   set up, record the curated prompts with the embedded model, write out/routing.html
# make test   set up, run all tests
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PYTEST_ARGS ?=
MINUTES ?= 60
# Where `make weights` keeps downloads, corpus and checkpoints; outside the repository.
WORK ?= $(HOME)/.cache/moe-viz-recipe
# Threads that spin while they wait slow everything down on a shared machine.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo lab test test-slow lint format weights setup setup-dev chromium contents address docs types

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# What is needed to run; `demo` stops here, so that it starts soon.
$(VENV)/.run: pyproject.toml constraints.txt tools/install.sh
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[model]'
	@touch $@

# What is needed to work on it: JupyterLab, oracles, browser, linters.
$(VENV)/.dev: $(VENV)/.run
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[dev]'
	@touch $@

# What is needed to build the documentation; it imports the model's code.
$(VENV)/.docs: $(VENV)/.run
	PYTHON="$(PYTHON)" sh tools/install.sh $(VENV) '.[model,docs]'
	@touch $@

setup: $(VENV)/.run  ## install what is needed to run
setup-dev: $(VENV)/.dev  ## install what is needed to work on it

demo: $(VENV)/.run  ## record five languages and code with 8x7m, and write out/routing.html
	$(BIN)/moe-viz demo

lab: $(VENV)/.dev  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

chromium:
	@sh tools/chromium.sh

test: $(VENV)/.dev chromium types  ## set up, and pass all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest $(PYTEST_ARGS)

docs: $(VENV)/.docs  ## the documentation as a site: out/docs/index.html
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html -c docs . out/docs
	@echo "Open out/docs/index.html"

test-slow: $(VENV)/.dev  ## the tests that take minutes, or gigabytes of memory and disk
	$(BIN)/python -m pytest -m slow --timeout 3600 $(PYTEST_ARGS)

types: $(VENV)/.dev  ## pyright over everything, and the share of public names with a whole type
	$(BIN)/pyright
	$(BIN)/python tools/typed.py

lint: $(VENV)/.dev types  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## ruff, in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

contents: $(VENV)/.dev  ## rewrite contents, badges and install cells from one place
	$(BIN)/python tools/contents.py

address: $(VENV)/.dev  ## say where the repository lives: make address URL=https://github.com/owner/name
	$(BIN)/python tools/contents.py --url "$(URL)"

weights: $(VENV)/.dev  ## train the embedded model: make weights MINUTES=60 (Debian; downloads 1.2 GB)
	$(BIN)/python weights/recipe/corpus.py --work "$(WORK)"
	$(BIN)/python weights/recipe/vocabulary.py --work "$(WORK)"
	$(BIN)/python weights/recipe/tokens.py --work "$(WORK)"
	$(BIN)/python weights/recipe/train.py --work "$(WORK)" --minutes $(MINUTES) --out "$(WORK)/8x7m"
	$(BIN)/python weights/recipe/evaluate.py --work "$(WORK)" --weights "$(WORK)/8x7m"
	@echo "Look at $(WORK)/8x7m, then copy it to weights/8x7m."
