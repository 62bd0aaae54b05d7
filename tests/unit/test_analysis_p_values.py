# SPDX-License-Identifier: Apache-2.0
"""Every p-value of every analysis against all the ways that chance could have gone.

Signs of documents flipped in every way, labels permuted in every way, tokens shuffled by other
loops; then Holm's correction step by step, or the largest of all.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon  # its stub lacks axis
from scipy.special import softmax
from scipy.stats import entropy

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example
from moe_viz.trace import Trace
from tests.unit.test_analysis import counted, first
from tests.unit.test_analysis_intervals import halves, masses
from tests.unit.test_analysis_promises import hits
from tests.unit.varied import varied

NEAR = 0.06  # a thousand turns find p = 0.5 within 0.05, three times its error, and Holm adds up


def flipped(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of each column of (N, rows): all 2^N signs."""
    signs = np.array(list(product((-1, 1), repeat=len(differences))), float)
    return (np.abs(signs @ differences) >= np.abs(differences.sum(0)) - 1e-9).mean(0)


def largest(differences: np.ndarray) -> np.ndarray:
    """… corrected: how often the largest of all columns, each in its own units, is as large."""
    scaled = differences / np.maximum(np.sqrt((differences**2).sum(0)), 1e-300)
    signs = np.array(list(product((-1, 1), repeat=len(differences))), float)
    highest = np.abs(signs @ scaled).max(1)
    return (highest[:, None] >= np.abs(scaled.sum(0)) - 1e-9).mean(0)


def holms(p: np.ndarray) -> list[float]:
    """Step by step: the smallest times m, the next times m − 1, never less than the one before."""
    found, least = [0.0] * len(p), 0.0
    for rank, n in enumerate(np.argsort(p)):
        least = max(least, min(1, p[n] * (len(p) - rank)))
        found[n] = least
    return found


def added(values: np.ndarray, units: list) -> np.ndarray:
    """Documents' numbers, those of one unit added up."""
    return np.array(
        [
            values[[n for n, u in enumerate(units) if u == unit]].sum(0)
            for unit in dict.fromkeys(units)
        ]
    )


def telling(p) -> None:
    """Neither all clear nor all nothing: a p-value turned round or halved would be seen."""
    assert ((np.array(p) > 0.02) & (np.array(p) < 0.4)).any()


# ---- order within documents ----------------------------------------------------------------------

#: How much the tokens of each document keep the expert before (+) or leave it (−), in two layers.
KEEP = np.array(
    [
        [0.5, 0.6, -0.9, 0.4, -0.8, 0.5, 0.3, 0.6, -0.5],
        [0.3, 0.4, 0.2, -0.6, 0.5, 0.4, 0.2, 0.5, 0.3],
    ]
)
TEXTS = [*range(7), 7, 7]  # the last two documents are of one text
LENGTH = 120


def wavering() -> Trace:
    """Nine documents that keep, or leave, their experts, one expert a token of three."""
    rng, L, N = np.random.default_rng(0), *KEEP.shape
    experts = rng.integers(0, 3, (L, N, LENGTH))
    for layer, n, t in product(range(L), range(N), range(1, LENGTH)):
        if rng.random() < abs(KEEP[layer, n]):
            before = experts[layer, n, t - 1]
            experts[layer, n, t] = (
                before if KEEP[layer, n] > 0 else (before + rng.integers(1, 3)) % 3
            )
    return example(experts.reshape(L, -1, 1), [LENGTH] * N, experts=3)


def by_order(trace: Trace, count: Callable[[list[int]], float]) -> np.ndarray:
    """Observed less the mean of 60 shuffles, of each document and layer: (N, L)."""
    rng, found = np.random.default_rng(5), np.zeros((9, 2))
    for n, rows in enumerate(counted(trace)):
        for layer in range(2):
            way = [first(trace, layer, t) for t in rows]
            found[n, layer] = count(way) - np.mean(
                [count(rng.permutation(way).tolist()) for _ in range(60)]
            )
    return found


@pytest.mark.parametrize("together", [True, False], ids=["two of one text", "alone"])
def test_repetition_against_all_signs_of_documents(together):
    trace = wavering()
    apart = by_order(trace, lambda way: sum(a == b for a, b in pairwise(way)))
    units = TEXTS if together else list(range(9))
    expected = holms(flipped(added(apart, units)))
    docs = Documents(trace)
    docs.units = np.array(units)
    tables = [analysis.repetition(docs, seed=n) for n in range(6)]
    telling(expected)
    for what in ("first choice", "any choice"):  # the same where there is one choice
        found = np.mean([table.where(what=what)["p"] for table in tables], axis=0)
        np.testing.assert_allclose(found, expected, atol=NEAR)


@pytest.mark.parametrize("together", [True, False], ids=["two of one text", "alone"])
def test_a_cache_against_all_signs_of_documents(together):
    trace, docs = wavering(), Documents(wavering())
    units = TEXTS if together else list(range(9))
    docs.units = np.array(units)
    found = analysis.expert_cache(docs)
    for size, policy in ((1, "LRU"), (2, "LRU"), (2, "LFU")):
        apart = by_order(trace, lambda way, s=size, p=policy: hits(list(way), s, p))
        expected = holms(flipped(added(apart, units)))
        telling(expected)
        own = found.where(size=size, policy=policy)["p"]
        np.testing.assert_allclose(own, expected, atol=0.12)  # one shuffle, not sixty
    assert (found.where(size=3)["p"] == 1).all()  # with room for all, order is nothing
    at_random = found.where(size=1, policy="random")["p"]
    np.testing.assert_allclose(at_random, found.where(size=1, policy="LRU")["p"], atol=NEAR)


@pytest.mark.parametrize("together", [True, False], ids=["two of one text", "alone"])
def test_certainty_against_all_signs_of_documents(together):
    rng, L, N, T, E = np.random.default_rng(1), 2, 9, 40, 3
    # Experts that rise and fall together have a smaller margin than shuffled ones.
    alike = np.maximum(KEEP.T, 0)[:, :, None]  # (N, L, 1)
    logits = rng.normal(size=(L, N, T, 1)) * 2 * alike.transpose(1, 0, 2)[..., None]
    logits = logits + rng.normal(size=(L, N, T, E)) * (1.2 - alike.transpose(1, 0, 2)[..., None])
    apart_from = np.where(KEEP[..., None] < 0, 3.0, 0.0)  # others have one expert far above
    np.put_along_axis(logits, rng.integers(0, E, (L, N, T, 1)), apart_from[..., None] + 1, 3)
    flat = logits.reshape(L, N * T, E)
    docs = Documents(example(np.argsort(-flat)[:, :, :1], [T] * N, experts=E, logits=flat))
    docs.units = np.array(TEXTS if together else range(9))
    found = analysis.certainty(docs)
    every = np.array(list(product(range(T), repeat=E)))  # which token each expert's logit is from

    def measured(x: np.ndarray, what: str) -> float:
        ordered = np.sort(x, 1)
        if what == "margin":
            return (ordered[:, -1] - ordered[:, -2]).mean()
        return (entropy(softmax(x, 1), axis=1) / np.log(E)).mean()

    for what in ("margin", "entropy"):
        own = np.array([[measured(x, what) for x in layer] for layer in logits])  # (L, N)
        mixed = np.array([[measured(x[every, range(E)], what) for x in layer] for layer in logits])
        part = found.where(what=what)
        np.testing.assert_allclose(part["shuffled"], mixed.mean(1), atol=0.1)
        expected = holms(flipped(added((own - mixed).T, docs.units.tolist())))
        np.testing.assert_allclose(part["p"], expected, atol=0.15)


@pytest.mark.parametrize("together", [True, False], ids=["parallel", "alone"])
def test_transitions_against_all_signs_and_the_largest_of_all(together):
    rng, N = np.random.default_rng(2), 18 if together else 9
    experts = rng.integers(0, 3, (3, N, 40))
    for n, layer in product(range(N), range(2)):  # a document's tokens stay, or all move on by one
        follows = rng.random(40) < 0.5 * rng.random()
        move = rng.random() < 0.3
        experts[layer + 1, n, follows] = (experts[layer, n, follows] + move) % 3
    trace = example(experts.reshape(3, -1, 1), [40] * N, experts=3)
    docs = Documents(trace)
    units = [n // 2 for n in range(18)] if together else list(range(9))
    docs.units = np.array(units)
    apart = []
    for rows in counted(trace):
        for layer in range(2):
            moves = np.zeros((3, 3))
            for t in rows:
                moves[first(trace, layer, t), first(trace, layer + 1, t)] += 1
            apart.append(moves - np.outer(moves.sum(1), moves.sum(0)) / len(rows))
    each = np.array(apart).reshape(-1, 2 * 9)
    expected = largest(added(each, units))
    telling(expected)
    np.testing.assert_allclose(analysis.transitions(docs)["p"], expected, atol=NEAR)


# ---- labels permuted -----------------------------------------------------------------------------


def permutations(labels: str, paired: bool) -> list[np.ndarray]:
    """Every permutation of these labels, within pairs of documents or among all."""
    if paired:
        swaps = product((False, True), repeat=len(labels) // 2)
        return [np.array([g for s in swap for g in ("ba" if s else "ab")]) for swap in swaps]
    ways = combinations(range(len(labels)), labels.count("a"))
    return [np.where(np.isin(range(len(labels)), way), "a", "b") for way in ways]


@pytest.mark.parametrize("paired", [True, False], ids=["parallel", "alone"])
@pytest.mark.parametrize("name", ["divergence", "overlap"])
def test_labels_against_all_their_permutations(name, paired):
    labels = "ab" * 4
    trace = varied([*labels, "a"], seed=12, E=6, apart=0.8).select(prompt=list(range(8)))
    docs = Documents(trace, [f"topic {n // 2}" for n in range(8)] if paired else None)
    if name == "divergence":
        per = np.zeros((8, 2, 6))
        for n, rows in enumerate(counted(trace)):
            for layer, t in product(range(2), rows):
                per[n, layer, first(trace, layer, t)] += 1
        found, column = analysis.label_divergence(docs), "divergence"
    else:
        per, found, column = masses(trace), analysis.committee_overlap(docs), "overlap"

    def between(permuted: np.ndarray) -> np.ndarray:
        a, b = (per[permuted == g].sum(0) for g in "ab")
        if name == "divergence":
            return jensenshannon(a, b, base=2, axis=1) ** 2  # pyright: ignore[reportCallIssue]
        a, b = halves(a), halves(b)
        return (a & b).sum(-1) / (a | b).sum(-1)

    own, null = (
        between(np.array([*labels])),
        np.array([between(d) for d in permutations(labels, paired)]),
    )
    np.testing.assert_allclose(found[column], own)
    np.testing.assert_allclose(found["null"], null.mean(0), atol=0.03)
    extreme = null >= own - 1e-9 if name == "divergence" else null <= own + 1e-9
    np.testing.assert_allclose(found["p"], holms(extreme.mean(0)), atol=NEAR)


def test_languages_against_all_signs_of_passages():
    trace = varied(["en", "fr"] * 9 + ["en"], E=8, seed=3, apart=0.6)
    docs = Documents(trace, [*(f"topic {n // 2}" for n in range(18)), "empty"])
    q = np.array([softmax(trace.router_logits[:, r], -1).mean(1) for r in counted(trace)[:18]])

    def distance(a: int, b: int) -> np.ndarray:
        room = np.log(8) - (entropy(q[a], axis=-1) + entropy(q[b], axis=-1)) / 2
        return jensenshannon(q[a], q[b], axis=-1) ** 2 / room  # pyright: ignore[reportCallIssue]

    apart = np.array([distance(n, n + 1) for n in range(0, 18, 2)])
    within = np.zeros((9, 2))
    for n, language in product(range(9), range(2)):
        others = [distance(2 * n + language, 2 * m + language) for m in range(9) if m != n]
        within[n] += np.mean(others, axis=0) / 2
    found = analysis.language_divergence(docs)
    np.testing.assert_allclose(found["divergence"], apart.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["within"], within.mean(0), rtol=1e-5)
    expected = holms(flipped(apart - within))
    np.testing.assert_allclose(found["p"], expected, atol=NEAR)
    telling(expected)
