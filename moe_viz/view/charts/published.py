# SPDX-License-Identifier: Apache-2.0
"""Charts of how real models route, as published: words, kinds of text, an expert's pieces."""

from __future__ import annotations

from html import escape

import numpy as np

from ...analysis.finding import Finding
from .. import palette
from .chart import Chart, graph_objects
from .panels import BASELINE, LABELS, each, grid, joined, plain


def words_map(found: Finding, control: Finding | None) -> Chart:
    """Function words, or their meanings (rows), × experts (columns), a panel for each layer.

    Panels of a control, which has the same words, stand beside.
    """
    go = graph_objects()
    layers, experts = each(found, "layer"), each(found, "expert")
    first = found.where(layer=layers[0], expert=experts[0])
    panels = [(part, layer) for part in (found, control) if part for layer in layers]
    names, begins = _named(first)
    tall = 15 if len(names) > 40 else 24
    figure = grid(go, [""] * len(panels), 1, len(panels), 110 + tall * len(names), "", "")
    scale = [[n / 9, colour] for n, colour in enumerate(palette.CIVIDIS)]
    rows, said = list(range(len(names))), _details(first, len(experts))
    for n, (whose, layer) in enumerate(panels):
        part, beside = whose.where(layer=layer), ", control" if whose is control else ""
        figure.add_heatmap(
            x=[str(e) for e in experts], y=rows,
            z=plain(part["share"].reshape(len(names), len(experts))), customdata=said,
            zmin=0, zmax=1, colorscale=scale, xgap=1, ygap=1, xaxis=f"x{n + 1}", yaxis=f"y{n + 1}",
            showscale=n == 0, colorbar={"title": {"text": "share"}, "tickformat": ".0%"},
            hovertemplate="%{customdata}: %{z:.0%} at expert %{x}<extra></extra>",
        )  # fmt: skip
        figure.layout[f"xaxis{n + 1}"].update(
            type="category", showgrid=False, side="top", title=f"experts of layer {layer}{beside}"
        )
        figure.layout[f"yaxis{n + 1}"].update(
            autorange="reversed", showgrid=False, tickvals=rows, ticktext=names,
            showticklabels=n == 0, tickfont={"size": 11} if tall < 20 else None,
        )  # fmt: skip
        axis = str(n + 1) if n else ""  # plotly calls the first ones x and y
        for row in begins[1:]:
            figure.add_shape(
                type="line", x0=0, x1=1, y0=row - 0.5, y1=row - 0.5, xref=f"x{axis} domain",
                yref=f"y{axis}", line={"color": BASELINE, "width": 2},
            )  # fmt: skip
    if tall < 20:
        figure.data[0].colorbar.update(len=0.3, y=0.85)
    figure.update_layout(meta={"least": 130 + 160 * len(panels)})
    sentence = _most_shared(found) if "language" in found.columns else _grouped(found)
    whose = found.title if control is None else f"{found.title}; control: {control.title}"
    return Chart(figure, "Which expert takes which word", whose, sentence, joined(found, control))


def _named(first: Finding) -> tuple[list[str], list[int]]:
    """What the rows are called, and which begin a group.

    A group is the words of one meaning, or of one language where they were brought together so.
    """
    languages = first.columns.get("language", np.full(len(first), ""))
    grouped, other = first["meaning"], languages
    if _changes(languages).sum() < _changes(grouped).sum() and languages.all():
        grouped, other = other, grouped
    names = [
        escape(str(piece)) + (f" ({escape(said)})" if said else "")
        for piece, said in zip(first["piece"], other, strict=True)
    ]
    begins = [0, *(np.flatnonzero(_changes(grouped)) + 1).tolist()]
    for row in begins:
        if first["piece"][row] != grouped[row]:
            names[row] = f"<b>{escape(grouped[row])}</b>   {names[row]}"
    return names, begins


def _changes(values: np.ndarray) -> np.ndarray:
    return values[1:] != values[:-1]


def _details(first: Finding, experts: int) -> list[list[str]]:
    """What is said of each row under the pointer."""
    if "language" not in first.columns:
        return [[f"“{row['meaning']}”, {row['piece']}"] * experts for row in first.rows()]
    return [
        [f"{row['meaning']}, “{row['piece']}” ({row['language'] or 'several'}), "
         f"{row['occurrences']} times"] * experts
        for row in first.rows()
    ]  # fmt: skip


def _grouped(found: Finding) -> str:
    """The meaning that one expert takes most surely, the mean over its words."""
    several = [row for row in found.rows() if row["piece"] not in ("1 word", "2 words")]
    row = max(several, key=lambda row: row["share"])
    return (
        f"In layer {row['layer']} expert {row['expert']} takes {row['share']:.0%} of “"
        f"{row['meaning']}”, the mean over {row['piece']} in all languages that were counted."
    )


def _most_shared(found: Finding) -> str:
    """The meaning whose words go most surely to one expert, in all its languages."""
    best = (0.0, "")
    for layer in each(found, "layer"):
        for meaning in each(found, "meaning"):
            part = found.where(layer=layer, meaning=meaning)
            words = each(part, "piece")
            if len(words) < 5:
                continue
            least = part["share"].reshape(len(words), -1).min(axis=0)
            e = int(least.argmax())
            best = max(best, (
                float(least[e]),
                f"In layer {layer} expert {e} takes at least {least[e]:.0%} of the occurrences of "
                f"each of {len(words)} words for “{meaning}”: {', '.join(map(str, words))}.",
            ))  # fmt: skip
    return best[1] if best[0] >= 0.5 else "No expert takes half of every word of any one meaning."


def ratio_dots(found: Finding, control: Finding | None) -> Chart:
    """One dot an expert: its share on one kind of text over its share on another, log axis."""
    go = graph_objects()
    over, under = "github", "book"
    figure, lines, ranges = go.Figure(), [], []
    for n, part in enumerate([found] if control is None else [found, control]):
        model = part.title.removeprefix("PUBLISHED for ").partition(",")[0]
        ratios = []
        for layer in each(part, "layer"):
            name = f"{model}, layer {layer}"
            lines.append(name)
            one, other = (part.where(layer=layer, label=label)["share"] for label in (over, under))
            ratio = one / other
            ratios += ratio.tolist()
            experts = part.where(layer=layer, label=over)["expert"]
            detail = np.stack([experts, one, other], axis=1)
            figure.add_scatter(
                x=ratio.tolist(), y=[name] * len(ratio), mode="markers", name=model,
                legendgroup=model, showlegend=layer == each(part, "layer")[0],
                customdata=detail.tolist(),
                marker={"size": 11, "opacity": 0.7, "color": LABELS[n]},
                hovertemplate="expert %{customdata[0]}: %{customdata[1]:.1%} on github, "
                "%{customdata[2]:.1%} on books: × %{x:.2f}<extra></extra>",
            )  # fmt: skip
        ranges.append(f"{model} from × {_times(min(ratios))} to × {_times(max(ratios))}")
    figure.add_vline(x=1, line={"color": BASELINE, "dash": "dash"})
    ticks = [1 / 400, 1 / 100, 1 / 20, 1 / 5, 1, 5, 20, 80]
    figure.update_xaxes(
        type="log", title="share on github / share on books", tickvals=ticks,
        ticktext=[_times(tick) for tick in ticks],
    )  # fmt: skip
    figure.update_yaxes(type="category", categoryarray=lines[::-1], automargin=True)
    figure.update_layout(height=150 + 46 * len(lines), margin={"t": 16, "r": 24, "b": 16, "l": 16})
    sentence = f"An expert's load on code over its load on books: {'; '.join(ranges)}."
    return Chart(figure, "Do experts part by kind of text?", _both(found, control), sentence,
                 joined(found, control))  # fmt: skip


def _both(found: Finding, other: Finding | None) -> str:
    """Whose figures these are: the second model stands beside the first, as no control of it."""
    if other is None:
        return found.title
    model, _, source = other.title.removeprefix("PUBLISHED for ").partition(", ")
    return f"{found.title.partition(', ')[0]} and {model}, {source}"


def _times(x: float) -> str:
    """A ratio as people say it.

    >>> _times(0.0025), _times(0.6), _times(1.8), _times(80.2)
    ('1/400', '0.60', '1.8', '80')
    """
    if x < 0.5:
        return f"1/{1 / x:.0f}"
    return f"{x:.2f}" if x < 1 else f"{x:.1f}".removesuffix(".0") if x < 10 else f"{x:.0f}"


def pieces_card(found: Finding, _control: Finding | None) -> Chart:
    """The leading pieces of an expert, a column for each kind of text; colour is their share."""
    go = graph_objects()
    labels, places = each(found, "label"), each(found, "place")
    shape = (len(labels), len(places))
    share, piece, times = (
        found[name].reshape(shape).T for name in ("share", "piece", "occurrences")
    )
    text = [[f"{escape(str(p), quote=False)}  {s:.0%}" for p, s in zip(*row, strict=True)]
            for row in zip(piece, share, strict=True)]  # fmt: skip
    figure = go.Figure(
        go.Heatmap(
            x=labels, y=[str(n) for n in places], z=plain(share), text=text,
            customdata=times.tolist(), texttemplate="%{text}",
            zmin=0.25, zmax=1, xgap=2, ygap=2,
            colorscale=[[n / 9, colour] for n, colour in enumerate(palette.CIVIDIS)],
            colorbar={"title": {"text": "share"}, "tickformat": ".0%"},
            hovertemplate="%{text} of %{customdata} occurrences in %{x}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(side="top", showgrid=False, type="category")
    figure.update_yaxes(title="place", autorange="reversed", showgrid=False, type="category")
    figure.update_layout(height=110 + 30 * len(places), margin={"t": 40, "r": 16, "b": 16, "l": 56},
                         meta={"least": 760})  # fmt: skip
    leading = "; ".join(f"{label}: {', '.join(map(str, piece[:3, n]))}"
                        for n, label in enumerate(labels))  # fmt: skip
    sentence = f"The first three of each kind of text: {leading}."
    return Chart(figure, f"Leading pieces ({found.counted})", found.title, sentence, found)
