"""Every notebook runs from top to bottom, is committed without outputs, and matches its script."""

from __future__ import annotations

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
jupytext = pytest.importorskip("jupytext")
FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebook(path):
    notebook = jupytext.read(path)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    script = jupytext.read(path.with_suffix(".py"))
    assert [c.source for c in notebook.cells] == [c.source for c in script.cells]
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": FOLDER}}
    ).execute()
    shown = [
        o for c in notebook.cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})
    ]
    assert shown  # the explorer
