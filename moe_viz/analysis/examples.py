# SPDX-License-Identifier: Apache-2.0
"""Traces small enough to count by hand, and synthetic ones of any size, for examples and tests.

In: the experts that each token goes to. Out: a `Trace` stamped "random weights", since no model
made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..trace import Trace, TracePrompt
from ..trace.provenance import RANDOM_WEIGHTS, Provenance


def example(
    chosen: Sequence[Any] | np.ndarray,
    lengths: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    experts: int = 8,
    token_ids: Sequence[int] | np.ndarray | None = None,
    logits: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
) -> Trace:
    """A trace in which token t went to `chosen[t]`: (T, k) for one layer, or (L, T, k).

    `lengths` are the documents' token counts (default: one document); `labels` and `texts` are one
    per document. Logits, unless given as (L, T, E), are k, k−1 … for the chosen experts and 0 for
    the rest.

    >>> example([[0, 3], [2, 1]], experts=4).router_logits.tolist()
    [[[2.0, 0.0, 0.0, 1.0], [0.0, 1.0, 2.0, 0.0]]]
    """
    of = np.asarray(chosen, np.int16)
    of = of[None] if of.ndim == 2 else of
    L, T, k = of.shape
    if logits is None:
        logits = np.zeros((L, T, experts), np.float32)
        for slot in reversed(range(k)):  # the strongest last, should an expert be named twice
            np.put_along_axis(
                logits, np.maximum(of[:, :, slot : slot + 1], 0).astype(np.int64), k - slot, axis=2
            )
    best = np.take_along_axis(logits, np.maximum(of, 0).astype(np.int64), axis=2)
    weights = np.where(of >= 0, np.exp(best - best.max(axis=2, keepdims=True)), 0)
    gates = weights / np.maximum(weights.sum(axis=2, keepdims=True), 1e-30)
    lengths = [T] if lengths is None else list(lengths)
    ends = np.cumsum([0, *lengths]).tolist()
    labels = [""] * len(lengths) if labels is None else labels
    texts = [f"document {n}" for n in range(len(lengths))] if texts is None else texts
    ids = np.arange(T) if token_ids is None else np.asarray(token_ids)
    return Trace(
        router_logits=np.asarray(logits, np.float32),
        experts=of,
        gates=gates.astype(np.float32),
        token_ids=ids.astype(np.int32),
        tokens=[str(n) for n in ids.tolist()],
        spans=np.zeros((T, 2), np.int32),
        special=np.zeros(T, bool),
        generated=np.zeros(T, bool),
        prompts=tuple(
            TracePrompt(*row) for row in zip(texts, labels, ends, ends[1:], strict=False)
        ),
        provenance=Provenance("example", weights=f"{RANDOM_WEIGHTS}: made by hand"),
        layers=tuple(range(L)),
    )
