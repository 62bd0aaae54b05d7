# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it: whoever opens the file runs the model, and changes it.

In: a small model of Mixtral's architecture. Out: one HTML file that needs no network, no kernel and
no Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .prompts import Prompts, curated, passages
from .trace import Trace
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
    shown = text or _passage(prompts, "en")
    layer, expert = most_devoted(record(held, passages()), "fr")
    chips = [
        {"name": "Will “the” go to one expert?", "mode": "look", "text": _passage(prompts, "en"),
         "query": "the"},
        {"name": "Spoil French", "mode": "change", "text": _passage(prompts, "fr"),
         "off": [layer, expert]},
        {"name": "Let it write", "mode": "write", "text": "The first file", "write": True},
    ]  # fmt: skip
    return write(path, live_page(parts, record(held, shown), prompts, chips))


def most_devoted(trace: Trace, label: str) -> tuple[int, int]:
    """Layer and expert whose load in one label is furthest above that in any other."""
    loads = {name: _loads(trace.select(label=name)) for name in trace.labels}
    others = np.max([found for name, found in loads.items() if name != label], axis=0)
    layer, expert = np.unravel_index(np.argmax(loads[label] - others), others.shape)
    return trace.layers[int(layer)], int(expert)


def _loads(trace: Trace) -> np.ndarray:
    """Shares of each layer's assignments, (L, E)."""
    kept = trace.experts[:, ~trace.special]
    return np.stack([np.bincount(row[row >= 0], minlength=trace.expert_count) / row.size
                     for row in kept])  # fmt: skip


def _passage(prompts: Prompts, label: str) -> str:
    return next(p.text for p in prompts if p.label == label and p.topic == "cat")
