# SPDX-License-Identifier: Apache-2.0
"""What an atlas counts in each shard: pieces, what stands before and after them, places, gates.

Each is a tally by key, so that shards add up; see `Documents.tallied`. A piece's key is its half of
the corpus, its token id and the expert: half · 2⁴⁰ + token · 2¹⁶ + expert.
"""

from __future__ import annotations

import numpy as np

from ...trace.choice import ranked_by, recorded
from ...trace.numbers import margins_of
from ..documents import Documents
from ..tallies import Tally, leading_bits, of_bits, places, tally
from .sureness import halves

#: Where a place in a document ends and the next begins, in tokens from its beginning.
PLACES = (4, 16, 64, 256, 1024)


def tokens_by_half(docs: Documents) -> Tally:
    """How often each token occurs in each half."""
    kept = docs.document >= 0
    half = halves(docs.number)[docs.document[kept]]
    return tally((half << 40) + (docs.trace.token_ids[kept].astype(np.int64) << 16))


def pieces_by_expert(docs: Documents, layer: int, step: int = 0) -> Tally:
    """How often each expert was among the choices at a token (`step` 0), or at the token's
    neighbour: −1 counts by the token before, 1 by the token after.
    """
    kept = np.flatnonzero(docs.document >= 0)
    document, at = docs.document[kept], np.arange(len(kept)) + step
    there = (at >= 0) & (at < len(kept))
    there[there] &= document[at[there]] == document[there]
    token = docs.trace.token_ids[kept[at[there]]].astype(np.int64)
    half = halves(docs.number)[document[there]]
    experts = np.asarray(docs.trace.experts[layer])[kept[there]].astype(np.int64)
    keys = (half << 40)[:, None] + (token << 16)[:, None] + experts
    return tally(keys[experts >= 0])


def place_counts(docs: Documents, layer: int) -> np.ndarray:
    """How often each document's tokens in each place use each expert, and how many tokens there
    are: (N, places, E + 1).
    """
    kept = np.flatnonzero(docs.document >= 0)
    document = docs.document[kept].astype(np.int64)
    place = np.searchsorted(PLACES, places(document, len(docs)), side="right")
    experts = np.asarray(docs.trace.experts[layer])[kept].astype(np.int64)
    E, P = docs.shape[1], len(PLACES) + 1
    cell = document * P + place
    key = (cell[:, None] * (E + 1) + experts)[experts >= 0]
    found = np.bincount(key, minlength=len(docs) * P * (E + 1))
    found += np.bincount(cell * (E + 1) + E, minlength=len(found))
    return found.reshape(len(docs), P, E + 1)


def gates_by_expert(docs: Documents, layer: int) -> Tally:
    """Gates with which each expert was used, by their leading bits."""
    kept = docs.document >= 0
    experts = np.asarray(docs.trace.experts[layer])[kept].astype(np.int64)
    bits = leading_bits(np.asarray(docs.trace.gates[layer])[kept])
    return tally(((experts << 32) + bits)[experts >= 0])


def margins_by_expert(docs: Documents, layer: int) -> Tally:
    """Margins of the decisions that each expert was chosen in, by their leading bits."""
    kept = docs.document >= 0
    numbers = np.asarray(recorded(docs.trace, layer))[kept].astype(np.float32)
    margins = margins_of(ranked_by(docs.trace, layer, numbers), docs.shape[2])
    bits = leading_bits(margins)
    experts = np.asarray(docs.trace.experts[layer])[kept].astype(np.int64)
    return tally(((experts << 32) + bits[:, None])[experts >= 0])


def medians(found: Tally, E: int) -> np.ndarray:
    """The median of each expert's numbers, (E,), to within 0.2 %; NaN where it has none.

    >>> half = int(leading_bits(np.array([0.5]))[0])
    >>> medians((np.array([half, (1 << 32) + half]), np.array([3, 1])), 3)
    array([0.5, 0.5, nan])
    """
    keys, counts = found
    expert, result = keys >> 32, np.full(E, np.nan)
    for e in range(E):
        here = expert == e
        if here.any():
            below = counts[here].cumsum()
            bits = (keys[here] & 0xFFFFFFFF)[np.searchsorted(below, below[-1] / 2)]
            result[e] = of_bits(bits)
    return result
