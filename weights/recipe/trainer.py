# SPDX-License-Identifier: Apache-2.0
"""Model, float32 masters, optimisers: one training step, and what makes a run resumable.

Weights are bf16 with float32 master copies. A batch of short windows holds all nine domains; one of
long windows is two of them, and the load-balancing loss is evened over the last nine batches: 18
windows, 36,864 tokens, all domains at least once. Every batch is a step of the optimiser. The model
that is trained is `moe_viz.model.Mixtral` itself; its routers' logits reach the load-balancing loss
through an ordinary router hook. What `compare.py` varies stands in `Settings`.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from losses import step_loss
from streams import DOMAINS, Corpus
from torch import Tensor, nn
from torch.nn import functional

from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral, initialise
from moe_viz.model.moe import Expert

SEED = 20261123  # also the seed of the untrained twin: step 0 of this run
TRAINING = "training.json"  # beside the weights: how they were trained
SHORT, LONG = 256, 2048  # window lengths; the last part of the run sees long ones
LONG_FROM = 0.8  # share of the run after which windows are long
EVENED = 9  # batches over which loads are evened, where one is too small for all domains
WARM_UP = 100  # steps until the learning rate is reached
LONGEST_STEP = 5.0  # seconds: a step that took longer was suspended, and counts as this much
ROWS = 64  # an expert's batch is filled up to a multiple of this


@dataclass(frozen=True)
class Settings:
    """What may well be chosen otherwise."""

    optimiser: str = "adamw"  # or "muon", for the matrices inside the layers but for the routers
    rate: float = 2.5e-3  # peak learning rate
    batch: int = 4096  # tokens of a step
    balance: float = 0.01  # weight of the load-balancing loss, summed over layers
    z_loss: float = 1e-3  # weight of the routers' z-loss, summed over layers
    embedding: float = 1.0  # deviation of the embedding at step 0
    matrices: str = "torch"  # deviation of the others at step 0; or "gpt2": 0.02, writes smaller


def first_step(config: MixtralConfig, settings: Settings, seed: int = SEED) -> Mixtral:
    """The model before any training: the untrained twin of what will become of it."""
    model = initialise(Mixtral(config), seed)
    into_residual = 0.02 / (2 * config.layers) ** 0.5  # GPT-2's rule, where a layer writes
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("embedding."):
                weight.mul_(settings.embedding)
            elif weight.ndim == 2 and settings.matrices == "gpt2":
                writes = ".wo." in name or ".w2." in name
                weight.mul_((into_residual if writes else 0.02) / weight.std())
    return model


def twin_of(weights: Path) -> Mixtral:
    """The untrained twin of a folder of weights: step 0 of the run that made them."""
    report = json.loads((weights / TRAINING).read_text())
    if report["seed"] != SEED:
        raise ValueError(f"{weights}: trained from seed {report['seed']}, expected {SEED}")
    config = MixtralConfig.from_file(weights / "config.json")
    return first_step(config, Settings(**report["settings"])).requires_grad_(False)


def fill_batches(model: Mixtral) -> None:
    """Fill every expert's batch up to a multiple of `ROWS` tokens, with zeros.

    oneDNN compiles a kernel for each new shape of a bf16 product, half a millisecond each, and an
    expert meets another number of tokens at every step; without this, half of a step goes there.
    """

    tokens: dict[nn.Module, int] = {}

    def fill(expert: nn.Module, args: tuple[Tensor]) -> Tensor:
        tokens[expert] = len(args[0])
        return functional.pad(args[0], (0, 0, 0, -len(args[0]) % ROWS))

    for module in model.modules():
        if isinstance(module, Expert):
            module.register_forward_pre_hook(fill)
            module.register_forward_hook(lambda expert, _, result: result[: tokens[expert]])


class Trainer:
    """Model, float32 masters, optimisers and the state that makes a run resumable."""

    def __init__(
        self, config: MixtralConfig, settings: Settings, device: str = "cpu", seed: int = SEED
    ) -> None:
        self.settings, self.device = settings, device
        self.model = first_step(config, settings, seed).to(device)
        fill_batches(self.model)
        self.masters = [w.detach().clone() for w in self.model.parameters()]
        self.weights = list(self.model.to(torch.bfloat16).parameters())
        self.optimisers = self._optimisers()
        self.rng = np.random.default_rng(seed)  # of the windows
        self.long_from = LONG_FROM
        self.step = 0
        self.long_steps = 0  # of them, those with windows too long for all domains in a batch
        self.loads: list[Tensor] = []  # shares of assignments of those, the last few
        self.spent = 0.0  # seconds of training

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        names = [name for name, _ in self.model.named_parameters()]
        muon, matrices, vectors = [], [], []
        for name, master in zip(names, self.masters, strict=True):
            inner = name.startswith("layers.") and ".router." not in name and master.ndim == 2
            if inner and self.settings.optimiser == "muon":
                muon.append(master)
            else:
                (matrices if master.ndim == 2 else vectors).append(master)
        optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": matrices, "weight_decay": 0.1},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                betas=(0.9, 0.95),
                fused=True,
            )
        ]
        if muon:
            optimisers.append(torch.optim.Muon(muon, adjust_lr_fn="match_rms_adamw"))
        return optimisers

    def learning_rate(self, done: float) -> float:
        """Warm-up by steps, then a cosine over the run, down to a hundredth."""
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return self.settings.rate * min(1.0, (self.step + 1) / WARM_UP) * cosine

    def train_step(self, corpus: Corpus, done: float) -> dict:
        """One step, with this share of the run done."""
        began = time.perf_counter()
        length = min(LONG if done > self.long_from else SHORT, self.settings.batch)
        few = self.settings.batch // length < len(DOMAINS)
        windows = corpus.batch(self.rng, self.settings.batch, length, self.long_steps)
        loss, entropy, load = step_loss(
            self.model,
            windows.to(self.device),
            self.settings.balance,
            self.settings.z_loss,
            self.loads if few else (),
        )
        loss.backward()
        if few:
            self.loads = [*self.loads, load.detach()][1 - EVENED :]
            self.long_steps += 1
        for weight, master in zip(self.weights, self.masters, strict=True):
            # No gradient: an expert that no token of this batch went to.
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate(done)
            optimiser.step()
        self.copy_masters()
        self.step += 1
        self.spent += min(time.perf_counter() - began, LONGEST_STEP)
        largest = load.max().item()
        return {"step": self.step, "spent": self.spent, "entropy": entropy, "max_load": largest}

    @torch.no_grad()
    def go_on_from(self, model: Mixtral) -> None:
        """Begin with a trained model's weights instead of step 0, and with long windows."""
        for master, weight in zip(self.masters, model.parameters(), strict=True):
            master.copy_(weight)
        self.copy_masters()
        self.long_from = -1.0

    @torch.no_grad()
    def copy_masters(self) -> None:
        """Bring the weights that compute up to date."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.copy_(master)

    def save(self, path: Path) -> None:
        state = {
            "masters": self.masters,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "rng": json.dumps(self.rng.bit_generator.state),
            "step": self.step,
            "long_steps": self.long_steps,
            "loads": self.loads,
            "spent": self.spent,
        }
        torch.save(state, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def save_weights(self, path: Path) -> None:
        """The weights alone, as they compute: what a snapshot could not foresee."""
        names = [name for name, _ in self.model.named_parameters()]
        torch.save(dict(zip(names, self.weights, strict=True)), path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for master, saved in zip(self.masters, state["masters"], strict=True):
            master.copy_(saved)
        self.copy_masters()
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.step, self.spent = state["step"], state["spent"]
        self.long_steps, self.loads = state["long_steps"], state["loads"]
