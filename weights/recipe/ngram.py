# SPDX-License-Identifier: Apache-2.0
"""A byte n-gram: interpolated Kneser-Ney with modified discounts (Chen & Goodman 1999).

In: training documents.  Out: the exact probability of each byte of other documents, given the
ORDER - 1 bytes before it; over the 256 bytes that may follow a context it adds up to one.

    p_k(w | h) = max(c_k(h w) - D(c_k(h w)), 0) / c_k(h ·)  +  γ(h) p_{k-1}(w | h without its first)

c_k counts occurrences for the highest k, and for lower ones the different bytes seen in front of
(h w).  Every document begins behind ORDER - 1 bytes of value 0, which no text contains.  An n-gram
is one integer, its first byte highest, so sorting the integers groups them by context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDER = 6  # at most 8: an n-gram must fit 64 bits


@dataclass(frozen=True, eq=False)
class _Level:
    """Counts of one order, as two sorted tables."""

    grams: np.ndarray  # (U,) different n-grams
    discounted: np.ndarray  # (U,) count minus discount
    contexts: np.ndarray  # (C,) different n-grams without their last byte
    total: np.ndarray  # (C,) counts that follow each context
    spared: np.ndarray  # (C,) discounts that follow it, added up: what the lower order shares out

    @staticmethod
    def of(grams: np.ndarray, counts: np.ndarray) -> _Level:
        """From sorted different n-grams and how often each one counts."""
        discount = discounts(counts)[np.minimum(counts, 3)]
        heads = grams >> np.uint64(8)
        starts = np.flatnonzero(np.diff(heads, prepend=~heads[:1]))
        return _Level(
            grams,
            counts - discount,
            heads[starts],
            np.add.reduceat(counts, starts).astype(np.float64),
            np.add.reduceat(discount, starts),
        )

    def probability(self, grams: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """p_k of these n-grams, from p_{k-1}; what was never seen leaves the lower one as it is."""
        row, seen = _find(self.contexts, grams >> np.uint64(8))
        own, known = _find(self.grams, grams)
        count = np.where(known, self.discounted[own], 0)
        mixed = (count + self.spared[row] * lower) / self.total[row]
        return np.where(seen, mixed, lower)


def discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken off a count of 0, 1, 2, and 3 or more."""
    n = np.bincount(np.minimum(counts, 5), minlength=5).astype(float)
    if n[1:5].all():
        y = n[1] / (n[1] + 2 * n[2])
        found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        if min(found) > 0:  # or nothing would be spared for bytes not seen
            return np.array([0.0, *found])
    return np.array([0.0, 0.5, 1.0, 1.5])  # too little text for the formula


def _find(table: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of each key in a sorted table, and whether it is there at all."""
    row = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return row, table[row] == keys


def ngrams(documents: Sequence[bytes], order: int = ORDER) -> np.ndarray:
    """The n-gram that ends at each byte of the documents, one document after the other."""
    pad = bytes(order - 1)
    stream = np.frombuffer(pad + pad.join(documents), np.uint8)
    grams = np.zeros(len(stream) - order + 1, np.uint64)
    for n in range(order):
        grams <<= np.uint64(8)
        grams |= stream[n : n + len(grams)]
    return grams[stream[order - 1 :] != 0]  # nothing predicts the padding


class KneserNey:
    """The n-gram model of some text."""

    def __init__(self, documents: Sequence[bytes], order: int = ORDER) -> None:
        self.order = order
        self.levels: list[_Level] = []  # from the highest order down to 1
        grams, counts = np.unique(ngrams(documents, order), return_counts=True)
        for k in range(order, 0, -1):
            self.levels.append(_Level.of(grams, counts))
            # Each different n-gram is one more byte seen in front of what follows it.
            tails = grams & np.uint64(2 ** (8 * (k - 1)) - 1)
            grams, counts = np.unique(tails, return_counts=True)

    def probabilities(self, grams: np.ndarray) -> np.ndarray:
        """Of the last byte of each n-gram, given the bytes before it."""
        p = np.full(len(grams), 1 / 256)
        for k, level in enumerate(reversed(self.levels), start=1):
            p = level.probability(grams & np.uint64(2 ** (8 * k) - 1), p)
        return p

    def bits_per_byte(self, documents: Sequence[bytes]) -> float:
        """Of these documents, each byte given the bytes before it in its document."""
        return float(-np.log2(self.probabilities(ngrams(documents, self.order))).mean())
