# SPDX-License-Identifier: Apache-2.0
"""Families whose experts are not told what was decided: the decision is read at the router.

In: a router's output. Out: logits, chosen experts and gates, (T, …) each; and back again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Decided = tuple[Tensor, Tensor, Tensor]  # logits (N, E), index (N, k), weights (N, k)


@dataclass(frozen=True)
class RouterForm:
    """How a decision is read from a router's output, and put into it."""

    read: Callable[[Any], Decided]
    written: Callable[[Any, Tensor, Tensor], Any]  # output, index, weights → another output


def _llama4(output: Any) -> Decided:
    """Llama 4: scores (N, E), 0 where an expert was not chosen, and logits."""
    scores, logits = output
    k = int((scores != 0).sum(1).max())
    weights, index = scores.topk(k, dim=1)
    return logits, index, weights


def _llama4_written(output: Any, index: Tensor, weights: Tensor) -> Any:
    scores, logits = output
    # Added, since an unused slot names an expert too, with weight 0.
    return torch.zeros_like(scores).scatter_add(1, index, weights), logits


def _jetmoe(output: Any) -> Decided:
    """JetMoE: the slots of all tokens in the order of their experts."""
    order, _, gates, sizes, logits = output
    k = len(order) // len(logits)
    experts = torch.arange(len(sizes), device=order.device)
    experts = experts.repeat_interleave(torch.tensor(sizes, device=order.device))
    index = torch.empty_like(order).scatter(0, order, experts).view(-1, k)
    weights = torch.empty_like(gates).scatter(0, order, gates).view(-1, k)
    return logits, index, weights


def _jetmoe_written(output: Any, index: Tensor, weights: Tensor) -> Any:
    experts, k = index.flatten(), index.shape[1]
    order = experts.argsort(stable=True)
    sizes = torch.bincount(experts, minlength=len(output[3])).tolist()
    return order, order // k, weights.flatten()[order], sizes, output[4]


ROUTERS: Mapping[str, RouterForm] = {
    "jetmoe": RouterForm(_jetmoe, _jetmoe_written),
    "llama4": RouterForm(_llama4, _llama4_written),
}
