# SPDX-License-Identifier: Apache-2.0
"""Charts say what their tables say: title, sentence, figure and HTML, for every kind of chart."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import moe_viz as mv
from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example
from moe_viz.errors import InputError, MissingDependencyError
from moe_viz.trace.provenance import Provenance
from moe_viz.view.charts.chart import plotly_script
from tests.browser.hostile import HOSTILE, HOSTILE_STRINGS
from tests.conftest import random_model, small_config

pytest.importorskip("plotly")
TRAINED = Provenance("some-model", dtype="float32", interventions=("k=1 (of 2)",))
TWIN = Provenance("some-model", dtype="float32", weights="random weights, seed 7")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def documents(
    seed=0, L=3, E=8, k=2, labels=("en", "fr"), per=4, provenance=TRAINED, tokens=12
) -> Documents:
    """Documents of made-up tokens; those of one number are parallel under all labels."""
    rng, N = np.random.default_rng(seed), per * len(labels)
    logits = rng.normal(size=(L, N * tokens, E)) * 2
    chosen = np.argsort(-logits, axis=2)[:, :, :k].astype(np.int16)
    names = [labels[n % len(labels)] for n in range(N)]
    ids = rng.integers(0, 4, N * tokens)
    trace = example(chosen, [tokens] * N, names, E, ids, logits)
    topics = [f"topic {n // len(labels)}" for n in range(N)]
    return Documents(replace(trace, provenance=provenance), topics)


def damage(docs: Documents):
    """What interventions did to a small model, under the labels and the title of the documents."""
    of = {"no 0/1": {"ablate": [(0, 1)]}, "top-1": {"top_k": 1}, "none": {"ablate": []}}
    texts = [[1, 2 + n, 9, 4, 5] for n in range(len(docs.names) * 2)]
    model = random_model(small_config(layers=1, vocab_size=200))
    found = mv.effects(model, texts, of, labels=list(docs.names) * 2)
    return replace(found, title=docs.trace.provenance.title)


def agreement(docs: Documents):
    """Of two runs that part at half of the tokens, under the title of the first."""
    first, t = docs.trace, np.arange(len(docs.trace)) % 2 > 0
    second = replace(first, experts=np.where(t[:, None], first.experts[:, :, ::-1], first.experts))
    return replace(analysis.compare(first, second), title=first.provenance.title)


BY_LAYER = {  # what is drawn, and the baselines that the sentence names
    "repetition": ("share", ["uniform", "matched", "shuffled"]),
    "label divergence": ("divergence", ["null"]),
    "language divergence": ("divergence", ["within"]),
    "certainty": ("mean", ["shuffled"]),
    "vocabulary": ("share", ["uniform", "shuffled"]),
    "agreement": ("share", ["chance"]),
}
KINDS = {
    "load": analysis.load,
    "repetition": analysis.repetition,
    "co-activation": analysis.coactivation,
    "transitions": analysis.transitions,
    "label divergence": analysis.label_divergence,
    "language divergence": lambda docs: analysis.language_divergence(docs, docs.names[0]),
    "certainty": analysis.certainty,
    "vocabulary": analysis.vocabulary,
    "margins": analysis.margin_histogram,
    "expert cache": analysis.expert_cache,
    "effects": damage,
    "agreement": agreement,
}
MATRICES = {"co-activation": ("other", "matched"), "transitions": ("next", "shuffled")}


@pytest.fixture(scope="module")
def found():
    docs = documents()
    return {kind: analyse(docs) for kind, analyse in KINDS.items()}


@pytest.fixture(scope="module")
def controls():
    docs = documents(seed=1, provenance=TWIN)
    return {kind: analyse(docs) for kind, analyse in KINDS.items()}


class Page(HTMLParser):
    """The elements of a fragment, in their order, with the names of their attributes; its texts."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.scripts = [], [], []
        self.inside = ()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.inside = (tag, dict(attrs).get("type"))
        self.elements.append((tag, *sorted(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        self.inside = ()
        self.elements.append((f"/{tag}",))

    def handle_data(self, data):
        (self.scripts if self.inside[:1] == ("script",) else self.texts).append(data)

    @property
    def content(self) -> dict:
        """The data, which is no JSON if it holds NaN."""
        (packed,) = [s for s in self.scripts if s.startswith('{"figure"')]
        assert "<" not in packed
        return json.loads(packed, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def numbers(pattern: str, sentence: str) -> list:
    hit = re.search(pattern, sentence)
    assert hit, sentence
    return [float(g.replace(",", "")) if g and g[0] in "-+0123456789" else g for g in hit.groups()]


# ---- Titles, sentences -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_names_its_model_and_how_it_was_run(found, kind):
    chart = mv.chart(found[kind])
    assert chart.provenance == found[kind].title == "some-model · float32 · k=1 (of 2)"
    texts = "".join(Page(chart.to_html(plotly=False)).texts)
    assert f"{chart.title} {chart.provenance}" in texts
    assert chart.sentence in texts
    assert chart.provenance in repr(chart)


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_is_named_where_it_is_drawn_and_only_there(found, controls, kind):
    chart = mv.chart(found[kind], controls[kind])
    drawn = kind in BY_LAYER or kind == "effects"
    assert chart.provenance.startswith(found[kind].title)
    named = f"; control: {controls[kind].title}"
    assert chart.provenance.endswith(named) == drawn
    assert ("trace" in chart.data.columns) == drawn
    if drawn:
        assert len(chart.data) == len(found[kind]) + len(controls[kind])
        assert "random weights, seed 7" in "".join(Page(chart.to_html(plotly=False)).texts)


def test_random_weights_are_seen_on_every_chart(controls):
    for of in controls.values():
        assert "random weights, seed 7" in "".join(Page(mv.chart(of).to_html(plotly=False)).texts)


def test_the_load_s_sentence_names_the_row_that_is_furthest_from_even(found):
    table = found["load"]
    layer, share, assigned, label, expert = numbers(
        r"in layer (\d+), ([\d.]+)% of the ([\d,]+) assignments of “(.+?)” go to expert (\d+) ",
        mv.chart(table).sentence,
    )
    (row,) = table.where(layer=layer, label=label, expert=expert).rows()
    assert abs(row["share"] - 1 / 8) == np.abs(table["share"] - 1 / 8).max()
    assert (share, assigned) == (pytest.approx(100 * row["share"], abs=0.06), row["assignments"])
    assert f"({row['low']:.1%} …"[1:] in mv.chart(table).sentence


@pytest.mark.parametrize("kind", BY_LAYER)
def test_the_sentence_of_lines_names_the_largest_number_and_its_baselines(found, kind):
    table, (value, baselines) = found[kind], BY_LAYER[kind]
    sentence = mv.chart(table, table).sentence
    if "what" in table.columns:  # margins and entropies are never compared with each other
        what = table["what"][0]
        assert what in sentence.partition(" is largest")[0]
        table = table.where(what=what)
    layer, label, shown = numbers(r"in layer (\d+) \((?:“(.+?)”, )?([\d.]+)", sentence)
    row = next(table.where(layer=layer, **({"label": label} if label else {})).rows())
    assert row[value] == table[value].max()
    scale = 100 if "%" in sentence.partition("(95")[0] else 1
    assert shown == pytest.approx(scale * row[value], abs=0.06)
    beside = [float(x) for x in re.findall(r"[\d.]*\d", sentence.partition("for comparison")[2])]
    assert beside == pytest.approx([scale * row[name] for name in baselines], abs=0.06)


@pytest.mark.parametrize("kind", MATRICES)
def test_the_sentence_of_a_matrix_names_the_cell_furthest_from_its_baseline(found, kind):
    table, (other, against) = found[kind], MATRICES[kind]
    layer, share, tokens, i, j, name, base = numbers(
        r"in layer (\d+), ([\d.]+)% of the ([\d,]+) tokens of expert (\d+) .*"
        r"expert (\d+)(?: too)?; (\w+) would be ([\d.]+)%",
        mv.chart(table).sentence,
    )
    (row,) = table.where(layer=layer, expert=i, **{other: j}).rows()
    assert abs(row["share"] - row[against]) == np.nanmax(np.abs(table["share"] - table[against]))
    assert [share, base] == pytest.approx([100 * row["share"], 100 * row[against]], abs=0.06)
    assert (tokens, name) == (row["tokens"], against)


def test_the_other_sentences_hold(found):
    table = found["margins"]
    layer, share, stop = numbers(
        r"layer (\d+): there ([\d.]+)% .* below ([\d.]+)", mv.chart(table).sentence
    )
    first = {n: next(table.where(layer=n).rows()) for n in range(3)}
    assert first[layer]["share"] == max(row["share"] for row in first.values())
    shown = [100 * first[layer]["share"], first[layer]["stop"]]
    assert [share, stop] == pytest.approx(shown, abs=0.06)

    half = found["expert cache"].where(size=4)
    said = numbers(r"LRU ([\d.]+)%, LFU ([\d.]+)%, random ([\d.]+)%; .* ([\d.]+)%",
                   mv.chart(found["expert cache"]).sentence)  # fmt: skip
    means = [half.where(policy=p)["hit"].mean() for p in ("LRU", "LFU", "random")]
    means.append(half.where(policy="LRU")["shuffled"].mean())
    assert said == pytest.approx([100 * m for m in means], abs=0.06)

    table = found["effects"]
    name, label, change, loss = numbers(
        r"harm: (.+?) changes the loss of “(.+?)” by ([-+][\d.]+) .* from (\d+\.\d+)",
        mv.chart(table).sentence,
    )
    (row,) = table.where(intervention=name, label=label).rows()
    assert row["change"] == table["change"].max()
    assert [change, loss] == pytest.approx([row["change"], row["loss"]], abs=6e-4)

    books = mv.ledger("mixtral-8x7b")
    sentence = mv.chart(books).sentence
    assert numbers(r"stores ([\d,]+) parameters and uses ([\d,]+) .*\(([\d.]+)%\)", sentence) == [
        46_702_792_704, 12_879_925_248, 27.6]  # fmt: skip


# ---- HTML ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_labels_and_models_add_no_element_and_no_attribute(kind):
    def page(labels, model):
        docs = documents(labels=labels, per=2, tokens=6, provenance=replace(TWIN, model=model))
        found = KINDS[kind](docs)
        chart = mv.chart(found, found)
        return Page(chart.to_html(plotly=False)), chart.figure.to_dict()

    labels = HOSTILE_STRINGS[: 4 if kind == "label divergence" else None]  # which names no label
    hostile, figure = page(labels, HOSTILE)
    tame, _ = page([f"label {n:02d}" for n in range(len(labels))], "tame")
    assert hostile.elements == tame.elements
    assert "window.hacked=1" in "".join(hostile.texts)  # it is shown, and does nothing
    assert all("window.hacked=1" not in s for s in hostile.scripts if s[0] != "{")
    assert HOSTILE in hostile.content["title"]
    # Plotly takes some HTML in texts: of ours, it finds a <b> around the titles of panels.
    shown = [n["text"].removeprefix("<b>").removesuffix("</b>")
             for n in figure["layout"].get("annotations", [])]  # fmt: skip
    for trace in figure["data"]:
        shown += [trace.get("name") or "", *map(str, trace["x"]), *map(str, trace["y"])]
    assert all("<" not in text for text in shown)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_the_html_is_the_chart(found, kind):
    chart = mv.chart(found[kind])
    content = Page(chart.to_html(plotly=False)).content
    assert content["csv"] == found[kind].csv()
    assert content["title"] == f"{chart.title} · {chart.provenance}"
    assert content["sentence"] == chart.sentence
    assert content["figure"] == json.loads(chart.figure.to_json() or "")


def test_plotly_is_brought_once_or_left_to_the_page(found):
    chart = mv.chart(found["load"])
    assert chart.to_html(plotly=False).count('class="moe-viz-plotly"') == 0
    assert chart.to_html().count('class="moe-viz-plotly"') == 1
    assert plotly_script() in chart._repr_html_()
    assert len(chart.to_html(plotly=False)) < 100_000 < 1_000_000 < len(chart.to_html()) < 3e6


# ---- Bad input ---------------------------------------------------------------------------------


def test_what_has_no_chart_says_what_has(found):
    with pytest.raises(InputError, match=r"no chart of 'paths'; its table shows it.*co-activation"):
        mv.chart(analysis.paths(documents()))
    trace = documents().trace
    for wrong in (trace, "load", None, [found["load"]]):
        with pytest.raises(InputError, match=f"found .*{type(wrong).__name__[:4]}.*analysis.load"):
            mv.chart(wrong)  # type: ignore[arg-type]


def test_without_plotly_one_learns_what_to_install(found, monkeypatch):
    for module in ("plotly", "plotly.graph_objects", "plotly.offline"):
        monkeypatch.setitem(sys.modules, module, None)
    plotly_script.cache_clear()
    for of in (*found.values(), mv.ledger("8x7m")):
        with pytest.raises(MissingDependencyError, match=r"pip install 'moe-viz\[analysis\]'"):
            mv.chart(of)
    with pytest.raises(MissingDependencyError, match=r"Tables \(Finding.table\(\)"):
        plotly_script()
