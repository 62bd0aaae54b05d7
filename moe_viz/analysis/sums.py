# SPDX-License-Identifier: Apache-2.0
"""Shares, intervals and p-values of pairs of experts from sums, where resamples are too large.

256 experts make 65,536 pairs, most of which a document never sees. What it does see is counted, one
unit of documents after the other; a share's interval comes from the sums of squares over units (the
delta method for a ratio), and a p-value from Hoeffding's bound on what random signs could reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .statistics import LEVEL, distributions, ratio

#: Documents times pairs of experts, beyond which sums must do.
MOST = 2**24
#: What must be said beside what they give.
NOTE = "Intervals come from sums of squares over documents, not from resamples."
#: Sightings of pairs at a time.
_AT_ONCE = 2**20

#: A unit's number, which of the E · E pairs it saw (row by row), and how often each.
Cells = Iterable[tuple[int, Any, np.ndarray]]


def pairs_within(unit: np.ndarray, experts: np.ndarray, units: int, E: int) -> Iterator[Any]:
    """Each two of a token's experts (T, k), in both orders, unit by unit; −1 is none.

    >>> ((u, at, z),) = pairs_within(np.array([0, 0]), np.array([[0, 1], [1, -1]]), 1, 2)
    >>> u, z.tolist()
    (0, [0.0, 1.0, 1.0, 0.0])
    """
    first, second = np.triu_indices(experts.shape[1], 1)
    first, second = np.concatenate([first, second]), np.concatenate([second, first])
    yield from _by_unit(unit, experts, first, second, units, E)


def moves_between(
    unit: np.ndarray, before: np.ndarray, after: np.ndarray, units: int, E: int
) -> Iterator[Any]:
    """From a token's expert (T,) in one layer to that in another, unit by unit; −1 is none."""
    both = np.stack([before, after], axis=1)
    yield from _by_unit(unit, both, np.array([0]), np.array([1]), units, E)


def _by_unit(
    unit: np.ndarray, experts: np.ndarray, rows: np.ndarray, columns: np.ndarray, units: int, E: int
) -> Iterator[tuple[int, Any, np.ndarray]]:
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit, minlength=units))
    step = max(1, _AT_ONCE // max(1, len(rows)))
    for u, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        found: list[np.ndarray] = []
        for n in range(start, end, step):
            part = experts[order[n : min(n + step, end)]].astype(np.int64)
            i, j = part[:, rows].ravel(), part[:, columns].ravel()
            keys = (i * E + j)[(i >= 0) & (j >= 0)]
            if end - start <= step and 8 * len(keys) < E * E:  # few: why look at all pairs
                at, z = np.unique(keys, return_counts=True)
                yield u, at, z.astype(np.float64)
                break
            found.append(np.bincount(keys, minlength=E * E))
        else:
            yield u, slice(None), sum(found, np.zeros(E * E))


def pair_shares(
    cells: Cells, alone: np.ndarray, strata: np.ndarray, documents: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, low and high of each pair: times it was seen, over its row's total; (E, E) each.

    `alone` (U, E) are the units' totals of each row, `strata` (U,) their strata, and `documents`
    is what an interval rests on.

    Two units see the pair 0, 1 in 1 of 2 and in 3 of 4 cases of 0:

    >>> cells = [(0, np.array([1]), np.array([1.0])), (1, np.array([1]), np.array([3.0]))]
    >>> share, low, high = pair_shares(cells, np.array([[2, 0], [4, 0]]), np.array([0, 0]), 2)
    >>> float(share[0, 1].round(3)), bool(low[0, 1] < share[0, 1] < high[0, 1])
    (0.667, True)
    """
    E, s = alone.shape[1], alone.astype(np.float64)
    kinds, rows = np.unique(strata), np.repeat(np.arange(E), E)
    # Sums over units: of the sightings z by stratum, of z², and of z times the row's total s.
    seen = np.zeros((len(kinds), E * E))
    squared, crossed = np.zeros((2, E * E))
    for u, at, z in cells:
        seen[np.searchsorted(kinds, strata[u]), at] += z
        squared[at] += z * z
        crossed[at] += z * s[u, rows[at]]
    total = s.sum(0)[:, None]  # (E, 1)
    share = ratio(seen.sum(0).reshape(E, E), total)
    if documents < 2:
        nothing = np.full((E, E), np.nan)
        return share, nothing, nothing
    # Σ (z − r s)² over units, less each stratum's (Σ (z − r s))² / n: the spread within strata.
    squares = squared.reshape(E, E) - 2 * share * crossed.reshape(E, E)
    squares += share**2 * (s * s).sum(0)[:, None]
    for kind, sighted in zip(kinds, seen, strict=True):
        here = strata == kind
        squares -= (sighted.reshape(E, E) - share * s[here].sum(0)[:, None]) ** 2 / here.sum()
    (t,) = distributions("t")
    spread = np.sqrt(np.maximum(squares, 0) * documents / (documents - 1))
    half = t.ppf((1 + LEVEL) / 2, documents - 1) * ratio(spread, np.broadcast_to(total, (E, E)))
    return share, np.maximum(share - half, 0), np.minimum(share + half, 1)


def bounded_p(cells: Cells, expected: Callable[[int], np.ndarray], E: int) -> np.ndarray:
    """How seldom random signs of the units would reach the sum of what differs, at most: (E, E).

    `expected(u)` is what unit u would see by chance, (E, E). For differences d the probability that
    random signs reach |Σ d| is at most 2 exp(−(Σ d)² / 2 Σ d²) (Hoeffding 1963): never too small.

    >>> cells = [(u, np.array([0]), np.array([2.0])) for u in range(40)]
    >>> p = bounded_p(cells, lambda u: np.array([[1.0, 0], [0, 0]]), 2)
    >>> bool(p[0, 0] > 2 * 0.5**40), float(p[0, 0].round(10)), float(p[1, 1])
    (True, 4.1e-09, 1.0)
    """
    total, squared = np.zeros((2, E * E))
    for u, at, z in cells:
        differs = -expected(u).ravel()
        differs[at] += z
        total += differs
        squared += differs * differs
    strength = np.divide(total**2, 2 * squared, out=np.zeros(E * E), where=squared > 0)
    return np.minimum(1, 2 * np.exp(-strength)).reshape(E, E)
