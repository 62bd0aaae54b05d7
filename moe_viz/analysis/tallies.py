# SPDX-License-Identifier: Apache-2.0
"""Counts that add up, and random numbers that do not depend on what stands beside.

A corpus is counted shard by shard, and must come out as if it lay in one trace, to the last bit: so
counts are whole numbers by key, and what is random goes by a document's number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

#: Keys and their counts: (m,) or (m, c), sorted and each once; (m,) or (m, columns).
Tally = tuple[np.ndarray, np.ndarray]


def tally(keys: np.ndarray, *more: np.ndarray) -> Tally:
    """Each key once, and how often it occurs; beside it the sums of `more`, if any.

    >>> tally(np.array([5, 3, 5]))
    (array([3, 5]), array([1, 2]))
    """
    found, which, counts = np.unique(
        keys, axis=0 if keys.ndim > 1 else None, return_inverse=True, return_counts=True
    )
    if not more:
        return found, counts
    which = which.ravel()
    sums = [np.bincount(which, w, len(found)).astype(np.int64) for w in more]
    return found, np.stack([counts, *sums], axis=1)


def added(tallies: Sequence[Tally]) -> Tally:
    """Several tallies as one.

    >>> added([(np.array([3, 5]), np.array([1, 2])), (np.array([5]), np.array([4]))])
    (array([3, 5]), array([1, 6]))
    """
    if len(tallies) == 1:
        return tallies[0]
    keys, counts = (np.concatenate(part) for part in zip(*tallies, strict=True))
    found, which = np.unique(keys, axis=0 if keys.ndim > 1 else None, return_inverse=True)
    total = np.zeros((len(found), *counts.shape[1:]), np.int64)
    np.add.at(total, which.ravel(), counts)
    return found, total


class Adding:
    """A tally that others are added to: what waits is never much larger than it is itself."""

    def __init__(self) -> None:
        self._waiting: list[Tally] = []
        self._rows = 0

    def add(self, more: Tally) -> None:
        """Add one."""
        self._waiting.append(more)
        self._rows += len(more[0])
        if self._rows > 2 * len(self._waiting[0][0]) + 2**20:
            self._waiting = [added(self._waiting)]
            self._rows = len(self._waiting[0][0])

    @property
    def total(self) -> Tally:
        """All of them."""
        return added(self._waiting)


#: Bits of a float32 that a sketch leaves out: what is left are steps of at most 0.2 %.
_LEFT_OUT = 14


def leading_bits(numbers: np.ndarray) -> np.ndarray:
    """Numbers of at least 0 by their leading bits, which stand in the order of the numbers."""
    whole = np.ascontiguousarray(np.maximum(numbers, 0), np.float32).view(np.int32)
    return whole.astype(np.int64) >> _LEFT_OUT


def of_bits(bits: np.ndarray) -> np.ndarray:
    """The numbers that these leading bits stand for.

    >>> of_bits(leading_bits(np.array([0.5, 3.0, 96.0]))).tolist()
    [0.5, 3.0, 96.0]
    """
    return (np.asarray(bits) << _LEFT_OUT).astype(np.int32).view(np.float32)


class Sums(NamedTuple):
    """What pairs of experts add up to over units: whole numbers, so that order does not matter.

    By stratum how often each pair was seen, (strata, E · E); the squares of a unit's z; z times the
    unit's total of the row; and of what chance would give, if that was asked for, the sum of
    differences and of their squares, in fixed point; (E · E,) each.
    """

    kinds: np.ndarray  # of the strata
    seen: np.ndarray
    squared: np.ndarray
    crossed: np.ndarray
    differs: np.ndarray
    differs_squared: np.ndarray


def added_sums(one: Sums, other: Sums) -> Sums:
    """The sums of two shards as one."""
    kinds, seen = added([one[:2], other[:2]])
    return Sums(kinds, seen, *(a + b for a, b in zip(one[2:], other[2:], strict=True)))


def scrambled(*numbers: np.ndarray | int) -> np.ndarray:
    """64 random bits for these whole numbers, the same wherever they are asked for.

    One step of SplitMix64 for each (Steele, Lea and Flood 2014).

    >>> bits = scrambled(7, np.arange(100_000))
    >>> bool(abs((bits >> np.uint64(63)).mean() - 0.5) < 0.01), len(set(bits.tolist()))
    (True, 100000)
    """
    z = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for n in numbers:
            z = z + np.asarray(n).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
    return z


def places(document: np.ndarray, documents: int) -> np.ndarray:
    """Each token's place among those of its document, from 0: (T,); documents are in order."""
    starts = np.searchsorted(document, np.arange(documents))
    return np.arange(len(document)) - starts[document]


def label_codes(names: Iterable[str]) -> np.ndarray:
    """A number for each label that is the same in every shard, (G,) int64."""
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    return np.array([int.from_bytes(d, "little") >> 1 for d in digests], np.int64)
