# SPDX-License-Identifier: Apache-2.0
"""No p-value is 0, what is planted is found, and the statistics are those of enumeration."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example
from moe_viz.analysis.statistics import (
    by_unit,
    corrected,
    exceedance,
    holm,
    sign_flips,
    standardised_flips,
)
from tests.unit.test_analysis import counted, first
from tests.unit.test_analysis_p_values import flipped, holms, largest
from tests.unit.varied import varied

RNG = np.random.default_rng


# ---- the smallest that can be --------------------------------------------------------------------


def planted() -> Documents:
    """30 passages in two languages: experts 0 0 … 1 1 … in one, 2 2 … 1 1 … in the other.

    The second layer does as the first; each token's logits name its expert alone.
    """
    way = np.array([[0] * 12 + [1] * 8, [2] * 12 + [1] * 8] * 30).ravel()
    logits = 9 * np.eye(4)[way] + RNG(0).normal(size=(2, len(way), 4)) / 9
    trace = example([way[:, None]] * 2, [20] * 60, ["a", "b"] * 30, 4, way, logits)
    return Documents(trace, [f"topic {n // 2}" for n in range(60)])


LEAST = {  # after Holm over two layers, where it is Holm's
    "repetition": (lambda d: analysis.repetition(d), 2 / 1001),
    "certainty": (lambda d: analysis.certainty(d).where(what="entropy"), 2 / 1001),
    "expert_cache": (lambda d: analysis.expert_cache(d).where(size=1, policy="LRU"), 2 / 1001),
    "transitions": (lambda d: analysis.transitions(d), 1 / 1001),
    "label_divergence": (lambda d: analysis.label_divergence(d), 2 / 1000),
    "language_divergence": (lambda d: analysis.language_divergence(d, "a"), 2 / 1001),
    "committee_overlap": (lambda d: analysis.committee_overlap(d), 2 / 1000),
    "vocabulary": (lambda d: analysis.vocabulary(d), 1 / 40),
}


@pytest.mark.parametrize("name", LEAST)
def test_what_is_clear_has_the_smallest_p_there_is_and_it_is_not_0(name):
    call, least = LEAST[name]
    p = call(planted())["p"]
    # Some thousandths of all permutations of 30 passages' labels overlap as little.
    most = 4 * least if name == "committee_overlap" else least
    assert least - 1e-9 <= p.min() <= most + 1e-9
    if name != "transitions":  # some of its pairs lead where nothing leads
        assert p.max() <= most + 1e-9


def test_p_is_never_0_however_many_turns():
    x = np.ones((40, 3))
    assert sign_flips(x, RNG(0), 99).tolist() == [1 / 100] * 3
    assert exceedance(np.array([5.0]), np.zeros((99, 1))).tolist() == [1 / 100]
    signs = RNG(0).choice((-1.0, 1.0), (99, 40))
    assert corrected(*standardised_flips(x, signs)).tolist() == [1 / 100] * 3


# ---- the statistics, exactly ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_turned_signs_are_all_of_them(seed):
    x = RNG(seed).normal(size=(9, 3, 2)) + np.array([0, 0.6])
    exact = flipped(x.reshape(9, -1)).reshape(3, 2)
    np.testing.assert_allclose(sign_flips(x, RNG(1), 20_000), exact, atol=0.015)
    every = np.array(list(product((-1.0, 1.0), repeat=9)))
    expected = largest(x.reshape(9, -1)).reshape(3, 2)
    own = corrected(*standardised_flips(x, every))
    np.testing.assert_allclose(own, (expected * 512 + 1) / 513)


def test_exceedance_is_the_share_of_the_null_that_reaches_it():
    null = RNG(0).integers(0, 9, (200, 4)).astype(float)
    observed = np.array([0.0, 4.0, 8.0, 9.0])
    expected = [
        (sum(x >= o for x in column) + 1) / 201 for o, column in zip(observed, null.T, strict=True)
    ]
    np.testing.assert_allclose(exceedance(observed, null), expected)


def test_holms_rule_is_step_by_step():
    for p in RNG(0).random((20, 6)) ** 2:
        np.testing.assert_allclose(holm(p), holms(p))


def test_differences_of_one_unit_are_added_up():
    x = RNG(0).normal(size=(6, 2, 3))
    found = by_unit(x, np.array([4, 0, 4, 2, 0, 4]))
    np.testing.assert_allclose(found, [x[0] + x[2] + x[5], x[1] + x[4], x[3]])


# ---- vocabulary ----------------------------------------------------------------------------------


def worded(how_much: tuple[float, ...], documents: int = 30, T: int = 24) -> Documents:
    """Of 4 words; in each layer, a word's own expert is kept by this share of its occurrences.

    Below 0 a document's occurrences of a word take the experts in turn, as evenly as can be.
    """
    rng, ids = RNG(3), np.tile(np.repeat(range(4), T // 4), documents)
    layers = []
    for share in how_much:
        any_one = rng.integers(0, 4, len(ids))
        own = np.where(rng.random(len(ids)) < share, ids, any_one)
        layers.append(own if share >= 0 else np.arange(len(ids)) % (T // 4) % 4)
    trace = example(np.array(layers)[..., None], [T] * documents, experts=4, token_ids=ids)
    return Documents(trace)


def favourites(docs: Documents, layer: int, rng: np.random.Generator) -> float:
    """Mean of the words' largest shares, each document's choices permuted among its tokens."""
    went = np.zeros((4, 4))
    for rows in counted(docs.trace):
        way = [first(docs.trace, layer, t) for t in rows]
        for t, e in zip(rows, rng.permutation(way), strict=True):
            went[docs.trace.token_ids[t], e] += 1
    return float((went.max(1) / went.sum(1)).mean())


def test_words_are_compared_with_shuffled_ones():
    docs = worded((0.0, 0.04, 0.06))
    tables = [analysis.vocabulary(docs, seed=n) for n in range(12)]
    null = np.array([[favourites(docs, n, RNG([m, n])) for n in range(3)] for m in range(80)])
    np.testing.assert_allclose(
        np.mean([t["shuffled"] for t in tables], 0), null.mean(0), atol=0.004
    )
    own, spread = tables[0]["share"], null.std(0)
    highest = ((null - null.mean(0)) / spread).max(1)
    p = (39 * (highest[:, None] >= (own - null.mean(0)) / spread).mean(0) + 1) / 40
    assert ((p > 0.05) & (p < 0.45)).any()  # neither clear nor nothing
    np.testing.assert_allclose(np.mean([t["p"] for t in tables], 0), p, atol=0.08)


def test_words_with_an_expert_are_found_and_words_spread_evenly_are_not():
    found = analysis.vocabulary(worded((0.5, -1.0)))
    assert found["p"].tolist() == [1 / 40, 1]
    assert found["share"][0] > found["shuffled"][0] + 0.2
    assert found["uniform"].tolist() == [1 / 4] * 2


# ---- directions ----------------------------------------------------------------------------------


def test_what_leaves_its_expert_is_told_from_chance_too():
    way = np.tile([0, 1], 15)
    docs = Documents(example(np.tile(way, 25)[:, None], [30] * 25, experts=4))
    found = analysis.repetition(docs).where(what="first choice")
    assert found["share"].tolist() == [0]
    assert found["shuffled"][0] == pytest.approx(14 / 29, abs=0.02)
    assert found["p"].tolist() == [1 / 1001]


def test_labels_more_alike_than_chance_have_a_large_p():
    """Each document exactly like all others: permuted labels are as near, never nearer."""
    way = np.tile([0, 0, 1, 2], 12)
    docs = Documents(example(way[:, None], [4] * 12, ["a", "b"] * 6, 4))
    assert analysis.label_divergence(docs)["p"].tolist() == [1]
    assert analysis.label_divergence(docs)["null"].tolist() == [0]
    found = analysis.committee_overlap(docs)
    assert (found["overlap"].tolist(), found["null"].tolist(), found["p"].tolist()) == (
        [1],
        [1],
        [1],
    )


HOLMS = {
    "repetition": analysis.repetition,
    "certainty": analysis.certainty,
    "expert_cache": lambda d: analysis.expert_cache(d).where(policy=["LRU", "LFU"]),
    "language_divergence": lambda d: analysis.language_divergence(d, "a"),
}


@pytest.mark.parametrize("name", HOLMS)
def test_a_layer_that_is_there_twice_has_twice_the_p(name):
    """Holm's correction of two equal p-values."""
    one = varied(["a", "b"] * 10, seed=6, E=6).select(layers=[3])
    fields = {
        n: np.repeat(getattr(one, n), 2, axis=0) for n in ("router_logits", "experts", "gates")
    }
    two = replace(one, layers=(3, 4), **fields)
    topics = [f"topic {n // 2}" for n in range(20)]
    single, double = (HOLMS[name](Documents(t, topics)) for t in (one, two))
    expected = np.minimum(2 * single["p"], 1)
    assert expected.min() < 0.95
    for layer in (3, 4):
        np.testing.assert_allclose(double.where(layer=layer)["p"], expected, atol=0.07)
