"""How much memory is free now, on the host and on a GPU."""

from __future__ import annotations

import gc

import torch

from ..machine import available_memory as available_memory


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device now; infinite where it does not say.

    Garbage is collected first: a model that fetches its own weights refers to itself, and so
    outlives its last use until then.
    """
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory() if device.type == "cpu" else float("inf")
