# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it: one file that runs it, offline, and shows how it routes.

In: what a page carries of a model; and a trace of one text, which is what the page opens on.
Out: the picture of that text, and around it what runs any other. Nothing typed there leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...files import package_text
from ...prompts import Prompts
from ...trace import Trace
from .. import palette
from ..document import document
from ..explorer.explorer import Explorer
from ..explorer.pack import in_elements
from ..script import inert, script
from .carried import WORKER

#: The entry module, its function, and that function's name in the joined script.
SCRIPT = "view/live/js/lab.js", "mountLab", "moeVizLab"
#: What a page with a model in it may do beside what all our pages may.
POLICY = {"script-src": "'unsafe-inline' 'wasm-unsafe-eval'", "worker-src": "blob:"}
#: Tokens that a page has room for, at most.
ROOM = 2048
_NAME = "moe-viz-lab"


def live_page(
    model: Mapping[str, Any], opened: Trace, prompts: Prompts, chips: Sequence[Mapping[str, Any]]
) -> str:
    """The whole page: `model` as `carried`, a trace of one text, texts to pick from, and `chips`.

    A chip is a thing to try: its name, a mode and a text, and a query, an expert that is off, or
    whether to write on.
    """
    manifest = model["manifest"]
    held = {name: part for name, part in model.items() if name != "weights"}
    stored = "bfloat16, exact" if manifest["halves"] else "int8"
    title = f"{opened.provenance.model} · {stored} · in this page"
    about = {
        "title": title,
        "chips": list(chips),
        "tokens": min(ROOM, manifest["shape"]["context"]),
        "passages": [{"label": p.label, "topic": p.topic, "text": p.text} for p in prompts],
    }
    explorer = Explorer(opened)
    parts = [
        f"<main>\n{explorer.to_html(page=True, name=_NAME)}</main>",
        in_elements(inert(about), f"{_NAME}-about"),
        in_elements(inert(held), f"{_NAME}-model"),
        in_elements(model["weights"], f"{_NAME}-weights"),
        f"<script>{script(*SCRIPT)}\nmoeVizLab({inert(_NAME)}, {inert(_worker())});</script>\n",
    ]
    return document(
        f"{opened.provenance.model}, running in this page", _style(), "".join(parts), POLICY
    )


def _worker() -> str:
    """The worker's script, as a text."""
    return f"{script(*WORKER)}\n{WORKER[2]}();"


def _style() -> str:
    light, dark = palette.LIGHT, palette.DARK
    names = ("ground", "ink", "line", "muted")
    pairs = (f"--{n}: light-dark({getattr(light, n)}, {getattr(dark, n)});" for n in names)
    return f":root {{ {' '.join(pairs)} }}\n{package_text('view/live/live.css')}"
