# SPDX-License-Identifier: Apache-2.0
"""A trace from random numbers, no model behind it: every field differs from row to row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_viz.trace import Provenance, Trace, TracePrompt

ARRAYS = {
    "router_logits": np.float32,
    "experts": np.int16,
    "gates": np.float32,
    "token_ids": np.int32,
    "spans": np.int32,
    "special": np.bool_,
    "generated": np.bool_,
    "loss": np.float32,
}
PER_LAYER = ("router_logits", "experts", "gates")


def losses(trace: Trace) -> np.ndarray:
    """The loss of each token, of a trace that has them."""
    assert trace.loss is not None
    return trace.loss


def handmade(
    lengths: Sequence[int] = (3, 2),
    labels: Sequence[str] = "ab",
    layers: Sequence[int] = (0, 2, 5),
    seed: int = 0,
    loss: bool = True,
    E: int = 6,
    k: int = 2,
    **provenance,
) -> Trace:
    """Prompts of these lengths and labels; the first token of each is special."""
    rng = np.random.default_rng(seed)
    L, T = len(layers), sum(lengths)
    ends = np.cumsum([0, *lengths])
    logits = rng.normal(size=(L, T, E)).astype(np.float32)
    gates = rng.random((L, T, k)).astype(np.float32)
    first = np.isin(np.arange(T), ends[:-1])
    return Trace(
        router_logits=logits,
        experts=np.argsort(-logits, axis=2)[..., :k].astype(np.int16),
        gates=gates / gates.sum(2, keepdims=True),
        token_ids=rng.permutation(1000)[:T].astype(np.int32),
        tokens=[f"piece {seed}.{n % 4}" for n in range(T)],
        spans=rng.integers(0, 50, (T, 2)).astype(np.int32),
        special=first,
        generated=rng.random(T) < 0.4,
        prompts=tuple(
            TracePrompt(f"Zoë 漢字 {seed}.{n}", label, int(start), int(stop))
            for n, (label, start, stop) in enumerate(zip(labels, ends, ends[1:], strict=False))
        ),
        provenance=Provenance(**{"model": "handmade", "dtype": "float32", **provenance}),
        layers=tuple(layers),
        loss=np.where(first, np.nan, rng.random(T)).astype(np.float32) if loss else None,
    )
