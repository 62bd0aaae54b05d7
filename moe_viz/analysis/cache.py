# SPDX-License-Identifier: Apache-2.0
"""If only some of a layer's experts fit into fast memory, how often is the right one there?"""

from __future__ import annotations

import numpy as np

from .corpus import Countable, documents_of
from .documents import Documents, Each
from .finding import Finding
from .repetition import shuffled_within
from .statistics import by_unit, holm, interval, ratio, resamples, sign_flips
from .tallies import scrambled

POLICIES = ("LRU", "LFU", "random")
#: At most this many tokens are simulated: whole documents, from the first.
LIMIT = 65_536
#: Steps of a simulation for each layer: tokens × choices × sizes × experts.
WORK = 2**27
#: Bytes of what is held side by side.
MEMORY = 2**27


def expert_cache(trace: Countable, seed: int = 0) -> Finding:
    """Hit rate of a cache of 1 … E experts in each layer, by eviction policy.

    With more than 16 experts not every size is simulated, but 16 of them.

    Tokens come one after the other, as in decoding, strongest expert first; each document begins
    with an empty cache. The policy evicts the expert unused for longest (LRU), the one used least
    often in this document (LFU), or a random one. `uniform` is size/E; `shuffled` is the same
    policy on the document's tokens in random order, so any excess over it comes from the order; `p`
    compares the two (sign flips over documents, Holm-corrected over layers). Columns: layer,
    policy, size, hit, low, high, uniform, shuffled, p, accesses, documents.

    Experts 0 1 0 1 with room for two: two misses, then two hits.

    >>> from moe_viz.analysis.examples import example
    >>> found = expert_cache(example([[0], [1], [0], [1]], experts=4))
    >>> found.where(policy="LRU")["hit"].tolist()
    [0.0, 0.5, 0.5, 0.5]
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    L, E, k = docs.shape
    sizes = sizes_of(E)
    S, ends = len(sizes), docs.tokens.cumsum()
    limit = min(LIMIT, WORK // (k * S * E))
    N = int((docs.tokens > 0).sum() and max(np.searchsorted(ends, limit, side="right"), 1))
    some = Each(np.arange(len(docs)) < N)
    hits, mixed = docs.laid(hits_of, seed, some)[:N].transpose(1, 2, 0, 3, 4)  # (policies, N, L, S)
    accesses = docs.chosen[:N].sum(2).astype(np.float64)  # (N, L)
    drawn = resamples(docs.units[:N], rng, strata=docs.strata[:N])
    members, parts = np.flatnonzero(docs.tokens[:N] > 0), []
    rests = docs.independent_of(members)
    for observed, shuffled in zip(hits, mixed, strict=True):
        values = ratio(np.tensordot(drawn, observed, 1), (drawn @ accesses)[..., None])
        low, high = interval(values, rests)
        p = holm(sign_flips(by_unit(observed - shuffled, docs.units[:N]), rng).T).T
        total = accesses.sum(0)[:, None]
        parts.append((ratio(observed.sum(0), total), low, high, ratio(shuffled.sum(0), total), p))
    each = len(POLICIES)
    columns = {
        "layer": np.tile(np.repeat(docs.trace.layers, S), each),
        "policy": np.repeat(POLICIES, L * S),
        "size": np.tile(sizes, L * each),
    }
    for name, matrices in zip(
        ("hit", "low", "high", "shuffled", "p"), zip(*parts, strict=True), strict=True
    ):
        columns[name] = np.concatenate([matrix.ravel() for matrix in matrices])
    columns["uniform"] = columns["size"] / E
    columns["accesses"] = np.tile(np.repeat(accesses.sum(0).astype(np.int64), S), each)
    columns["documents"] = np.full(L * S * each, len(members))
    notes = (f"Simulated on the first {N} documents.",) if len(docs) > N else ()
    title = docs.trace.provenance.title
    counted = "uses of an expert (k for each token)"
    return Finding("expert cache", title, counted, columns, (*notes, *docs.few(rests)))


def sizes_of(E: int) -> np.ndarray:
    """Sizes of a cache that are simulated: 1 … E, or 16 of them, closer together where small.

    >>> sizes_of(8).tolist(), sizes_of(64).tolist()[:9], sizes_of(256).tolist()[-3:]
    ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 8, 10, 13], [128, 181, 256])
    """
    if E <= 16:
        return np.arange(1, E + 1)
    spread, n = np.zeros(0, np.int64), 16
    while len(spread) < 16:
        spread, n = np.unique(np.geomspace(1, E, n).round().astype(np.int64)), n + 1
    return spread


def hits_of(docs: Documents, seed: int, some: np.ndarray) -> np.ndarray:
    """Hits of each of some documents with each size of cache, and with its tokens shuffled:
    (N, 2, policies, L, S).
    """
    L, sizes = docs.shape[0], sizes_of(docs.shape[1])
    hits = np.zeros((2, len(POLICIES), len(docs), L, len(sizes)))
    if some.any():
        kept = np.flatnonzero((docs.document >= 0) & some[docs.document])
        shuffled = shuffled_within(docs, seed)[kept]
        for found, rows in zip(hits, (kept, shuffled), strict=True):
            found[:] = _simulate(docs, rows, np.where(some, docs.tokens, 0), sizes, seed)
    return hits.transpose(2, 0, 1, 3, 4)


def _simulate(
    docs: Documents, rows: np.ndarray, lengths: np.ndarray, sizes: np.ndarray, seed: int
) -> np.ndarray:
    """Hits of each document in each layer with each size of cache: (policies, N, L, S).

    `rows` are the tokens, document by document, of which each has `lengths`. Documents and layers
    are independent of each other, so they run side by side, as many as fit into a bounded memory.
    """
    L, E, _ = docs.shape
    hits = np.zeros((len(POLICIES), len(docs), L, len(sizes)))
    longest = np.argsort(-lengths, kind="stable")  # those still running come first
    longest = longest[lengths[longest] > 0]
    starts = np.cumsum(lengths) - lengths
    together = max(1, MEMORY // (16 * len(sizes) * E * L))
    for first in range(0, len(longest), together):
        some = longest[first : first + together]
        lots = scrambled(seed, docs.number[some][:, None], np.arange(L))  # of each lane
        hits[:, some] = _side_by_side(docs, rows, starts[some], lengths[some], sizes, lots)
    return hits


def _side_by_side(
    docs: Documents,
    rows: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    sizes: np.ndarray,
    lots: np.ndarray,
) -> np.ndarray:
    """The same of some documents, the longest first: (policies, n, L, S)."""
    (L, E, k), n, S = docs.shape, len(lengths), len(sizes)
    lanes = n * L
    used = np.zeros((lanes, E))  # how often, in this document
    when = np.full((lanes, E), -1.0)  # last, 0 … ; −1: never
    held = np.zeros((2, lanes, S, E), bool)  # LFU, random: is (size, expert) in the cache
    room = np.broadcast_to(sizes, (2, lanes, S)).copy()  # places that are free
    counted = np.zeros((len(POLICIES), lanes, S))
    for step in range(int(lengths.max(initial=0)) * k):
        position, slot = divmod(step, k)
        running = int((lengths > position).sum())
        tokens = rows[starts[:running] + position]
        wanted = docs.trace.experts[:, tokens, slot].T.ravel().astype(np.int64)  # (running · L,)
        lane = np.flatnonzero(wanted >= 0)
        e = wanted[lane]
        last = when[lane, e]
        # LRU: a hit in every cache larger than the number of experts used since this one was.
        since = (when[lane] > last[:, None]).sum(1)
        counted[0, lane] += (last[:, None] >= 0) & (sizes > since[:, None])
        for rule in (0, 1):
            inside = held[rule]  # (lanes, sizes, E)
            hit = inside[lane, :, e]
            counted[1 + rule, lane] += hit
            i, j = np.nonzero((room[rule, lane] <= 0) & ~hit)  # where one has to go
            # The least used, and among those the one unused for longest; or a random one.
            worth = (
                used[lane] + when[lane] / (step + 2)
                if rule == 0
                else scrambled(lots.ravel()[lane][:, None], step, np.arange(E)) >> np.uint64(40)
            ).astype(np.float32)
            worst = np.where(inside[lane[i], j], worth[i], np.float32(np.inf)).argmin(1)
            inside[lane[i], j, worst] = False
            inside[lane, :, e] = True
            room[rule, lane] -= ~hit
            room[rule, lane[i], j] += 1
        used[lane, e] += 1
        when[lane, e] = step
    return counted.reshape(len(POLICIES), n, L, S)
