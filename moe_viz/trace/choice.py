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
    return ranked_by(trace, row, recorded(trace, row, tokens))


def recorded(trace: Any, row: int, tokens: slice = slice(None)) -> np.ndarray:
    """The recorded numbers that `ranking` is made from, (T, E): logits, or choice scores."""
    if trace.rule.choice == "unknown" or not _scored(trace, row):
        raise TraceError(
            f"The choice of layer {trace.layers[row]} does not go by scores that were recorded, so "
            f"there is no margin. {trace.rule.note}".rstrip()
        )
    if trace.choice_scores is not None:
        return np.asarray(trace.choice_scores[row, tokens])
    return np.asarray(_logits(trace, "margin")[row, tokens])


def ranked_by(trace: Any, row: int, numbers: np.ndarray) -> np.ndarray:
    """What a choice with these numbers in the place of the recorded ones would go by."""
    if trace.choice_scores is not None:
        return numbers
    return ranking_of(trace.rule, numbers, None if trace.bias is None else trace.bias[row])


def has_probabilities(trace: Any) -> bool:
    """Whether the recorded numbers are logits of which the router takes a softmax."""
    return (
        trace.rule.score == "softmax"
        and trace.choice_scores is None
        and trace.router_logits is not None
    )


def probabilities(trace: Any, row: int, tokens: slice = slice(None)) -> np.ndarray:
    """See `Trace.probabilities`."""
    if trace.rule.score != "softmax":
        raise TraceError(
            f"This router scores each expert by itself ({trace.rule.score}): its scores do not add "
            "up to 1, so there is no probability and no entropy. Look at gates and choices."
        )
    logits = np.asarray(_logits(trace, "probability")[row, tokens])
    return scores_of(trace.rule, logits.astype(np.float64))


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
