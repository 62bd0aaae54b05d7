# SPDX-License-Identifier: Apache-2.0
"""Choosing experts by score: the best, or the best together with given ones; slots may stay empty.

In: a decision and its scores. Out: a decision for other experts, strongest first. An expert whose
score is −∞ is never chosen; expert −1 is an empty slot.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..routing import Routing


def best_of(routing: Routing, k: int) -> Routing:
    """The k best experts by score, strongest first, without ablated ones (score −∞)."""
    ranked, experts = routing.scores.topk(k)
    return _strongest_first(routing, experts.masked_fill(ranked == -torch.inf, -1))


def best_with(routing: Routing, k: int, kept: Tensor) -> Routing:
    """The same, with the experts to be `kept` (T, E) among the k."""
    ranked, experts = _kept_first(routing.scores, kept).topk(k)
    return _strongest_first(routing, experts.masked_fill(ranked == -torch.inf, -1))


def refilled(routing: Routing, k: int, kept: Tensor) -> Routing:
    """The same in k slots, using no more of them than before, except for kept experts.

    What an empty slot would have added to the layer's output stays missing.
    """
    ranked, experts = _kept_first(routing.scores, kept).topk(k)
    room = (routing.experts >= 0).sum(1, keepdim=True)
    late = torch.arange(k, device=ranked.device) >= room
    unused = (late & (ranked < torch.inf)) | (ranked == -torch.inf)
    return same_share(_strongest_first(routing, experts.masked_fill(unused, -1)), routing)


def _kept_first(scores: Tensor, kept: Tensor) -> Tensor:
    """Scores to rank by, (T, E): experts that are kept, and not ablated, come before all others."""
    return scores.masked_fill(kept & (scores > -torch.inf), torch.inf)


def _strongest_first(routing: Routing, experts: Tensor) -> Routing:
    """A decision for these experts (T, k), in the order of their own gates; −1 goes last."""
    there = experts.clamp(min=0)
    strength = routing.strength.gather(1, there)
    if (own := routing.scoring.per_expert) is not None:
        strength = strength + own[there].log()
    strength = strength.masked_fill(experts < 0, -torch.inf)
    order = strength.sort(dim=1, descending=True, stable=True).indices
    return routing.with_experts(experts.gather(1, order))


def same_share(changed: Routing, before: Routing) -> Routing:
    """Where a slot was left empty, gates that add up to the same sum as before."""
    empty = (before.experts < 0).any(1, keepdim=True)
    return replace(
        changed,
        gates=torch.where(empty, changed.gates * _to_sum_of(before, changed), changed.gates),
    )


def same_sum(changed: Routing, before: Routing) -> Routing:
    """Gates that add up to the same sum as before, for a change that is of their shares alone."""
    if before.scoring.rule.sums_to_one:
        return same_share(changed, before)
    return replace(changed, gates=changed.gates * _to_sum_of(before, changed))


def _to_sum_of(before: Routing, changed: Routing) -> Tensor:
    """What gates are multiplied by so that they add up as before, (T, 1)."""
    share = before.gates.sum(1, keepdim=True)
    if before.scoring.rule.sums_to_one:  # as those that a rule has just given do
        return share
    return share / changed.gates.sum(1, keepdim=True).clamp(min=1e-20)


def without(routing: Routing, gone: Tensor) -> Routing:
    """The same, with the slots of experts that are `gone` (T, E) left empty."""
    hit = members(gone, routing.experts)
    experts, gates = routing.experts.masked_fill(hit, -1), routing.gates.masked_fill(hit, 0)
    return replace(routing, experts=experts, gates=gates.masked_fill(experts < 0, 0))


def members(mask: Tensor, experts: Tensor) -> Tensor:
    """Which of these experts (T, k) the mask (T, E) holds."""
    return mask.gather(1, experts.clamp(min=0)) & (experts >= 0)
