# SPDX-License-Identifier: Apache-2.0
"""A chart of all loads at once: experts from left to right, layers from top to bottom."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...analysis.finding import Finding
from .. import palette
from .chart import Chart, graph_objects
from .panels import beside, each, grid, joined, plain

#: Loads of so many times an even one, and beyond, are all shown as the fullest.
FULLEST = 4


def load_map(found: Finding, control: Finding | None) -> Chart:
    """Every expert of every layer, all labels together; the control beside it, on one scale."""
    go = graph_objects()
    parts = [found] if control is None else [found, control]
    heads = [""] if control is None else [found.title.partition(" · ")[0], "control"]
    layers, experts = each(found, "layer"), each(found, "expert")
    height = 150 + max(170, min(18 * len(layers), 900))
    figure = grid(go, heads, 1, len(parts), height, "expert", "layer")
    scale = [[n / 9, colour] for n, colour in enumerate(palette.CIVIDIS)]
    even = float(found["uniform"][0])
    loads = [pooled(part) for part in parts]
    # As far as there are loads, in halves of an even one.
    most = max(float(np.nanmax(shares)) for shares in loads) / even
    top = float(np.clip(np.ceil(2 * most) / 2, 1.5, FULLEST))
    ticks = [n for n in range(FULLEST + 1) if n <= top]
    names = ["0", "even", *(f"{n} ×" for n in ticks[2:])]
    if most > FULLEST:
        names[-1] += " or more"
    for n, (part, shares) in enumerate(zip(parts, loads, strict=True)):
        figure.add_heatmap(
            x=[str(e) for e in each(part, "expert")], y=[str(n) for n in each(part, "layer")],
            z=plain(shares / even), customdata=plain(shares), zmin=0, zmax=top,
            colorscale=scale, xgap=int(len(experts) <= 64), ygap=1,
            xaxis=f"x{n + 1}", yaxis=f"y{n + 1}", showscale=n == 0,
            colorbar={"title": {"text": "load"}, "tickvals": ticks, "ticktext": names},
            hovertemplate="layer %{y}, expert %{x}: %{customdata:.2%}, %{z:.1f} × even"
            "<extra></extra>",
        )  # fmt: skip
        figure.layout[f"xaxis{n + 1}"].update(type="category", showgrid=False)
        figure.layout[f"yaxis{n + 1}"].update(
            type="category", autorange="reversed", showgrid=False,
            dtick=1 if len(layers) <= 40 else None,
        )  # fmt: skip
    return Chart(
        figure, "Load of every expert in every layer", beside(found, control),
        _sentence(loads[0], layers, experts, even), joined(found, control),
    )  # fmt: skip


def pooled(found: Finding) -> np.ndarray:
    """Loads of all labels together, (L, E): each label counts by its assignments."""
    labels, shape = each(found, "label"), (len(each(found, "layer")), -1)
    parts = [found.where(label=label) for label in labels]
    shares = np.stack([part["share"].reshape(shape) for part in parts])
    weights = np.stack([part["assignments"].reshape(shape) for part in parts]).astype(float)
    total = weights.sum(axis=0)
    return np.where(total > 0, (np.nan_to_num(shares) * weights).sum(axis=0), np.nan) / np.maximum(
        total, 1
    )


def _sentence(shares: np.ndarray, layers: list[Any], experts: list[Any], even: float) -> str:
    layer, expert = np.unravel_index(int(np.nanargmax(shares)), shares.shape)
    idle = int((shares < even / 10).sum())
    most = shares[layer, expert]
    said = (
        f"Busiest: expert {experts[expert]} of layer {layers[layer]} takes {most:.1%} of its "
        f"layer's assignments, {most / even:.1f} times an even load."
    )
    few = f" {idle:,} of {shares.size:,} take less than a tenth of an even load." if idle else ""
    return said + few
