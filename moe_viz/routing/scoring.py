# SPDX-License-Identifier: Apache-2.0
"""A scoring rule at work, in torch: from logits to what the choice goes by, and to gates.

`trace.rule` says in words and in NumPy what a rule is. Here is what a change of a decision needs:
other experts get the gates that the model's own rule would give them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..trace.rule import MIXTRAL as MIXTRAL_RULE
from ..trace.rule import Rule


@dataclass(frozen=True, eq=False)
class Scoring:
    """A rule, and the numbers of one layer that it needs."""

    rule: Rule = MIXTRAL_RULE
    bias: Tensor | None = None  # (E,), for the choice alone
    per_expert: Tensor | None = None  # (E,), what each expert's gates are multiplied by

    @property
    def alike(self) -> bool:
        """Whether choice and gates go by the same numbers: the logits, as in Mixtral."""
        return self.rule.plain and self.rule.score == "softmax" and self.rule.normalised

    def ranking(self, logits: Tensor) -> Tensor:
        """What the choice goes by, (T, E): the k largest win; −∞ outside the kept groups."""
        rule = self.rule
        if rule.plain:
            return logits
        ranking = logits if rule.bias == "logits" else self.strength(logits, whole=True).exp()
        if self.bias is not None:
            ranking = ranking + self.bias
        if rule.groups == 1:
            return ranking
        grouped = ranking.unflatten(-1, (rule.groups, -1))  # (T, groups, E / groups)
        counted = 1 if rule.group_score == "best" else min(2, grouped.shape[-1])
        best = grouped.topk(counted, dim=-1).values.sum(-1)
        kept = best.topk(rule.groups_kept, dim=-1).indices
        outside = torch.ones_like(best, dtype=torch.bool).scatter(-1, kept, False)
        worst = 0 if rule.outside_zero else -torch.inf
        return grouped.masked_fill(outside[..., None], worst).flatten(-2)

    def strength(self, logits: Tensor, whole: bool = False) -> Tensor:
        """Logs of the scores that gates are made from, (T, E).

        Those of a softmax that the chosen share anew need no sum over all experts, unless the
        `whole` is asked for.
        """
        rule = self.rule
        if rule.score == "sigmoid":
            return functional.logsigmoid(logits)
        if rule.score == "sqrtsoftplus":
            return functional.softplus(logits).log() / 2
        return logits if rule.normalised and not whole else logits.log_softmax(-1)

    def gates(self, strength: Tensor, experts: Tensor) -> Tensor:
        """Gates (T, k) of experts from their strengths (T, k); −∞ is an unused slot: 0."""
        rule = self.rule
        gates = strength.softmax(-1).nan_to_num(0) if rule.normalised else strength.exp()
        if rule.scale != 1:
            gates = gates * rule.scale
        if self.per_expert is not None:
            gates = gates * self.per_expert[experts.clamp(min=0)]
        return gates


#: The k largest logits, and a softmax over them.
MIXTRAL = Scoring()
