# SPDX-License-Identifier: Apache-2.0
"""Counting the copies between host and device that code asks torch for, whatever the device.

Copies that torch makes within a factory, `torch.tensor(…, device=…)`, pass it by.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class WatchCopies(TorchDispatchMode):
    """`with WatchCopies() as copies: …`, then `copies.to_device`, `copies.to_host`.

    A value that is read (`.item()`, `int()`, …) is a copy to the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_device = self.to_host = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # In inference mode `.to` and `.cpu` come whole; what they do is within.
        if func._can_decompose() and func is not aten.scaled_dot_product_attention.default:
            with self:
                return func.decompose(*args, **kwargs)
        if func is aten._to_copy.default:
            self._crosses(args[0].device, torch.device(kwargs.get("device") or args[0].device))
        elif func is aten.copy_.default:
            self._crosses(args[1].device, args[0].device)
        elif func is aten._local_scalar_dense.default:
            self._crosses(args[0].device, torch.device("cpu"))
        return func(*args, **kwargs)

    def _crosses(self, source: torch.device, target: torch.device) -> None:
        if source.type != target.type:
            self.to_host += target.type == "cpu"
            self.to_device += source.type == "cpu"
