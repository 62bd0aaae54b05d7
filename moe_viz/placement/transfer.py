# SPDX-License-Identifier: Apache-2.0
"""Bringing modules to a device while it computes.

In: a function that makes a module there. Out: the module, safe to use on the stream that computes.
On CUDA the copies run on a stream of their own, from pinned memory, beside the computation; on any
other device they are finished when the function returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sent:
    """A module whose weights may still be on their way."""

    module: nn.Module
    arrival: Any = None  # a torch.cuda.Event

    def received(self) -> nn.Module:
        """The module; what is computed with it from now on waits for its weights."""
        if self.arrival is not None:
            for tensor in tensors(self.module):
                computing = torch.cuda.current_stream(tensor.device)
                computing.wait_event(self.arrival)
                # Its memory was allocated on the copying stream, and must not be reused before
                # this one is done with it.
                tensor.record_stream(computing)
        return self.module


class Transfer:
    """The way to one device."""

    def __init__(self, device: torch.device) -> None:
        self.stream: torch.cuda.Stream | None = (
            torch.cuda.Stream(device) if device.type == "cuda" else None
        )

    def send(self, build: Callable[[], nn.Module]) -> Sent:
        """Start copying what `build` makes."""
        if self.stream is None:
            return Sent(build())
        with torch.cuda.stream(self.stream):
            module = build()
            return Sent(module, self.stream.record_event())


def to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on a device; to CUDA by way of pinned memory, without waiting for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True).to(dtype or tensor.dtype)
    return tensor.to(device, dtype or tensor.dtype)


def tensors(module: nn.Module) -> chain[Tensor]:
    """A module's weights, packed ones as well."""
    return chain(module.parameters(), module.buffers())
