# SPDX-License-Identifier: Apache-2.0
"""Bars in a notebook leave nothing behind, and short work shows none."""

from __future__ import annotations

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

WORK = """
import time
from moe_viz.progress import progress_bar
with progress_bar("layers", {steps}) as bar:
    for n in range({steps}):
        bar.desc = f"layer {{n}}: "
        time.sleep({pause})
        bar.update()
print("done")
"""


@pytest.fixture(scope="module")
def outputs():
    """What two cells leave behind, and what was seen meanwhile: of long work, and of short."""
    seen = []

    class Watching(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data", "stream"):
                seen.append((cell_index, msg["msg_type"], msg["content"]))
            return super().process_message(msg, cell, cell_index)

    sources = [WORK.format(steps=30, pause=0.1), WORK.format(steps=3, pause=0)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    Watching(notebook).execute()
    return notebook.cells, seen


def test_long_work_shows_how_far_it_is_and_leaves_an_empty_output(outputs):
    (cell, _), seen = outputs
    shown = [c["data"]["text/plain"] for n, kind, c in seen if n == 0 and kind != "stream"]
    assert any("layer" in text and "%" in text for text in shown)
    bar, printed = cell.outputs
    assert bar["data"] == {"text/html": "", "text/plain": ""}
    assert printed["text"] == "done\n"
    assert not any(c["name"] == "stderr" for _, kind, c in seen if kind == "stream")


def test_short_work_shows_nothing(outputs):
    (_, cell), _ = outputs
    (printed,) = cell.outputs
    assert printed["text"] == "done\n"
