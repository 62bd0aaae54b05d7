# SPDX-License-Identifier: Apache-2.0
"""What stands beside the numbers: who was counted, over which documents, under which title."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.documents import Documents as Counted
from moe_viz.analysis.survey import ANALYSES
from moe_viz.trace.provenance import Provenance
from tests.unit.test_analysis import chosen, counted, first, tokens_of
from tests.unit.test_analysis_intervals import THREES, TOPICS
from tests.unit.test_analysis_promises import hits
from tests.unit.varied import varied

LABELLED = {"load", "load_first", "load_second", "repetition", "certainty", "committee"}
ASKED = {**ANALYSES, "favourites": lambda d: analysis.favourites(d, 3)}
ASKED["language_divergence"] = lambda d: analysis.language_divergence(d, "a")
ASKED["compare"] = lambda d: analysis.compare(d.trace, d.trace)
every = pytest.mark.parametrize("name", ASKED)

#: The name of the table, and what its shares are of.
SAID = {
    "load": ("load, either choice", "2 choices of each token"),
    "load_first": ("load, first choice", "first choice of each token"),
    "load_second": ("load, second choice", "second choice of each token"),
    "repetition": ("repetition", "neighbouring tokens of one document"),
    "label_divergence": (
        "label divergence", "mean of 1 pairs of labels, first choices of all tokens of a label"
    ),
    "language_divergence": ("language divergence from a", "passages"),
    "vocabulary": (
        "vocabulary specialisation",
        "first choices of tokens seen at least 10 times, each token counting once",
    ),
    "coactivation": ("co-activation", "tokens that go to the expert"),
    "certainty": ("certainty", "tokens of the label"),
    "margins": ("margins", "tokens"),
    "transitions": ("transitions", "tokens whose first choice is the expert"),
    "paths": ("paths", "tokens"),
    "expert_cache": ("expert cache", "uses of an expert (k for each token)"),
    "committee": ("standing committee", "gates"),
    "committee_overlap": ("committee overlap", "members of either committee"),
    "favourites": ("favourite experts, layer 3", "occurrences of the token"),
    "compare": ("agreement", "tokens"),
}  # fmt: skip
FUNCTIONS = {
    "load_first": analysis.load, "load_second": analysis.load, "margins": analysis.margin_histogram,
}  # fmt: skip


def documents(topics=TOPICS) -> Documents:
    """36 that count, a with 24 and b with 12, of 12 texts; and one with special tokens alone."""
    trace = varied(THREES)
    written = np.arange(len(trace)) % 3 == 0  # what a model wrote counts like what it read
    about = Provenance("a model", dtype="bfloat16", interventions=("k=1 (of 2)",))
    return Documents(replace(trace, generated=written, provenance=about), topics)


@pytest.fixture(scope="module")
def found():
    docs = documents()
    return {name: ask(docs) for name, ask in ASKED.items()}


@every
def test_a_table_has_the_columns_that_its_docstring_names(found, name):
    said = FUNCTIONS.get(name, getattr(analysis, name, None)).__doc__ or ""
    (listed,) = re.findall(r"Columns: (.*?)\.\s", re.sub(r"\([^)]*\)", "", said), re.DOTALL)
    assert sorted(found[name].columns) == sorted(
        re.split(r",\s+", " ".join(listed.split()).replace(" ,", ","))
    )


@every
def test_a_table_says_what_it_is_of_and_out_of_what(found, name):
    assert name in SAID, f"say here in SAID what {name}'s table is called, and what it counts"
    title = "a model · bfloat16 · k=1 (of 2)"
    assert found[name].title == (f"{title} and {title}" if name == "compare" else title)
    assert (found[name].name, found[name].counted) == SAID[name]


@every
def test_documents_are_those_with_a_token_that_counts(found, name):
    of = found[name]
    if name in LABELLED:
        assert {(r["label"], r["documents"]) for r in of.rows()} == {("a", 24), ("b", 12)}
    elif name == "language_divergence":
        assert set(of["documents"]) == {12}  # texts
    elif name not in ("paths", "favourites"):
        assert set(of["documents"]) == {36}


@every
def test_few_documents_are_said_as_many_as_an_interval_rests_on(found, name):
    if name == "compare":  # it knows no topics
        assert found[name].notes == ()
        return
    assert found[name].notes == ("Few documents (12, fewer than 20): treat intervals with care.",)
    many = ASKED[name](documents(topics=None)) if name != "language_divergence" else None
    if many is not None:
        assert bool(many.notes) == (name in LABELLED)  # of b there are twelve


def test_baselines_of_even_routing(found):
    of = {
        name: set(table["uniform"]) for name, table in found.items() if "uniform" in table.columns
    }
    assert of.pop("expert_cache") == {1 / 4, 2 / 4, 3 / 4, 1}
    assert found["expert_cache"]["uniform"].tolist() == (found["expert_cache"]["size"] / 4).tolist()
    assert of == {
        "load": {1 / 4}, "load_first": {1 / 4}, "load_second": {1 / 4},
        "repetition": {1 / 4, 1 - 1 / 6},  # of six pairs of four, one shares no expert with mine
        "vocabulary": {1 / 4}, "coactivation": {1 / 3}, "committee": {2},
    }  # fmt: skip


def test_baselines_follow_the_number_of_experts_and_choices():
    docs = Documents(varied(THREES, E=7, k=3))
    assert set(analysis.load(docs)["uniform"]) == {1 / 7}
    assert set(analysis.coactivation(docs)["uniform"]) == {2 / 6}
    assert set(analysis.committee(docs)["uniform"]) == {4}
    # Of the 35 sets of three, four lie outside of mine.
    assert analysis.repetition(docs).where(what="any choice")["uniform"][0] == pytest.approx(
        31 / 35
    )


# ---- totals, by counting -------------------------------------------------------------------------


def test_totals_are_what_counting_gives(found):
    trace = documents().trace
    for layer, number in enumerate(trace.layers):
        slots = [e for t in tokens_of(trace) for e in chosen(trace, layer, t)]
        assert set(found["expert_cache"].where(layer=number)["accesses"]) == {len(slots)}
        for label in "ab":
            own = tokens_of(trace, label)
            used = [e for t in own for e in chosen(trace, layer, t)]
            firsts = [first(trace, layer, t) for t in own]
            part = {name: found[name].where(layer=number, label=label) for name in LABELLED}
            assert set(part["load"]["assignments"]) == {len(used)}
            assert set(part["load_first"]["assignments"]) == {len(firsts)}
            assert set(part["load_second"]["assignments"]) == {len(used) - len(firsts)}
            assert set(part["certainty"]["tokens"]) == {len(own)}
    assert set(found["compare"]["tokens"]) == {len(tokens_of(trace))}


def test_paths_and_favourites_say_in_how_many_documents(found):
    trace = documents().trace
    ways = [{tuple(first(trace, n, t) for n in range(2)) for t in d} for d in counted(trace)]
    for row in found["paths"].rows():
        way = tuple(map(int, row["path"].split()))
        assert row["documents"] == sum(way in of for of in ways)
    assert found["paths"]["count"].tolist() == sorted(found["paths"]["count"], reverse=True)
    ids = [set(trace.token_ids[d].tolist()) for d in counted(trace)]
    for row in found["favourites"].rows():
        assert row["documents"] == sum(int(row["token"]) in of for of in ids)
    assert found["favourites"]["count"].tolist() == sorted(
        Counter(trace.token_ids[tokens_of(trace)].tolist()).values(), reverse=True
    )
    assert len(analysis.paths(documents(), top=2)) == 2


def test_steps_of_margins_end_at_the_99th_percentile(found):
    trace = documents().trace
    for layer, number in enumerate(trace.layers):
        of = found["margins"].where(layer=number)
        margins = trace.margins[layer, tokens_of(trace)]
        last = np.quantile(margins, 0.99, method="inverted_cdf")
        # Found from the margins' leading bits, and never above what it should be.
        np.testing.assert_allclose(of["start"], last * np.arange(40) / 40, rtol=0.002)
        np.testing.assert_allclose(of["stop"][:-1], of["start"][1:])
        assert of["stop"][-1] == np.inf


def test_members_of_a_committee_are_named_the_strongest_first(found):
    trace = documents().trace
    for row in found["committee"].rows():
        mass, layer = np.zeros(4), trace.layers.index(row["layer"])
        for t in tokens_of(trace, row["label"]):
            for e, gate in zip(trace.experts[layer, t], trace.gates[layer, t], strict=True):
                mass[e] += gate * (e >= 0)
        best = np.argsort(-mass)[: row["size"]]
        assert row["experts"] == " ".join(map(str, best))
        assert row["mass"] == pytest.approx(mass[best].sum() / mass.sum())


def test_a_long_trace_s_cache_is_simulated_on_its_first_documents(monkeypatch):
    docs = documents()
    rows = counted(docs.trace)
    monkeypatch.setattr("moe_viz.analysis.cache.LIMIT", sum(map(len, rows[:5])) + 1)
    found = analysis.expert_cache(docs)
    assert found.notes[0] == "Simulated on the first 5 documents."
    assert found.notes[1].startswith("Few documents (2,")  # of two topics
    assert set(found["documents"]) == {5}
    for layer, number in enumerate(docs.trace.layers):
        wanted = [[e for t in d for e in chosen(docs.trace, layer, t)] for d in rows[:5]]
        own = found.where(layer=number, policy="LRU")
        assert set(own["accesses"]) == {sum(map(len, wanted))}
        expected = [sum(hits(w, size, "LRU") for w in wanted) for size in range(1, 5)]
        np.testing.assert_allclose(own["hit"] * own["accesses"], expected)


def test_a_document_that_is_empty_changes_nothing_but_random_numbers():
    docs = documents()
    without = Counted(docs.trace.select(prompt=list(range(36))), TOPICS[:-1])
    assert docs.independent == without.independent == 12
    assert docs.counted == without.counted == 36
    for name in ("coactivation", "transitions", "margins", "vocabulary", "load"):
        a, b = (ASKED[name](d) for d in (docs, without))
        for column in set(a.columns) - {"low", "high", "p", "shuffled"}:
            assert a[column].tolist() == b[column].tolist(), (name, column)
