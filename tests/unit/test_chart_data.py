# SPDX-License-Identifier: Apache-2.0
"""What each chart draws is its table, row by row: oracle loops over tables made up here."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.view.charts.figures import _KINDS
from moe_viz.view.palette import EXPERTS
from tests.unit.tables import (
    EVEN,
    LABELS,
    LAYERS,
    LINES,
    MADE,
    MATRICES,
    OWN,
    TWIN,
    E,
    cache,
    column,
    damage,
    lines,
    load,
    margins,
    matrix,
    rows,
    table,
)

pytest.importorskip("plotly")
GREY = "#7f8a96"


def same(drawn, expected) -> None:
    np.testing.assert_allclose(np.array(drawn, float), np.array(expected, float), rtol=1e-12)


def bounded(error, part: list[dict], value: str) -> None:
    """Error bars reach from the lower to the upper bound."""
    same(error["array"], [row["high"] - row[value] for row in part])
    same(error["arrayminus"], [row[value] - row["low"] for row in part])


def opens(chart) -> str:
    """The layer that a chart opens on."""
    (slider,) = chart.figure.to_dict()["layout"]["sliders"]
    return slider["steps"][slider["active"]]["label"]


def reach(values: list[float]) -> float:
    """What all but the largest 2 % of differences stay within."""
    return float(np.quantile([abs(x) for x in values if x and np.isfinite(x)], 0.98))


def steps(chart) -> list[tuple[str, dict, list]]:
    (slider,) = chart.figure.to_dict()["layout"]["sliders"]
    return [(step["label"], *step["args"]) for step in slider["steps"]]


#: Charts of what others published: looked at in test_published_routing.
PUBLISHED = {"published load", "leading pieces", "function words", "word meanings"}


def test_every_kind_of_chart_is_looked_at_here():
    assert set(MADE) == set(_KINDS) - PUBLISHED


@pytest.mark.parametrize("kind", MADE)
def test_the_title_says_whose_numbers_are_drawn_and_which_is_the_control(kind):
    own, twin = MADE[kind](), MADE[kind](seed=1, title=TWIN)
    assert mv.chart(own).provenance == OWN
    both = mv.chart(own, twin)
    drawn = kind in LINES or kind == "effects"
    assert both.provenance == (f"{OWN}; control: {TWIN}" if drawn else OWN)
    html = both.to_html(plotly=False)
    head = html.partition("</div>")[0]
    assert OWN in head
    assert (TWIN in head) == drawn
    assert both.data.csv().splitlines()[0] == f"# {own.name}: {OWN}"
    assert (TWIN in both.data.csv()) == drawn


def test_bars_of_load():
    found = load()
    chart = mv.chart(found)
    bars = chart.figure.to_dict()["data"]
    assert [bar["name"] for bar in bars] == list(LABELS)
    panels = chart.figure.to_dict()["layout"]["annotations"]
    assert [note["text"] for note in panels] == [f"<b>{label}</b>" for label in LABELS]
    shown = {
        (int(opens(chart)), label, "at first"): (bar["y"], bar["error_y"])
        for label, bar in zip(LABELS, bars, strict=True)
    }
    for name, values, traces in steps(chart):
        assert traces == [0, 1, 2]
        for n, label in enumerate(LABELS):
            error = {k: values[f"error_y.{k}"][n] for k in ("array", "arrayminus")}
            shown[int(name), label, "slid"] = (values["y"][n], error)
    assert len(shown) == 3 + 9
    for (layer, label, _), (y, error) in shown.items():
        part = rows(found, layer=layer, label=label)
        same(y, [row["share"] for row in part])
        bounded(error, part, "share")
    for bar in bars:
        assert list(bar["x"]) == ["0", "1", "2", "3"]
        assert list(bar["marker"]["color"]) == list(EXPERTS[:4])
    dashed = chart.figure.to_dict()["layout"]["shapes"]
    assert [line["yref"] for line in dashed] == ["y", "y2", "y3"]
    assert {(line["y0"], line["y1"], line["line"]["dash"]) for line in dashed} == {
        (EVEN, EVEN, "dash")}  # fmt: skip
    far = max(rows(found), key=lambda row: abs(row["share"] - EVEN))
    assert chart.sentence == (
        f"Furthest from even routing (dashed, 25.0%): in layer {far['layer']}, {far['share']:.1%} "
        f"of the {far['assignments']:,} assignments of “{far['label']}” go to expert "
        f"{far['expert']} (95 % interval {far['low']:.1%} … {far['high']:.1%})."
    )


def test_bars_and_their_errors_end_inside_their_panel_where_a_label_has_no_interval():
    found = load()
    high = np.where(found["label"] == "fr", np.nan, found["high"] + 1)
    low = np.where(found["label"] == "fr", np.nan, found["low"])
    found = replace(found, columns={**found.columns, "low": low, "high": high})
    layout = mv.chart(found).figure.to_dict()["layout"]
    for axis in ("yaxis", "yaxis2", "yaxis3"):
        assert list(layout[axis]["range"]) == [0, pytest.approx(1.05 * np.nanmax(high))]


def test_bars_of_margins():
    found = margins()
    chart = mv.chart(found)
    (bar,) = chart.figure.to_dict()["data"]
    shown = [("2", bar["x"], bar["y"], bar["width"], bar["error_y"])]
    for name, v, traces in steps(chart):
        assert traces == [0]
        error = {k: v[f"error_y.{k}"][0] for k in ("array", "arrayminus")}
        shown.append((name, v["x"][0], v["y"][0], v["width"][0], error))
    assert [name for name, *_ in shown] == ["2", "2", "5", "9"]
    for name, x, y, width, error in shown:
        part = rows(found, layer=int(name))
        assert (list(x), width, bar["offset"]) == ([0.0, 0.5, 1.0], 0.5, 0)
        same(y, [row["share"] for row in part])
        bounded(error, part, "share")
    most = max(rows(found, start=0.0), key=lambda row: row["share"])
    assert f"most common in layer {most['layer']}: there {most['share']:.1%}" in chart.sentence
    assert "margin below 0.50 logits" in chart.sentence


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "control"])
@pytest.mark.parametrize("kind", LINES)
def test_lines_of_every_label_with_baselines_beside_and_the_control(kind, beside):
    value, keys, baselines = LINES[kind]
    tables = [lines(kind), *([lines(kind, seed=1, title=TWIN)] if beside else [])]
    chart = mv.chart(*tables)
    figure, whats, labels = chart.figure.to_dict(), keys.get("what", [None]), keys.get("label", [])
    panels = [(found, what) for found in tables for what in whats]
    heads = [note["text"] for note in figure["layout"]["annotations"]]
    for n, (found, what) in enumerate(panels):
        whose = ("control" if found is tables[-1] else "mine") if beside else ""
        words = ": ".join(part for part in (whose, what) if part)
        assert heads[n].removeprefix("<b>").removesuffix("</b>") == words
        drawn = [t for t in figure["data"] if t["xaxis"] in (f"x{n + 1}", "x"[n:])]
        own, grey = drawn[: max(len(labels), 1)], drawn[max(len(labels), 1) :]
        of = {} if what is None else {"what": what}
        for line, label in zip(own, labels or [None], strict=True):
            part = rows(found, **of, **({"label": label} if label else {}))
            assert line["name"] == (label or "measured")
            assert list(line["x"]) == list(LAYERS)
            same(line["y"], [row[value] for row in part])
            bounded(line["error_y"], part, value)
        assert len({(line["line"]["color"], line["marker"]["symbol"]) for line in own}) == len(own)
        assert len(grey) == len(baselines)
        for line, (name, words) in zip(grey, baselines.items(), strict=True):
            assert line["name"].startswith(words)
            assert (line["line"]["color"], list(line["x"])) == (GREY, list(LAYERS))
            same(line["y"], [np.mean(column(found, name, layer=n, **of)) for n in LAYERS])
    best = max(rows(tables[0], **({"what": whats[0]} if whats[0] else {})), key=lambda r: r[value])
    assert f"is largest in layer {best['layer']} (" in chart.sentence
    shown = [float(x) for x in re.findall(r"(\d+\.\d+)%?", chart.sentence)]
    scale = 100 if "%" in chart.sentence.replace("95 %", "") else 1
    expected = [best[value], best["low"], best["high"], *(best[name] for name in baselines)]
    assert shown == pytest.approx([scale * x for x in expected], abs=0.051 if scale > 1 else 0.006)


@pytest.mark.parametrize("kind", MATRICES)
def test_cells_of_matrices(kind):
    found = matrix(kind)
    other, base = MATRICES[kind]
    chart = mv.chart(found)
    (heat,) = chart.figure.to_dict()["data"]
    layout = chart.figure.to_dict()["layout"]
    assert (layout["yaxis"]["title"]["text"], layout["xaxis"]["title"]["text"]) == ("expert", other)
    assert heat["colorbar"]["title"]["text"] == f"share − {base}"
    first = opens(chart)
    shown = [(first, heat["z"], heat["text"], heat["customdata"])]
    shown += [(n, v["z"][0], v["text"][0], v["customdata"][0]) for n, v, _ in steps(chart)]
    assert [name for name, *_ in shown] == [first, "2", "5", "9"]
    for name, z, text, detail in shown:
        for i, j in product(range(E), range(E)):
            part = rows(found, layer=int(name), expert=i, **{other: j})
            if not part:
                assert (z[i][j], text[i][j]) == (None, "")
                continue
            (row,) = part
            same(z[i][j], row["share"] - row[base])
            same(detail[i][j], [row["share"], row[base], row["low"], row["high"]])
            assert text[i][j] == f"{100 * row['share']:.0f}%"
    wide = reach([row["share"] - row[base] for row in rows(found)])
    assert (heat["zmin"], heat["zmid"], heat["zmax"]) == pytest.approx((-wide, 0, wide))
    assert [c for _, c in heat["colorscale"]] == ["#b35806", "#f7f7f7", "#542788"]
    far = max(rows(found), key=lambda row: abs(row["share"] - row[base]))
    said = f"in layer {far['layer']}, {far['share']:.1%} of the {far['tokens']:,} tokens of expert "
    assert said + str(far["expert"]) in chart.sentence
    assert opens(chart) == str(far["layer"])
    assert f"expert {far[other]}" in chart.sentence.partition(" go ")[2]
    assert chart.sentence.endswith(f"{base} would be {far[base]:.1%}.")


def test_lines_of_a_cache():
    found = cache()
    chart = mv.chart(found)
    drawn = chart.figure.to_dict()["data"]
    names = ["LRU", "LFU", "random", "LRU, tokens shuffled", "size / experts"]
    assert [line["name"] for line in drawn] == names
    first = opens(chart)
    shown = [(first, [line["y"] for line in drawn[:4]])]
    for name, values, traces in steps(chart):
        assert traces == [0, 1, 2, 3]  # the last is the same in every layer
        shown.append((name, values["y"]))
    assert [name for name, _ in shown] == [first, "2", "5", "9"]
    for name, ys in shown:
        for policy, y in zip(names[:3], ys, strict=False):
            same(y, column(found, "hit", layer=int(name), policy=policy))
        same(ys[3], column(found, "shuffled", layer=int(name), policy="LRU"))
    same(drawn[4]["y"], [1 / 4, 2 / 4, 3 / 4, 1])
    assert all(list(line["x"]) == [1, 2, 3, 4] for line in drawn)
    half = {p: np.mean(column(found, "hit", size=2, policy=p)) for p in names[:3]}
    mixed = np.mean(column(found, "shuffled", size=2, policy="LRU"))
    assert chart.sentence == (
        "With room for 2 of 4 experts, the mean over layers is "
        f"LRU {half['LRU']:.1%}, LFU {half['LFU']:.1%}, random {half['random']:.1%}; "
        f"LRU on shuffled tokens {mixed:.1%}."
    )


def test_many_interventions_have_a_row_each_that_can_be_read():
    keys = {"intervention": [f"no 0/{n}" for n in range(60)], "label": LABELS}
    height = mv.chart(table("effects", keys, ["change", "loss"])).figure.layout.height
    assert 12 <= (height - 120) / 60 <= 40  # pixels


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "control"])
def test_cells_of_damage(beside):
    tables = [damage(), *([damage(seed=1, title=TWIN)] if beside else [])]
    chart = mv.chart(*tables)
    maps = chart.figure.to_dict()["data"][::2]  # each with the rings on it
    notes = chart.figure.to_dict()["layout"]["annotations"]
    assert [n["text"] for n in notes] == ["<b></b>", "<b> (control)</b>"][: len(tables)]
    wide = reach([x for found in tables for x in column(found, "change")])
    for heat, found in zip(maps, tables, strict=True):
        assert list(heat["y"]) == ["no 0/1", "no 1/3", "top-1"]
        assert list(heat["x"]) == list(LABELS)
        assert (heat["zmin"], heat["zmax"]) == pytest.approx((-wide, wide))
        for (i, name), (j, label) in product(enumerate(heat["y"]), enumerate(heat["x"])):
            (row,) = rows(found, intervention=name, label=label)
            same(heat["z"][i][j], row["change"])
            same(heat["customdata"][i][j], [row["change"], row["low"], row["high"]])
    worst = max(rows(tables[0]), key=lambda row: row["change"])
    said = f"{worst['intervention']} changes the loss of “{worst['label']}” by "
    assert said + f"{worst['change']:+.3f} nats per token" in chart.sentence
    assert f"from {worst['loss']:.3f}." in chart.sentence


def test_the_tables_beside_a_chart_with_a_control_are_both_told_apart():
    own, twin = lines("vocabulary"), lines("vocabulary", seed=1, title=TWIN)
    data = mv.chart(own, twin).data
    assert data["trace"].tolist() == [OWN] * 9 + [TWIN] * 9
    for name in own.columns:
        assert data[name].tolist() == [*own[name].tolist(), *twin[name].tolist()]


def test_parts_of_a_ledger():
    """Mixtral 8x7B's parts, as its architecture gives them."""
    chart = mv.chart(mv.ledger("mixtral-8x7b"))
    stored = {"experts": 45_097_156_608, "attention": 1_342_177_280, "embedding": 131_072_000,
              "output head": 131_072_000, "routers": 1_048_576, "norms": 266_240}  # fmt: skip
    used = {**stored, "experts": 45_097_156_608 // 4}  # two of eight
    drawn = {bar["name"]: bar for bar in chart.figure.to_dict()["data"]}
    assert {tuple(bar["y"]) for bar in drawn.values()} == {("stored", "used by a token")}
    for n, parts in enumerate((stored, used)):
        assert {name: 1e9 * bar["x"][n] for name, bar in drawn.items()} == pytest.approx(parts)
        assert {name: bar["customdata"][n][0] for name, bar in drawn.items()} == parts
    shares = drawn["experts"]["customdata"]
    assert [round(share, 4) for _, share in shares] == [0.9656, 0.8753]
    for row in rows(chart.data):
        if row["part"] != "total":
            pair = (row["stored"], row["used by a token"])
            assert pair == (stored[row["part"]], used[row["part"]])
    assert rows(chart.data)[-1]["stored"] == 46_702_792_704
    assert rows(chart.data)[-1]["used by a token"] == 12_879_925_248
    assert (chart.title, chart.provenance) == ("Parameters stored and used", "mixtral-8x7b")
    assert "2 of 8 experts in each of its 32 layers" in chart.sentence


@pytest.mark.parametrize(("documents", "said"), [(19, True), (20, False)])
def test_a_chart_of_few_documents_says_so_above_its_table(documents, said):
    found = lines("certainty")
    few = {**found.columns, "documents": np.full(len(found), documents)}
    html = mv.chart(replace(found, columns=few)).to_html(plotly=False)
    assert ("Few documents" in html.partition("<details>")[0]) == said
