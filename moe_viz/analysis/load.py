"""How much of a layer's work each expert does."""

from __future__ import annotations

import numpy as np

from ..trace import Trace


def load_shares(trace: Trace) -> tuple[np.ndarray, int]:
    """Share of each layer's assignments that each expert takes, and the number of tokens counted.

    Shares are (L, E) and add up to 1 in each layer: the denominator is k × tokens, both choices
    counted, special tokens and unused slots (−1) left out; even routing gives 1/E.
    """
    counted = ~trace.special
    E = trace.router_logits.shape[2]
    experts = trace.experts[:, counted]
    counts = np.stack([np.bincount(row[row >= 0], minlength=E) for row in experts])
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), int(counted.sum())
