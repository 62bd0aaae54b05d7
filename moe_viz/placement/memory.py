# SPDX-License-Identifier: Apache-2.0
"""How much memory is free now, on the host and on other devices."""

from __future__ import annotations

import gc

import torch

from ..machine import ASSUMED, tightest
from ..machine import available_memory as available_memory


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device now; few where it does not say.

    Garbage is collected first: a model that fetches its own weights refers to itself, and so
    outlives its last use until then.
    """
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":  # Apple's GPU computes in the host's memory
        room = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return min(float(room), available_memory())
    return available_memory() if device.type == "cpu" else ASSUMED


def what_binds(device: torch.device) -> str:
    """What says how much is free on a device, where that is not the machine itself: " (…)", or "".

    >>> what_binds(torch.device("meta"))
    ' (unknown here, so 2 GiB are assumed)'
    """
    if device.type in ("cuda", "mps"):
        return ""
    if device.type != "cpu":
        return " (unknown here, so 2 GiB are assumed)"
    bound = tightest().bound
    return "" if bound == "this machine" else f" ({bound})"
