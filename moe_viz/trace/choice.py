# SPDX-License-Identifier: Apache-2.0
"""What the choices of a trace went by, how close they were, and what is a probability: by its rule.

In: a trace. Out: arrays; or `TraceError`, in words, where the rule or the trace does not allow it.
All margins, probabilities and entropies come from here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import TraceError
from .numbers import margins_of
from .rule import ranking_of, scores_of


def ranking(trace: Any, row: int, tokens: slice = slice(None)) -> np.ndarray:
    """See `Trace.ranking`."""
    if trace.rule.choice == "unknown" or not _scored(trace, row):
        raise TraceError(
            f"The choice of layer {trace.layers[row]} does not go by scores that were recorded, so "
            f"there is no margin. {trace.rule.note}".rstrip()
        )
    if trace.choice_scores is not None:
        return np.asarray(trace.choice_scores[row, tokens])
    bias = None if trace.bias is None else trace.bias[row]
    return ranking_of(trace.rule, np.asarray(_logits(trace, "margin")[row, tokens]), bias)


def probabilities(trace: Any, row: int, tokens: slice = slice(None)) -> np.ndarray:
    """See `Trace.probabilities`."""
    if trace.rule.score != "softmax":
        raise TraceError(
            f"This router scores each expert by itself ({trace.rule.score}): its scores do not add "
            "up to 1, so there is no probability and no entropy. Look at gates and choices."
        )
    return scores_of(trace.rule, np.asarray(_logits(trace, "probability")[row, tokens]))


def margins(trace: Any) -> np.ndarray:
    """See `Trace.margins`."""
    (L, T, k), found = trace.experts.shape, []
    some = any(_scored(trace, row) for row in range(L))
    for row in range(L):
        if some and not _scored(trace, row):
            found.append(np.full(T, np.nan, np.float32))
        else:
            found.append(margins_of(ranking(trace, row), k))
    return np.stack(found)


def _scored(trace: Any, row: int) -> bool:
    return not trace.scored or trace.scored[row]


def _logits(trace: Any, what: str) -> np.ndarray:
    if trace.router_logits is None:
        raise TraceError(
            f"This trace has no router logits, so there is no {what}: the program that recorded "
            f"{trace.provenance.model} hands out the chosen experts alone. Record the texts with "
            "moe_viz for that."
        )
    return trace.router_logits
