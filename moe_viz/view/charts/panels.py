# SPDX-License-Identifier: Apache-2.0
"""What charts have in common: panels, a slider over layers, and how numbers become words.

In: rows of a finding. Out: pieces of a plotly figure, and of a sentence. No plotly here.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ...analysis.finding import Finding

#: Labels are told apart by colour and by mark; grey stands for every baseline, in both themes.
LABELS = ("#3b6fd4", "#d1495b", "#2a9d5c", "#c98a00", "#8a63d2", "#0d8fa8", "#a0622d", "#c2478e",
          "#6b7f1f")  # fmt: skip
MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star",
         "hexagon")  # fmt: skip
BASELINE = "#7f8a96"


def grid(
    go: Any, titles: list[str], rows: int, columns: int, height: int, across: str, down: str
) -> Any:
    """Panels side by side and below each other, axes named x1 y1, x2 y2, … row by row.

    `across` and `down` are what the axes show: said below the last row, and left of each row.
    """
    figure = go.Figure()
    layout: dict[str, Any] = {"height": height, "margin": {"t": 32, "r": 16, "b": 16, "l": 56}}
    gap_x, gap_y = 0.06, min(0.15, 0.4 / rows)  # room for an axis, and for the next panel's title
    wide, tall = (1 - gap_x * (columns - 1)) / columns, (1 - gap_y * (rows - 1)) / rows
    notes = []
    for n, title in enumerate(titles):
        row, column = divmod(n, columns)
        left, top = column * (wide + gap_x), 1 - row * (tall + gap_y)
        last = n + columns >= len(titles)  # nothing stands below it
        layout[f"xaxis{n + 1}"] = {
            "domain": [left, min(left + wide, 1)], "anchor": f"y{n + 1}", "dtick": None,
            "title": across if last else None,
        }  # fmt: skip
        layout[f"yaxis{n + 1}"] = {
            "domain": [max(top - tall, 0), top], "anchor": f"x{n + 1}",
            "title": None if column else down,
        }  # fmt: skip
        notes.append(
            {"text": f"<b>{escape(str(title))}</b>", "x": left, "y": top, "xref": "paper",
             "yref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False,
             "yshift": 4}
        )  # fmt: skip
    figure.update_layout(
        annotations=notes,
        legend={"orientation": "h", "y": -60 / (height - 100), "yanchor": "top"},  # 60 px below
        **layout,
    )
    return figure


def slider(
    figure: Any,
    steps: list[tuple[str, dict[str, Any]]],
    traces: Any,
    opens: int,
    over: str = "layer",
) -> None:
    """A slider that needs no kernel, at step `opens`; none where there is nothing to choose."""
    if len(steps) < 2:
        return
    figure.update_layout(
        sliders=[
            {
                "active": opens, "pad": {"t": 44}, "currentvalue": {"prefix": f"{over} "},
                "steps": [
                    {"method": "restyle", "label": name, "args": [values, list(traces)]}
                    for name, values in steps
                ],
            }
        ]
    )  # fmt: skip


def each(found: Finding, column: str) -> list[Any]:
    """The values of a column, each once, in their order."""
    return list(dict.fromkeys(found[column].tolist()))


def joined(found: Finding, control: Finding | None) -> Finding:
    """Both tables in one, told apart by a column."""
    if control is None:
        return found
    size = (len(found), len(control))
    columns = {"trace": np.repeat([found.title, control.title], size).astype(object)}
    for name in found.columns:
        columns[name] = np.concatenate([found[name], control[name]])
    return Finding(found.name, found.title, found.counted, columns, found.notes)


def beside(found: Finding, control: Finding | None) -> str:
    """Whose numbers these are: the trace's title, and the control's."""
    return found.title if control is None else f"{found.title}; control: {control.title}"


def widest(differences: np.ndarray) -> float:
    """What a scale of differences reaches to: what all but the largest 2 % stay within.

    One cell far away would leave all others without colour.
    """
    there = np.abs(differences[np.isfinite(differences)])
    there = there[there > 0]
    return float(np.quantile(there, 0.98)) if there.size else 1.0


def plain(values: np.ndarray) -> list[Any]:
    """Nested lists, with None where a value is not finite."""
    return np.where(np.isfinite(values), values, None).tolist()  # type: ignore[call-overload]


def quoted(label: str) -> str:
    """A label as a sentence names it."""
    return f"“{label}”" if label else "the texts"


def between(row: dict[str, Any], form: str) -> str:
    """The interval of a row, in brackets; nothing where there is none."""
    low, high = row["low"], row["high"]
    if not (np.isfinite(low) and np.isfinite(high)):
        return ""
    return f" (95 % interval {low:{form}} … {high:{form}})"
