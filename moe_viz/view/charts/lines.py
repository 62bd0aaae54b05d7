# SPDX-License-Identifier: Apache-2.0
"""Charts of lines: a number against the layer, and hits against the size of a cache."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from ...analysis.finding import Finding
from .chart import Chart, graph_objects
from .panels import (
    BASELINE,
    LABELS,
    MARKS,
    beside,
    between,
    each,
    grid,
    joined,
    quoted,
    slider,
)


def by_layer(
    value: str, ask: str, form: str, *, baselines: dict[str, str], split: str | None = None
) -> Callable[[Finding, Finding | None], Chart]:
    """A kind of chart: a number against the layer, a line for each label, baselines in grey."""

    def draw(found: Finding, control: Finding | None) -> Chart:
        go = graph_objects()
        panels = [(found, what) for what in (each(found, split) if split else [None])]
        if control is not None:
            panels += [(control, what) for _, what in panels]
        whats = len(panels) if control is None else len(panels) // 2
        names = [str(what or "") for _, what in panels]
        if control is not None:
            heads = [found.title.partition(" · ")[0]] * whats + ["control"] * whats
            names = [f"{h}: {n}" if n else h for h, n in zip(heads, names, strict=True)]
        # Side by side while there is room, so that they can be compared at a glance.
        rows, columns = (1, len(panels)) if len(panels) <= 2 else (2 if control else 1, whats)
        figure = grid(go, names, rows, columns, 120 + 290 * rows, "layer", value)
        for n, (part, what) in enumerate(panels):
            shown = part if what is None else part.where(**{split: what})  # type: ignore[dict-item]
            _lines(figure, shown, value, form, baselines, n)
        for what in range(whats):
            both = [p for p in figure.data if _panel(p) % whats == what]
            tops = [y for t in both for y in t.y if y is not None and np.isfinite(y)]
            top = 1.12 * max(tops, default=1.0)
            bottom = min(0.0, 1.12 * min((y for t in both for y in _lows(t)), default=0.0))
            for n in range(what, len(panels), whats):
                figure.layout[f"yaxis{n + 1}"].update(
                    range=[bottom, top], tickformat=form, zeroline=bottom < 0
                )
        # Only the first quantity: a margin in logits and an entropy cannot be compared.
        first = found if split is None else found.where(**{split: each(found, split)[0]})  # type: ignore[dict-item]
        sentence = _largest(first, value, form, baselines, ask, split) + _crossing(found, value)
        title = f"{found.name.capitalize()} by layer"
        return Chart(figure, title, beside(found, control), sentence, joined(found, control))

    return draw


def _largest(
    found: Finding, value: str, form: str, baselines: dict[str, str], ask: str, split: str | None
) -> str:
    """The sentence that names the largest number, its interval, and what stands beside it."""
    rows = [row for row in found.rows() if np.isfinite(row[value])]
    if not rows:
        return f"There is nothing to draw: none were counted ({found.counted})."
    best = max(rows, key=lambda row: row[value])
    against = ", ".join(
        f"{name} {best[column]:{form}}" for column, name in baselines.items()
        if np.isfinite(best[column])
    )  # fmt: skip
    named = ask.format(what=best[split]) if split else ask
    who = f"{quoted(best['label'])}, " if "label" in best else ""
    return (
        f"{named} is largest in layer {best['layer']} ({who}{best[value]:{form}}"
        f"{between(best, form)}); for comparison: {against}."
    )


def _crossing(found: Finding, value: str) -> str:
    """What is to be said of intervals that reach to both sides of nothing."""
    low, high = found["low"], found["high"]
    if not ((low < 0) & (high > 0)).any() or not (found[value] < 0).any():
        return ""
    return " Bars that cross zero leave open whether there is anything."


def _lows(line: Any) -> list[float]:
    """Where a line's error bars end below."""
    down = line.error_y.arrayminus
    if down is None:
        return []
    return [y - d for y, d in zip(line.y, down, strict=True) if y is not None and np.isfinite(y)]


def _lines(
    figure: Any, shown: Finding, value: str, form: str, baselines: dict[str, str], panel: int
) -> None:
    labels = each(shown, "label") if "label" in shown.columns else [None]
    axes = {"xaxis": f"x{panel + 1}", "yaxis": f"y{panel + 1}"}
    for n, label in enumerate(labels):
        part = shown if label is None else shown.where(label=label)
        name = "measured" if label is None else str(label)
        error = {"type": "data", "array": np.nan_to_num(part["high"] - part[value]).tolist(),
                 "arrayminus": np.nan_to_num(part[value] - part["low"]).tolist(),
                 "thickness": 1.2, "width": 2}  # fmt: skip
        numbers = part["layer"].tolist()
        figure.add_scatter(
            x=numbers, y=part[value].tolist(), name=escape(name) or "texts",
            error_y=error, legendgroup=name, showlegend=panel == 0, mode=_mode(numbers),
            line={"color": LABELS[n % 9], "width": 2},
            marker={"symbol": MARKS[n % 9], "size": 8},
            hovertemplate=f"layer %{{x}}: %{{y:{form}}}<extra>{escape(name)}</extra>", **axes,
        )  # fmt: skip
    layers = each(shown, "layer")
    for dash, (column, name) in zip(("dash", "dot", "dashdot"), baselines.items(), strict=False):
        means = [float(np.mean(shown.where(layer=layer)[column])) for layer in layers]
        if not np.isfinite(means).any():
            continue
        name += f", mean of {len(labels)}" if len(labels) > 1 else ""
        figure.add_scatter(
            x=layers, y=means, name=name, mode=_mode(layers, "lines"), legendgroup=name,
            showlegend=panel == 0,
            line={"color": BASELINE, "dash": dash, "width": 2},
            hovertemplate=f"layer %{{x}}: %{{y:{form}}}<extra>{name}</extra>", **axes,
        )  # fmt: skip


def _mode(layers: list[int], usual: str = "lines+markers") -> str:
    """How numbers by layer are drawn: joined by lines only where each layer is next to the last."""
    series = len(layers) > 1 and all(b - a == 1 for a, b in pairwise(layers))
    return usual if series else "markers"


def _panel(trace: Any) -> int:
    return int((trace.xaxis or "x1")[1:] or 1) - 1


def _gain(found: Finding, layer: Any) -> np.ndarray:
    """How far a layer's hit rates lie above those of shuffled tokens, by size."""
    part = found.where(layer=layer, policy="LRU")
    return part["hit"] - part["shuffled"]


def cache_lines(found: Finding, _control: Finding | None) -> Chart:
    """Hit rates against the size of the cache, one layer at a time."""
    go = graph_objects()
    layers, policies = each(found, "layer"), each(found, "policy")

    def lines(layer: Any) -> dict[str, list]:
        parts = [found.where(layer=layer, policy=policy) for policy in policies]
        mixed = found.where(layer=layer, policy="LRU")["shuffled"].tolist()
        return {"y": [*[p["hit"].tolist() for p in parts], mixed]}

    gains = [np.nanmax(_gain(found, layer)) for layer in layers]
    opens = int(np.nanargmax(gains))  # where a cache gains most from the order of tokens
    sizes, first = each(found, "size"), lines(layers[opens])["y"]
    figure = go.Figure()
    for n, policy in enumerate(policies):
        figure.add_scatter(
            x=sizes, y=first[n], name=policy, mode="lines+markers",
            line={"color": LABELS[n]}, marker={"symbol": MARKS[n], "size": 8},
            hovertemplate="room for %{x}: %{y:.1%}<extra>" + policy + "</extra>",
        )  # fmt: skip
    figure.add_scatter(x=sizes, y=first[-1], name="LRU, tokens shuffled", mode="lines",
                       line={"color": BASELINE, "dash": "dot"})  # fmt: skip
    figure.add_scatter(x=sizes, y=[s / max(sizes) for s in sizes], name="size / experts",
                       mode="lines", line={"color": BASELINE, "dash": "dash"})  # fmt: skip
    figure.update_layout(height=440, margin={"t": 16, "r": 16, "b": 16, "l": 64})
    figure.update_xaxes(title="experts of a layer that fit into fast memory", dtick=1)
    figure.update_yaxes(title="hit rate", tickformat=".0%", range=[0, 1.02])
    steps = [(str(layer), lines(layer)) for layer in layers]
    slider(figure, steps, range(len(policies) + 1), opens)
    half = found.where(size=max(sizes) // 2)
    mean = {policy: half.where(policy=policy)["hit"].mean() for policy in policies}
    sentence = (
        f"With room for {max(sizes) // 2} of {max(sizes)} experts, the mean over layers is "
        + ", ".join(f"{policy} {hit:.1%}" for policy, hit in mean.items())
        + f"; LRU on shuffled tokens {half.where(policy='LRU')['shuffled'].mean():.1%}."
    )
    return Chart(figure, "Hit rate of an expert cache", found.title, sentence, found)
