# SPDX-License-Identifier: Apache-2.0
"""What a page of 8x7m knows of itself, and what its model says when it is asked, run by node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import moe_viz as mv
from moe_viz.prompts import Prompts
from moe_viz.trace import Trace
from moe_viz.view.explorer.pack import pack
from moe_viz.view.live.carried import carried
from moe_viz.view.live.page import held_in_page
from tests.live.node import ask

#: How a picture opens: what it shows of a trace is the trace's alone.
STATE: dict[str, Any] = {
    "prompt": 0, "layer": 0, "token": None, "mode": "first", "beside": None, "view": "tokens",
    "page": True, "scale": 1.0,
}  # fmt: skip


class Page:
    """The model of a page, and a folder in which node finds it and puts what it saves."""

    def __init__(self, model: Any, folder: Path, exact: bool = True) -> None:
        opened = mv.record(model, "Something else.")
        held = held_in_page(carried(model, exact), opened, Prompts(), [], [])
        self.folder = folder
        self.path = folder / "page.json"
        self.path.write_text(json.dumps({**held["model"], "weights": held["weights"]}))
        self.known = {"like": packed(opened), "record": held["model"]["record"]}

    def says(self, questions: list[dict[str, Any]], plain: bool = False) -> list[dict[str, Any]]:
        """All that is answered but traces; a file that is saved is named by its question's number.

        `plain` does without WebAssembly, which takes longer.
        """
        asked = {"does": "talk", "page": str(self.path), "tokens": 512, "plain": plain}
        return ask(self.folder, asked | {"like": self.known["like"], "questions": questions})

    def shows(self, *files: Path, put: list[list[list[int]]] | None = None) -> list[dict[str, Any]]:
        """How the page packs files, or why it does not; `put` are bytes of the one file."""
        asked = [{"path": str(path)} for path in files]
        if put is not None:
            (path,) = files
            asked = [{"path": str(path), "put": some} for some in put]
        return ask(self.folder, {"does": "bring", "files": asked, **self.known})


def packed(trace: Trace) -> dict[str, Any]:
    """A trace as Python packs it for the picture."""
    return json.loads(pack(trace, STATE))
