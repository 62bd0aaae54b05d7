# SPDX-License-Identifier: Apache-2.0
"""The numbers of a trace as they travel to the picture: scores and gates, at each precision.

Logits travel as differences from their row's maximum, which keeps near-ties apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import TraceError
from ...trace import Trace

#: How far scores in bytes reach below their row's maximum, where that is not worked out.
DEEPEST = 20.0


def gates_as(trace: Trace, how: str) -> np.ndarray:
    """Gates (L, T, k): as float16, or in 255ths."""
    if how == "half":
        return trace.gates.astype(np.float16)
    return np.rint(255 * np.nan_to_num(trace.gates).clip(0, 1)).astype(np.uint8)


def with_shares(trace: Trace) -> Trace:
    """The same, with gates as shares of a token's gates where they do not add up to 1."""
    if trace.rule.sums_to_one or not trace.rule.gated:
        return trace
    sums = np.maximum(trace.gates.sum(axis=2, keepdims=True), np.float32(1e-20))
    return replace(trace, gates=trace.gates / sums)


def ranked(trace: Trace) -> bool:
    """Whether the trace holds what its choices went by."""
    try:
        row = trace.scored.index(True) if trace.scored else 0
        return bool(trace.ranking(row, slice(0, 1)).size)
    except (TraceError, ValueError):
        return False


def reach(trace: Trace) -> tuple[float, float]:
    """The largest of what choices went by, and how far the smallest finite one lies below."""
    least, most = np.inf, -np.inf
    for row in range(len(trace.layers)):
        if trace.scored and not trace.scored[row]:
            continue
        scores = trace.ranking(row)
        scores = scores[np.isfinite(scores)]
        if scores.size:
            least, most = min(least, float(scores.min())), max(most, float(scores.max()))
    return (most, max(most - least, 1e-6)) if np.isfinite(most) else (0.0, 1.0)


def scores_as(trace: Trace, how: str, top: float | None, deepest: float) -> np.ndarray:
    """What choices went by, (L, T, E): below the row's maximum, or below `top`; layer by layer.

    A mapped trace may be large.
    """
    shape = (len(trace.layers), len(trace), trace.expert_count)
    out = np.zeros(shape, np.float16 if how == "half" else np.uint8)
    for layer in _scored(trace):
        relative = _below(trace, layer, top)
        if how == "half":
            with np.errstate(over="ignore"):  # beyond float16
                out[layer] = relative
        else:  # a square root: fine steps near the maximum, where choices are close
            steps = np.rint(254 * np.sqrt(np.clip(-relative / deepest, 0, 1)))
            out[layer] = np.where(np.isneginf(relative), 255, steps)
    return out


def top_scores(trace: Trace, more: int, top: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The `more` best of those not chosen, (L, T, more) int16, and the scores of chosen and these.

    The best are in no order. The scores are float16, (L, T, k + more), as `scores_as` has them; −∞
    at unused slots.
    """
    L, T, k = trace.experts.shape
    nearest = np.full((L, T, more), -1, np.int16)
    out = np.full((L, T, k + more), -np.inf, np.float16)
    for layer in _scored(trace):
        relative = _below(trace, layer, top)
        chosen = np.maximum(trace.experts[layer].astype(int), 0)
        unused = trace.experts[layer] < 0
        own = np.take_along_axis(relative, chosen, axis=1)
        # Set aside are the chosen, and for an unused slot a column that no expert has.
        rest = np.concatenate([relative, np.full((T, 1), -np.inf, np.float32)], axis=1)
        aside = np.where(unused, trace.expert_count, chosen)
        np.put_along_axis(rest, aside, -np.inf, axis=1)
        best = np.argpartition(-rest, more, axis=1)[:, :more]
        found = np.take_along_axis(rest, best, axis=1)
        nearest[layer] = np.where(np.isneginf(found), -1, best)
        with np.errstate(over="ignore"):
            out[layer, :, :k] = np.where(unused, -np.inf, own)
            out[layer, :, k:] = found
    return nearest, out


def _scored(trace: Trace) -> list[int]:
    """Rows of the layers whose choice goes by scores."""
    return [n for n in range(len(trace.layers)) if not trace.scored or trace.scored[n]]


def _below(trace: Trace, layer: int, top: float | None) -> np.ndarray:
    """What a layer's choices went by, (T, E) float32, below the row's maximum or `top`."""
    raw = trace.ranking(layer)
    scores = np.nan_to_num(raw, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    highest = scores.max(axis=1, keepdims=True) if top is None else np.float32(top)
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        return np.where(scores == highest, np.float32(0), scores - highest)
