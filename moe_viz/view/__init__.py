"""Seeing a trace: one self-contained picture for notebooks, slides and pages.

`explore(trace)` is drawn by any notebook, `save_page(trace, path)` writes the same as one offline
file. No torch, no network, no kernel: the HTML holds the data and one script.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic_path
from ..trace import Trace
from . import palette
from .fallback import fallback
from .pack import pack

MODES = ("first", "gate", "margin", "entropy")


@dataclass(frozen=True, eq=False)
class Explorer:
    """The picture of a trace; the last line of a notebook cell is enough to show it."""

    trace: Trace
    prompt: int = 0
    layer: int = 0
    token: int | None = None
    mode: str = "first"

    def __post_init__(self) -> None:
        if not isinstance(self.trace, Trace):
            raise InputError(
                f"explore shows a trace, found {type(self.trace).__name__}. Record one first: "
                "moe_viz.explore(moe_viz.record(model, texts))."
            )
        _within("prompt", self.prompt, range(len(self.trace.prompts)))
        _within("layer", self.layer, self.trace.layers)
        if self.token is not None:
            shown = self.trace.prompts[self.prompt]
            _within("token", self.token, range(shown.stop - shown.start))
        _within("mode", self.mode, MODES)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return f"<Explorer of {self.trace!r}>"

    def to_html(self, page: bool = False) -> str:
        """The picture as an HTML fragment: a fallback, the data, and the script that draws it."""
        row = self.trace.layers.index(self.layer)
        start = self.trace.prompts[self.prompt].start
        state = {
            "prompt": self.prompt,
            "layer": row,
            "token": None if self.token is None else start + self.token,
            "mode": self.mode,
            "page": page,
        }
        name = f"moe-viz-{uuid.uuid4().hex[:12]}"
        folder = files(__name__)
        script = (folder / "explorer.js").read_text(encoding="utf-8")
        style = (folder / "explorer.css").read_text(encoding="utf-8")
        return (
            f'<div id="{name}" class="moe-viz" data-lm-suppress-shortcuts="true">'
            f"{fallback(self.trace, self.prompt, row)}</div>\n"
            f'<script type="application/json" id="{name}-data">{pack(self.trace, state)}</script>\n'
            f"<script>{script}\nmoeVizExplorer({_js(name)}, {_js(style)}, "
            f"{_js(palette.for_script())});</script>\n"
        )


def explore(
    trace: Trace,
    prompt: int = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str = "first",
) -> Explorer:
    """An interactive picture of a trace, opened at a prompt, layer and token.

    `prompt` and `token` count from 0, the token within its prompt (0 is BOS); `layer` is the
    model's number (default: the first recorded). `mode` is what the map shows: the `first` choice,
    its `gate`, the `margin`, or the `entropy`.

    Raises `InputError` for what the trace does not have.
    """
    first = trace.layers[0] if isinstance(trace, Trace) else 0
    return Explorer(trace, prompt, first if layer is None else layer, token, mode)


def save_page(
    trace: Trace,
    path: str | Path,
    title: str | None = None,
    **opening: Any,
) -> Path:
    """Write the picture as one HTML file that needs no network and no kernel.

    `opening` is what `explore` takes: prompt, layer, token, mode. Raises `OutputError` where the
    file cannot be written; what stood there before is kept then.
    """
    explorer = explore(trace, **opening)
    heading = escape(title or f"How {trace.provenance.model} routes each token")
    # The policy makes "offline" a property of the page: nothing can be fetched from anywhere.
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{heading}</title>
<style>
html {{ color-scheme: light dark; background: light-dark({palette.LIGHT.ground}, \
{palette.DARK.ground}); }}
body {{ margin: 0; padding: 16px; max-width: 1600px; margin-inline: auto; box-sizing: border-box; }}
</style>
</head>
<body>
{explorer.to_html(page=True)}</body>
</html>
"""
    path = Path(path)
    with atomic_path(path) as temporary:
        # A title may hold what is no Unicode, from a folder's name for instance: drawn as "?".
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return path


def _within(name: str, found: Any, allowed: Any) -> None:
    if found not in allowed:
        few = list(allowed) if len(allowed) <= 8 else f"{allowed[0]} … {allowed[-1]}"
        raise InputError(f"{name} must be one of {few}, found {found!r}.")


def _js(value: Any) -> str:
    """A value as a JavaScript literal that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
