# SPDX-License-Identifier: Apache-2.0
"""Draws what was found: one kind of chart for each analysis.

In: a `Finding` (or a ledger). Out: a `Chart`. Baselines are drawn beside every number, and the
control, where there is one, on the same axes. Sliders work without a kernel.
"""

from __future__ import annotations

from collections.abc import Callable

from ...analysis.finding import Finding
from ...costs import GuestLedger, Ledger
from ...errors import InputError, refused
from .bars import load_bars, margin_bars
from .chart import Chart
from .ledger import ledger_chart
from .lines import by_layer, cache_lines
from .maps import load_map
from .matrices import damage_matrix, expert_matrix
from .published import pieces_card, ratio_dots, words_map

#: How loads can be drawn, and from how many experts on bars are too many.
VIEWS, MANY = ("bars", "map"), 16
_KINDS: dict[str, Callable[[Finding, Finding | None], Chart]] = {
    "load": load_bars,
    "repetition": by_layer(
        "share", "Repetition ({what})", ".1%", split="what",
        baselines={"uniform": "uniform", "matched": "matched", "shuffled": "shuffled"},
    ),
    "co-activation": expert_matrix("expert", "other", "matched", "Experts chosen together"),
    "transitions": expert_matrix("expert", "next", "shuffled", "From expert to expert"),
    "label divergence": by_layer(
        "divergence", "The divergence of labels", ".3f", baselines={"null": "labels permuted"}
    ),
    "language divergence": by_layer(
        "divergence", "The divergence of languages", ".3f",
        baselines={"within": "other passages of one language"},
    ),
    "certainty": by_layer(
        "mean", "The mean {what}", ".2f", split="what", baselines={"shuffled": "shuffled"}
    ),
    "vocabulary": by_layer(
        "share", "The favourite's share", ".1%",
        baselines={"uniform": "uniform", "shuffled": "shuffled"},
    ),
    "margins": margin_bars,
    "expert cache": cache_lines,
    "effects": damage_matrix,
    "published load": ratio_dots,
    "leading pieces": pieces_card,
    "function words": words_map,
    "word meanings": words_map,
    "agreement": by_layer(
        "share", "The agreement ({what})", ".1%", split="what", baselines={"chance": "by chance"}
    ),
}  # fmt: skip


def chart(
    found: Finding | Ledger | GuestLedger,
    control: Finding | None = None,
    *,
    view: str | None = None,
) -> Chart:
    """The chart of what an analysis found, or of a ledger.

    `control` is the same analysis of another trace, usually the untrained twin's: where the chart
    is over layers, it is drawn beside, on the same axes. Loads are drawn as "bars" of one layer, or
    as a "map" of all experts and layers, which is what sixteen experts or more open on: `view` says
    which.

    Raises `InputError` for what has no chart (its table is shown by itself).

    >>> import moe_viz as mv
    >>> mv.chart(mv.ledger("mixtral-8x7b")).sentence[:60]
    'mixtral-8x7b stores 46,702,792,704 parameters and uses 12,87'
    """
    if isinstance(found, Ledger | GuestLedger):
        return ledger_chart(found)
    if not isinstance(found, Finding):
        raise refused(
            "chart", "what an analysis found, or a ledger", found,
            "For a trace: moe_viz.chart(moe_viz.analysis.load(trace)), or explore(trace).",
        )  # fmt: skip
    if view is not None and (view not in VIEWS or not found.name.startswith("load")):
        raise InputError(
            f"view is one of {', '.join(VIEWS)}, for loads; found {view!r} for {found.name!r}."
        )
    many = found.name.startswith("load") and len(set(found["expert"].tolist())) >= MANY
    if view == "map" or (many and view is None):
        return load_map(found, control)
    for name, draw in _KINDS.items():
        if found.name.startswith(name):
            return draw(found, control)
    raise InputError(
        f"There is no chart of {found.name!r}; its table shows it. There are charts of "
        f"{', '.join(_KINDS)}."
    )
