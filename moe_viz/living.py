# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it: whoever opens the file runs the model, and changes it.

In: a small model of Mixtral's architecture. Out: one HTML file that needs no network, no kernel and
no Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .prompts import curated
from .view.document import write

if TYPE_CHECKING:  # torch is for those who run a model
    from .guests.guest import Recordable


def save_live(
    path: str | Path, model: Recordable | str = "8x7m", text: str = "", exact: bool = False
) -> Path:
    """Write a page that runs a model in the browser and shows how it routes what is typed there.

    `model` is a Mixtral in memory of up to 100 million weights, or the name of one; `text` is what
    the page opens on. A weight travels as a byte, routers and norms as float32 (31 MB for 8x7m,
    0.9 % of its sets of experts change); with `exact` as bfloat16, as it was published (46 MB).
    Nothing that is typed there leaves the page.

    Raises `InputError` for a model that no page can run, by name, and `OutputError` if the file
    cannot be written.
    """
    from .guests.loading import load
    from .recording import record
    from .view.live.carried import carried
    from .view.live.page import live_page

    held = load(model) if isinstance(model, str) else model
    parts, prompts = carried(held, exact), curated()
    shown = text or next(p.text for p in prompts if p.label == "en" and p.topic == "cat")
    return write(path, live_page(parts, record(held, shown), prompts))
