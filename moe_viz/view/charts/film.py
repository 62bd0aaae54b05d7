# SPDX-License-Identifier: Apache-2.0
"""A film of training: who takes each token of a text, from step 0 to the last, on a slider."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...analysis.snapshots import Snapshots
from .. import palette
from .chart import Chart, graph_objects
from .panels import LABELS, MARKS

#: Kinds of text whose loss is drawn: more lines could not be told apart.
SHOWN = 6


def film(
    run: Snapshots, passage: str, pieces: Sequence[str], looks: Sequence[str] = (), opens: int = -1
) -> Chart:
    """The map of a passage at every moment, and beside it what the model had learnt by then.

    `pieces` are the passage's tokens as they are read; `looks` the kinds of text whose loss is
    drawn; `opens` which moment it opens on.
    """
    go = graph_objects()
    found = run.film(passage)
    start, stop = run._within(passage)
    firsts = run.experts[:, :, start + 1 : stop, 0].astype(int)
    moments, layers, tokens = firsts.shape
    experts = run.assignments.shape[-1]
    opens %= moments
    shown = [look for look in looks or run.looks if look in run.looks][:SHOWN]
    figure = go.Figure()
    colours = [palette.expert_colour(e) for e in range(experts)]
    scale = [
        [x, colour] for e, colour in enumerate(colours) for x in (e / experts, (e + 1) / experts)
    ]
    figure.add_heatmap(
        z=firsts[opens].tolist(), x=list(range(tokens)), y=list(range(layers)), zmin=-0.5,
        zmax=experts - 0.5, colorscale=scale, xgap=1, ygap=2,
        text=[list(pieces)] * layers,
        hovertemplate="%{text}, layer %{y}: expert %{z}<extra></extra>",
        colorbar={"title": {"text": "expert"}, "tickvals": list(range(experts)), "x": 0.66,
                  "thickness": 14},
    )  # fmt: skip
    steps = [max(int(step), 0.5) for step in run.steps]  # a logarithmic axis has no 0
    bits = {look: run.bits[:, run.looks.index(look)].astype(float) for look in shown}
    for n, (look, line) in enumerate(bits.items()):
        figure.add_scatter(
            x=steps, y=line.tolist(), name=look, mode="lines", xaxis="x2", yaxis="y2",
            line={"color": LABELS[n], "width": 2},
        )  # fmt: skip
    figure.add_scatter(
        x=[steps[opens]] * len(bits), y=[line[opens] for line in bits.values()], mode="markers",
        marker={"color": LABELS[: len(bits)], "symbol": MARKS[0], "size": 10}, xaxis="x2",
        yaxis="y2", showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    figure.update_layout(
        height=420, margin={"t": 24, "r": 16, "b": 16, "l": 56},
        xaxis={"domain": [0, 0.64], "title": "token", "showgrid": False},
        yaxis={"title": "layer", "autorange": "reversed", "dtick": 1, "showgrid": False},
        xaxis2={"domain": [0.76, 1], "anchor": "y2", "type": "log", "title": "step"},
        yaxis2={"anchor": "x2", "title": "bits per byte, held out"},
        legend={"x": 1, "xanchor": "right", "y": 1, "yanchor": "top"},
        sliders=[
            {
                "active": opens, "pad": {"t": 44}, "currentvalue": {"prefix": "step "},
                "steps": [
                    {
                        "method": "restyle", "label": f"{int(step):,}",
                        "args": [
                            {
                                "z": [firsts[n].tolist(), None],
                                "x": [list(range(tokens)), [steps[n]] * len(bits)],
                                "y": [list(range(layers)), [line[n] for line in bits.values()]],
                            },
                            [0, 1 + len(bits)],
                        ],
                    }
                    for n, step in enumerate(run.steps)
                ],
            }
        ],
    )  # fmt: skip
    same = (firsts == firsts[-1]).mean(axis=2)
    sentence = (
        f"At step 0, {same[0].mean():.0%} of the first choices are those of the end; "
        f"{bits[shown[0]][0]:.1f} bits per byte of {shown[0]} become {bits[shown[0]][-1]:.2f}."
    )
    return Chart(figure, "A text in training", found.title, sentence, found)
