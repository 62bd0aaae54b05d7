# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it: one file that runs it, offline, and shows how it routes.

In: what a page carries of a model; and a trace of one text, which is what the page opens on.
Out: the picture of that text, and around it what runs any other. Nothing typed there leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from ...errors import MissingDependencyError
from ...files import package_text
from ...prompts import LANGUAGES, Prompts
from ...trace import Trace
from ...trace.format import header_of
from .. import palette
from ..document import document
from ..explorer.explorer import Explorer
from ..explorer.pack import in_elements
from ..script import inert, script
from .carried import WORKER

#: The entry module, its function, and that function's name in the joined script.
SCRIPT = "view/live/js/lab.js", "mountLab", "moeVizLab"
#: What a page with a model in it may do beside what all our pages may.
WORKERS = {"worker-src": "blob:"}
POLICY = {"script-src": "'unsafe-inline' 'wasm-unsafe-eval'", **WORKERS}
#: Tokens that a page has room for, at most.
ROOM = 2048
#: What the elements are called that hold the model.
_MODEL = "moe-viz-held"


def live_page(
    model: Mapping[str, Any], opened: Trace, carry: Callable[[Mapping[str, Any]], str] | None = None
) -> str:
    """The whole page: `model` as `held_in_page` has it, and the picture of a trace of one text.

    `carry` gives the elements that hold the model, where it lies in a file beside the page.
    """
    name = "moe-viz-lab"
    picture = Explorer(opened).to_html(page=True, name=name)
    style = f"{style_of_page()}\n{package_text('view/live/page.css')}"
    body = f"<main>\n{picture}</main>{(carry or in_page)(model)}{begun(name)}"
    policy = POLICY | ({"script-src": f"{POLICY['script-src']} 'self' file:"} if carry else {})
    return document(f"{opened.provenance.model}, running in this page", style, body, policy)


def in_page(model: Mapping[str, Any]) -> str:
    """The elements that hold a model, and the scripts that run it: once in a file."""
    large = {name: model[name] for name in ("about", "model")}
    parts = [in_elements(inert(part), f"{_MODEL}-{name}") for name, part in large.items()]
    return "".join(
        [
            *parts,
            in_elements(model["weights"], f"{_MODEL}-weights"),
            f"<script>{script(*WORKER)}</script>\n<script>{script(*SCRIPT)}</script>\n",
        ]
    )


def begun(name: str) -> str:
    """A script that has the model run behind the picture in the element `name`."""
    return f"<script>{SCRIPT[2]}({inert(name)}, {inert(_MODEL)}, {WORKER[2]});</script>\n"


def held_in_page(
    carried: Mapping[str, Any],
    opened: Trace,
    prompts: Prompts,
    chips: Sequence[Mapping[str, Any]],
    words: Sequence[str],
    address: str = "",
) -> dict[str, Any]:
    """All that a page holds of a model: weights `carried`, texts to pick from, and things to try.

    A chip is a thing to try: its name, a mode and a text, and a query, an expert that is off, or
    whether to write on. `words` are what the page says about the model. `address` is where the same
    page is hosted.
    """
    manifest = carried["manifest"]
    exact = bool(manifest["halves"])
    stored = "bfloat16, exact" if exact else "int8"
    return {
        "about": {
            "title": f"{opened.provenance.model} · {stored} · in this page",
            "words": list(words),
            "chips": list(chips),
            "tokens": min(ROOM, manifest["shape"]["context"]),
            "passages": [
                {
                    "label": p.label,
                    "topic": p.topic,
                    "text": p.text,
                    "parallel": p.label in LANGUAGES and bool(p.topic),
                }
                for p in prompts
            ],
            "address": address,
            "qr": _qr(address) if address else "",
        },
        "model": {
            **{name: part for name, part in carried.items() if name != "weights"},
            "record": _record(opened, exact),
        },
        "weights": carried["weights"],
    }


def _qr(address: str) -> str:
    """An address as a QR code: a picture in an address of its own."""
    try:
        import segno
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "An address is drawn as a QR code by the package segno: pip install 'moe-viz[slides]'."
        ) from error
    return segno.make(address, error="m", micro=False).svg_data_uri(border=4)


def _record(opened: Trace, exact: bool) -> dict[str, Any]:
    """What the header of a trace's file says, where it is true of every trace of the page."""
    provenance = replace(
        opened.provenance,
        quantisation="none" if exact else "int8 a row",
        placement="in a page",
        device="browser",
        versions={"moe_viz": version("moe-viz")},
    )
    return header_of(vars(replace(opened, provenance=provenance)))


def style_of_page() -> str:
    """What the tray and the panels look like, wherever the model stands."""
    light, dark = palette.LIGHT, palette.DARK
    names = ("ground", "ink", "line", "muted")
    pairs = (f"--{n}: light-dark({getattr(light, n)}, {getattr(dark, n)});" for n in names)
    return f":root {{ {' '.join(pairs)} }}\n{package_text('view/live/live.css')}"
