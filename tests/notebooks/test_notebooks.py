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
def test_every_exercise_has_a_folded_solution(path):
    """A cell to answer in, then a cell tagged `solution` that shows nothing until it is opened."""
    cells = jupytext.read(path).cells
    exercises = [n for n, c in enumerate(cells) if re.search(r"^\*\*Exercise \d", c.source, re.M)]
    assert exercises
    for n in exercises:
        answer, solution = cells[n + 1 : n + 3]
        assert answer.cell_type == solution.cell_type == "code"
        assert not answer.metadata.get("tags")
        assert solution.metadata["tags"] == ["solution"]
        assert solution.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
    tagged = [c for c in cells if "solution" in c.metadata.get("tags", [])]
    assert len(tagged) == len(exercises)
