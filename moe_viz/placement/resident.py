# SPDX-License-Identifier: Apache-2.0
"""Resident: every weight on one device, for as long as the model lives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..model.quantized import Packed, PackedEmbedding, PackedLinear
from .transfer import to_device

#: A copied matrix of at least this many bytes keeps the layout it is stored in.
LARGE = 2**26


def fill(
    model: nn.Module,
    checkpoint: Mapping[str, Tensor | Packed],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Give a model made on the meta device its weights, each read once.

    A tensor that is stored in `dtype` and stays on the CPU is used from the mapped file, without a
    copy; a packed one stays packed. Routers and norms are always plain.
    """
    weights: dict[str, Tensor] = {}
    for name in checkpoint:
        stored = checkpoint[name]
        if isinstance(stored, Packed) and not stays_packed(name):
            stored = stored.unpacked()
        if isinstance(stored, Packed):
            module = name.removesuffix(".weight")
            before = model.get_submodule(module)
            model.set_submodule(module, _packed(before, stored, device, dtype))
        else:
            weights[name] = _placed(name, stored, device, dtype)
    model.load_state_dict(weights, strict=True, assign=True)
    model.requires_grad_(False)


def stays_packed(name: str) -> bool:
    """Whether a tensor's module can unpack it as it is used: all but routers and norms."""
    return ".router." not in name and "norm" not in name


def _packed(
    before: nn.Module, stored: Packed, device: torch.device, dtype: torch.dtype
) -> PackedLinear | PackedEmbedding:
    moved = Packed(to_device(stored.data, device), stored.kind)
    is_table = isinstance(before, nn.Embedding)
    return PackedEmbedding(moved, dtype) if is_table else PackedLinear(moved)


def _placed(name: str, stored: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    placed = to_device(stored, device, dtype)
    if placed is stored or device.type != "cpu" or name.startswith("embedding"):
        return placed
    # A copy was made, so its layout is free: with the longer side contiguous, the product with a
    # single token, as in decoding, reads memory in long strides. Where a matrix is so large that
    # nobody decodes on a CPU, changing the layout would take longer than it saves.
    tall = placed.ndim == 2 and placed.shape[0] > placed.shape[1] and placed.nbytes < LARGE
    return placed.t().contiguous().t() if tall else placed
