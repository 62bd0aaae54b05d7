# SPDX-License-Identifier: Apache-2.0
"""Resident on several devices: some layers on each, hidden states passed on from one to the next.

In: a checkpoint, and devices with how much each may hold. Out: a model like any other, whose home
is the first device: embedding, final norm and output head are there, and so are recordings.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint import Checkpoint
from ..errors import PlacementError
from ..model import Mixtral
from ..model.layers import Pass
from ..model.mixtral import DecoderLayer
from .ondemand import filled


class SpreadMixtral(Mixtral):
    """A Mixtral with its layers spread over devices, in order.

    `room` says how many bytes each device may hold. Raises `PlacementError` where all of them
    together hold too little.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        devices: Sequence[torch.device],
        room: Sequence[float],
        dtype: torch.dtype,
    ) -> None:
        with torch.device("meta"):
            super().__init__(checkpoint.config)
        names = ["embedding", "norm", "head"]
        shared = sum(checkpoint.memory(dtype, name) for name in names)
        layers = [f"layers.{n}" for n in range(checkpoint.config.layers)]
        sizes = [checkpoint.memory(dtype, name) for name in layers]
        self.places: list[torch.device] = share_out(sizes, [room[0] - shared, *room[1:]], devices)
        for name, device in zip([*names, *layers], [devices[0]] * 3 + self.places, strict=True):
            module = filled(self.get_submodule(name), checkpoint, name, device, dtype)
            self.set_submodule(name, module)

    def visit(
        self, done: int, tokens: int, last: bool, progress: bool
    ) -> Generator[DecoderLayer, None, None]:
        """The layers after the first `done`, each on its device; see `Mixtral.sweep`."""
        runs: dict[torch.device, Pass] = {}
        for n, layer in enumerate(super().visit(done, tokens, last, progress), start=done):
            is_last = n == self.config.layers - 1
            yield _Away(layer, self.places[n], self.device if is_last else None, runs)  # type: ignore[misc]


class _Away:
    """A layer on its device: its inputs are moved there first."""

    def __init__(
        self,
        layer: DecoderLayer,
        device: torch.device,
        home: torch.device | None,
        runs: dict[torch.device, Pass],
    ) -> None:
        self.layer, self.device, self.home, self.runs = layer, device, home, runs

    def __call__(self, x: Tensor, run: Pass) -> Tensor:
        x = self.layer(x.to(self.device), self._here(run))
        return x if self.home is None else x.to(self.home)

    def route(self, x: Tensor, run: Pass) -> None:
        """Run as far as the router, for its hooks only."""
        self.layer.route(x.to(self.device), self._here(run))

    def _here(self, run: Pass) -> Pass:
        """The same pass with its tensors on this device; the layers there share them."""
        if self.device not in self.runs:
            cos, sin = (factor.to(self.device) for factor in run.rotation)
            self.runs[self.device] = replace(
                run, index=run.index.to(self.device), rotation=(cos, sin)
            )
        return self.runs[self.device]


def share_out(
    sizes: Sequence[int], room: Sequence[float], devices: Sequence[torch.device]
) -> list[torch.device]:
    """The device of each layer: in order, each device taking its share of what there is.

    >>> cpu, meta = torch.device("cpu"), torch.device("meta")
    >>> [d.type for d in share_out([1, 1, 1], [20, 10], [cpu, meta])]
    ['cpu', 'cpu', 'meta']
    """
    total, places, held, on = sum(sizes), list[torch.device](), 0.0, 0
    for size in sizes:
        share = total * room[on] / max(1, sum(room))
        # A layer goes to the device in whose share its middle lies.
        if on + 1 < len(room) and (held + size / 2 > share or held + size > room[on]):
            on, held = on + 1, 0.0
        held += size
        if held > room[on]:
            raise PlacementError(
                f"The layers take {total / 2**30:.1f} GiB, and {', '.join(map(str, devices))} have "
                f"{sum(room) / 2**30:.1f} GiB for them. Take placement='offload' on one of them, "
                "placement='stream', a smaller dtype, or a quantised file."
            )
        places.append(devices[on])
    return places
