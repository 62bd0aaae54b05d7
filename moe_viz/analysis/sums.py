# SPDX-License-Identifier: Apache-2.0
"""Shares of pairs and their intervals from sums alone, where a bootstrap of all pairs is too large.

256 experts make 65,536 pairs, most of which a document never sees: what it does see is counted, and
a share's interval comes from the sums of squares over documents (the delta method for a ratio).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .statistics import LEVEL, distributions, ratio

#: Sightings of pairs at a time.
_AT_ONCE = 2**20


def pair_shares(
    unit: np.ndarray,
    experts: np.ndarray,
    alone: np.ndarray,
    strata: np.ndarray,
    documents: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, low and high of each pair: times it was seen, over its row's total; (E, E) each.

    `experts` (T, k) are each token's, −1 for none; each two of them are a pair. `unit` (T,) is the
    token's unit of documents (0 … U − 1), `alone` (U, E) how often each unit saw each expert,
    `strata` (U,) the units' strata.

    Two units see the pair 0, 1 in 1 of 2 and in 3 of 4 cases of 0:

    >>> unit, experts = np.array([0, 1, 1, 1]), np.array([[0, 1], [1, 0], [0, 1], [0, 1]])
    >>> share, low, high = pair_shares(unit, experts, np.array([[2, 0], [4, 0]]),
    ...                                np.array([0, 0]), 2)
    >>> float(share[0, 1].round(3)), bool(low[0, 1] < share[0, 1] < high[0, 1])
    (0.667, True)
    """
    E, s = alone.shape[1], alone.astype(np.float64)
    kinds, rows, columns = np.unique(strata), *np.divmod(np.arange(E * E), E)
    # Sums over units: of the sightings z by stratum, of z², and of z times each one's total.
    seen = np.zeros((len(kinds), E * E))
    squared, by_row, by_column = np.zeros((3, E * E))
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit, minlength=len(alone)))
    for u, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        at, z = _counted(experts[order[start:end]], E)
        seen[np.searchsorted(kinds, strata[u]), at] += z
        squared[at] += z * z
        by_row[at] += z * s[u, rows[at]]
        by_column[at] += z * s[u, columns[at]]

    def square(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
        return upper.reshape(E, E) + lower.reshape(E, E).T

    total = s.sum(0)[:, None]  # (E, 1)
    both = [square(sighted, sighted) for sighted in seen]
    share = ratio(sum(both, np.zeros((E, E))), total)
    if documents < 2:
        nothing = np.full((E, E), np.nan)
        return share, nothing, nothing
    # Σ (z − r s)² over units, less each stratum's (Σ (z − r s))² / n: the spread within strata.
    squares = square(squared, squared) - 2 * share * square(by_row, by_column)
    squares += share**2 * (s * s).sum(0)[:, None]
    for kind, sighted in zip(kinds, both, strict=True):
        here = strata == kind
        squares -= (sighted - share * s[here].sum(0)[:, None]) ** 2 / here.sum()
    (t,) = distributions("t")
    spread = np.sqrt(np.maximum(squares, 0) * documents / (documents - 1))
    half = t.ppf((1 + LEVEL) / 2, documents - 1) * ratio(spread, np.broadcast_to(total, (E, E)))
    return share, np.maximum(share - half, 0), np.minimum(share + half, 1)


def _counted(experts: np.ndarray, E: int) -> tuple[Any, np.ndarray]:
    """How often each pair i < j is among these tokens' experts (n, k): where in E · E, and z."""
    first, second = np.triu_indices(experts.shape[1], 1)
    step, found = max(1, _AT_ONCE // max(1, len(first))), list[np.ndarray]()
    for part in (experts[n : n + step].astype(np.int64) for n in range(0, len(experts), step)):
        i, j = part[:, first].ravel(), part[:, second].ravel()
        keys = np.minimum(i, j) * E + np.maximum(i, j)
        keys = keys[(i >= 0) & (j >= 0)]
        if len(experts) <= step and 8 * len(keys) < E * E:  # few: no need to look at all pairs
            at, z = np.unique(keys, return_counts=True)
            return at, z.astype(np.float64)
        found.append(np.bincount(keys, minlength=E * E))
    return slice(None), sum(found, np.zeros(E * E))
