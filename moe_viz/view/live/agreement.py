# SPDX-License-Identifier: Apache-2.0
"""How far a page's model agrees with the one it was made of: the page says so of itself.

In: a Mixtral in memory, and its recordings with each weight as it is and as a byte. Out: how many
sets of experts and first choices stay as they are, and what happens to the loss. Routing notices
rounding first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...trace import Trace
from .weights import in_steps, matrices


@dataclass(frozen=True)
class Agreement:
    """Shares of decisions that stay, and bits a byte with the weights as they were and in bytes."""

    texts: int
    tokens: int  # the special ones left out
    sets: float
    first: float
    bits: tuple[float, float]


def agreement(own: Trace, other: Trace) -> Agreement:
    """Of two recordings of the same texts, both with loss."""
    kept = ~own.special
    before, after = (np.sort(trace.experts[:, kept], axis=2) for trace in (own, other))
    first = own.experts[:, kept, 0] == other.experts[:, kept, 0]
    return Agreement(
        len(own.prompts),
        int(kept.sum()),
        float((before == after).all(axis=2).mean()),
        float(first.mean()),
        (_bits(own), _bits(other)),
    )


@contextmanager
def in_bytes(model: Any) -> Iterator[None]:
    """Within the block, each weight is what a page's int8 makes of it."""
    kept = []
    try:
        for module in matrices(model):
            weight = module.weight.data
            kept.append((weight, weight.clone()))
            steps, scale = in_steps(weight.float().cpu().numpy())
            weight.copy_(weight.new_tensor(steps * scale[:, None]))
        yield
    finally:
        for weight, before in kept:
            weight.copy_(before)


def _bits(trace: Trace) -> float:
    """Bits that the model needs for each byte of the texts."""
    assert trace.loss is not None
    size = sum(len(prompt.text.encode("utf-8")) for prompt in trace.prompts)
    return float(np.nansum(trace.loss.astype(float))) / math.log(2) / size
