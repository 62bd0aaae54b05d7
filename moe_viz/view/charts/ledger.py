# SPDX-License-Identifier: Apache-2.0
"""The ledger as two bars to one scale: what a model stores, and what one token uses of it."""

from __future__ import annotations

import numpy as np

from ...analysis.finding import Finding
from ...costs import GuestLedger, Ledger
from .. import palette
from .chart import Chart, graph_objects

#: Parts with less than this share of the longer bar have no room for their name inside.
WIDE = 0.12
#: Colours of the parts; experts, which are nearly everything, take the first.
PARTS = {
    "experts": 6, "attention": 1, "embedding": 2, "output head": 4, "routers": 3, "norms": 7,
    "shared experts": 0, "all else": 1, "towers": 5,
}  # fmt: skip
BARS = ("stored", "used by a token")


def ledger_chart(books: Ledger | GuestLedger) -> Chart:
    """Parameters part by part: stored above, used by one token below."""
    go = graph_objects()
    name, figure = books.name, go.Figure()
    unit, size = ("billion", 1e9) if books.total >= 1e9 else ("million", 1e6)
    for part in sorted(books.parts, key=lambda p: -p.total):
        counts = [part.total, part.active]
        inside = [part.name if n / books.total >= WIDE else "" for n in counts]
        shares = [n / whole for n, whole in zip(counts, (books.total, books.active), strict=True)]
        figure.add_bar(
            y=BARS, x=[n / size for n in counts], name=part.name, orientation="h", text=inside,
            textposition="inside", insidetextanchor="middle", textangle=0,
            insidetextfont={"color": palette.LIGHT.ink},
            marker={"color": palette.expert_colour(PARTS[part.name]), "line": {"width": 0}},
            customdata=list(zip(counts, shares, strict=True)),
            hovertemplate=f"{part.name}: %{{customdata[0]:,}} parameters, %{{customdata[1]:.2%}}"
            "<extra>%{y}</extra>",
        )  # fmt: skip
    for bar, count in zip(BARS, (books.total, books.active), strict=True):
        figure.add_annotation(
            x=count / size, y=bar, text=f" <b>{count / size:.1f}</b>", xanchor="left",
            showarrow=False,
        )  # fmt: skip
    figure.update_xaxes(title=f"{unit} parameters", range=[0, 1.09 * books.total / size])
    figure.update_yaxes(autorange="reversed", type="category", ticksuffix=" ")
    figure.update_layout(
        barmode="stack", bargap=0.3, height=300, margin={"t": 8, "r": 16, "b": 16, "l": 16},
        legend={"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom"},
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
