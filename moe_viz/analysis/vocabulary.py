# SPDX-License-Identifier: Apache-2.0
"""Does each kind of token have its own expert? (Vocabulary specialisation, arXiv 2409.02060.)"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .corpus import Countable, documents_of
from .documents import Documents, Each
from .finding import Finding
from .repetition import shuffled_within
from .statistics import distributions
from .tallies import Tally, scrambled, tally

SHUFFLES, GROUPS = 39, 20


def vocabulary(trace: Countable, minimum: int = 10, seed: int = 0) -> Finding:
    """Mean over tokens x of max_e N_xe / N_x: the share of token x's occurrences that goes to its
    favourite first-choice expert, in each layer.

    Tokens seen fewer than `minimum` times are left out: small counts make the share large. The bias
    that remains shows in `shuffled`, where each document's first choices are permuted among its
    tokens. The interval is a grouped jackknife over documents; `p` compares with the shuffles,
    corrected over layers by their maximum (with so few shuffles Holm's rule could reject nothing).
    Columns: layer, share, low, high, uniform, shuffled, p, types, occurrences, documents.

    Token 7 goes to experts 0 0 0 1: its favourite takes three quarters.

    >>> from moe_viz.analysis.examples import example
    >>> trace = example([[0], [0], [0], [1], [2]], token_ids=[7, 7, 7, 7, 5])
    >>> found = vocabulary(trace, minimum=4)
    >>> found["share"], found["types"], found["occurrences"]
    (array([0.75]), array([1]), array([4]))
    """
    docs = documents_of(trace)
    L, E, _ = docs.shape
    ids, counts = docs.tallied(token_tally)
    frequent = counts >= minimum
    if not frequent.any():
        raise InputError(
            f"No token occurs {minimum} times in this trace. Record more text, or lower minimum=."
        )
    V = len(ids)
    units = np.unique(docs.units[docs.tokens > 0])  # parallel passages stay together
    groups = min(GROUPS, len(units))
    place = np.zeros(docs.units.max() + 1, np.int64)
    place[units] = np.argsort(np.argsort(scrambled(seed, units), kind="stable")) % groups
    group = Each(place[docs.units])
    share, error, null = np.zeros(L), np.zeros(L), np.zeros((SHUFFLES, L))
    for layer in range(L):
        keys, n = docs.tallied(first_choices, layer, group)
        by_group = np.zeros((groups, V, E), np.int64)
        by_group[keys >> 40, np.searchsorted(ids, keys >> 16 & 0xFFFFFF), keys & 0xFFFF] = n
        total = by_group.sum(0)
        share[layer] = _favourite(total, frequent)
        without = np.array([_favourite(total - part, frequent) for part in by_group])
        error[layer] = np.sqrt((groups - 1) * without.var())
        keys, n = docs.tallied(shuffled_choices, layer, seed)
        permuted = np.zeros((V, E), np.int64)
        for turn in range(SHUFFLES):
            here = keys >> 40 == turn
            permuted[:] = 0
            token, expert = np.searchsorted(ids, keys[here] >> 16 & 0xFFFFFF), keys[here] & 0xFFFF
            permuted[token, expert] = n[here]
            null[turn, layer] = _favourite(permuted, frequent)
    low, high = _student(share, error, groups)
    spread = np.maximum(null.std(0), 1e-12)
    highest = ((null - null.mean(0)) / spread).max(1)  # of all layers
    z = (share - null.mean(0)) / spread
    columns = {
        "layer": np.array(docs.trace.layers),
        "share": share,
        "low": low,
        "high": high,
        "uniform": np.full(L, 1 / E),
        "shuffled": null.mean(0),
        "p": ((highest[:, None] >= z).sum(0) + 1) / (SHUFFLES + 1),
        "types": np.full(L, int(frequent.sum())),
        "occurrences": np.full(L, int(counts[frequent].sum())),
        "documents": np.full(L, docs.counted),
    }
    counted = f"first choices of tokens seen at least {minimum} times, each token counting once"
    title = docs.trace.provenance.title
    return Finding("vocabulary specialisation", title, counted, columns, docs.few(docs.independent))


def favourites(trace: Countable, layer: int, minimum: int = 10) -> Finding:
    """The favourite first-choice expert of each frequent token in one layer, most frequent first.

    Columns: token, expert, share, count, documents.

    >>> from moe_viz.analysis.examples import example
    >>> trace = example([[0], [0], [0], [1], [2]], token_ids=[7, 7, 7, 7, 5])
    >>> list(favourites(trace, 0, minimum=2).rows())
    [{'token': '7', 'expert': 0, 'share': 0.75, 'count': 4, 'documents': 1}]
    """
    docs = documents_of(trace)
    _, E, _ = docs.shape
    if layer not in docs.trace.layers:
        raise InputError(f"layer must be one of {docs.trace.layers}, found {layer}.")
    keys, n = docs.tallied(first_choices, docs.trace.layers.index(layer), None)
    ids, token = np.unique(keys >> 16 & 0xFFFFFF, return_inverse=True)
    table = np.zeros((len(ids), E), np.int64)
    table[token, keys & 0xFFFF] = n
    counts = table.sum(1)
    held, spread = docs.tallied(documents_with)
    spread = spread[np.searchsorted(held, ids)]
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= minimum]
    pieces = pieces_of(docs)
    columns = {
        "token": np.array([pieces[int(ids[n])] for n in order], dtype=object),
        "expert": table[order].argmax(1),
        "share": table[order].max(1) / counts[order],
        "count": counts[order],
        "documents": spread[order],
    }
    title = docs.trace.provenance.title
    few = docs.few(docs.independent)
    name, counted = f"favourite experts, layer {layer}", "occurrences of the token"
    return Finding(name, title, counted, columns, few)


def token_tally(docs: Documents) -> Tally:
    """How often each token occurs."""
    return tally(docs.trace.token_ids[docs.document >= 0].astype(np.int64))


def documents_with(docs: Documents) -> Tally:
    """In how many documents each token occurs."""
    kept = docs.document >= 0
    both = np.stack([docs.trace.token_ids[kept], docs.document[kept]])
    return tally(np.unique(both, axis=1)[0].astype(np.int64))


def first_choices(docs: Documents, layer: int, group: np.ndarray | None) -> Tally:
    """How often each token's first choice was each expert, by the documents' groups.

    A key is group · 2⁴⁰ + token · 2¹⁶ + expert.
    """
    first = np.asarray(docs.trace.experts[layer, :, 0]).astype(np.int64)
    kept = (docs.document >= 0) & (first >= 0)
    keys = (docs.trace.token_ids[kept].astype(np.int64) << 16) + first[kept]
    if group is not None:
        keys += group[docs.document[kept]].astype(np.int64) << 40
    return tally(keys)


def shuffled_choices(docs: Documents, layer: int, seed: int) -> Tally:
    """The same with each document's first choices in another order, by turn instead of group."""
    kept = np.flatnonzero(docs.document >= 0)
    token = docs.trace.token_ids[kept].astype(np.int64) << 16
    experts, found = np.asarray(docs.trace.experts[layer, :, 0]).astype(np.int64), []
    for turn in range(SHUFFLES):
        first = experts[shuffled_within(docs, seed, turn)[kept]]
        keys, counts = tally((token + first)[first >= 0])
        found.append((keys + (turn << 40), counts))
    keys, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return keys, counts


def pieces_of(docs: Documents) -> dict[int, str]:
    """How each token is spelled where it first occurs."""
    spelled: dict[int, str] = {}
    for pieces in docs.gathered(first_pieces):
        spelled = {**pieces, **spelled}
    return spelled


def first_pieces(docs: Documents) -> dict[int, str]:
    """The same of one shard."""
    kept = np.flatnonzero(docs.document >= 0)
    ids, where = np.unique(docs.trace.token_ids[kept], return_index=True)
    return {
        int(token): docs.trace.tokens[int(kept[n])] for token, n in zip(ids, where, strict=True)
    }


def _favourite(counts: np.ndarray, frequent: np.ndarray) -> float:
    """Mean over the frequent tokens of their largest share, from counts (V, E)."""
    rows = counts[frequent]
    occurrences = rows.sum(1)
    there = occurrences > 0
    return float((rows.max(1)[there] / occurrences[there]).mean()) if there.any() else np.nan


def _student(mean: np.ndarray, error: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    if groups < 2:
        return np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    (t,) = distributions("t")
    wide = t.ppf(0.975, groups - 1) * error
    return np.maximum(mean - wide, 0), np.minimum(mean + wide, 1)  # of a share
