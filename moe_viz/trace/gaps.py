# SPDX-License-Identifier: Apache-2.0
"""Decisions that were made with NaN or infinity: gaps, in which nothing is drawn or counted.

A model of today stops at such numbers; recordings of earlier versions may hold them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .numbers import not_finite
from .trace import Trace

#: The expert of a decision that is a gap; −1 is a slot that was left unused.
GAP = -2


def gaps(trace: Trace) -> np.ndarray:
    """Decisions whose logits or gates are NaN or infinite, (L, T) bool."""
    return not_finite(trace.router_logits, trace.gates)


def with_gaps(trace: Trace) -> Trace:
    """The same trace, with `GAP` for the experts of decisions that are gaps, and no gates."""
    where = gaps(trace)
    if not where.any():
        return trace
    return replace(
        trace,
        experts=np.where(where[:, :, None], GAP, trace.experts).astype(np.int16),
        gates=np.where(where[:, :, None], np.float32(0), trace.gates),
    )
