# SPDX-License-Identifier: Apache-2.0
"""A sparse mixture of experts: the layer that this whole library is about.

In a dense transformer every token passes through the same feed-forward block. Here there are E of
them, the experts, and a router picks k for each token. In: normed hidden states (T, D) of T
tokens. Out: the same shape, which the caller adds to its hidden states. A mixture of
experts knows nothing of attention or prompts: it looks at each token on its own.

    T tokens   D hidden size   F expert intermediate size   E experts   k experts per token
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import MixtralConfig
from ..errors import NumberError
from ..routing import NotFiniteError, RouterHook, Routing, TokenIndex, apply_hooks
from .dispatch import run_experts


class Router(nn.Module):
    """One row of weights for each expert; its product with a token is that expert's score."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.experts, config.hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        # In float32 whatever the model's dtype. In bf16 about 0.2 % of the choices flip with random
        # scores of unit variance, 0.3 % with 8x7m's.
        return functional.linear(x.float(), self.weight.float())  # (T, E)


class Expert(nn.Module):
    """A feed-forward block with a gated activation (SwiGLU, arXiv 2002.05202)."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        D, F = config.hidden_size, config.expert_size
        self.w1 = nn.Linear(D, F, bias=False)
        self.w2 = nn.Linear(F, D, bias=False)
        self.w3 = nn.Linear(D, F, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))  # (T, D)


class MoELayer(nn.Module):
    """A router and its experts."""

    def __init__(self, config: MixtralConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.k = config.experts_per_token
        self.router = Router(config)
        self.experts = nn.ModuleList(Expert(config) for _ in range(config.experts))

    def forward(self, x: Tensor, index: TokenIndex, hooks: Iterable[RouterHook] = ()) -> Tensor:
        routing = self.route(x, index, hooks)
        try:
            return run_experts(self.experts, x, routing.experts, routing.gates, routing.unsound)
        except NumberError:
            raise NotFiniteError(routing) from None

    def route(self, x: Tensor, index: TokenIndex, hooks: Iterable[RouterHook] = ()) -> Routing:
        """Which experts each token goes to, before any of them runs."""
        logits = self.router(x)  # (T, E)
        best, experts = logits.topk(self.k)  # (T, k) each, strongest first
        gates = best.softmax(-1)  # over the chosen only: the others have no weight
        return apply_hooks(hooks, Routing(self.layer, logits, experts, gates, index))
