# SPDX-License-Identifier: Apache-2.0
"""The routing decision, which hooks record and change.

A router scores every expert for every token; the k best are chosen, and in Mixtral a softmax over
their scores alone says how much each counts. `Routing` is that decision for some tokens of one
layer, before any expert runs; what other mixtures do is in its `scoring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import NumberError
from .scoring import MIXTRAL, Scoring


@dataclass(frozen=True)
class TokenIndex:
    """Which tokens a block of hidden states belongs to: four vectors of shape (T,)."""

    tokens: Tensor  # row of the recording, counted over all prompts
    prompt: Tensor  # number of the prompt
    position: Tensor  # position within its prompt
    generated: Tensor  # bool: sampled from the model rather than given to it

    def __getitem__(self, rows: slice) -> TokenIndex:
        return TokenIndex(
            self.tokens[rows], self.prompt[rows], self.position[rows], self.generated[rows]
        )

    def at(self, rows: Tensor) -> TokenIndex:
        """Those of some rows, by number, in their order."""
        rows = rows.to(self.tokens.device)
        return TokenIndex(
            self.tokens[rows], self.prompt[rows], self.position[rows], self.generated[rows]
        )

    def to(self, device: torch.device) -> TokenIndex:
        """The same on another device."""
        return TokenIndex(
            self.tokens.to(device),
            self.prompt.to(device),
            self.position.to(device),
            self.generated.to(device),
        )

    @staticmethod
    def of_prompts(
        lengths: Sequence[int],
        past: Sequence[int] | None = None,
        first_token: int = 0,
        first_prompt: int = 0,
        generated: bool = False,
    ) -> TokenIndex:
        """The tokens of prompts that lie end to end, each after `past` tokens seen before."""
        past = past or [0] * len(lengths)
        T = sum(lengths)
        numbers = torch.arange(first_prompt, first_prompt + len(lengths))
        return TokenIndex(
            tokens=torch.arange(first_token, first_token + T),
            prompt=numbers.repeat_interleave(torch.tensor(lengths)),
            position=torch.cat(
                [torch.arange(p, p + n) for p, n in zip(past, lengths, strict=True)]
            ),
            generated=torch.full((T,), generated),
        )


@dataclass(frozen=True)
class Routing:
    """What one layer's router decided for T tokens, before the experts run.

    Experts are listed strongest first, by their gates. Expert −1 with gate 0 means that a slot is
    left unused. Change a decision with `with_experts`, or with `dataclasses.replace`.
    """

    layer: int
    logits: Tensor  # (T, E) float32: the router's raw scores, before any softmax
    experts: Tensor  # (T, k) int64
    gates: Tensor  # (T, k) float32; Mixtral's add up to 1
    index: TokenIndex
    altered: Tensor | None = None  # (T, E) float32: what the choice is made by, if not `scoring`'s
    strengths: Tensor | None = None  # (T, E) float32: logs that gates are made from, if not its
    scoring: Scoring = MIXTRAL  # how choice and gates follow from the logits

    @property
    def scores(self) -> Tensor:
        """What experts are chosen by, (T, E): Mixtral's logits; −∞ for one not to be chosen."""
        return self.scoring.ranking(self.logits) if self.altered is None else self.altered

    @property
    def strength(self) -> Tensor:
        """Logs of what gates are made from, (T, E): in Mixtral the scores themselves."""
        if self.strengths is not None:
            return self.strengths
        return self.scores if self.scoring.alike else self.scoring.strength(self.logits)

    @property
    def unsound(self) -> Tensor:
        """Whether any of the logits is NaN or infinite: a single truth value, on their device."""
        return (self.logits * 0).sum().isnan()  # 0 · ∞ is NaN; fewer steps than isfinite takes

    @property
    def tokens(self) -> Tensor:
        """Rows of the recording, (T,)."""
        return self.index.tokens

    @property
    def prompt(self) -> Tensor:
        """Number of each token's prompt, (T,)."""
        return self.index.prompt

    @property
    def position(self) -> Tensor:
        """Position of each token within its prompt, (T,)."""
        return self.index.position

    @property
    def generated(self) -> Tensor:
        """True where a token was sampled from the model, (T,)."""
        return self.index.generated

    def with_experts(self, experts: Tensor) -> Routing:
        """The same scores with other experts, and gates by the rule: Mixtral's are a softmax."""
        chosen = self.strength.gather(1, experts.clamp(0, self.logits.shape[1] - 1))
        chosen = chosen.masked_fill(experts < 0, -torch.inf)
        return replace(self, experts=experts, gates=self.scoring.gates(chosen, experts))


class NotFiniteError(NumberError):
    """A router's logits that are NaN or infinite, with the decision that holds them."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(f"Layer {routing.layer}: the router's logits are NaN or infinite.")
        self.routing: Routing = routing
