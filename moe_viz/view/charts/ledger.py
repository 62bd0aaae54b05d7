# SPDX-License-Identifier: Apache-2.0
"""The ledger as two icicles: what a model stores, and what one token uses of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...analysis.finding import Finding
from ...costs import GuestLedger, Ledger
from .. import palette
from .chart import Chart, graph_objects

#: Shares of a model: parts below the first have no room for their names, and those below the second
#: share one.
WIDE, NARROW = 0.12, 0.02
#: Pixels from one name below to the next, in type as large as on a slide.
LINE = 24
#: Colours of the parts; experts, which are nearly everything, take the first.
PARTS = {
    "experts": 6, "attention": 1, "embedding": 2, "output head": 4, "routers": 3, "norms": 7,
    "shared experts": 0, "all else": 1, "towers": 5,
}  # fmt: skip


def _leaders(
    names: list[str], counts: list[int], left: float, width: float
) -> list[dict[str, Any]]:
    """Names of the parts that are too narrow for them, below, each with a line to its part.

    The narrowest share one.
    """
    total, at = sum(counts), 0
    apart, together = list[tuple[list[str], int, float]](), (list[str](), 0, 0.0)
    for name, count in zip(names, counts, strict=True):
        middle = left + width * (at + count / 2) / total
        at += count
        if NARROW <= count / total < WIDE:
            apart.append(([name], count, middle))
        elif count / total < NARROW:
            together = ([*together[0], name], together[1] + count, middle)
    groups = [*apart, *([together] if together[0] else [])]
    return [
        {"text": f"{', '.join(who)}: {count:,}", "x": x, "y": 0, "xref": "paper", "yref": "paper",
         "ax": -12, "ay": 16 + LINE * n, "xanchor": "right", "yanchor": "middle", "arrowhead": 0,
         "arrowwidth": 1, "showarrow": True, "standoff": 0}
        for n, (who, count, x) in enumerate(groups)
    ]  # fmt: skip


def ledger_chart(books: Ledger | GuestLedger) -> Chart:
    """Parameters part by part: stored on the left, used by one token on the right, to one scale."""
    go = graph_objects()
    name, figure, notes = books.name, go.Figure(), list[dict[str, Any]]()
    for n, (head, total) in enumerate((("stored", books.total), ("used by a token", books.active))):
        labels, parents, values, colours = [head], [""], [total], [palette.LIGHT.line]
        for part in sorted(books.parts, key=lambda p: -p.total):
            count = (part.total, part.active)[n]
            labels.append(part.name)
            parents.append(head)
            values.append(count)
            colours.append(palette.expert_colour(PARTS[part.name]))
        # Both widths have one scale: what is used is that share of what is stored.
        width = 0.47 if n == 0 else 0.47 * books.active / books.total
        figure.add_icicle(
            labels=labels, parents=parents, values=values, branchvalues="total",
            domain={"x": [0, 0.47] if n == 0 else [0.53, 0.53 + width]},
            marker={"colors": colours, "line": {"width": 1}}, tiling={"orientation": "v"},
            textfont={"color": palette.LIGHT.ink},
            insidetextfont={"color": palette.LIGHT.ink}, leaf={"opacity": 1},
            texttemplate="%{label}<br>%{value:,}", sort=False,
            hovertemplate="%{label}: %{value:,} parameters, %{percentRoot:.2%}<extra></extra>",
        )  # fmt: skip
        notes += _leaders(labels[1:], values[1:], (0 if n == 0 else 0.53), width)
    below = 16 + max((note["ay"] for note in notes), default=0)
    figure.update_layout(
        height=312 + below, margin={"t": 8, "r": 8, "b": below, "l": 8}, annotations=notes
    )  # fmt: skip
    columns = {
        "part": np.array([*(p.name for p in books.parts), "total"], dtype=object),
        "stored": np.array([*(p.total for p in books.parts), books.total]),
        "used by a token": np.array([*(p.active for p in books.parts), books.active]),
    }
    data = Finding("ledger", name, "parameters", columns)
    sentence = (
        f"{name} stores {books.total:,} parameters and uses {books.active:,} of them "
        f"({books.active / books.total:.1%}) for any one token: {books.choice}, and everything "
        "that is shared."
    )
    return Chart(figure, "Parameters stored and used", name, sentence, data)
