"""How much memory is free now, on the host and on a GPU."""

from __future__ import annotations

import gc
from pathlib import Path

import torch


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device now; infinite where it does not say.

    Garbage is collected first: a model that fetches its own weights refers to itself, and so
    outlives its last use until then.
    """
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory() if device.type == "cpu" else float("inf")


def available_memory() -> float:
    """Bytes that are free on the host now; infinite where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return float("inf")
