# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it: whoever opens the file runs the model, and changes it.

In: a small model of Mixtral's architecture. Out: one HTML file that needs no network, no kernel and
no Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .files import EMBEDDED
from .prompts import LANGUAGES, Prompts, curated
from .trace import Trace
from .view.document import write

if TYPE_CHECKING:  # torch is for those who run a model
    from .guests.guest import Recordable


def save_live(
    path: str | Path,
    model: Recordable | str = "8x7m",
    text: str = "",
    exact: bool = False,
    address: str = "",
) -> Path:
    """Write a page that runs a model in the browser and shows how it routes what is typed there.

    `model` is a Mixtral in memory of up to 100 million weights, or the name of one; `text` is what
    the page opens on. A weight travels as a byte, routers and norms as float32 (31 MB for 8x7m; the
    page says how many decisions that changes); with `exact` as bfloat16, as it was published
    (46 MB). Nothing that is typed there leaves the page. `address` is where the page will be
    hosted: what is shared from it, a QR code among it, leads there.

    Raises `InputError` for a model that no page can run, by name, and `OutputError` if the file
    cannot be written.
    """
    from .guests.loading import load
    from .view.live.page import live_page

    own = load(model) if isinstance(model, str) else model
    return write(path, live_page(in_page(own, exact, address), opening(own, text)))


def opening(model: Recordable | str, text: str = "") -> Trace:
    """What a page opens on: a recording of this text, or of a passage of ours."""
    from .guests.loading import load
    from .recording import record

    own = load(model) if isinstance(model, str) else model
    return record(own, text or _passage(curated(), "en"))


def held(name: str, address: str = "") -> dict[str, Any]:
    """What a page holds of the embedded model: for cells of notebooks that are tagged `live`.

    Raises `InputError` for another model, whose weights do not come with this package.
    """
    from .guests.loading import load

    if name != EMBEDDED:
        raise InputError(
            f"{name} does not come with moe_viz, {EMBEDDED} does. A page of its own: moe-viz live "
            "--model FOLDER -o lab.html."
        )
    return in_page(load(name), address=address)


def in_page(model: Any, exact: bool = False, address: str = "") -> dict[str, Any]:
    """All that a page holds of a model in memory, with things to try and what it says of itself."""
    from .recording import record
    from .view.live.carried import carried
    from .view.live.page import held_in_page

    parts, prompts = carried(model, exact), curated()
    longest = max(len(model.tokenizer.encode(text).ids) for text in prompts.texts)
    if longest > model.config.context:
        raise InputError(
            f"{model.config.name}: a page comes with texts of up to {longest} tokens; this model's "
            f"context is {model.config.context}."
        )
    recorded = record(model, prompts, loss=True)
    layer, expert = most_devoted(recorded.select(label=LANGUAGES), "fr")
    chips = [
        {"name": "Will “the” go to one expert?", "mode": "look", "text": _passage(prompts, "en"),
         "query": "the"},
        {"name": "Spoil French", "mode": "change", "text": _passage(prompts, "fr"),
         "off": [layer, expert]},
        {"name": "Let it write", "mode": "write", "text": "The first file", "write": True},
    ]  # fmt: skip
    return held_in_page(parts, recorded, prompts, chips, _words(model, recorded, exact), address)


def most_devoted(trace: Trace, label: str) -> tuple[int, int]:
    """Layer and expert whose load in one label is furthest above that in any other."""
    loads = {name: _loads(trace.select(label=name)) for name in trace.labels}
    others = np.max([found for name, found in loads.items() if name != label], axis=0)
    layer, expert = np.unravel_index(np.argmax(loads[label] - others), others.shape)
    return trace.layers[int(layer)], int(expert)


def _words(model: Any, recorded: Trace, exact: bool) -> list[str]:
    """What a page says of the model in it."""
    from .recording import record
    from .view.live.agreement import agreement, in_bytes

    config = model.config
    size = sum(parameter.numel() for parameter in model.parameters())
    what = (
        f"{config.name} has Mixtral’s architecture: {config.layers} layers of {config.experts} "
        f"experts, of which a token goes to {config.experts_per_token}; {size / 1e6:.1f} million "
        "parameters. What it does is its own: nothing here is about Mixtral 8x7B."
    )
    if exact:
        stored = (
            "Its weights are here as they were published, in bfloat16; sums are float32. Choices "
            "are those of Python wherever two scores are further apart than sums are rounded."
        )
    else:
        with in_bytes(model):
            rounded = record(model, [prompt.text for prompt in recorded.prompts], loss=True)
        found = agreement(recorded, rounded)
        before, after = found.bits
        stored = (
            "A weight takes one byte here (int8, each row scaled by itself; routers and norms are "
            f"float32), which routing notices a little: on {found.texts} curated texts, "
            f"{found.tokens:,} tokens, {found.sets:.2%} of the sets of experts and "
            f"{found.first:.2%} of the first choices stay as they are; the loss is {before:.3f} "
            f"bits a byte before and {after:.3f} after. A page with the exact weights: moe-viz "
            "live --exact."
        ).replace("% of", " % of")
    here = "All of it runs in this page. It asks for nothing from anywhere, and sends nothing."
    return [what, stored, here]


def _loads(trace: Trace) -> np.ndarray:
    """Shares of each layer's assignments, (L, E)."""
    kept = trace.experts[:, ~trace.special]
    return np.stack([np.bincount(row[row >= 0], minlength=trace.expert_count) / row.size
                     for row in kept])  # fmt: skip


def _passage(prompts: Prompts, label: str) -> str:
    return next(p.text for p in prompts if p.label == label and p.topic == "cat")
