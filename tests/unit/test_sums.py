# SPDX-License-Identifier: Apache-2.0
"""Intervals from sums of squares are those of the bootstrap, where both can be made."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from moe_viz import analysis
from moe_viz.analysis.documents import Documents
from moe_viz.analysis.examples import example
from moe_viz.analysis.sums import bounded_p, pair_shares, pairs_within, sums_of


@pytest.fixture(scope="module", params=[8, 40], ids=["many sightings", "few"])
def trace(request):
    """120 documents of 40 tokens under three labels, whose experts differ by document."""
    rng = np.random.default_rng(5)
    documents, n, E, k = 120, 40, request.param, 3
    tastes = rng.normal(0, 1, (documents, 1, E))
    scores = tastes + rng.gumbel(size=(documents, n, E))
    chosen = np.argsort(-scores, axis=2)[..., :k].reshape(-1, k)
    return example(
        chosen.tolist(), lengths=[n] * documents, labels=list("abc") * (documents // 3), experts=E
    )


def test_shares_are_equal_and_intervals_close(trace, monkeypatch):
    dense = analysis.coactivation(trace)
    monkeypatch.setattr("moe_viz.analysis.sums.MOST", 0)
    sparse = analysis.coactivation(trace)
    assert sparse.notes[0].startswith("Intervals come from sums of squares over documents")
    for name in ("layer", "expert", "other", "tokens", "uniform"):
        assert np.array_equal(dense[name], sparse[name])
    for name in ("share", "matched"):
        np.testing.assert_allclose(sparse[name], dense[name], rtol=1e-9)
    widths = [found["high"] - found["low"] for found in (dense, sparse)]
    assert np.median(widths[1] / widths[0]) == pytest.approx(1, abs=0.05)
    if trace.expert_count == 8:  # else most pairs are seen too seldom for either
        np.testing.assert_allclose(widths[1], widths[0], rtol=0.25)
        assert (abs(sparse["low"] - dense["low"]) < 0.25 * widths[0]).all()


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """Documents drawn anew: the share of all of them lies inside in about 95 of 100 cases."""
    rng, inside, E = np.random.default_rng(1), [], 4
    for _ in range(200):
        taste = rng.beta(2, 2, 60)
        second = np.where(rng.random((60, 20)) < taste[:, None], 1, 2)
        chosen = np.stack([np.zeros_like(second), second], 2).reshape(-1, 2)
        units = np.repeat(np.arange(60), 20)
        alone = [np.bincount(units[(chosen == e).any(1)], minlength=60) for e in range(E)]
        alone, strata = np.stack(alone, 1), np.zeros(60, int)
        sums = sums_of(pairs_within(units, chosen, 60, E), alone, strata)
        share, low, high = pair_shares(sums, alone, strata, 60)
        assert share[0, 1] == pytest.approx((second == 1).mean())
        inside.append(low[0, 1] <= 0.5 <= high[0, 1])
    assert 0.90 <= np.mean(inside) <= 0.99


def test_one_document_gives_no_interval():
    experts = np.array([[0, 1], [1, 0], [0, 1], [0, -1]])
    alone, strata = np.array([[4, 3]]), np.zeros(1, int)
    sums = sums_of(pairs_within(np.zeros(4, int), experts, 1, 2), alone, strata)
    share, low, high = pair_shares(sums, alone, strata, 1)
    assert share[0, 1] == 0.75
    assert share[1, 0] == 1
    assert np.isnan(low).all()
    assert np.isnan(high).all()


@pytest.fixture(scope="module")
def layered():
    """60 texts in two languages, each pair resampled as one; expert 0 leads to expert 3."""
    rng = np.random.default_rng(2)
    documents, n, E = 120, 60, 8
    first = rng.integers(0, E, documents * n)
    then = np.where(
        (first == 0) & (rng.random(len(first)) < 0.6), 3, rng.integers(0, E, len(first))
    )
    layers = [[[int(e)] for e in layer] for layer in (first, then)]
    made = example(layers, lengths=[n] * documents, labels=["a", "b"] * 60, experts=E)
    return Documents(made, topics=[str(d // 2) for d in range(documents)])


def test_transitions_from_sums_are_those_of_resamples(layered, monkeypatch):
    dense = analysis.transitions(layered)
    monkeypatch.setattr("moe_viz.analysis.sums.MOST", 0)
    sums = analysis.transitions(layered)
    assert any("Hoeffding" in note for note in sums.notes)
    assert list(sums.columns) == list(dense.columns)
    for name in ("layer", "expert", "next", "tokens", "documents"):
        assert np.array_equal(dense[name], sums[name])
    for name in ("share", "matched", "shuffled"):
        np.testing.assert_allclose(sums[name], dense[name], rtol=1e-9)
    widths = [found["high"] - found["low"] for found in (dense, sums)]
    assert np.median(widths[1] / widths[0]) == pytest.approx(1, abs=0.05)
    for found in (dense, sums):
        p = found["p"].reshape(8, 8)
        assert p[0, 3] < 0.002
        assert (p[1:][:, [0, 1, 2, 4, 5, 6, 7]] > 0.05).all()


def test_a_bound_is_never_below_what_signs_do():
    """All 2¹² signs of twelve differences: as many reach the sum as the bound allows, at most."""
    rng = np.random.default_rng(0)
    signs = np.array(list(product((-1, 1), repeat=12)))
    for _ in range(50):
        d = rng.normal(rng.uniform(0, 2), 1, 12)
        exact = (abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()
        once = [(u, np.array([0]), np.array([1.0])) for u in range(12)]
        sums = sums_of(once, np.ones((12, 1)), np.zeros(12, int), lambda u, d=d: 1 - d[u : u + 1])
        assert exact <= bounded_p(sums)[0, 0]
