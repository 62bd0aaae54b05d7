"""Resident: every weight on one device, for as long as the model lives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def fill(
    model: nn.Module, checkpoint: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> None:
    """Give a model made on the meta device its weights, each read once.

    A tensor that is stored in `dtype` and stays on the CPU is used where the file maps it, without
    a copy.
    """
    weights = {name: _placed(name, checkpoint[name], device, dtype) for name in checkpoint}
    model.load_state_dict(weights, strict=True, assign=True)
    model.requires_grad_(False)


def _placed(name: str, stored: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    placed = stored.to(device, dtype)
    if placed is stored or device.type != "cpu" or name.startswith("embedding"):
        return placed
    # A copy was made, so its layout is free: with the longer side contiguous, the product with a
    # single token, as in decoding, reads memory in long strides.
    tall = placed.ndim == 2 and placed.shape[0] > placed.shape[1]
    return placed.t().contiguous().t() if tall else placed
