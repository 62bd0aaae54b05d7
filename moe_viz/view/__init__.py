"""Seeing a trace: one self-contained picture for notebooks, slides and pages.

`explore(trace)` is drawn by any notebook, `save_page(trace, path)` writes the same as one offline
file. No torch, no network, no kernel: the HTML holds the data and one script.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..errors import InputError
from ..trace import Trace
from . import palette
from .document import document, write
from .fallback import fallback
from .pack import NOTEBOOK, fitting, pack

MODES = ("first", "gate", "margin", "entropy", "expert", "agreement")
SCALES = 0.5, 3.0  # least and most

if TYPE_CHECKING:
    from ..live import LivePrompt
    from ..model import Mixtral


@dataclass(frozen=True, eq=False)
class Explorer:
    """The picture of a trace; the last line of a notebook cell is enough to show it."""

    trace: Trace
    prompt: int = 0
    layer: int = 0
    token: int | None = None
    mode: str = "first"
    other: Trace | None = None  # another run of the same tokens
    scale: float = 1.0  # of all type
    beside: int | str | None = None  # a prompt, or a label, that this one is compared with

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
        check_scale(self.scale)
        if isinstance(self.beside, str):
            own = self.trace.prompts[self.prompt].label
            _within("beside", self.beside, [x for x in self.trace.labels if x != own])
        elif self.beside is not None:
            others = [n for n in range(len(self.trace.prompts)) if n != self.prompt]
            _within("beside", self.beside, others)
        if self.other is not None:
            _check_same_tokens(self.trace, self.other)
        elif self.mode == "agreement":
            raise InputError(
                "mode='agreement' shows how two runs of the same tokens agree: give both, "
                "explore([first, second], mode='agreement')."
            )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return f"<Explorer of {self.trace!r}>"

    def to_html(self, page: bool = False) -> str:
        """The picture as an HTML fragment: a fallback, the data, and the script that draws it."""
        limit = float("inf") if page else NOTEBOOK
        row = self.trace.layers.index(self.layer)
        wanted = [self.prompt, *([self.beside] if isinstance(self.beside, int) else [])]
        kept = fitting(self.trace, wanted, limit)
        left_out = len(self.trace.prompts) - len(kept)
        trace = self.trace.select(prompt=kept) if left_out else self.trace
        start = trace.prompts[kept.index(self.prompt)].start
        state = {
            "prompt": kept.index(self.prompt),
            "layer": row,
            "token": None if self.token is None else start + self.token,
            "mode": self.mode,
            "beside": self._beside(trace, kept),
            "page": page,
            "scale": float(self.scale),
        }
        name = f"moe-viz-{uuid.uuid4().hex[:12]}"
        other = None if left_out else self.other
        packed = pack(trace, state, limit, other, left_out)
        style = (files(__name__) / "explorer.css").read_text(encoding="utf-8")
        return (
            f'<div id="{name}" class="moe-viz" data-lm-suppress-shortcuts="true">'
            f"{fallback(self.trace, self.prompt, row)}</div>\n"
            f'<script type="application/json" id="{name}-data">{packed}</script>\n'
            f"<script>{_script()}\nmoeVizExplorer({_js(name)}, {_js(style)}, "
            f"{_js(palette.for_script())});</script>\n"
        )

    def _beside(self, shown: Trace, kept: list[int]) -> str:
        """What stands beside, as the script names it; nothing where that does not fit."""
        if self.beside in shown.labels:
            return f"label {shown.labels.index(str(self.beside))}"
        return f"prompt {kept.index(self.beside)}" if self.beside in kept else ""


@overload
def explore(
    trace: Trace | Sequence[Trace],
    prompt: int = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str = "first",
    scale: float = 1.0,
    beside: int | str | None = None,
) -> Explorer: ...


@overload
def explore(trace: Mixtral, *, scale: float = 1.0) -> LivePrompt: ...


def explore(
    trace: Trace | Sequence[Trace] | Mixtral,
    prompt: int = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str = "first",
    scale: float = 1.0,
    beside: int | str | None = None,
) -> Explorer | LivePrompt:
    """An interactive picture of a trace, opened at a prompt, layer and token.

    `prompt` and `token` count from 0, the token within its prompt (0 is BOS); `layer` is the
    model's number (default: the first recorded). `mode` is what the map shows: the `first` choice,
    its `gate`, the `margin`, the `entropy`, the probability of one `expert`, or, of two traces of
    the same tokens, their `agreement`.
    `scale` multiplies all type, from 0.5 to 3: 1.5 or 2 for a lecture room. `beside` is another
    prompt, or another label, to compare this one with; it can be changed in the picture.

    With a model instead of a trace: a prompt box, in a notebook, beside the picture of what is
    typed there; of the other arguments it takes `scale`.

    Raises `InputError` for what the trace does not have, and for two traces of different tokens.
    """
    if hasattr(trace, "router_hooks"):
        from ..live import LivePrompt

        return LivePrompt(trace, scale)  # type: ignore[arg-type]
    return _explorer(trace, prompt, layer, token, mode, scale, beside)


def _explorer(
    trace: Any,
    prompt: int = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str = "first",
    scale: float = 1.0,
    beside: int | str | None = None,
) -> Explorer:
    two = isinstance(trace, list | tuple) and len(trace) == 2
    first: Any = trace[0] if two else trace
    other = trace[1] if two else None
    top = first.layers[0] if isinstance(first, Trace) else 0
    layer = top if layer is None else layer
    return Explorer(first, prompt, layer, token, mode, other, scale, beside)


def save_page(
    trace: Trace | Sequence[Trace],
    path: str | Path,
    title: str | None = None,
    **opening: Any,
) -> Path:
    """Write the picture as one HTML file that needs no network and no kernel.

    `opening` is what `explore` takes: prompt, layer, token, mode, scale, beside. The address of the
    opened page says what is looked at (`#prompt=3&layer=2&token=14`), so that a single decision can
    be linked to, and larger with `&scale=2`. Raises `OutputError` where the file cannot be written;
    what stood there before is kept then.
    """
    return write(path, page_of(trace, title, **opening))


def page_of(trace: Trace | Sequence[Trace], title: str | None = None, **opening: Any) -> str:
    """The picture as a whole page; see `save_page`."""
    explorer = _explorer(trace, **opening)
    room = round(1600 * max(1, explorer.scale))  # larger type takes a wider window
    heading = title or f"How {explorer.trace.provenance.model} routes each token"
    style = (
        "html { color-scheme: light dark; background: "
        f"light-dark({palette.LIGHT.ground}, {palette.DARK.ground}); }}\n"
        f"body {{ margin: 0 auto; padding: 16px; max-width: {room}px; box-sizing: border-box; }}"
    )
    return document(heading, style, f"<main>\n{explorer.to_html(page=True)}</main>")


def check_scale(scale: Any) -> None:
    """Raise `InputError` for what type cannot be multiplied with."""
    if not (isinstance(scale, int | float) and SCALES[0] <= scale <= SCALES[1]):
        raise InputError(
            f"scale, which multiplies all type, goes from {SCALES[0]:g} to {SCALES[1]:g}, "
            f"found {scale!r}."
        )


def _within(name: str, found: Any, allowed: Any) -> None:
    if found not in allowed:
        few = list(allowed) if len(allowed) <= 8 else f"{allowed[0]} … {allowed[-1]}"
        raise InputError(f"{name} must be one of {few}, found {found!r}.")


@cache
def _script() -> str:
    """The explorer's JavaScript: its parts share one scope, in the order of their numbers."""
    parts = sorted((files(__name__) / "js").iterdir(), key=lambda part: part.name)
    code = "\n".join(part.read_text(encoding="utf-8") for part in parts if part.name[0].isdigit())
    return (
        "function moeVizExplorer(id, style, palette) {\n"
        '"use strict";\n'
        "const host = document.getElementById(id);\n"
        "if (!host || host.shadowRoot) return;\n"
        f"{code}\n}}"
    )


def _check_same_tokens(trace: Trace, other: Any) -> None:
    if not isinstance(other, Trace):
        raise InputError(f"Expected two traces, found a {type(other).__name__} as the second.")
    same = np.array_equal(trace.token_ids, other.token_ids) and trace.layers == other.layers
    if not same or trace.router_logits.shape != other.router_logits.shape:
        raise InputError(
            "Two traces are shown together where they are of the same tokens and layers; found "
            f"{trace!r} and {other!r}. Record both from the same texts."
        )


def _js(value: Any) -> str:
    """A value as a JavaScript literal that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
