# SPDX-License-Identifier: Apache-2.0
"""Does each kind of token have its own expert? (Vocabulary specialisation, arXiv 2409.02060.)"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..trace import Trace
from .documents import Documents
from .finding import Finding
from .repetition import shuffled_within
from .statistics import distributions

SHUFFLES, GROUPS = 39, 20


def vocabulary(trace: Trace | Documents, minimum: int = 10, seed: int = 0) -> Finding:
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
    docs, rng = Documents.of(trace), np.random.default_rng(seed)
    L, E, _ = docs.shape
    kept = np.flatnonzero(docs.document >= 0)
    ids, token, counts = np.unique(
        docs.trace.token_ids[kept], return_inverse=True, return_counts=True
    )
    frequent = counts >= minimum
    if not frequent.any():
        raise InputError(
            f"No token occurs {minimum} times in this trace. Record more text, or lower minimum=."
        )
    V = len(ids)
    _, unit = np.unique(docs.units[docs.document[kept]], return_inverse=True)  # of each token
    groups = min(GROUPS, unit.max() + 1)
    group = (rng.permutation(unit.max() + 1) % groups)[unit]
    orders = [
        np.searchsorted(kept, shuffled_within(docs.document, rng)[kept]) for _ in range(SHUFFLES)
    ]
    share, error, null = np.zeros(L), np.zeros(L), np.zeros((SHUFFLES, L))
    for layer in range(L):
        first = np.asarray(docs.trace.experts[layer, :, 0])[kept]
        used = first >= 0
        key = (group * V + token) * E + first
        by_group = np.bincount(key[used], minlength=groups * V * E).reshape(groups, V, E)
        total = by_group.sum(0)
        share[layer] = _favourite(total, frequent)
        without = np.array([_favourite(total - part, frequent) for part in by_group])
        error[layer] = np.sqrt((groups - 1) * without.var())
        for n, order in enumerate(orders):
            key = token.astype(np.int64) * E + first[order]
            permuted = np.bincount(key[first[order] >= 0], minlength=V * E).reshape(V, E)
            null[n, layer] = _favourite(permuted, frequent)
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


def favourites(trace: Trace | Documents, layer: int, minimum: int = 10) -> Finding:
    """The favourite first-choice expert of each frequent token in one layer, most frequent first.

    Columns: token, expert, share, count, documents.

    >>> from moe_viz.analysis.examples import example
    >>> trace = example([[0], [0], [0], [1], [2]], token_ids=[7, 7, 7, 7, 5])
    >>> list(favourites(trace, 0, minimum=2).rows())
    [{'token': '7', 'expert': 0, 'share': 0.75, 'count': 4, 'documents': 1}]
    """
    docs = Documents.of(trace)
    _, E, _ = docs.shape
    if layer not in docs.trace.layers:
        raise InputError(f"layer must be one of {docs.trace.layers}, found {layer}.")
    first = np.asarray(docs.trace.experts[docs.trace.layers.index(layer), :, 0])
    kept = np.flatnonzero((docs.document >= 0) & (first >= 0))
    _, where, token, counts = np.unique(
        docs.trace.token_ids[kept], return_index=True, return_inverse=True, return_counts=True
    )
    table = np.bincount(token * E + first[kept], minlength=len(counts) * E).reshape(-1, E)
    pairs = np.unique(np.stack([token, docs.document[kept]]), axis=1)[0]
    spread = np.bincount(pairs, minlength=len(counts))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= minimum]
    columns = {
        "token": np.array([docs.trace.tokens[int(kept[where[n]])] for n in order], dtype=object),
        "expert": table[order].argmax(1),
        "share": table[order].max(1) / counts[order],
        "count": counts[order],
        "documents": spread[order],
    }
    title = docs.trace.provenance.title
    few = docs.few(docs.independent)
    name, counted = f"favourite experts, layer {layer}", "occurrences of the token"
    return Finding(name, title, counted, columns, few)


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
