# SPDX-License-Identifier: Apache-2.0
"""Intervals and p-values over documents: the tokens of one document are not independent.

N documents   B resamples
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..errors import MissingDependencyError

REPEATS, LEVEL = 1000, 0.95


def distributions(*names: str) -> tuple[Any, ...]:
    """SciPy's distributions of these names; raises `MissingDependencyError` without SciPy."""
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingDependencyError(
            "Intervals need the package scipy: pip install 'moe-viz[analysis]'."
        ) from error
    return tuple(getattr(stats, name) for name in names)


def resamples(
    units: np.ndarray,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """How often each document is drawn in each bootstrap resample: (B, N).

    `units` (N,) says which documents belong together: they are drawn as one. Units are drawn among
    those of their own stratum (N,), so that each resample has as many of every kind.

    >>> drawn = resamples(np.array([0, 0, 1]), np.random.default_rng(0), repeats=50)
    >>> bool((drawn[:, 0] == drawn[:, 1]).all()), set((drawn[:, 0] + drawn[:, 2]).tolist())
    (True, {2.0})
    """
    drawn = np.zeros((repeats, len(units)))
    kinds = np.zeros(len(units), int) if strata is None else strata
    for kind in np.unique(kinds):
        here = kinds == kind
        _, unit = np.unique(units[here], return_inverse=True)
        U = unit.max() + 1
        drawn[:, here] = rng.multinomial(U, np.full(U, 1 / U), size=repeats)[:, unit]
    return drawn


def interval(values: np.ndarray, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of bootstrapped values (B, …): percentiles, widened for few documents.

    Plain percentiles are too narrow by √((n−1)/n) and use normal instead of Student's quantiles;
    the levels are adjusted for both (Hesterberg 2015, "What teachers should know about the
    bootstrap", section 3.3). A single document gives no interval.

    >>> low, high = interval(np.arange(1001.0), documents=10**9)
    >>> round(float(low), 6), round(float(high), 6)
    (25.0, 975.0)
    """
    if documents < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    norm, t = distributions("norm", "t")
    student = t.ppf((1 - LEVEL) / 2, documents - 1) * np.sqrt(documents / (documents - 1))
    tail = float(norm.cdf(student))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN")  # nothing was counted: no interval
        low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return low, high


def reflected(estimate: np.ndarray, values: np.ndarray, documents: int) -> tuple[np.ndarray, ...]:
    """The interval reflected about the estimate, for estimates that few data bias upward.

    A divergence of counts is biased upward, and its resamples by as much again: reflection (the
    basic bootstrap) removes the bias twice. Never below 0.
    """
    low, high = interval(values, documents)
    return np.maximum(2 * estimate - high, 0), np.maximum(2 * estimate - low, 0)


def by_unit(differences: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Documents' differences (N, …), summed over those that belong together: (U, …).

    Units are in order of appearance. Each has one sign: see `sign_flips`.

    >>> by_unit(np.array([1.0, 2.0, 3.0]), np.array([7, 2, 7]))
    array([4., 2.])
    """
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    total = np.zeros((len(first), *differences.shape[1:]))
    np.add.at(total, np.argsort(np.argsort(first))[unit], differences)
    return total


def sign_flips(
    differences: np.ndarray, rng: np.random.Generator, repeats: int = REPEATS
) -> np.ndarray:
    """Two-sided p-value of each column's sum, (N, …) → (…), by flipping documents' signs at random.

    The null: a document's difference is as often positive as negative.

    >>> p = sign_flips(np.array([[1.0, 1.0]] * 10 + [[1.0, -1.0]] * 10), np.random.default_rng(0))
    >>> bool(p[0] < 0.01), bool(p[1] > 0.5)
    (True, True)
    """
    flat = differences.reshape(len(differences), -1)
    observed = np.abs(flat.sum(0))
    exceed = np.zeros_like(observed)
    for done in range(0, repeats, 100):  # some at a time: a product for each would take longer
        signs = rng.choice((-1.0, 1.0), (min(100, repeats - done), len(flat)))
        exceed += (np.abs(signs @ flat) >= observed * (1 - 1e-12)).sum(0)
    return ((exceed + 1) / (repeats + 1)).reshape(differences.shape[1:])


def standardised_flips(differences: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each column's sum in units of its own spread, (N, …) → (…), and the largest in each flip.

    `signs` (B, N) are random signs of the documents, the same for all parts of a family of columns;
    see `corrected`.
    """
    flat = differences.reshape(len(differences), -1)
    scale = np.sqrt((flat**2).sum(0))
    flat = np.divide(flat, scale, out=np.zeros_like(flat), where=scale > 0)
    highest = np.array([np.abs(turn @ flat).max(initial=0) for turn in signs])
    return np.abs(flat.sum(0)).reshape(differences.shape[1:]), highest


def corrected(observed: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """p-values of very many columns at once, corrected for testing all of them.

    By the largest column in each flip, (B,) (Westfall and Young 1993): with thousands of columns
    and a thousand flips, Holm's rule could reject nothing.

    >>> rng = np.random.default_rng(1)
    >>> columns = rng.normal(size=(40, 100)) + 2 * (np.arange(100) == 7)
    >>> p = corrected(*standardised_flips(columns, rng.choice((-1.0, 1.0), (1000, 40))))
    >>> bool(p[7] < 0.01), bool(np.median(p) > 0.5)
    (True, True)
    """
    reached = len(highest) - np.searchsorted(np.sort(highest), observed * (1 - 1e-12))
    return (reached + 1) / (len(highest) + 1)


def exceedance(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """One-sided p-value: how rarely the null (B, …) reaches what was observed (…).

    >>> exceedance(np.array([5.0]), np.arange(9.0)[:, None])
    array([0.5])
    """
    return ((null >= observed - 1e-12).sum(0) + 1) / (len(null) + 1)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for testing all of them (Holm 1979), over the last axis.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    m = p.shape[-1]
    order = np.argsort(p, axis=-1)
    ranked = np.take_along_axis(p, order, -1) * (m - np.arange(m))
    ranked = np.minimum(np.maximum.accumulate(ranked, axis=-1), 1)
    corrected = np.empty_like(ranked)
    np.put_along_axis(corrected, order, ranked, -1)
    return corrected


def permuted(labels: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The labels permuted among documents, or within each unit where there are units.

    >>> permuted(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.random.default_rng(1)).sum()
    np.int64(2)
    """
    _, unit, size = np.unique(units, return_inverse=True, return_counts=True)
    among = np.where(size[unit] == 1, -1, unit)  # single documents form one group
    order = np.lexsort((rng.random(len(labels)), among))
    shuffled = np.empty_like(labels)
    shuffled[np.argsort(among, kind="stable")] = labels[order]
    return shuffled


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts (…, E) as shares of their sum; zeros where there is nothing.

    >>> shares(np.array([[1, 3], [0, 0]]))
    array([[0.25, 0.75],
           [0.  , 0.  ]])
    """
    return counts / np.maximum(counts.sum(-1, keepdims=True), np.finfo(float).tiny)


def softmax(x: np.ndarray) -> np.ndarray:
    """Probabilities of logits (…, E) over the last axis, in their own precision.

    >>> softmax(np.log(np.array([1.0, 3.0])))
    array([0.25, 0.75])
    """
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """Nats, over the last axis: (…, E) → (…).

    >>> entropy(np.array([0.5, 0.5, 0.0])) / np.log(2)
    np.float64(1.0)
    """
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in nats, over the last axis; at most log 2.

    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) / np.log(2)
    np.float64(1.0)
    """
    return np.maximum(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2, 0)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
