# SPDX-License-Identifier: Apache-2.0
"""Charts of bars: the load of every expert, and how margins are spread."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ...analysis.finding import Finding
from .. import palette
from .chart import Chart, graph_objects
from .panels import BASELINE, LABELS, between, each, grid, quoted, slider


def load_bars(found: Finding, _control: Finding | None) -> Chart:
    """Shares of all experts, a panel for each label, with the line of even routing."""
    go = graph_objects()
    labels, layers = each(found, "label"), each(found, "layer")
    experts = each(found, "expert")
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = grid(go, labels, rows, columns, 150 + 170 * rows, "expert", "share of assignments")
    furthest = int(np.nanargmax(np.abs(found["share"] - found["uniform"])))
    row = list(found.rows())[furthest]
    opens = layers.index(row["layer"])  # where there is most to see

    def bars(layer: Any) -> dict[str, list]:
        parts = [found.where(label=label, layer=layer) for label in labels]
        return {
            "y": [p["share"].tolist() for p in parts],
            "error_y.array": [np.nan_to_num(p["high"] - p["share"]).tolist() for p in parts],
            "error_y.arrayminus": [np.nan_to_num(p["share"] - p["low"]).tolist() for p in parts],
        }

    first = bars(layers[opens])
    for n, label in enumerate(labels):
        figure.add_bar(
            x=[str(e) for e in experts], y=first["y"][n], name=escape(label),
            error_y={"type": "data", "array": first["error_y.array"][n], "thickness": 1.2,
                     "arrayminus": first["error_y.arrayminus"][n], "color": BASELINE},
            marker={"color": [palette.expert_colour(int(e)) for e in experts],
                    "line": {"color": BASELINE, "width": 0.5}},
            xaxis=f"x{n + 1}", yaxis=f"y{n + 1}", showlegend=False,
            hovertemplate="expert %{x}: %{y:.1%}<extra>" + escape(label) + "</extra>",
        )  # fmt: skip
    for n in range(len(labels)):
        figure.layout[f"xaxis{n + 1}"].update(dtick=1 if len(experts) <= 16 else None)
        figure.layout[f"yaxis{n + 1}"].update(
            range=[0, float(np.nanmax(found["high"] if not np.isnan(found["high"]).all()
                                      else found["share"])) * 1.05],
            tickformat=".0%", showticklabels=n % columns == 0,  # one range, labelled once a row
        )  # fmt: skip
    figure.layout.shapes = [
        {"type": "line", "xref": f"x{number} domain", "x0": 0, "x1": 1, "yref": f"y{number}",
         "y0": found["uniform"][0], "y1": found["uniform"][0],
         "line": {"color": BASELINE, "dash": "dash", "width": 1.2}}
        for number in ["", *range(2, len(labels) + 1)]
    ]  # fmt: skip
    steps = [(str(layer), bars(layer)) for layer in layers]
    slider(figure, steps, range(len(labels)), opens)
    sentence = (
        f"Furthest from even routing (dashed, {row['uniform']:.1%}): in layer {row['layer']}, "
        f"{row['share']:.1%} of the {row['assignments']:,} assignments of {quoted(row['label'])} "
        f"go to expert {row['expert']}{between(row, '.1%')}."
    )
    return Chart(figure, f"{found.name.capitalize()} by label", found.title, sentence, found)


def margin_bars(found: Finding, _control: Finding | None) -> Chart:
    """A histogram of one layer's margins."""
    go = graph_objects()
    layers = each(found, "layer")

    def bars(layer: Any) -> dict[str, list]:
        part = found.where(layer=layer)
        return {"x": [part["start"].tolist()], "y": [part["share"].tolist()],
                "error_y.array": [np.nan_to_num(part["high"] - part["share"]).tolist()],
                "error_y.arrayminus": [np.nan_to_num(part["share"] - part["low"]).tolist()],
                "width": [float(part["start"][1] - part["start"][0])]}  # fmt: skip

    closest = {layer: found.where(layer=layer)["share"][0] for layer in layers}
    layer = max(closest, key=lambda n: closest[n])
    opens = layers.index(layer)
    first = {name: values[0] for name, values in bars(layer).items()}
    figure = go.Figure(
        go.Bar(x=first["x"], y=first["y"], width=first["width"], offset=0,
               error_y={"type": "data", "array": first["error_y.array"], "thickness": 1,
                        "arrayminus": first["error_y.arrayminus"], "color": BASELINE},
               marker={"color": LABELS[0]},
               hovertemplate="from %{x:.2f}: %{y:.1%}<extra></extra>")
    )  # fmt: skip
    figure.update_layout(height=420, margin={"t": 16, "r": 16, "b": 16, "l": 64})
    figure.update_xaxes(title="margin, in logits (the last step holds all that is larger)")
    figure.update_yaxes(title="share of tokens", tickformat=".0%")
    slider(figure, [(str(layer), bars(layer)) for layer in layers], [0], opens)
    stop = found.where(layer=layer)["stop"][0]
    sentence = (
        f"Close decisions are most common in layer {layer}: there {closest[layer]:.1%} of the "
        f"tokens have a margin below {stop:.2f} logits."
    )
    return Chart(figure, "Margins of the choices", found.title, sentence, found)
