# SPDX-License-Identifier: Apache-2.0
"""What makes a finding among very many: false-discovery control, and both halves of the documents.

p-values come from documents, never from tokens. Of all that are tested together, those are found
whose q is at most 5 % (Benjamini and Hochberg 1995), and which hold in each half by itself.
"""

from __future__ import annotations

import numpy as np

from ..statistics import distributions, ratio
from ..tallies import scrambled

#: Share of the found that may be false, and the level that each half must reach by itself.
RATE, HALF_LEVEL = 0.05, 0.05


def halves(number: np.ndarray) -> np.ndarray:
    """In which half of a corpus each document is, 0 or 1, by its number."""
    return (scrambled(2, number) >> np.uint64(63)).astype(np.int64)


def false_discovery(p: np.ndarray) -> np.ndarray:
    """The smallest rate of false discoveries at which each would be found; NaN was not tested.

    >>> false_discovery(np.array([0.01, 0.02, 0.9, np.nan])).round(3)
    array([0.03, 0.03, 0.9 ,   nan])
    """
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    some = p[tested]
    order = np.argsort(-some)
    rank = len(some) - np.arange(len(some))
    lowest = np.minimum.accumulate(some[order] * len(some) / rank)
    found = np.empty_like(some)
    found[order] = np.minimum(lowest, 1)
    q[tested] = found
    return q


def student(mean: np.ndarray, error: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Two-sided p-values of means in units of their standard errors, over so many documents."""
    (t,) = distributions("t")
    free = np.maximum(np.asarray(documents, float) - 1, 1)
    p = 2 * t.sf(np.abs(ratio(np.asarray(mean), np.asarray(error))), free)
    return np.where(np.asarray(error) > 0, p, np.nan)


def at_least(share: np.ndarray, occurrences: np.ndarray) -> np.ndarray:
    """The lower end of Wilson's 95 % interval (1927): to put shares in an order, not to test them.

    >>> at_least(np.array([1.0, 0.95]), np.array([20, 2000])).round(2)
    array([0.84, 0.94])
    """
    n, z = np.asarray(occurrences, float), 1.959964
    middle = share + z**2 / (2 * n)
    return (middle - z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)


def holding(q: np.ndarray, *each: np.ndarray) -> np.ndarray:
    """What is found: q small enough over all, and p in each half. NaN is never found."""
    with np.errstate(invalid="ignore"):
        found = q <= RATE
        for p in each:
            found = found & (p <= HALF_LEVEL)
    return found
