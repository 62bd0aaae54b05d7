# SPDX-License-Identifier: Apache-2.0
"""What a chart draws is what its table holds: bars, intervals, lines, cells, steps of a slider."""

from __future__ import annotations

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
    assert slider["active"] == 0
    return {int(step["label"]): step["args"] for step in slider["steps"]}


def intervals(error, part, value="share") -> None:
    same(error["array"], np.nan_to_num(part["high"] - part[value]))
    same(error["arrayminus"], np.nan_to_num(part[value] - part["low"]))


def test_bars_of_load_and_their_intervals(found):
    table, chart = found["load"], chart_of(found["load"])
    assert len(chart.figure.data) == 2
    for n, (bar, label) in enumerate(zip(chart.figure.data, ("en", "fr"), strict=True)):
        part = table.where(label=label, layer=0)
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
    assert {line["y0"] for line in chart.figure.layout.shapes} == {1 / 8}


def test_bars_of_margins(found):
    table, chart = found["margins"], chart_of(found["margins"])
    (bar,) = chart.figure.data
    same(bar.x, table.where(layer=0)["start"])
    same(bar.y, table.where(layer=0)["share"])
    intervals(bar.error_y, table.where(layer=0))
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
        assert axes[0].range[0] == 0
        assert axes[0].range[1] >= np.nanmax(drawn)


@pytest.mark.parametrize("kind", MATRICES)
def test_cells_of_a_matrix_and_of_each_of_its_layers(found, kind):
    table, (other, against), chart = found[kind], MATRICES[kind], chart_of(found[kind])
    (heat,) = chart.figure.data
    first = {"z": [heat.z], "text": [heat.text], "customdata": [heat.customdata]}
    layers = dict.fromkeys(table["layer"].tolist())
    assert list(steps(chart)) == list(layers)
    shown = [(next(iter(layers)), first), *((n, v) for n, (v, _) in steps(chart).items())]
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
    assert -heat.zmin == heat.zmax == np.nanmax(np.abs(table["share"] - table[against]))


def test_lines_of_a_cache(found):
    table, chart = found["expert cache"], chart_of(found["expert cache"])
    names = [line.name for line in chart.figure.data]
    assert names == ["LRU", "LFU", "random", "LRU, tokens shuffled", "size / experts"]
    first = {"y": [line.y for line in chart.figure.data[:4]]}
    for layer, values in [(0, first), *((n, v) for n, (v, _) in steps(chart).items())]:
        for n, policy in enumerate(names[:3]):
            same(values["y"][n], table.where(layer=layer, policy=policy)["hit"])
        same(values["y"][3], table.where(layer=layer, policy="LRU")["shuffled"])
    same(chart.figure.data[4].y, table.where(layer=0, policy="LRU")["uniform"])


def test_cells_of_effects_and_of_the_control_on_one_scale(found, controls):
    chart = chart_of(found["effects"], controls["effects"])
    assert len(chart.figure.data) == 2
    tables = found["effects"], controls["effects"]
    for heat, table in zip(chart.figure.data, tables, strict=True):
        cells = {(row["intervention"], row["label"]): row for row in table.rows()}
        assert len(cells) == len(heat.x) * len(heat.y) == 6
        for i, name in enumerate(heat.y):
            for j, label in enumerate(heat.x):
                row = cells[name, label]
                same(heat.z[i][j], row["change"])
                same(heat.customdata[i][j], [row[c] for c in ("change", "low", "high")])
        assert -heat.zmin == heat.zmax == max(np.abs(t["change"]).max() for t in tables)


@pytest.mark.parametrize("source", ["8x7m", "mixtral-8x7b"])
def test_parts_of_a_ledger_to_one_scale(source):
    books = mv.ledger(source)
    chart = chart_of(books)
    stored, used = chart.figure.data
    for tree, total, count in ((stored, books.total, "total"), (used, books.active, "active")):
        parts = {part.name: getattr(part, count) for part in books.parts}
        assert dict(zip(tree.labels[1:], tree.values[1:], strict=True)) == parts
        assert tree.values[0] == sum(tree.values[1:]) == total
        assert set(tree.parents[1:]) == {tree.labels[0]}
        assert len(set(tree.marker.colors)) == 1 + len(parts)  # each part a colour of its own
    wide = [tree.domain.x[1] - tree.domain.x[0] for tree in (stored, used)]
    assert wide[1] / wide[0] == pytest.approx(books.active / books.total)
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
