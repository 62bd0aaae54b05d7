# SPDX-License-Identifier: Apache-2.0
"""The recorder: a router hook that keeps every decision as it is executed.

It runs last, after the hooks that change decisions, and changes nothing itself.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..guests.guest import Recordable
from ..routing import Routing


class Recorder:
    """A router hook that keeps logits, experts and gates of up to `tokens` tokens."""

    def __init__(self, model: Recordable, tokens: int) -> None:
        config = model.config
        self._row: dict[int, int] = {layer: n for n, layer in enumerate(config.mixtures)}
        shape = (len(config.mixtures), tokens)
        self.logits: Tensor = torch.full((*shape, config.experts), torch.nan, device=model.device)
        self.experts: Tensor = torch.full(
            (*shape, config.experts_per_token), -1, dtype=torch.int64, device=model.device
        )
        self.gates: Tensor = torch.zeros((*shape, config.experts_per_token), device=model.device)

    def __call__(self, routing: Routing) -> None:
        """Keep a decision as it will be executed."""
        row, k = self._row[routing.layer], routing.experts.shape[1]
        self._widen(k)
        home = self.logits.device  # a layer may lie on another
        rows, logits = routing.tokens.to(home), routing.logits.to(home)
        if (missing := self.logits.shape[2] - logits.shape[1]) > 0:  # experts that others have
            logits = functional.pad(logits, (0, missing), value=-torch.inf)
        self.logits[row].index_copy_(0, rows, logits)
        self.experts[row, :, :k].index_copy_(0, rows, routing.experts.to(home))
        self.gates[row, :, :k].index_copy_(0, rows, routing.gates.to(home))

    def kept(self, layer: int, rows: slice) -> dict[str, Tensor]:
        """What was kept of one layer and these tokens."""
        return {
            "logits": self.logits[layer, rows],
            "experts": self.experts[layer, rows],
            "gates": self.gates[layer, rows],
        }

    def restore(self, layer: int, rows: slice, kept: dict[str, Tensor]) -> None:
        """Continue from what another recorder kept of one layer and these tokens."""
        home, experts = self.logits.device, kept["experts"]
        self._widen(experts.shape[1])
        self.logits[layer, rows] = kept["logits"].to(home)
        self.experts[layer, rows, : experts.shape[1]] = experts.to(home)
        self.gates[layer, rows, : experts.shape[1]] = kept["gates"].to(home)

    def _widen(self, k: int) -> None:
        """Make room for k choices, where a hook chose more experts than the model does."""
        missing = k - self.experts.shape[2]
        if missing > 0:
            self.experts = functional.pad(self.experts, (0, missing), value=-1)
            self.gates = functional.pad(self.gates, (0, missing))

    def arrays(self, tokens: int) -> dict[str, np.ndarray]:
        """What was kept of the first `tokens` tokens, on the host."""
        return {
            "router_logits": self.logits[:, :tokens].cpu().numpy(),
            "experts": self.experts[:, :tokens].cpu().numpy().astype(np.int16),
            "gates": self.gates[:, :tokens].cpu().numpy(),
        }
