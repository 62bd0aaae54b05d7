"""Every notebook runs from top to bottom, is committed without outputs, and matches its script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
jupytext = pytest.importorskip("jupytext")
FOLDER = Path(__file__).parents[2] / "notebooks"
every_notebook = pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem
)


@every_notebook
def test_notebook(path):
    notebook = jupytext.read(path)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    script = jupytext.read(path.with_suffix(".py"))
    assert [c.source for c in notebook.cells] == [c.source for c in script.cells]
    assert [c.metadata for c in notebook.cells] == [c.metadata for c in script.cells]
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": FOLDER}}
    ).execute()
    shown = [
        o for c in notebook.cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})
    ]
    assert shown  # the explorer


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
