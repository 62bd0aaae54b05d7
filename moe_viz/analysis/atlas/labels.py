# SPDX-License-Identifier: Apache-2.0
"""Which labels and which places in a document an expert takes more, or less, than the rest.

Documents are what is counted: their ratios' spread gives the error, so that a document with a taste
of its own, or a burst of one word, counts once.
"""

from __future__ import annotations

import numpy as np

from ..documents import Documents
from ..statistics import ratio
from .counts import place_counts
from .sureness import halves, student


def label_tests(docs: Documents, layer: int) -> dict[str, np.ndarray]:
    """Of each label the share of its tokens that have an expert among their choices, beside the
    rest's, (G, E), and p: over all, and in each half (2, G, E). NaN where a label, or the rest, has
    fewer than two documents.
    """
    chosen = docs.chosen[:, layer].astype(np.float64)  # (N, E)
    total = docs.tokens.astype(np.float64)
    half, counted = halves(docs.number), docs.tokens > 0
    found = {"share": [], "rest": [], "p": [], "each": []}
    for label in range(len(docs.names)):
        mine = (docs.labels == label) & counted
        share, rest, p = _apart(chosen, total, mine, counted & ~mine)
        each = [
            _apart(chosen, total, mine & (half == h), counted & ~mine & (half == h))[2]
            for h in (0, 1)
        ]
        for name, value in zip(found, (share, rest, p, np.stack(each)), strict=True):
            found[name].append(value)
    result = {name: np.stack(values) for name, values in found.items()}
    return {**result, "each": result["each"].transpose(1, 0, 2)}


def _apart(
    chosen: np.ndarray, total: np.ndarray, mine: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of two groups of documents, and the p-value of their difference: (E,) each."""
    shares, errors, sizes = [], [], []
    for rows in (mine, others):
        n = int(rows.sum())
        share = ratio(chosen[rows].sum(0), total[rows].sum())
        off = chosen[rows] - share * total[rows, None]
        errors.append(ratio((off**2).sum(0) * n / max(n - 1, 1), total[rows].sum() ** 2))
        shares.append(share)
        sizes.append(n)
    p = student(shares[0] - shares[1], np.sqrt(errors[0] + errors[1]), np.array(min(sizes)))
    return shares[0], shares[1], p if min(sizes) > 1 else np.full(len(p), np.nan)


def place_tests(docs: Documents, layer: int) -> dict[str, np.ndarray]:
    """Of each place the share of its tokens that have an expert among their choices, beside what
    the same documents' tokens have on the whole, (places, E), and p: over all, and in each half
    (2, places, E).
    """
    counts = docs.laid(place_counts, layer).astype(np.float64)  # (N, places, E + 1)
    used, tokens = counts[:, :, :-1], counts[:, :, -1:]
    whole = ratio(used.sum(1), tokens.sum(1))[:, None]  # (N, 1, E)
    expected = np.nan_to_num(whole) * tokens
    off = used - expected
    # A document that lies in one place as a whole says nothing of places.
    says = (tokens > 0) & (tokens < tokens.sum(1, keepdims=True))
    off = np.where(says, off, 0)
    half = halves(docs.number)

    def p_of(rows: np.ndarray) -> np.ndarray:
        n = says[rows].sum(0)
        p = student(off[rows].sum(0), np.sqrt((off[rows] ** 2).sum(0)), n)
        return np.where(n > 1, p, np.nan)

    return {
        "share": ratio(used.sum(0), tokens.sum(0)),
        "rest": ratio(expected.sum(0), tokens.sum(0)),
        "p": p_of(np.ones(len(docs), bool)),
        "each": np.stack([p_of(half == h) for h in (0, 1)]),
    }
