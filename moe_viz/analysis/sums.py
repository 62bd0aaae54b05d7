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

from ..errors import InputError
from .documents import Documents, Each
from .statistics import LEVEL, distributions, ratio
from .tallies import Sums, label_codes

#: Documents times pairs of experts, beyond which sums must do.
MOST = 2**24
#: Experts up to which a summary keeps pairs of each document, and up to which it keeps their sums.
BY_DOCUMENT, BY_SUMS = 16, 64
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


#: Steps of a whole in the fixed point.
FIXED = 2.0**20


def sums_of(
    cells: Cells,
    alone: np.ndarray,
    strata: np.ndarray,
    expected: Callable[[int], np.ndarray] | None = None,
) -> Sums:
    """The sums of these cells. `alone` (U, E) are the units' totals of each row, `strata` (U,) what
    they are resampled within, and `expected(u)` what unit u would see by chance, (E, E).
    """
    E, s = alone.shape[1], alone.astype(np.int64)
    rows = np.repeat(np.arange(E), E)
    kinds, kind = np.unique(strata, return_inverse=True)
    seen = np.zeros((len(kinds), E * E), np.int64)
    squared, crossed, differs, differs_squared = np.zeros((4, E * E), np.int64)
    for u, at, sightings in cells:
        z = sightings.astype(np.int64)
        seen[kind[u], at] += z
        squared[at] += z * z
        crossed[at] += z * s[u, rows[at]]
        if expected is not None:
            d = -expected(u).ravel()
            d[at] += z
            differs += np.rint(d * FIXED).astype(np.int64)
            differs_squared += np.rint(d * d * FIXED).astype(np.int64)
    return Sums(kinds, seen, squared, crossed, differs, differs_squared)


def by_sums(docs: Documents) -> bool:
    """Whether pairs of experts are counted as sums, and not document by document."""
    E = docs.shape[1]
    return len(docs) * E * E > MOST or (docs.summarised and E > BY_DOCUMENT)


def own_units(docs: Documents) -> tuple[Each | None, Each | None]:
    """Units and strata as shards are told them: nothing, where each document is its own unit.

    Raises `InputError` for parallel passages in several shards, which no shard sees whole.
    """
    if not docs.paired:
        return None, None
    if len(docs.gathered(len)) > 1:
        raise InputError(
            "Parallel passages lie in several shards here, and with so many experts pairs are "
            "counted shard by shard. Join the shards: Trace.join(list(dataset))."
        )
    return Each(docs.units), Each(docs.strata)


def units_within(
    docs: Documents, units: np.ndarray | None, strata: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Each document's unit, 0 …, and the stratum of each unit; by label where none are given."""
    if units is None or strata is None:
        units, strata = np.arange(len(docs)), label_codes(docs.names)[docs.labels]
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    return unit, strata[first]


def totals_by_unit(docs: Documents, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strata (U,) and the documents' counts (N, E) added up (U, E), of all units."""
    unit, strata = units_within(docs, *((docs.units, docs.strata) if docs.paired else (None, None)))
    alone = np.zeros((len(strata), counts.shape[1]))
    np.add.at(alone, unit, counts)
    return strata, alone


def pair_shares(
    sums: Sums, alone: np.ndarray, strata: np.ndarray, documents: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, low and high of each pair: times it was seen, over its row's total; (E, E) each.

    `alone` (U, E) are the units' totals of each row, `strata` (U,) their strata, and `documents`
    is what an interval rests on.

    Two units see the pair 0, 1 in 1 of 2 and in 3 of 4 cases of 0:

    >>> cells = [(0, np.array([1]), np.array([1.0])), (1, np.array([1]), np.array([3.0]))]
    >>> alone, strata = np.array([[2, 0], [4, 0]]), np.array([0, 0])
    >>> share, low, high = pair_shares(sums_of(cells, alone, strata), alone, strata, 2)
    >>> float(share[0, 1].round(3)), bool(low[0, 1] < share[0, 1] < high[0, 1])
    (0.667, True)
    """
    E, s = alone.shape[1], alone.astype(np.float64)
    total = s.sum(0)[:, None]  # (E, 1)
    share = ratio(sums.seen.sum(0).reshape(E, E), total)
    if documents < 2:
        nothing = np.full((E, E), np.nan)
        return share, nothing, nothing
    # Σ (z − r s)² over units, less each stratum's (Σ (z − r s))² / n: the spread within strata.
    squares = sums.squared.reshape(E, E) - 2 * share * sums.crossed.reshape(E, E)
    squares += share**2 * (s * s).sum(0)[:, None]
    for kind, sighted in zip(sums.kinds, sums.seen, strict=True):
        here = strata == kind
        squares -= (sighted.reshape(E, E) - share * s[here].sum(0)[:, None]) ** 2 / here.sum()
    (t,) = distributions("t")
    spread = np.sqrt(np.maximum(squares, 0) * documents / (documents - 1))
    half = t.ppf((1 + LEVEL) / 2, documents - 1) * ratio(spread, np.broadcast_to(total, (E, E)))
    return share, np.maximum(share - half, 0), np.minimum(share + half, 1)


def bounded_p(sums: Sums) -> np.ndarray:
    """How seldom random signs of the units would reach the sum of what differs, at most: (E, E).

    For differences d from what chance would give, the probability that random signs reach |Σ d| is
    at most 2 exp(−(Σ d)² / 2 Σ d²) (Hoeffding 1963): never too small.

    >>> cells = [(u, np.array([0]), np.array([2.0])) for u in range(40)]
    >>> chance = lambda u: np.array([[1.0, 0], [0, 0]])
    >>> p = bounded_p(sums_of(cells, np.full((40, 2), 2), np.zeros(40, int), chance))
    >>> bool(p[0, 0] > 2 * 0.5**40), float(p[0, 0].round(10)), float(p[1, 1])
    (True, 4.1e-09, 1.0)
    """
    total, squared = sums.differs / FIXED, sums.differs_squared / FIXED
    E = round(len(total) ** 0.5)
    strength = np.divide(total**2, 2 * squared, out=np.zeros(E * E), where=squared > 0)
    return np.minimum(1, 2 * np.exp(-strength)).reshape(E, E)
