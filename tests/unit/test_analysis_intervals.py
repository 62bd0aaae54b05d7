# SPDX-License-Identifier: Apache-2.0
"""Every analysis's interval against scipy's bootstrap, or a jackknife, of the same documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon  # its stub lacks axis
from scipy.special import softmax
from scipy.stats import entropy

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.statistics import interval, reflected, resamples
from moe_viz.analysis.survey import ANALYSES
from moe_viz.trace import Trace
from tests.unit.test_analysis import counted, first
from tests.unit.varied import PER_DOCUMENT, sums_of, varied

BY_LABEL = {"load", "load_first", "load_second", "repetition", "certainty"}
#: Twelve texts, each with two documents labelled a and one labelled b, then one that is empty.
THREES = [*("a", "b", "a") * 12, "a"]
TOPICS = [*(f"topic {n // 3}" for n in range(36)), ""]


def ratios(total: np.ndarray) -> np.ndarray:
    """Sums (…, 2 · rows), numerators and denominators in turn → (…, rows)."""
    return total[..., ::2] / np.maximum(total[..., 1::2], 1e-300)


def scipys(
    sums: np.ndarray,
    units: list,
    strata: list,
    statistic: Callable[[np.ndarray], np.ndarray] = ratios,
) -> tuple[np.ndarray, np.ndarray]:
    """The interval from what documents add, (N, columns): units are drawn, each in its stratum."""
    groups = []
    for stratum in dict.fromkeys(strata):
        there = dict.fromkeys(u for u, s in zip(units, strata, strict=True) if s == stratum)
        mine = [sums[[m for m, v in enumerate(units) if v == unit]].sum(0) for unit in there]
        groups.append(np.array(mine))
    n = sum(map(len, groups))
    tail = float(stats.norm.cdf(stats.t.ppf(0.025, n - 1) * np.sqrt(n / (n - 1))))

    def of(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        total = np.sum([g[d].sum(-2) for g, d in zip(groups, drawn, strict=True)], axis=0)
        return np.moveaxis(statistic(total), -1, 0)

    found = stats.bootstrap(
        [np.arange(len(g)) for g in groups], of, n_resamples=3000, batch=500, vectorized=True,
        confidence_level=1 - 2 * tail, method="percentile", rng=0,
    ).confidence_interval  # fmt: skip
    return found.low, found.high


def alike(found, expected, part: float = 0.12) -> None:
    """Both ends, within this part of the width, and the widths together."""
    (low, high), (lowest, highest) = found, expected
    width = highest - lowest
    assert (width > 0).mean() > 0.7
    assert (np.abs(low - lowest) <= part * width + 1e-9).all()
    assert (np.abs(high - highest) <= part * width + 1e-9).all()
    assert (high - low).mean() == pytest.approx(width.mean(), rel=0.07)  # Student's is 0.15 wider


def ends(found, **where) -> tuple[np.ndarray, np.ndarray]:
    part = found.where(**where)
    return part["low"], part["high"]


# ---- shares, means, rates ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PER_DOCUMENT)
@pytest.mark.parametrize("together", [True, False], ids=["parallel", "alone"])
def test_an_interval_is_that_of_scipys_bootstrap(name, together):
    trace = varied(THREES)
    docs = Documents(trace, TOPICS if together else None)
    units = TOPICS[:-1] if together else list(range(36))
    found = ANALYSES[name](docs)
    if name == "expert_cache":
        found = found.where(policy=["LRU", "LFU"])
    if name == "margins":
        found = analysis.margin_histogram(docs, bins=5)
    rows = list(found.rows())
    sums = sums_of(name, trace, rows)[:36]
    for label in ("a", "b") if name in BY_LABEL else ("",):
        members = [n for n in range(36) if label in ("", THREES[n])]
        of = [m for m, row in enumerate(rows) if row.get("label", "") == label]
        mine = sums[np.ix_(members, of)].reshape(len(members), -1)
        # What stands alone is drawn among its label, so that no resample lacks one.
        strata = [THREES[n] if not together else "" for n in members]
        expected = scipys(mine, [units[n] for n in members], strata)
        alike((found["low"][of], found["high"][of]), expected)


def test_a_cache_that_evicts_at_random_has_an_interval_like_the_others():
    found = analysis.expert_cache(varied(THREES))
    for size in (1, 4):  # with room for one, or for all, nothing is left to chance
        own, lru = (ends(found, policy=p, size=size) for p in ("random", "LRU"))
        np.testing.assert_allclose(own, lru)
    own, lru = (found.where(policy=p, size=[2, 3]) for p in ("random", "LRU"))
    assert (own["low"] < own["hit"]).all()
    assert (own["hit"] < own["high"]).all()
    widths = (own["high"] - own["low"]) / (lru["high"] - lru["low"])
    assert (widths > 0.6).all()
    assert (widths < 1.6).all()


@pytest.mark.parametrize("together", [True, False], ids=["parallel", "alone"])
def test_the_agreement_of_runs_has_scipys_interval(together, monkeypatch):
    a, b = varied(THREES), varied(THREES, seed=1)
    later = a.experts.copy()
    for n, prompt in enumerate(a.prompts):  # the n-th document parts from its n-th token on
        rows = slice(min(prompt.start + n // 2, prompt.stop), prompt.stop)
        later[:, rows] = (a.experts[:, rows] + np.where(a.experts[:, rows] >= 0, n % 3, 0)) % 4
        later[:, rows][a.experts[:, rows] < 0] = -1
    b = replace(a, experts=later)
    if together:
        monkeypatch.setattr("moe_viz.analysis.documents.topics_of", lambda texts: list(TOPICS))
    found = analysis.compare(a, b)
    sums = []
    for rows in counted(a)[:36]:
        sums.append([])
        for what in ("overlap", "identical", "first"):
            for layer in range(2):
                of = [[[*x.experts[layer, t]] for x in (a, b)] for t in rows]
                sets = [({*x} - {-1}, {*y} - {-1}) for x, y in of]
                value = {
                    "overlap": sum(len(x & y) / max(len(x), len(y)) for x, y in sets),
                    "identical": sum(x == y for x, y in sets),
                    "first": sum(x[0] == y[0] for x, y in of),
                }[what]
                sums[-1] += [value, len(rows)]
    strata = THREES[:36] if not together else [""] * 36
    units = TOPICS[:36] if together else list(range(36))
    alike(ends(found), scipys(np.array(sums, float), units, strata))


# ---- committees ----------------------------------------------------------------------------------


def masses(trace: Trace) -> np.ndarray:
    """Gates of each document for each expert of each layer: (N, L, E)."""
    L, _, E = trace.router_logits.shape
    mass = np.zeros((len(trace.prompts), L, E))
    for n, rows in enumerate(counted(trace)):
        for layer in range(L):
            for t in rows:
                for e, gate in zip(trace.experts[layer, t], trace.gates[layer, t], strict=True):
                    mass[n, layer, e] += gate if e >= 0 else 0
    return mass


def halves(mass: np.ndarray) -> np.ndarray:
    """The fewest experts that take half, (…, E) → bool: those whose betters take less than half."""
    betters = np.where(mass[..., None, :] > mass[..., :, None], mass[..., None, :], 0).sum(-1)
    return betters < mass.sum(-1, keepdims=True) / 2


def test_the_size_of_a_committee_has_scipys_interval():
    trace = varied(THREES, E=48, k=3, apart=1.5)
    found = analysis.committee(Documents(trace, TOPICS))
    mass = masses(trace)[:36]
    for label in "ab":
        members = [n for n in range(36) if THREES[n] == label]
        units, strata = [TOPICS[n] for n in members], [""] * len(members)
        low, high = scipys(
            mass[members].reshape(len(members), -1), units, strata,
            lambda x: halves(x.reshape(*x.shape[:-1], 2, 48)).sum(-1) + 0.0,
        )  # fmt: skip
        own = ends(found, label=label)
        assert (high - low >= 3).all()
        assert np.abs(np.array(own) - [low, high]).sum() <= 1  # they are whole numbers


def test_the_overlap_of_committees_has_scipys_interval():
    trace = varied(THREES, E=24, apart=1.5)
    found = analysis.committee_overlap(Documents(trace, TOPICS))
    mass = masses(trace)[:36]
    both = np.stack([mass * (np.array(THREES[:36]) == g)[:, None, None] for g in "ab"], 1)

    def jaccard(x: np.ndarray) -> np.ndarray:
        a, b = np.moveaxis(halves(x.reshape(*x.shape[:-1], 2, 2, 24)), -3, 0)
        return (a & b).sum(-1) / (a | b).sum(-1)

    low, high = scipys(both.reshape(36, -1), TOPICS[:36], [""] * 36, jaccard)
    assert (high - low > 0.2).all()
    assert np.abs(np.array(ends(found)) - [low, high]).max() < 0.06


# ---- divergences, reflected or not ---------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False], ids=["parallel", "alone"])
def test_the_divergence_of_labels_has_scipys_interval_turned_around(together):
    trace = varied(THREES, apart=0.7)
    found = analysis.label_divergence(Documents(trace, TOPICS if together else None))
    counts = np.zeros((36, 2, 2, 4))  # documents, labels, layers, experts
    for n, rows in enumerate(counted(trace)[:36]):
        for layer in range(2):
            for t in rows:
                counts[n, "ab".index(THREES[n]), layer, first(trace, layer, t)] += 1

    def apart(x: np.ndarray) -> np.ndarray:
        a, b = np.moveaxis(x.reshape(*x.shape[:-1], 2, 2, 4), -3, 0)
        return jensenshannon(a, b, base=2, axis=-1) ** 2  # pyright: ignore[reportCallIssue]

    estimate = apart(counts.sum(0).ravel())
    units = TOPICS[:36] if together else list(range(36))
    strata = [""] * 36 if together else THREES[:36]
    low, high = scipys(counts.reshape(36, -1), units, strata, apart)
    np.testing.assert_allclose(found["divergence"], estimate)
    alike(ends(found), (np.maximum(2 * estimate - high, 0), np.maximum(2 * estimate - low, 0)))
    assert (found["high"] > estimate).all()


def test_the_divergence_of_languages_has_scipys_interval_over_passages():
    trace = varied(["en", "fr"] * 12 + ["en"], E=8)
    topics = [*(f"topic {n // 2}" for n in range(24)), "empty"]
    found = analysis.language_divergence(Documents(trace, topics))
    q = np.array(
        [softmax(trace.router_logits[:, rows], -1).mean(1) for rows in counted(trace)[:24]]
    )
    a, b = q[::2], q[1::2]
    room = np.log(8) - (entropy(a, axis=-1) + entropy(b, axis=-1)) / 2
    each = jensenshannon(a, b, axis=-1) ** 2 / room  # pyright: ignore[reportCallIssue]  # (12, L)
    sums = np.stack([each, np.ones_like(each)], -1).reshape(12, -1)
    alike(ends(found), scipys(sums, list(range(12)), [""] * 12))


def test_vocabulary_has_a_jackknifes_interval_with_students_quantiles():
    # Twelve texts: each is left out once.
    trace = varied(THREES)
    found = analysis.vocabulary(Documents(trace, TOPICS), minimum=20)
    rows, ids = counted(trace), trace.token_ids
    every = [t for document in rows for t in document]
    frequent = [x for x in set(ids.tolist()) if (ids[every] == x).sum() >= 20]
    for row, layer in zip(found.rows(), range(2), strict=True):

        def share(left_out: str, layer: int = layer) -> float:
            kept = [t for n, d in enumerate(rows) for t in d if TOPICS[n] != left_out]
            went = [[first(trace, layer, t) for t in kept if ids[t] == x] for x in frequent]
            return float(np.mean([max(map(w.count, set(w))) / len(w) for w in went if w]))

        without = np.array([share(f"topic {n}") for n in range(12)])
        error = np.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
        wide = stats.t.ppf(0.975, 11) * error
        assert [row["low"], row["high"]] == pytest.approx(
            [row["share"] - wide, row["share"] + wide]
        )


# ---- few documents -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 8, 20, 200])
def test_few_documents_widen_an_interval_to_students_quantile(n):
    """Of a mean of n: its resamples spread by s/√n · √((n−1)/n), and ±t(n−1) · s/√n is asked."""
    evenly = (np.arange(1_000_000) + 0.5) / 1_000_000
    values = stats.norm.ppf(evenly) * np.sqrt((n - 1) / n)  # in units of s/√n
    low, high = interval(values[:, None], n)
    t = stats.t.ppf(0.975, n - 1)
    assert [low[0], high[0]] == pytest.approx([-t, t], rel=0.005)


def test_one_document_gives_no_interval():
    assert np.isnan(interval(np.arange(1000.0)[:, None], 1)).all()


@pytest.mark.parametrize("name", ["load", "repetition", "certainty", "committee", "expert_cache"])
def test_documents_of_one_text_give_no_interval(name):
    """However many there are: of other texts they say nothing."""
    trace = varied([*("a", "b") * 3, "b"])
    docs = Documents(trace, ["x"] * 7)
    assert np.isnan(ANALYSES[name](docs)["low"]).all()


def test_reflection_turns_an_interval_around_its_estimate():
    values = np.arange(1001.0)[:, None] / 1000
    low, high = reflected(np.array([0.4]), values, 10**9)
    assert [low[0], high[0]] == pytest.approx([max(2 * 0.4 - 0.975, 0), 2 * 0.4 - 0.025], abs=1e-6)


def test_units_are_drawn_as_often_as_there_are_in_each_stratum():
    units, strata = np.array([5, 5, 1, 2, 7, 8, 9]), np.array([0, 0, 0, 0, 1, 1, 1])
    drawn = resamples(units, np.random.default_rng(0), 4000, strata)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, [0, 2, 3]].sum(1) == 3).all()
    assert (drawn[:, 4:].sum(1) == 3).all()
    # Of three drawn with replacement, one is drawn 0, 1, 2, 3 times in 8, 12, 6, 1 of 27.
    for column in (0, 2, 3, 4, 5, 6):
        seen = np.bincount(drawn[:, column].astype(int), minlength=4) / 4000
        assert seen == pytest.approx(np.array([8, 12, 6, 1]) / 27, abs=0.03)
