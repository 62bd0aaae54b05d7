# SPDX-License-Identifier: Apache-2.0
"""What a chart draws is what its table holds: bars, intervals, lines, cells, steps of a slider."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.palette import expert_colour
from tests.unit.test_charts import BY_LAYER, KINDS, MATRICES, TRAINED, TWIN, Page, documents

pytest.importorskip("plotly")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.fixture(scope="module")
def found():
    return {kind: analyse(documents(provenance=TRAINED)) for kind, analyse in KINDS.items()}


@pytest.fixture(scope="module")
def controls():
    return {kind: analyse(documents(seed=1, provenance=TWIN)) for kind, analyse in KINDS.items()}


def chart_of(*tables) -> Any:
    """A chart, whose figure has attributes that plotly makes as it runs."""
    return mv.chart(*tables)


def same(drawn, expected) -> None:
    """Equal numbers; None in a figure is what is no number."""
    np.testing.assert_allclose(np.array(drawn, float), np.array(expected, float), rtol=1e-12)


def steps(chart) -> dict[int, tuple[dict, list]]:
    """What each position of the slider writes, and into which traces, by layer."""
    (slider,) = chart.figure["layout"]["sliders"]
    assert all(step["method"] == "restyle" for step in slider["steps"])
    return {int(step["label"]): step["args"] for step in slider["steps"]}


def opens(chart) -> int:
    """The layer that a chart opens on."""
    (slider,) = chart.figure["layout"]["sliders"]
    return int(slider["steps"][slider["active"]]["label"])


def reach(values: np.ndarray) -> float:
    """What all but the largest 2 % of differences stay within."""
    there = np.abs(values[np.isfinite(values) & (values != 0)])
    return np.quantile(there, 0.98)


def intervals(error, part, value="share") -> None:
    same(error["array"], np.nan_to_num(part["high"] - part[value]))
    same(error["arrayminus"], np.nan_to_num(part[value] - part["low"]))


def test_bars_of_load_and_their_intervals(found):
    table, chart = found["load"], chart_of(found["load"])
    assert len(chart.figure.data) == 2
    for n, (bar, label) in enumerate(zip(chart.figure.data, ("en", "fr"), strict=True)):
        part = table.where(label=label, layer=opens(chart))
        same(bar.y, part["share"])
        intervals(bar.error_y, part)
        assert list(bar.x) == [str(e) for e in part["expert"]]
        assert list(bar.marker.color) == [expert_colour(e) for e in range(8)]
        for layer, (values, traces) in steps(chart).items():
            part = table.where(label=label, layer=layer)
            assert traces[n] == n
            same(values["y"][n], part["share"])
            error = {name: values[f"error_y.{name}"][n] for name in ("array", "arrayminus")}
            intervals(error, part)
    assert list(steps(chart)) == [0, 1, 2]
    far = np.abs(table["share"] - 1 / 8)
    assert opens(chart) == table["layer"][far.argmax()], "where there is most to see"
    titles = [(axis.title.text, n) for n in (1, 2) for axis in (chart.figure.layout[f"xaxis{n}"],)]
    assert titles == [("expert", 1), ("expert", 2)]
    assert chart.figure.layout.yaxis.title.text == "share of assignments"
    assert {line["y0"] for line in chart.figure.layout.shapes} == {1 / 8}


def test_bars_of_margins(found):
    table, chart = found["margins"], chart_of(found["margins"])
    (bar,) = chart.figure.data
    closest = max(range(3), key=lambda n: table.where(layer=n)["share"][0])
    assert opens(chart) == closest
    same(bar.x, table.where(layer=closest)["start"])
    same(bar.y, table.where(layer=closest)["share"])
    intervals(bar.error_y, table.where(layer=closest))
    for layer, (values, _) in steps(chart).items():
        part = table.where(layer=layer)
        same(values["x"][0], part["start"])
        same(values["y"][0], part["share"])
        same(values["width"][0], part["stop"][0])
        error = {name: values[f"error_y.{name}"][0] for name in ("array", "arrayminus")}
        intervals(error, part)


@pytest.mark.parametrize("kind", BY_LAYER)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "control"])
def test_lines_of_every_label_and_baseline_in_every_panel(found, controls, kind, beside):
    tables = [found[kind], *([controls[kind]] if beside else [])]
    chart, (value, baselines) = chart_of(*tables), BY_LAYER[kind]
    panels = {}
    for line in chart.figure.data:
        panels.setdefault(int((line.xaxis or "x1")[1:] or 1), []).append(line)
    expected = []
    for table in tables:
        whats = dict.fromkeys(table["what"].tolist()) if "what" in table.columns else [None]
        expected += [table if what is None else table.where(what=what) for what in whats]
    assert len(panels) == len(expected)
    for lines, part in zip((panels[n] for n in sorted(panels)), expected, strict=True):
        labels = dict.fromkeys(part["label"].tolist()) if "label" in part.columns else ["all"]
        own = [part.where(label=x) if "label" in part.columns else part for x in labels]
        for line, label, rows in zip(lines, labels, own, strict=False):
            assert line.name == (label if "label" in part.columns else "measured")
            same(line.x, rows["layer"])
            same(line.y, rows[value])
            intervals(line.error_y, rows, value)
        for line, name in zip(lines[len(own) :], baselines, strict=True):
            assert line.name.endswith(f", mean of {len(own)}") == (len(own) > 1)
            same(line.y, [np.mean(part.where(layer=layer)[name]) for layer in line.x])
    # What is beside, or above, the other is on the same axes: trained and untrained compare.
    whats = len(expected) // len(tables)
    for n in range(whats):
        axes = [chart.figure.layout[f"yaxis{1 + n + whats * m}"] for m in range(len(tables))]
        assert len({axis.range for axis in axes}) == 1
        drawn = [
            y for m in range(len(tables)) for line in panels[1 + n + whats * m] for y in line.y
        ]
        assert axes[0].range[0] <= 0
        lows = [low for table in tables for low in table["low"] if np.isfinite(low)]
        assert axes[0].range[0] == 0 or min(lows) < 0, "nothing below zero"
        assert axes[0].range[1] >= np.nanmax(drawn)


@pytest.mark.parametrize("kind", MATRICES)
def test_cells_of_a_matrix_and_of_each_of_its_layers(found, kind):
    table, (other, against), chart = found[kind], MATRICES[kind], chart_of(found[kind])
    (heat,) = chart.figure.data
    first = {"z": [heat.z], "text": [heat.text], "customdata": [heat.customdata]}
    layers = dict.fromkeys(table["layer"].tolist())
    assert list(steps(chart)) == list(layers)
    far = np.abs(table["share"] - table[against])
    assert opens(chart) == table["layer"][np.nanargmax(far)]
    shown = [(opens(chart), first), *((n, v) for n, (v, _) in steps(chart).items())]
    for layer, values in shown:
        z, text, detail = (np.array(values[k][0]) for k in ("z", "text", "customdata"))
        cells = {(row["expert"], row[other]): row for row in table.where(layer=layer).rows()}
        for i in range(8):
            for j in range(8):
                if (i, j) not in cells:
                    assert (z[i, j], text[i, j]) == (None, "")
                    continue
                row = cells[i, j]
                same(z[i, j], row["share"] - row[against])
                same(detail[i, j], [row[c] for c in ("share", against, "low", "high")])
                assert text[i, j] == f"{100 * row['share']:.0f}%"
    assert -heat.zmin == heat.zmax == pytest.approx(reach(table["share"] - table[against]))


def test_lines_of_a_cache(found):
    table, chart = found["expert cache"], chart_of(found["expert cache"])
    names = [line.name for line in chart.figure.data]
    assert names == ["LRU", "LFU", "random", "LRU, tokens shuffled", "size / experts"]
    first = {"y": [line.y for line in chart.figure.data[:4]]}
    lru = [table.where(layer=n, policy="LRU") for n in range(3)]
    gain = {n: np.nanmax(part["hit"] - part["shuffled"]) for n, part in enumerate(lru)}
    assert opens(chart) == max(gain, key=lambda n: gain[n])
    for layer, values in [(opens(chart), first), *((n, v) for n, (v, _) in steps(chart).items())]:
        for n, policy in enumerate(names[:3]):
            same(values["y"][n], table.where(layer=layer, policy=policy)["hit"])
        same(values["y"][3], table.where(layer=layer, policy="LRU")["shuffled"])
    same(chart.figure.data[4].y, table.where(layer=0, policy="LRU")["uniform"])


def test_cells_of_effects_and_of_the_control_on_one_scale(found, controls):
    chart = chart_of(found["effects"], controls["effects"])
    maps, rings = chart.figure.data[::2], chart.figure.data[1::2]
    tables = found["effects"], controls["effects"]
    for heat, ring, table in zip(maps, rings, tables, strict=True):
        ringed = set(zip(ring.y, ring.x, strict=True))
        cells = {(row["intervention"], row["label"]): row for row in table.rows()}
        assert len(cells) == len(heat.x) * len(heat.y) == 6
        for i, name in enumerate(heat.y):
            for j, label in enumerate(heat.x):
                row = cells[name, label]
                same(heat.z[i][j], row["change"])
                same(heat.customdata[i][j], [row[c] for c in ("change", "low", "high")])
                crosses = row["low"] < 0 < row["high"]
                assert ((name, label) in ringed) == crosses
        assert (ring.xaxis, ring.yaxis) == (heat.xaxis, heat.yaxis)
        both = np.concatenate([t["change"] for t in tables])
        assert -heat.zmin == heat.zmax == pytest.approx(reach(both))
    crossing = any(((t["low"] < 0) & (t["high"] > 0)).any() for t in tables)
    assert ("○: the interval crosses zero" in chart.sentence) == crossing


@pytest.mark.parametrize("source", ["8x7m", "mixtral-8x7b"])
def test_parts_of_a_ledger_to_one_scale(source):
    books = mv.ledger(source)
    chart = chart_of(books)
    unit, bars = 1e9 if books.total >= 1e9 else 1e6, chart.figure.data
    assert len({bar.marker.color for bar in bars}) == len(books.parts)  # each a colour of its own
    for n, (total, count) in enumerate(((books.total, "total"), (books.active, "active"))):
        parts = {part.name: getattr(part, count) / unit for part in books.parts}
        assert {bar.name: bar.x[n] for bar in bars} == pytest.approx(parts)
        assert sum(bar.x[n] for bar in bars) == pytest.approx(total / unit)
        note = chart.figure.layout.annotations[n]  # at the bar's end, what it comes to
        assert (note.x, note.text) == (total / unit, f" <b>{total / unit:.1f}</b>")
    assert chart.data["stored"].tolist()[-1] == books.total
    assert chart.data["used by a token"].tolist()[-1] == books.active


def test_one_document_has_no_interval_and_is_drawn_without(found):
    docs = documents(labels=("one",), per=1)
    for kind in ("load", "repetition", "certainty", "margins"):
        table = KINDS[kind](docs)
        assert np.isnan(table["low"]).all()
        chart = chart_of(table)
        assert not np.any(chart.figure.data[0].error_y.array)
        assert "interval" not in chart.sentence
        assert chart.data.few
        assert "treat intervals with care" in chart.to_html(plotly=False)


@pytest.mark.parametrize(
    "changes",
    [{"L": 1}, {"E": 16}, {"k": 1}, {"E": 4, "k": 4}, {"labels": ("",)},
     {"labels": ("a", "b" * 99)},
     {"labels": ("one",), "per": 1}, {"labels": ("one",), "per": 1, "tokens": 1}],
    ids=str,
)  # fmt: skip
def test_every_shape_of_trace_is_drawn_or_refused_by_its_analysis(changes):
    docs, drawn = documents(**changes), 0
    for analyse in KINDS.values():
        try:
            of = analyse(docs)
        except InputError:
            continue
        page = Page(chart_of(of, of).to_html(plotly=False))
        if changes == {"L": 1}:
            assert "sliders" not in page.content["figure"]["layout"]
        drawn += 1
    assert drawn >= 5


def test_loads_of_many_experts_are_a_map_and_of_few_if_asked_for():
    few, many = (mv.analysis.load(documents(E=E)) for E in (8, 20))
    assert chart_of(few).figure.data[0].type == "bar"
    assert chart_of(many).figure.data[0].type == "heatmap"
    assert mv.chart(many, view="bars").figure.data[0].type == "bar"  # type: ignore[attr-defined]
    for table in (few, many):
        chart: Any = mv.chart(table, view="map")
        (heat,) = chart.figure.data
        counts = table["share"] * table["assignments"]
        for i, layer in enumerate(heat.y):
            for j, expert in enumerate(heat.x):
                here = (table["layer"] == int(layer)) & (table["expert"] == int(expert))
                share = counts[here].sum() / table["assignments"][here].sum()
                same(heat.customdata[i][j], share)
                same(heat.z[i][j], share / table["uniform"][0])
        row, column = np.unravel_index(np.argmax(heat.z), np.shape(heat.z))
        said = f"Busiest: expert {heat.x[column]} of layer {heat.y[row]} takes "
        assert said + f"{heat.customdata[row][column]:.1%}" in chart.sentence
        axes = chart.figure.layout.xaxis1.title.text, chart.figure.layout.yaxis1.title.text
        assert axes == ("expert", "layer")
        assert "even" in heat.colorbar.ticktext
    both: Any = mv.chart(many, mv.analysis.load(documents(seed=1, E=20, provenance=TWIN)))
    assert len(both.figure.data) == 2
    assert "random weights, seed 7" in both.provenance
    for wrong in ("pie", ""):
        with pytest.raises(InputError, match="view is one of bars, map, for loads"):
            mv.chart(few, view=wrong)
    with pytest.raises(InputError, match="for loads; found 'map' for 'margins'"):
        mv.chart(mv.analysis.margin_histogram(documents()), view="map")


def test_lines_join_layers_that_are_next_to_each_other_and_no_others():
    table = KINDS["certainty"](documents())
    assert {line.mode for line in chart_of(table).figure.data} == {"lines+markers", "lines"}
    docs = documents()
    apart = replace(docs.trace, layers=(0, 1, 5))
    other = KINDS["certainty"](type(docs)(apart, [f"topic {n}" for n in range(8)]))
    assert {line.mode for line in chart_of(other).figure.data} == {"markers"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_axis_says_what_it_shows(found, kind):
    layout = chart_of(found[kind]).figure.to_dict()["layout"]
    axes = {name: axis for name, axis in layout.items() if re.fullmatch(r"[xy]axis\d*", name)}
    assert axes
    titled = {name[0] for name, axis in axes.items() if (axis.get("title") or {}).get("text")}
    assert titled == {"x", "y"}


def test_a_bar_that_crosses_zero_is_not_cut_and_says_so(found):
    table = found["label divergence"]
    columns = {name: table[name].copy() for name in table.columns}
    columns["divergence"][0], columns["low"][0], columns["high"][0] = -0.02, -0.05, 0.01
    chart = chart_of(replace(table, columns=columns))
    assert chart.figure.layout.yaxis1.range[0] < -0.05
    assert chart.sentence.endswith("Bars that cross zero leave open whether there is anything.")
    assert "cross zero" not in chart_of(table).sentence or (table["divergence"] < 0).any()
