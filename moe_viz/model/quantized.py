# SPDX-License-Identifier: Apache-2.0
"""Quantised matrices that stay packed, and are unpacked as they are used.

In: the bytes of a matrix as a GGUF file holds them. Out: modules that replace a linear layer or
an embedding. Numbers are unpacked in float32 and then cast, since unpacking in bf16 errs by up to
a hundredth of the largest; a few rows at a time, so that a whole matrix is never unpacked in
memory. An expert that no token goes to is never unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .gguf_blocks import BLOCK_TYPES

#: Numbers that are unpacked at once: what a CPU's cache holds, and what keeps a GPU busy.
CPU_NUMBERS, GPU_NUMBERS = 2**20, 2**26


@dataclass(frozen=True)
class Packed:
    """A matrix of packed blocks: `data` is uint8, (rows, bytes of a row).

    >>> eye = torch.tensor([[0, 60] + [1] + [0] * 31], dtype=torch.uint8)  # 60·256 is 1.0 in half
    >>> Packed(eye, "Q8_0").unpacked()[0, :3]
    tensor([1., 0., 0.])
    """

    data: Tensor
    kind: str  # a name in BLOCK_TYPES

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and numbers of a row."""
        kind = BLOCK_TYPES[self.kind]
        return len(self.data), self.data.shape[1] // kind.size * kind.width

    def unpacked(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The numbers, (rows, numbers of a row)."""
        kind = BLOCK_TYPES[self.kind]
        return kind.unpack(self.data.reshape(-1, kind.size)).view(self.shape).to(dtype)

    def __getitem__(self, rows: slice | Tensor) -> Packed:
        """Some rows, still packed."""
        return Packed(self.data[rows], self.kind)


class PackedModule(nn.Module):
    """A module whose one matrix stays packed."""

    def __init__(self, weight: Packed) -> None:
        super().__init__()
        self.kind: str = weight.kind
        self.register_buffer("data", weight.data, persistent=False)  # moves with the model

    @property
    def packed(self) -> Packed:
        """The matrix."""
        return Packed(self.get_buffer("data"), self.kind)

    def extra_repr(self) -> str:
        """Shape and type, for print(model)."""
        return f"{self.packed.shape}, {self.kind}"


class PackedLinear(PackedModule):
    """A linear layer without bias, (…, in) → (…, out)."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.packed
        numbers = CPU_NUMBERS if x.device.type == "cpu" else GPU_NUMBERS
        rows = max(1, numbers // weight.shape[1])
        parts = [
            functional.linear(x, weight[n : n + rows].unpacked(x.dtype))
            for n in range(0, weight.shape[0], rows)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


class PackedEmbedding(PackedModule):
    """An embedding that unpacks only the rows in use: ids (T,) → (T, D)."""

    def __init__(self, weight: Packed, dtype: torch.dtype) -> None:
        super().__init__(weight)
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        return self.packed[ids].unpacked(self.dtype)
