# SPDX-License-Identifier: Apache-2.0
"""A film of training: who takes each token of a text, from step 0 to the last, on a slider.

In: the snapshots of a run. Out: one chart: a map of the text, beside it what the model had learnt
by then, and the loads of the last layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ...analysis.snapshots import Snapshots
from ...errors import InputError
from .. import palette
from .chart import Chart, graph_objects
from .panels import LABELS, slider

#: The map on the left; on the right losses above loads.
LAYOUT: dict[str, Any] = {
    "height": 460,
    "margin": {"t": 24, "r": 24, "b": 16, "l": 56},
    "xaxis": {"domain": [0, 0.66], "title": "token", "showgrid": False},
    "yaxis": {"title": "layer", "autorange": "reversed", "dtick": 1, "showgrid": False},
    "xaxis2": {"domain": [0.76, 1], "anchor": "y2", "type": "log", "title": "step (0 on the left)"},
    "yaxis2": {"domain": [0.56, 1], "anchor": "x2", "title": "bits per byte"},
    "xaxis3": {"domain": [0.76, 1], "anchor": "y3", "dtick": 1},
    "yaxis3": {"domain": [0, 0.34], "anchor": "x3", "range": [0, 0.52], "tickformat": ".0%"},
    "legend": {"x": 1, "xanchor": "right", "y": 1, "yanchor": "top"},
}


def film(
    run: Snapshots, passage: str, pieces: Sequence[str], looks: Sequence[str], opens: int = -1
) -> Chart:
    """The map of a passage at every moment, and what the model had learnt by then.

    `pieces` are the passage's tokens as they are read, without <s>. `looks` are the kinds of
    held-out text whose losses are drawn, at least one; the loads are those of the first. `opens` is
    the number of the moment shown first; -1 is the last.

    Raises `InputError` for a passage, or a kind of text, that was not looked at.
    """
    if not 0 < len(looks) <= len(LABELS):
        raise InputError(f"looks are 1 to {len(LABELS)} kinds of text, found {len(looks)}.")
    start, stop = run.within(passage)
    firsts = run.experts[:, :, start + 1 : stop, 0].astype(int)  # (moments, layers, tokens)
    bits = {look: run.bits[:, _number(run, look)].astype(float).tolist() for look in looks}
    counts = run.assignments[:, _number(run, looks[0]), -1].astype(float)  # of the last layer
    loads = counts / counts.sum(axis=1, keepdims=True)
    steps = np.maximum(run.steps.astype(float), 0.5).tolist()  # a logarithmic axis has no 0
    opens %= len(steps)

    figure = graph_objects().Figure(layout=LAYOUT)
    figure.layout.xaxis2.range = [math.log10(0.4), math.log10(1.4 * steps[-1])]
    figure.layout.xaxis3.title = f"expert of layer {firsts.shape[1] - 1}"
    figure.layout.yaxis3.title = f"load, {looks[0]}"
    colours = [palette.expert_colour(e) for e in range(loads.shape[1])]
    _map(figure, firsts[opens], pieces, colours)
    for colour, (look, line) in zip(LABELS, bits.items(), strict=False):
        style = {"mode": "lines", "line": {"color": colour, "width": 2}}
        figure.add_scatter(x=steps, y=line, name=look, xaxis="x2", yaxis="y2", **style)
    marks = {"color": LABELS[: len(bits)], "size": 10}
    right = {"showlegend": False, "hoverinfo": "skip"}
    figure.add_scatter(mode="markers", marker=marks, xaxis="x2", yaxis="y2", **right)
    figure.add_bar(marker={"color": colours}, xaxis="x3", yaxis="y3", **right)

    moments = []
    for n, step in enumerate(run.steps.tolist()):
        now = [line[n] for line in bits.values()]
        changed = {  # of the map, the marks, the bars; null is what plotly takes for itself
            "z": [firsts[n].tolist(), None, None],
            "x": [None, [steps[n]] * len(now), None],
            "y": [None, now, loads[n].tolist()],
        }
        moments.append((f"{step:,}", changed))
    drawn = [0, 1 + len(bits), 2 + len(bits)]
    slider(figure, moments, drawn, opens, "step")
    for name, values in moments[opens][1].items():
        for trace, value in zip(drawn, values, strict=True):
            if value is not None:
                figure.data[trace][name] = value

    settled = (firsts[0] == firsts[-1]).mean()
    look, line = next(iter(bits.items()))
    sentence = (
        f"At step 0, {settled:.0%} of the first choices are those of the end; "
        f"{line[0]:.1f} bits per byte of {look} become {line[-1]:.2f}."
    )
    found = run.choices(passage)
    return Chart(figure, "A text in training", found.title, sentence, found)


def _number(run: Snapshots, look: str) -> int:
    if look not in run.looks:
        raise InputError(f"looks are among {', '.join(run.looks)}, found {look!r}.")
    return run.looks.index(look)


def _map(figure: Any, firsts: np.ndarray, pieces: Sequence[str], colours: list[str]) -> None:
    """Layers down, tokens across, each cell in the colour of its first choice."""
    edges = np.linspace(0, 1, len(colours) + 1)
    scale = [[x, c] for n, c in enumerate(colours) for x in edges[n : n + 2].tolist()]
    figure.add_heatmap(
        z=firsts.tolist(), zmin=-0.5, zmax=len(colours) - 0.5,
        text=[[escape(piece, quote=False) for piece in pieces]] * len(firsts),
        colorscale=scale, xgap=1, ygap=2, showscale=False,
        hovertemplate="%{text}, layer %{y}: expert %{z}<extra></extra>",
    )  # fmt: skip
