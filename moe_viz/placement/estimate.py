# SPDX-License-Identifier: Apache-2.0
"""Which placements of a checkpoint this machine can offer, and about how long a recording takes.

In: a checkpoint, from its headers; an expert of its size and types with made-up weights, timed
here; a stretch of its file, which is really read. Out: an `Estimate` for each placement. Reading,
unpacking and multiplying are measured separately and added up the way a placement overlaps them;
attention scores and the first touch of memory are left out, so take the result as the order of
magnitude.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, open_checkpoint
from ..checkpoint.stored import PLAIN
from ..costs import ledger
from ..model.gguf_blocks import BLOCK_TYPES
from ..model.quantized import Packed
from .loading import device_named, dtype_named, room_for_experts, stream_memory
from .memory import available_memory, free_memory
from .ondemand import ROWS, built, expert_name

#: Bytes of the checkpoint that are read to measure the speed.
LOCAL_SAMPLE, HUB_SAMPLE = 2**28, 2**25


@dataclass(frozen=True)
class Rates:
    """What was measured."""

    read: float  # bytes/s from disk or network
    make: float  # seconds to have an expert ready, once its bytes are here
    compute: float  # seconds in which an expert computes its share of the tokens


@dataclass(frozen=True)
class Estimate:
    """What a placement needs, and about how long it takes."""

    placement: str
    needed: float  # bytes of the device's memory
    free: float
    load: float  # seconds before the first recording
    record: float  # seconds of each
    generates: bool
    why_not: str = ""  # set where something other than memory rules it out

    @property
    def fits(self) -> bool:
        """Whether it is possible here, now."""
        return not self.why_not and self.needed <= self.free


def estimate(
    source: str | Path, tokens: int = 1000, device: str = "auto", dtype: str = "auto"
) -> tuple[Rates, list[Estimate]]:
    """Measure for some seconds, and say what each placement of a checkpoint would take.

    `tokens` is the size of the recording in mind, all its prompts together; device and dtype are as
    in `load`. Raises what `load` raises about the source.

    >>> rates, estimates = estimate("8x7m", tokens=100)
    >>> [e.placement for e in estimates if e.fits][0]
    'resident'
    """
    checkpoint = open_checkpoint(source)
    where = device_named(device)
    kind = dtype_named(dtype, where)
    c, books = checkpoint.config, ledger(checkpoint.config)
    rows = max(1, tokens * c.experts_per_token // c.experts)
    make, compute = _time_an_expert(checkpoint, where, kind, rows)
    rates = Rates(_read_rate(checkpoint), make, compute)
    # Attention and head in units of an expert: all are products with matrices.
    experts = c.layers * c.experts
    others = (books.total - experts * books.expert) / books.expert
    making = make * (experts + others)
    per_token = books.flops_per_token(head=False) / (2 * books.expert)
    computing = compute / rows * tokens * per_token
    stored = checkpoint.size("")
    last = sum(checkpoint.size(expert_name(c.layers - 1, e)) for e in range(c.experts))
    swept = (stored - last) / rates.read
    whole, free = checkpoint.memory(kind), free_memory(where)
    expert = checkpoint.memory(kind, expert_name(0, 0))
    staying = whole - experts * expert
    activations = tokens * c.hidden_size * kind.itemsize * 8
    passing = stream_memory(checkpoint, kind) + activations
    apart = where.type not in ("cpu", "mps")
    waiting = stored <= available_memory()  # so that they come from memory, after the first time
    return rates, [
        Estimate("resident", whole, free, stored / rates.read + making, computing, True),
        Estimate(
            "offload", staying + expert, staying + room_for_experts(checkpoint, where, kind),
            stored / rates.read, max(making + (0 if waiting else swept), computing), True,
            "" if apart else "needs a GPU",
        ),
        Estimate("stream", passing, free, 0.0, max(swept + making, computing), False),
    ]  # fmt: skip


def _time_an_expert(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, rows: int
) -> tuple[float, float]:
    """Seconds to make an expert of this checkpoint's size and types ready, and to run it."""
    name, weights = expert_name(0, 0), dict[str, Any]()
    for matrix in ("w1", "w2", "w3"):
        key = f"{name}.{matrix}.weight"
        shape, stored = checkpoint.header(key)
        weights[key] = _made_up(shape, stored)
    x = torch.randn(min(rows, ROWS), checkpoint.config.hidden_size, device=device, dtype=dtype)
    with torch.inference_mode():
        module = built(weights, checkpoint.config, name, device, dtype)
        make = _seconds(lambda: built(weights, checkpoint.config, name, device, dtype), device)
        return make, _seconds(lambda: module(x), device) * rows / len(x)


def _made_up(shape: tuple[int, ...], kind: str) -> Tensor | Packed:
    """A matrix of small numbers that is stored like this one."""
    if kind in PLAIN:
        return torch.full(shape, 1e-3, dtype=PLAIN[kind])
    block = BLOCK_TYPES[kind]
    blocks = shape[1] // block.width * block.size
    return Packed(torch.ones(shape[0], blocks, dtype=torch.uint8), kind)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """The median of three, after one that does not count."""
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return median(taken[1:])


def _read_rate(checkpoint: Checkpoint) -> float:
    """Bytes/s of the middle of the largest file, read past the page cache where possible."""
    largest = max(checkpoint.headers, key=lambda header: header.start + header.size)
    end = largest.start + largest.size
    size = min(end, LOCAL_SAMPLE if isinstance(largest.file, Path) else HUB_SAMPLE)
    start = (end - size) // 2
    if not isinstance(largest.file, Path):
        began = time.perf_counter()
        largest.file.bytes().ranges([slice(start, start + size)])
        return size / (time.perf_counter() - began)
    with open(largest.file, "rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # forget these bytes, if nobody uses them
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)
        file.seek(start)
        began, left = time.perf_counter(), size
        while left > 0 and (part := file.read(min(left, 2**24))):
            left -= len(part)
    return size / (time.perf_counter() - began)
