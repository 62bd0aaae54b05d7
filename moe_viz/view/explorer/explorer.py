# SPDX-License-Identifier: Apache-2.0
"""Seeing a trace: one self-contained picture for notebooks, slides and pages.

Any notebook draws `explore(trace)`; `save_page(trace, path)` writes the same as one offline file.
No torch, no network, no kernel: the HTML holds the data and one script.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ...errors import InputError, refused
from ...files import package_text
from ...trace import Trace, mismatch
from .. import palette
from ..script import inert, script
from .fallback import MANY, fallback
from .fit import NOTEBOOK, PAGE, fitting, size
from .pack import PIECE, in_elements, pack
from .standing import Standing

MODES = ("first", "shared", "gate", "margin", "entropy", "expert", "agreement")
VIEWS = ("tokens", "experts", "touched")
SCALES = 0.5, 3.0  # least and most
#: The entry module, its function, and that function's name in the joined script.
SCRIPT = "view/explorer/js/explorer.js", "mountExplorer", "moeVizExplorer"


@dataclass(frozen=True, eq=False)
class Explorer:
    """The picture of a trace; the last line of a notebook cell is enough to show it."""

    trace: Trace
    prompt: int = 0
    layer: int | None = None  # the model's number; None: the first that was recorded
    token: int | None = None
    mode: str | None = None  # None: the first choice, or with many experts what tokens share
    other: Trace | None = None  # another run of the same tokens
    scale: float = 1.0  # of all type
    beside: int | str | None = None  # a prompt, or a label, that this one is compared with
    view: str = "tokens"  # × layers, the map; or "experts" × layers, or those "touched" so far

    def __post_init__(self) -> None:
        if not isinstance(self.trace, Trace):
            raise refused(
                "explore", "a trace, or two of the same tokens", self.trace,
                "Record one first: moe_viz.explore(moe_viz.record(model, texts)).",
            )  # fmt: skip
        if self.layer is None:
            object.__setattr__(self, "layer", self.trace.layers[0])
        if self.mode is None:
            many = self.trace.expert_count >= MANY
            object.__setattr__(self, "mode", "shared" if many else "first")
        _within("prompt", self.prompt, range(len(self.trace.prompts)))
        _within("layer", self.layer, self.trace.layers)
        if self.token is not None:
            shown = self.trace.prompts[self.prompt]
            _within("token", self.token, range(shown.stop - shown.start))
        _within("mode", self.mode, MODES)
        _within("view", self.view, VIEWS)
        check_scale(self.scale)
        if isinstance(self.beside, str):
            own = self.trace.prompts[self.prompt].label
            _within("beside", self.beside, [x for x in self.trace.labels if x != own])
        elif self.beside is not None:
            others = [n for n in range(len(self.trace.prompts)) if n != self.prompt]
            _within("beside", self.beside, others)
        if self.other is not None:
            if not isinstance(self.other, Trace):
                raise refused("explore", "two traces", self.other)
            if reason := mismatch(self.trace, self.other):
                raise InputError(reason)
        elif self.mode == "agreement":
            raise InputError(
                "mode='agreement' shows how two runs of the same tokens agree: give both, "
                "explore([first, second], mode='agreement')."
            )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return f"<Explorer of {self.trace!r}>"

    def to_html(self, page: bool = False, name: str = "") -> str:
        """The picture as an HTML fragment: a fallback, the data, and the script that draws it.

        `name` is what its element is called, where something else is to find it.
        """
        row = self.trace.layers.index(self.layer)
        name = name or f"moe-viz-{uuid.uuid4().hex[:12]}"
        style = package_text("view/explorer/explorer.css")
        before = (
            f'<div id="{name}" class="moe-viz" data-lm-suppress-shortcuts="true">'
            f"{fallback(self.trace, self.prompt, row)}</div>\n"
        )
        after = (
            f"<script>{script(*SCRIPT)}\nmoeVizExplorer({inert(name)}, {inert(style)}, "
            f"{inert(palette.for_script())});</script>\n"
        )
        tags = size(in_elements(PIECE * " ", f"{name}-1234")) / PIECE  # around each piece
        room = ((PAGE if page else NOTEBOOK) - size(before) - size(after)) / tags
        return before + in_elements(self._packed(row, room, page), name) + after

    def elements(self, name: str) -> str:
        """The packed trace alone, in script elements that run nothing: `name`-data and so on."""
        row = self.trace.layers.index(self.layer)
        return in_elements(self._packed(row, NOTEBOOK, page=False), name)

    def opening(self) -> dict[str, Any]:
        """The prompt and token that it opens at, as the script's state counts them."""
        shown = self.trace.prompts[self.prompt]
        token = shown.start + self.token if self.token is not None else -1
        return {"prompt": self.prompt, "token": token}

    # ---- While a trace grows: what `generate(watch=)` calls

    def due(self) -> bool:
        """Whether it is time for another trace."""
        return self._standing.due()

    def follow(self, trace: Trace) -> None:
        """Show a longer trace of the same model, at its last token; in a notebook."""
        self._standing.follow(self.grown(trace))

    def done(self, trace: Trace) -> None:
        """Show the whole of it, to stay; what is written next has a picture of its own."""
        self._standing.show(self.grown(trace))
        del self.__dict__["_standing"]

    def grown(self, trace: Trace) -> Explorer:
        """This picture of another trace, at the last token of its last prompt."""
        last = len(trace.prompts) - 1
        token = trace.prompts[last].stop - trace.prompts[last].start - 1
        layer = self.layer if self.layer in trace.layers else None
        mode = None if self.mode == "agreement" else self.mode
        return replace(self, trace=trace, prompt=last, token=token, layer=layer, mode=mode,
                       other=None, beside=None)  # fmt: skip

    @cached_property
    def _standing(self) -> Standing:
        return Standing()

    def _packed(self, row: int, limit: float, page: bool) -> str:
        """The data, in at most `limit` bytes."""
        wanted = [self.prompt, *([self.beside] if isinstance(self.beside, int) else [])]
        # A page keeps every prompt, whatever its size.
        kept = fitting(self.trace, wanted, float("inf") if page else limit)
        left_out = len(self.trace.prompts) - len(kept)
        trace = self.trace.select(prompt=kept) if left_out else self.trace
        start = trace.prompts[kept.index(self.prompt)].start
        state = {
            "prompt": kept.index(self.prompt),
            "layer": row,
            "token": None if self.token is None else start + self.token,
            "mode": self.mode,
            "beside": self._beside(trace, kept),
            "view": self.view,
            "page": page,
            "scale": float(self.scale),
        }
        return pack(trace, state, limit, None if left_out else self.other, left_out)

    def _beside(self, shown: Trace, kept: list[int]) -> dict[str, Any] | None:
        """What it is compared with, as the script's state says it; None if that was left out."""
        if self.beside in shown.labels:
            return {"kind": "label", "label": self.beside}
        if self.beside in kept:
            return {"kind": "prompt", "number": kept.index(self.beside)}
        return None


def opened(traces: Trace | Sequence[Trace], **opening: Any) -> Explorer:
    """The explorer of a trace, or of two of the same tokens, opened as its fields say."""
    if isinstance(traces, list | tuple) and len(traces) in (1, 2):
        return Explorer(traces[0], other=next(iter(traces[1:]), None), **opening)
    return Explorer(traces, **opening)  # type: ignore[arg-type]  # and says what it takes


def check_scale(scale: Any) -> None:
    """Raise `InputError` for a scale out of range."""
    if not (isinstance(scale, int | float) and SCALES[0] <= scale <= SCALES[1]):
        raise InputError(
            f"scale, which multiplies the size of all type, must lie in {SCALES[0]:g} … "
            f"{SCALES[1]:g}, found {scale!r}."
        )


def _within(name: str, found: Any, allowed: Any) -> None:
    if found not in allowed:
        few = list(allowed) if len(allowed) <= 8 else f"{allowed[0]} … {allowed[-1]}"
        raise InputError(f"{name} must be one of {few}, found {found!r}.")
