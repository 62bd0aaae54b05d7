# SPDX-License-Identifier: Apache-2.0
"""Charts of matrices: experts by experts, interventions by labels; colour is a difference."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from ...analysis.finding import Finding
from .. import palette
from .chart import Chart, graph_objects
from .panels import beside, between, each, grid, joined, plain, quoted, slider, widest


def expert_matrix(
    rows: str, columns: str, against: str, title: str
) -> Callable[[Finding, Finding | None], Chart]:
    """A kind of chart: a matrix of experts by layer, coloured by its difference to a baseline."""

    def draw(found: Finding, _control: Finding | None) -> Chart:
        go = graph_objects()
        layers = each(found, "layer")
        experts = sorted({*found[rows].tolist(), *found[columns].tolist()})
        E = len(experts)

        def cells(layer: Any) -> dict[str, list]:
            part = found.where(layer=layer)
            at = (np.searchsorted(experts, part[rows]), np.searchsorted(experts, part[columns]))
            share, base, low, high = (np.full((E, E), np.nan) for _ in range(4))
            for matrix, name in ((share, "share"), (base, against), (low, "low"), (high, "high")):
                matrix[at] = part[name]
            text = np.where(np.isnan(share), "", np.char.mod("%.0f%%", 100 * np.nan_to_num(share)))
            detail = np.stack([share, base, low, high], axis=2)
            return {
                "z": [plain(share - base)], "text": [text.tolist()],
                "customdata": [plain(detail)],
            }  # fmt: skip

        difference = np.abs(found["share"] - found[against])
        wide = widest(difference)
        low, middle, high = palette.DIFFERENCE
        row = list(found.rows())[int(np.nanargmax(difference))]
        opens = layers.index(row["layer"])  # where there is most to see
        first = cells(layers[opens])
        figure = go.Figure(
            go.Heatmap(
                x=[str(e) for e in experts], y=[str(e) for e in experts], z=first["z"][0],
                text=first["text"][0], customdata=first["customdata"][0], zmid=0,
                zmin=-wide, zmax=wide, colorscale=[[0, low], [0.5, middle], [1, high]],
                texttemplate="%{text}" if E <= 16 else None, xgap=1, ygap=1,
                colorbar={"title": {"text": f"share − {against}"}, "tickformat": "+.0%"},
                hovertemplate=f"{rows} %{{y}}, {columns} %{{x}}: %{{customdata[0]:.1%}} "
                "(%{customdata[2]:.1%} … %{customdata[3]:.1%})<br>"
                f"{against} %{{customdata[1]:.1%}}<extra></extra>",
            )
        )  # fmt: skip
        figure.update_layout(height=520, margin={"t": 24, "r": 16, "b": 16, "l": 64})
        figure.update_xaxes(title=columns, type="category", showgrid=False)
        figure.update_yaxes(title=rows, type="category", autorange="reversed", showgrid=False)
        slider(figure, [(str(layer), cells(layer)) for layer in layers], [0], opens)
        sentence = (
            f"Furthest from its baseline: in layer {row['layer']}, {row['share']:.1%} of the "
            f"{row['tokens']:,} tokens of expert {row[rows]}{between(row, '.1%')} "
            f"{'go to' if columns == 'other' else 'go on to'} expert {row[columns]}"
            f"{' too' if columns == 'other' else ''}; {against} would be {row[against]:.1%}."
        )
        return Chart(figure, title, found.title, sentence, found)

    return draw


def damage_matrix(found: Finding, control: Finding | None) -> Chart:
    """Change of loss of every intervention (rows) on every label, the control beside it."""
    go = graph_objects()
    labels, names = each(found, "label"), each(found, "intervention")
    parts = [("", found)] if control is None else [("", found), (" (control)", control)]
    height = max(320, 120 + 15 * len(names))
    figure = grid(go, [name or "" for name, _ in parts], 1, len(parts), height, "label", "change")
    wide = widest(np.concatenate([part["change"] for _, part in parts]))
    low, middle, high = palette.DIFFERENCE
    for n, (_, part) in enumerate(parts):
        z = np.array([[_cell(part, name, label) for label in labels] for name in names])
        figure.add_heatmap(
            x=[escape(str(label)) for label in labels], y=[escape(name) for name in names],
            z=plain(z[..., 0]), customdata=plain(z), zmin=-wide, zmax=wide,
            colorscale=[[0, low], [0.5, middle], [1, high]], xgap=1, ygap=1,
            xaxis=f"x{n + 1}", yaxis=f"y{n + 1}", showscale=n == 0,
            colorbar={"title": {"text": "nats per token"}},
            hovertemplate="%{y}, %{x}: %{customdata[0]:+.3f} nats "
            "(%{customdata[1]:+.3f} … %{customdata[2]:+.3f})<extra></extra>",
        )  # fmt: skip
        unsure = np.argwhere((z[..., 1] < 0) & (z[..., 2] > 0))
        figure.add_scatter(
            x=[escape(str(labels[at])) for _, at in unsure],
            y=[escape(names[at]) for at, _ in unsure],
            mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "circle-open", "size": 7, "color": palette.LIGHT.ink},
            xaxis=f"x{n + 1}", yaxis=f"y{n + 1}",
        )  # fmt: skip
        figure.layout[f"xaxis{n + 1}"].update(type="category", showgrid=False)
        figure.layout[f"yaxis{n + 1}"].update(
            type="category",
            autorange="reversed",
            showgrid=False,
            dtick=1 if len(names) < 60 else None,
        )
    row = list(found.rows())[int(np.nanargmax(found["change"]))]
    sentence = (
        f"Most harm: {row['intervention']} changes the loss of {quoted(row['label'])} by "
        f"{row['change']:+.3f} nats per token{between(row, '.3f')}, from {row['loss']:.3f}."
    )
    if any(((part["low"] < 0) & (part["high"] > 0)).any() for _, part in parts):
        sentence += " ○: the interval crosses zero, so no change is shown."
    title = "Change of loss by intervention and label"
    return Chart(figure, title, beside(found, control), sentence, joined(found, control))


def _cell(part: Finding, name: str, label: str) -> list[float]:
    row = part.where(intervention=name, label=label)
    columns = ("change", "low", "high")
    return [float(row[c][0]) if len(row) else float("nan") for c in columns]
