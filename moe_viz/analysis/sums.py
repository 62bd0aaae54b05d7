# SPDX-License-Identifier: Apache-2.0
"""Shares of pairs and their intervals from sums alone, where a bootstrap of all pairs is too large.

256 experts make 65,536 pairs, most of which a document never sees: what it does see is counted, and
a share's interval comes from the sums of squares over documents (the delta method for a ratio).
"""

from __future__ import annotations

import numpy as np

from .statistics import LEVEL, distributions, ratio


def pair_shares(
    unit: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    alone: np.ndarray,
    strata: np.ndarray,
    documents: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, low and high of each pair: times it was seen, over its row's total; (E, E) each.

    `unit`, `row`, `column` (M,) name a sighting each: the unit of documents (0 … U − 1), and two
    that were seen together, in either order. `alone` (U, E) are the units' totals of each row,
    `strata` (U,) their strata.

    Two units see the pair 0, 1 in 1 of 2 and in 3 of 4 cases of 0:

    >>> seen = np.array([0, 1, 1, 1])
    >>> share, low, high = pair_shares(seen, 0 * seen, 0 * seen + 1,
    ...                                np.array([[2, 0], [4, 0]]), np.array([0, 0]), 2)
    >>> float(share[0, 1].round(3)), bool(low[0, 1] < share[0, 1] < high[0, 1])
    (0.667, True)
    """
    E = alone.shape[1]
    pairs = E * E
    first, second = np.minimum(row, column), np.maximum(row, column)
    keys, counts = np.unique((unit.astype(np.int64) * E + first) * E + second, return_counts=True)
    unit, pair = np.divmod(keys, pairs)
    turned = pair % E * E + pair // E  # each pair has two rows
    unit, pair, counts = np.tile(unit, 2), np.concatenate([pair, turned]), np.tile(counts, 2)
    z, s = counts.astype(np.float64), alone.astype(np.float64)

    def added(values: np.ndarray, at: np.ndarray = pair) -> np.ndarray:
        return np.bincount(at, values, pairs).reshape(E, E)

    total = s.sum(0)[:, None]  # (E, 1)
    share = ratio(added(z), total)
    # Σ (z − r s)² over units, less each stratum's (Σ (z − r s))² / n: the spread within strata.
    cross = added(z * s[unit, pair // E])
    squares = added(z * z) - 2 * share * cross + share**2 * (s * s).sum(0)[:, None]
    for stratum in np.unique(strata):
        here = strata == stratum
        mine = here[unit]
        rest = added(z[mine], pair[mine]) - share * s[here].sum(0)[:, None]
        squares -= rest**2 / here.sum()
    if documents < 2:
        nothing = np.full((E, E), np.nan)
        return share, nothing, nothing
    (t,) = distributions("t")
    spread = np.sqrt(np.maximum(squares, 0) * documents / (documents - 1))
    half = t.ppf((1 + LEVEL) / 2, documents - 1) * ratio(spread, np.broadcast_to(total, (E, E)))
    return share, np.maximum(share - half, 0), np.minimum(share + half, 1)
