# SPDX-License-Identifier: Apache-2.0
"""What the analyses count, against plain loops, scipy and simulations that know nothing of ours."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example
from moe_viz.trace import Trace

SHAPES = [(4, 1), (4, 3), (16, 2), (70, 3)]  # E, k
checked = settings(max_examples=15, deadline=None)


@st.composite
def traces(draw, shapes=SHAPES, labels="ab") -> Trace:
    """A trace of documents from 1 to 9 tokens; some tokens special, some last slots unused."""
    E, k = draw(st.sampled_from(shapes))
    L, lengths = draw(st.integers(1, 3)), draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    rng, T = np.random.default_rng(draw(st.integers(0, 2**32))), sum(lengths)
    logits = rng.normal(size=(L, T, E)) * 2
    chosen = np.argsort(-logits, axis=2)[:, :, :k].astype(np.int16)
    chosen[rng.random(chosen.shape).cumsum(2) > draw(st.sampled_from([k, 1.5]))] = -1
    trace = example(
        chosen, lengths, [labels[n % len(labels)] for n in range(len(lengths))], E,
        rng.integers(0, 4, T), logits,
    )  # fmt: skip
    special = rng.random(T) < draw(st.sampled_from([0, 0.2]))
    special[0] = False
    return replace(trace, special=special)


def counted(trace: Trace, label: str | None = None) -> list[list[int]]:
    """Rows of the tokens that count, document by document."""
    return [
        [t for t in range(p.start, p.stop) if not trace.special[t]]
        for p in trace.prompts
        if label in (None, p.label)
    ]


def tokens_of(trace: Trace, label: str | None = None) -> list[int]:
    return [t for document in counted(trace, label) for t in document]


def chosen(trace: Trace, layer: int, t: int) -> list[int]:
    return [e for e in trace.experts[layer, t].tolist() if e >= 0]


def first(trace: Trace, layer: int, t: int) -> int:
    return int(trace.experts[layer, t, 0])


def neighbours(trace: Trace, label: str | None = None) -> list[tuple[int, int]]:
    """Tokens one after the other, both counted, of one document."""
    return [(a, b) for doc in counted(trace, label) for a, b in pairwise(doc) if b == a + 1]


def same(found, expected) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-9)


# ---- load, repetition, co-activation -------------------------------------------------------------


def test_load_worked_by_hand():
    trace = example([[0, 1], [0, 2], [1, 0], [3, 0]], [3, 1], ["en", "fr"], 4)
    found = analysis.load(trace)
    same(found.where(label="en")["share"], [3 / 6, 2 / 6, 1 / 6, 0])
    same(found.where(label="fr")["share"], [1 / 2, 0, 0, 1 / 2])
    assert found["assignments"].tolist() == [6] * 4 + [2] * 4
    same(analysis.load(trace, "first choice").where(label="en")["share"], [2 / 3, 1 / 3, 0, 0])
    same(analysis.load(trace, "second choice").where(label="en")["share"], [1 / 3] * 3 + [0])


@checked
@given(traces(), st.sampled_from(["either choice", "first choice"]))
def test_loads_are_what_counting_gives(trace, choice):
    found = analysis.load(trace, choice)
    for row in found.rows():
        layer = trace.layers.index(row["layer"])
        slots = [
            e
            for t in tokens_of(trace, row["label"])
            for e in chosen(trace, layer, t)[: None if choice == "either choice" else 1]
        ]
        assert row["share"] == pytest.approx(slots.count(row["expert"]) / len(slots))
        assert row["assignments"] == len(slots)
        assert row["low"] <= row["share"] + 1e-9 or np.isnan(row["low"])
    for label in set(found["label"]):
        for layer in trace.layers:
            assert found.where(label=label, layer=layer)["share"].sum() == pytest.approx(1)


def test_repetition_worked_by_hand():
    # 0 0 1 | 1 1: two of three neighbours; joined, it would be three of four.
    found = analysis.repetition(example([[0], [0], [1], [1], [1]], [3, 2], experts=8))
    row = next(found.where(what="first choice").rows())
    assert row["share"] == 2 / 3
    assert row["pairs"] == 3
    assert row["matched"] == pytest.approx((2 / 5) ** 2 + (3 / 5) ** 2)
    # The paper's baseline for two of eight: 13/28.
    pair = analysis.repetition(example([[0, 1], [2, 3]], experts=8))
    same(pair["uniform"], [1 / 8, 13 / 28])


@checked
@given(traces())
def test_repetitions_are_what_counting_gives(trace):
    for row in analysis.repetition(trace).rows():
        layer = trace.layers.index(row["layer"])
        sets = {t: set(chosen(trace, layer, t)) for t in tokens_of(trace, row["label"])}
        pairs = neighbours(trace, row["label"])
        if row["what"] == "first choice":
            alike = [first(trace, layer, a) == first(trace, layer, b) for a, b in pairs]
            loads = Counter(first(trace, layer, t) for t in sets)
            matched = sum(n * n for n in loads.values()) / len(sets) ** 2
        else:
            alike = [bool(sets[a] & sets[b]) for a, b in pairs]
            matched = np.mean([bool(a & b) for a in sets.values() for b in sets.values()])
        assert row["pairs"] == len(pairs)
        same(row["share"], np.mean(alike) if pairs else np.nan)
        assert row["matched"] == pytest.approx(matched)


@pytest.mark.parametrize("E", [64, 65, 128, 129])
def test_the_last_of_many_experts_is_repeated_as_any_other(E):
    found = analysis.repetition(example([[0, E - 1], [1, E - 1], [2, 3]], experts=E))
    row = next(found.where(what="first or second choice").rows())
    assert row["share"] == 1 / 2
    assert row["matched"] == pytest.approx(5 / 9)


def test_of_very_many_sets_a_sample_is_matched_that_fits_into_memory():
    """Of 7,000 sets each beside each would be 400 MB; independent ones meet as of C(32, 4)."""
    rng = np.random.default_rng(0)
    docs = Documents(example(rng.random((8000, 32)).argsort(1)[:, :4], [4000] * 2, experts=32))
    tracemalloc.start()
    row = next(analysis.repetition(docs).where(what="any choice").rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row["matched"] == pytest.approx(1 - comb(28, 4) / comb(32, 4), abs=0.01)
    assert peak < 250e6


def test_coactivation_worked_by_hand():
    found = analysis.coactivation(example([[0, 1, 2], [2, 0, 3], [3, 1, -1]], experts=4))
    same(found.where(expert=0)["share"], [1 / 2, 2 / 2, 1 / 2])  # with 1, 2, 3, of its two tokens
    same(found.where(expert=3)["share"], [1 / 2, 1 / 2, 1 / 2])
    assert found["uniform"][0] == pytest.approx(2 / 3)


@checked
@given(traces([(4, 2), (16, 2), (16, 3)]))
def test_coactivations_are_what_counting_gives(trace):
    found = analysis.coactivation(trace)
    for layer in range(len(trace.layers)):
        together, alone = Counter(), Counter()
        for t in tokens_of(trace):
            alone.update(chosen(trace, layer, t))
            together.update(
                (i, j) for i in chosen(trace, layer, t) for j in chosen(trace, layer, t)
            )
        for row in found.where(layer=trace.layers[layer]).rows():
            i, j = row["expert"], row["other"]
            assert i != j
            assert row["tokens"] == alone[i]
            same(row["share"], together[i, j] / alone[i] if alone[i] else np.nan)


# ---- tokens --------------------------------------------------------------------------------------


@checked
@given(traces())
def test_vocabulary_and_favourites_are_what_counting_gives(trace):
    tokens = tokens_of(trace)
    frequent = [x for x, n in Counter(trace.token_ids[tokens].tolist()).items() if n >= 2]
    if not frequent:
        return
    found = analysis.vocabulary(trace, minimum=2)
    for row, layer in zip(found.rows(), range(len(trace.layers)), strict=True):
        went = {
            x: Counter(first(trace, layer, t) for t in tokens if trace.token_ids[t] == x)
            for x in frequent
        }
        favourite = {x: max(c.values()) / c.total() for x, c in went.items()}
        assert row["share"] == pytest.approx(np.mean(list(favourite.values())))
        assert row["types"] == len(frequent)
        assert row["occurrences"] == sum(c.total() for c in went.values())
        listed = list(analysis.favourites(trace, trace.layers[layer], minimum=2).rows())
        assert {r["token"]: r["share"] for r in listed} == pytest.approx(
            {str(x): share for x, share in favourite.items()}
        )
        for r in listed:
            x = int(r["token"])
            assert went[x][r["expert"]] == max(went[x].values())
            assert r["count"] == went[x].total()
            assert r["documents"] == sum(x in trace.token_ids[d] for d in counted(trace))


# ---- labels and languages ------------------------------------------------------------------------


@checked
@given(traces(labels="abc"))
def test_label_divergence_is_scipys(trace):
    groups = [label for label in trace.labels if any(counted(trace, label))]
    if len(groups) < len(trace.labels) or len(groups) < 2:
        return
    E = trace.router_logits.shape[2]
    for layer, found in enumerate(analysis.label_divergence(trace)["divergence"]):
        loads = [
            np.bincount([first(trace, layer, t) for t in tokens_of(trace, g)], minlength=E)
            for g in groups
        ]
        pairs = [jensenshannon(p, q, base=2) ** 2 for p, q in combinations(loads, 2)]
        assert found == pytest.approx(np.mean(pairs))


def test_language_divergence_is_scipys():
    rng = np.random.default_rng(3)
    lengths, E = [4, 5, 6, 3, 7, 5], 16
    logits = rng.normal(size=(2, sum(lengths), E))
    trace = example(np.argsort(-logits)[:, :, :2], lengths, ["en", "fr"] * 3, E, logits=logits)
    special = np.zeros(len(trace), bool)
    special[0] = True
    docs = Documents(replace(trace, special=special), ["x", "x", "y", "y", "z", "z"])
    q = np.array(
        [softmax(logits[:, rows], -1).mean(1) for rows in counted(docs.trace)]
    )  # (6, L, E)

    def apart(a: int, b: int) -> np.ndarray:
        room = np.log(E) - (entropy(q[a], axis=1) + entropy(q[b], axis=1)) / 2
        return jensenshannon(q[a], q[b], axis=1) ** 2 / room  # type: ignore[call-arg]

    found = analysis.language_divergence(docs)
    same(found["divergence"], np.mean([apart(0, 1), apart(2, 3), apart(4, 5)], axis=0))
    others = [(0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5)]
    same(found["within"], np.mean([apart(*pair) for pair in others], axis=0))
    assert found["documents"].tolist() == [3, 3]


# ---- certainty -----------------------------------------------------------------------------------


@checked
@given(traces([(4, 1), (4, 4), (16, 2), (70, 3)]))
def test_margins_and_entropies_are_what_sorting_and_scipy_give(trace):
    (L, _, E), k = trace.router_logits.shape, trace.experts.shape[2]
    found = analysis.certainty(trace)
    assert set(found["what"]) == {"entropy"} | ({"margin"} if k < E else set())
    for row in found.rows():
        x = trace.router_logits[trace.layers.index(row["layer"]), tokens_of(trace, row["label"])]
        if row["what"] == "entropy":
            values = entropy(softmax(x.astype(np.float64), 1), axis=1) / np.log(E)
        else:
            values = [sorted(v)[-k] - sorted(v)[-k - 1] for v in x.tolist()]
        assert row["mean"] == pytest.approx(np.mean(values), abs=1e-5)
        assert row["tokens"] == len(x)
    if k < E:
        steps = analysis.margin_histogram(trace, bins=5)
        margins = trace.margins[:, tokens_of(trace)]
        for layer in range(L):
            rows = list(steps.where(layer=layer).rows())
            inside = [
                np.mean((margins[layer] >= r["start"]) & (margins[layer] < r["stop"])) for r in rows
            ]
            same([r["share"] for r in rows], inside)
            assert sum(inside) == pytest.approx(1)


# ---- across layers -------------------------------------------------------------------------------


@checked
@given(traces())
def test_transitions_and_paths_are_what_counting_gives(trace):
    L, tokens = len(trace.layers), tokens_of(trace)
    ways = Counter(tuple(first(trace, layer, t) for layer in range(L)) for t in tokens)
    found = analysis.paths(trace, top=1000)
    listed = {tuple(map(int, r["path"].split())): r["count"] for r in found.rows()}
    assert listed == ways
    assert found["share"].sum() == pytest.approx(1)
    assert found["count"].tolist() == sorted(ways.values(), reverse=True)
    loads = [Counter(way[n] for way in ways.elements()) for n in range(L)]
    for r in found.rows():
        way = map(int, r["path"].split())
        alone = np.prod([loads[n][e] / len(tokens) for n, e in enumerate(way)])
        assert r["independent"] == pytest.approx(alone)
    if L > 1:
        for row in analysis.transitions(trace).rows():
            n, e, f = trace.layers.index(row["layer"]), row["expert"], row["next"]
            moved = Counter(way[n : n + 2] for way in ways.elements())
            same(row["share"], moved[e, f] / loads[n][e] if loads[n][e] else np.nan)
            assert row["tokens"] == loads[n][e]
            assert row["matched"] == pytest.approx(loads[n + 1][f] / len(tokens))
