# SPDX-License-Identifier: Apache-2.0
"""Modules whose weights are there only while they are needed: what stream and offload share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import MixtralConfig
from ..model.layers import Attention
from ..model.moe import Expert
from ..model.quantized import Packed
from .resident import fill

#: Rows that a module computes at once, so that its activations stay small in a long recording.
ROWS = 4096


class OnDemand(nn.Module):
    """Takes the place of a module, and gets the module itself when it has to compute."""

    def __init__(self, name: str, take: Callable[[str], nn.Module], rows: int = 2**62) -> None:
        super().__init__()
        self.name: str = name
        self.take: Callable[[str], nn.Module] = take
        self.rows: int = rows

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        """The module's output for x."""
        module = self.take(self.name)
        if len(x) <= self.rows:
            return module(x, *args)
        return torch.cat([module(part, *args) for part in x.split(self.rows)])

    def whole(self) -> nn.Module:
        """The module with its weights."""
        return self.take(self.name)

    def extra_repr(self) -> str:
        """Its name in the checkpoint, for print(model)."""
        return f"{self.name}, read when needed"


class Part(Mapping[str, Tensor | Packed]):
    """The tensors of one module of a checkpoint, under the name it has elsewhere."""

    def __init__(self, tensors: Mapping[str, Tensor | Packed], name: str, renamed: str) -> None:
        stem = f"{name}."
        self._tensors = tensors
        self._names = {renamed + n.removeprefix(name): n for n in tensors if n.startswith(stem)}

    def __getitem__(self, name: str) -> Tensor | Packed:
        return self._tensors[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def expert_name(layer: int, expert: int) -> str:
    """An expert's canonical name."""
    return f"layers.{layer}.moe.experts.{expert}"


def built(
    weights: Mapping[str, Tensor | Packed],
    config: MixtralConfig,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Module:
    """A module on a device, its weights taken from the host now: attention, expert, or head."""
    with torch.device("meta"):
        module = _empty(config, name)
    return filled(module, weights, name, device, dtype)


def filled(
    module: nn.Module,
    weights: Mapping[str, Tensor | Packed],
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Module:
    """A module made on the meta device with the weights of this name; another one if packed."""
    holder = nn.Module()
    holder.add_module("module", module)
    fill(holder, Part(weights, name, "module"), device, dtype)
    return holder.get_submodule("module")


def _empty(config: MixtralConfig, name: str) -> nn.Module:
    if name == "embedding":
        return nn.Embedding(config.vocab_size, config.hidden_size)
    if name == "head":
        return nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    if name.endswith(".attention"):
        return Attention(config, int(name.split(".")[1]))
    return Expert(config)
