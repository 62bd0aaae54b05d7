# SPDX-License-Identifier: Apache-2.0
"""One decoder layer as a drawing that can be walked through, step by step.

In: a layer's blocks, the rule of its router, and scores, of a token or made up. Out: HTML that
needs no network and no kernel. Without scripts the six steps remain, in words.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...costs import Blocks
from ...files import package_text
from ...trace.rule import MIXTRAL, Rule
from .. import palette
from ..document import document, write
from ..script import inert, script

#: The entry module, its function, and that function's name in the joined script.
SCRIPT = "view/diagram/js/mount.js", "mountDiagram", "moeVizDiagram"
#: What stands where no token's numbers are given.
MADE_UP = "made-up scores"


@dataclass(frozen=True, eq=False)
class Diagram:
    """One layer of a model, drawn; the last line of a notebook cell shows it."""

    name: str  # of the model
    blocks: Blocks
    rule: Rule = MIXTRAL
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (E,) logits; none: made up
    bias: np.ndarray | None = None  # (E,) for the choice alone, where the rule has one
    source: str = MADE_UP  # whose the scores are
    scale: float = 1.0

    def __repr__(self) -> str:
        b = self.blocks
        return f"<Diagram of layer {b.layer} of {self.name}: {b.chosen} of {b.experts} experts>"

    def _repr_html_(self) -> str:
        return self.to_html()

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """The six steps: a name and a sentence for each."""
        b, rule = self.blocks, self.rule
        E, k, D = b.experts, b.chosen, b.width
        used, stored = k * b.expert, E * b.expert
        return (
            ("read", f"After attention the token is a list of {D:,} numbers. A norm brings them to "
             "one scale, to be read by router and experts; the list itself passes by."),
            ("score", f"The router multiplies it with a row of {D:,} numbers for each of {E} "
             f"experts: {E} scores{_scored(rule)}."),
            (f"keep {k}", f"The {k} highest are kept{_kept(rule)}. The other {E - k} are out, for "
             "this token in this layer."),
            ("run", f"Only {k} of {E} feed-forward blocks are computed: {brief(used)} of "
             f"{brief(stored)} parameters{_shared(b)}."),
            ("weigh", f"{_weighed(rule, k)}: so much of each output is taken."),
            ("add", "The weighted sum is added to the state that passed beside the block all the "
             "time, and goes on to the next layer."),
        )  # fmt: skip

    @property
    def caption(self) -> str:
        """What else is to be known of this layer."""
        b = self.blocks
        notes = []
        if b.dense:
            several = len(b.dense) > 1
            numbers = ", ".join(map(str, b.dense))
            notes.append(
                f"Layer{'s' if several else ''} {numbers} of this model "
                f"{'are' if several else 'is'} dense: one block for every token, and no router."
            )
        if b.rest:
            notes.append(f"{brief(b.rest)} parameters of this layer lie in parts not drawn here.")
        notes.append(self.rule.remarks)
        return " ".join(filter(None, notes))

    def to_html(self, page: bool = False) -> str:
        """The drawing as an HTML fragment: the steps in words, the data, and the script."""
        name = f"moe-viz-{uuid.uuid4().hex[:12]}"
        style = package_text("view/diagram/diagram.css")
        steps = "".join(f"<li><b>{escape(a)}</b>: {escape(b)}</li>" for a, b in self.steps)
        b = self.blocks
        title = f"Layer {b.layer} of {escape(self.name)}: {b.chosen} of {b.experts} experts"
        return (
            f'<div id="{name}" class="moe-viz-diagram" data-lm-suppress-shortcuts="true">'
            f'<div style="border:1px solid {palette.LIGHT.line};padding:8px 12px;'
            f'font-family:system-ui,sans-serif"><p style="margin:0"><b>{title}</b></p>'
            f"<ol>{steps}</ol><p>{escape(self.caption)}</p></div></div>\n"
            f'<script type="application/json" id="{name}-data">{inert(self._data(page))}</script>\n'
            f"<script>{script(*SCRIPT)}\nmoeVizDiagram({inert(name)}, {inert(style)}, "
            f"{inert(palette.for_script())});</script>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the drawing as one page that needs no network; whole or not at all."""
        style = (
            "html { color-scheme: light dark; background: "
            f"light-dark({palette.LIGHT.ground}, {palette.DARK.ground}); }}\n"
            "body { margin: 0 auto; padding: 16px; max-width: 1100px; box-sizing: border-box; }"
        )
        title = f"A layer of {self.name}"
        return write(path, document(title, style, f"<main>\n{self.to_html(page=True)}</main>"))

    def _data(self, page: bool) -> dict[str, Any]:
        scores = self.scores if len(self.scores) else made_up(self.blocks)
        finite = np.nan_to_num(np.asarray(scores, np.float64), neginf=-1e4)
        return {
            "name": self.name,
            "blocks": asdict(self.blocks),
            "rule": asdict(self.rule) | {"plain": self.rule.plain, "words": self.rule.words},
            "scores": [round(float(x), 4) for x in finite],
            "bias": None if self.bias is None else [round(float(x), 5) for x in self.bias],
            "source": self.source,
            "real": self.source != MADE_UP,
            "steps": [list(step) for step in self.steps],
            "caption": self.caption,
            "scale": float(self.scale),
            "page": page,
        }


def made_up(blocks: Blocks) -> np.ndarray:
    """Scores as a router might give them, (E,): the same in every drawing."""
    return np.random.default_rng(8).normal(0, 1.2, blocks.experts)


def brief(n: int) -> str:
    """A number of parameters as people say it.

    >>> brief(32_768), brief(176_160_768), brief(1_409_286_144)
    ('32,768', '176 M', '1.41 B')
    """
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size and n >= 10**5:
            x = n / size
            return f"{x:.0f} {unit}" if x >= 99.95 else f"{x:#.3g} {unit}"
    return f"{n:,}"


def _scored(rule: Rule) -> str:
    return "" if rule.score == "softmax" else f", each turned by itself ({rule.score})"


def _kept(rule: Rule) -> str:
    said = ", by score plus a bias that spreads the work" if rule.bias else ""
    if rule.groups > 1:
        said += f", from the {rule.groups_kept} best of {rule.groups} groups"
    return said


def _shared(blocks: Blocks) -> str:
    return f", and the shared expert's {brief(blocks.shared)} beside" if blocks.shared else ""


def _weighed(rule: Rule, k: int) -> str:
    if k == 1 and rule.sums_to_one:
        return "One expert alone has all the weight"
    if rule.score == "softmax":
        base = (
            f"A softmax of the {k} kept scores" if rule.normalised else "The softmax of all scores"
        )
        said = f"{base} gives their gates"
    else:
        said = "The kept scores" + (", divided by their sum," if rule.normalised else "")
        said += " are their gates"
    return said + (f", times {rule.scale:g}" if rule.scale != 1 else "")
