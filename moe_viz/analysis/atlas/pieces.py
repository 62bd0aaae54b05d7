# SPDX-License-Identifier: Apache-2.0
"""Which pieces each expert takes, and which of them are more than an untrained router would take.

A router that nobody trained is constant for a piece too, or nearly: that an expert takes all of
some piece is no finding by itself. What the untrained twin's favourite takes of the same piece is
set beside it: were training nothing, either would be the larger as often as the other. So the
pieces by which the twin is ahead tell how many of those by which the model is ahead are chance
(the filter of Barber and Candès 2015, with the twin as the knockoff).

    V pieces that occur often enough   E experts
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..documents import Documents
from ..statistics import ratio
from ..vocabulary import pieces_of
from .counts import pieces_by_expert, tokens_by_half
from .sureness import holding

#: Pieces of like frequency that make a lot, at least; see `kinds`.
LIKE = 100


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a corpus that occur often enough, the most frequent first."""

    ids: np.ndarray  # (V,) token ids
    spelled: list[str]
    counts: np.ndarray  # (2, V) in each half
    alike: np.ndarray  # (V,) which pieces are of like frequency: a number for each lot

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def total(self) -> np.ndarray:
        """Occurrences of each, (V,)."""
        return self.counts.sum(0)

    def at(self, docs: Documents, layer: int, step: int = 0) -> np.ndarray:
        """How often each expert of a layer was chosen at each piece, in each half: (2, V, E)."""
        keys, n = docs.tallied(pieces_by_expert, layer, step)
        found = np.zeros((2, len(self), docs.shape[1]), np.int64)
        order = np.argsort(self.ids)
        token = keys >> 16 & 0xFFFFFF
        where = np.minimum(np.searchsorted(self.ids, token, sorter=order), len(self) - 1)
        known = self.ids[order[where]] == token
        found[(keys >> 40)[known], order[where[known]], (keys & 0xFFFF)[known]] = n[known]
        return found


def pieces_in(docs: Documents, minimum: int, control: Documents | None = None) -> Pieces:
    """The pieces that occur at least `minimum` times, half of that in each half.

    Raises `InputError` where there is none, and where the control's texts are others.
    """
    keys, n = docs.tallied(tokens_by_half)
    if control is not None and not all(
        map(np.array_equal, (keys, n), control.tallied(tokens_by_half))
    ):
        raise InputError(
            "The control was recorded on other texts. Record the same corpus, with the same "
            "tokenizer and in the same order, with untrained_twin(model)."
        )
    ids, which = np.unique(keys >> 16 & 0xFFFFFF, return_inverse=True)
    counts = np.zeros((2, len(ids)), np.int64)
    counts[keys >> 40, which] = n
    kept = np.flatnonzero((counts.sum(0) >= minimum) & (counts.min(0) >= minimum / 2))
    if not len(kept):
        raise InputError(
            f"No piece occurs {minimum} times in this corpus, and {minimum / 2:g} times in each "
            "half of its documents. Record more text, or lower minimum=."
        )
    kept = kept[np.argsort(-counts.sum(0)[kept], kind="stable")]
    lots = max(1, len(kept) // LIKE)
    alike = np.minimum(np.arange(len(kept)) * lots // len(kept), lots - 1)
    names = pieces_of(docs)
    return Pieces(ids[kept], [names[int(i)] for i in ids[kept]], counts[:, kept], alike)


@dataclass(frozen=True, eq=False)
class Favourites:
    """Each piece's favourite expert in one layer, and how that compares with the twin's."""

    share: np.ndarray  # (V, E) of each piece's occurrences, of both halves
    expert: np.ndarray  # (V,)
    twin: np.ndarray  # (V,) the share of the twin's favourite; NaN without a twin
    ahead: np.ndarray  # (V,) the favourite's share less the twin's
    ahead_each: np.ndarray  # (2, V) the same in each half


def favourites_of(pieces: Pieces, counts: np.ndarray, twin: np.ndarray | None = None) -> Favourites:
    """Favourites from counts (2, V, E), beside the twin's of the same pieces."""
    share = ratio(counts.sum(0), pieces.total[:, None])
    expert = share.argmax(1)
    if twin is None:
        nothing = np.full(len(pieces), np.nan)
        return Favourites(share, expert, nothing, nothing, np.stack([nothing] * 2))
    best = ratio(twin.sum(0), pieces.total[:, None]).max(1)
    each = ratio(counts[:, np.arange(len(pieces)), expert], pieces.counts)
    return Favourites(
        share, expert, best, share.max(1) - best,
        each - ratio(twin, pieces.counts[:, :, None]).max(2),
    )  # fmt: skip


def found_among(layers: list[Favourites]) -> tuple[np.ndarray, np.ndarray]:
    """q of each piece in each layer, and which are findings: (L, V) each."""
    q = filtered(np.stack([layer.ahead for layer in layers]))
    return q, np.stack([
        holding(row, *(1.0 - (ahead > 0) for ahead in layer.ahead_each))
        for row, layer in zip(q, layers, strict=True)
    ])  # fmt: skip


def filtered(ahead: np.ndarray) -> np.ndarray:
    """The rate of false discoveries among all that are as far ahead; at least 1 where behind.

    >>> ahead = np.array([*np.linspace(0.5, 0.9, 40), -0.1, 0.05])
    >>> filtered(ahead).round(3)[[0, 39, 40, 41]]
    array([0.025, 0.025, 1.   , 0.049])
    """
    flat = np.nan_to_num(ahead.ravel(), nan=0.0)
    order = np.argsort(-np.abs(flat), kind="stable")
    sign = np.sign(flat[order])
    rate = (1 + (sign < 0).cumsum()) / np.maximum((sign > 0).cumsum(), 1)
    # Equal distances stand or fall together: the last of them counts for all.
    size = np.abs(flat[order])
    last = np.searchsorted(-size, -size, side="right") - 1
    lowest = np.minimum.accumulate(rate[last][::-1])[::-1]
    q = np.empty(len(flat))
    q[order] = np.where(sign > 0, np.minimum(lowest, 1), 1.0)
    return np.where(np.isnan(ahead), np.nan, q.reshape(ahead.shape))
