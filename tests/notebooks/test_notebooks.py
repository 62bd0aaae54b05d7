# SPDX-License-Identifier: Apache-2.0
"""Every notebook runs from top to bottom, is committed without outputs, and matches its script."""

from __future__ import annotations

import re

import pytest

from .conftest import every_notebook

jupytext = pytest.importorskip("jupytext")


@every_notebook
def test_it_is_committed_without_outputs_and_matches_its_script(path):
    notebook, script = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert [c.source for c in notebook.cells] == [c.source for c in script.cells]
    assert [c.metadata for c in notebook.cells] == [c.metadata for c in script.cells]


@every_notebook
def test_it_runs_from_top_to_bottom_and_shows_something(path, ran):
    outputs = [o for cell in ran(path).notebook.cells for o in cell.get("outputs", [])]
    assert any("text/html" in output.get("data", {}) for output in outputs)


@every_notebook
def test_every_exercise_has_a_solution_under_a_folded_heading_at_the_end(path):
    """So neither Run All nor Shift+Enter shows an answer before the reader has tried."""
    cells = jupytext.read(path).cells
    fold = next(n for n, cell in enumerate(cells) if cell.source == "## Solutions")
    assert cells[fold].metadata["jp-MarkdownHeadingCollapsed"] is True
    asked = [n for n, c in enumerate(cells[:fold]) if re.match(r"### Exercise \d\n", c.source)]
    assert asked
    for n in asked:
        assert cells[n + 1].cell_type == "code"  # to answer in
        assert not cells[n + 1].metadata.get("tags")
    assert cells[fold - 1].source.startswith("## Go on\n")
    solved = cells[fold + 1 :]
    assert [c.source for c in solved[::2]] == [f"### Solution {n + 1}" for n in range(len(asked))]
    assert {c.cell_type for c in solved[1::2]} == {"code"}
    tagged = [c for c in cells if "solution" in c.metadata.get("tags", [])]
    assert tagged == cells[fold:]


@every_notebook
def test_checks_and_drawing_code_are_folded_and_so_are_notes_for_teachers(path):
    for cell in jupytext.read(path).cells:
        tags, lines = cell.metadata.get("tags", []), cell.source.splitlines()
        if cell.cell_type == "code" and not {"solution", "show_code"} & set(tags):
            checks = all(re.match(r"assert|\s|\)", line) for line in lines)
            if checks or ("hide_code" in tags and len(lines) > 5):
                assert cell.metadata["jupyter"] == {"source_hidden": True}, cell.source
        if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
            assert cell.source.startswith("<details><summary>For teachers</summary>\n\n")
            assert cell.source.endswith("\n\n</details>")
