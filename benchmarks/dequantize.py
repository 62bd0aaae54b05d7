# SPDX-License-Identifier: Apache-2.0
"""Unpacking GGUF's types: ours, in torch, against the gguf package's, in NumPy.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/dequantize.py [--repeats 7]

A matrix of 4096 × 4096 numbers of each type, random bytes, to float32; both sides give the same
bits, which is checked first. The figure is the ratio of the medians (above 1: ours is faster).
Ours unpacks some rows at a time, as `PackedLinear` does. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
from importlib.metadata import version

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gguf
import numpy as np
import torch
from inference import interleaved
from rich.console import Console
from rich.table import Table

from moe_viz.model.gguf_blocks import BLOCK_TYPES
from moe_viz.model.quantized import CPU_NUMBERS, Packed

ROWS = COLUMNS = 4096
ASKED = 1.5


def ours(matrix: Packed, out: torch.Tensor) -> torch.Tensor:
    """All rows, some at a time."""
    step = CPU_NUMBERS // COLUMNS
    for n in range(0, ROWS, step):
        out[n : n + step] = matrix[n : n + step].unpacked()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    table = Table(title=f"gguf {version('gguf')}, torch {torch.__version__}")
    for name in ("type", "moe_viz, M numbers/s", "gguf, M numbers/s", "ratio", "asked"):
        table.add_column(name, justify="right")
    rng = np.random.default_rng(0)
    out = torch.empty(ROWS, COLUMNS)
    for name, kind in BLOCK_TYPES.items():
        size = COLUMNS // kind.width * kind.size
        raw = rng.integers(0, 256, (ROWS, size), dtype=np.uint8)
        raw &= 0xBF  # no infinities among the factors: NumPy would warn about them
        matrix, number = Packed(torch.from_numpy(raw), name), gguf.GGMLQuantizationType[name]
        with np.errstate(all="ignore"):
            expected = gguf.quants.dequantize(raw, number)
            same = np.array_equal(ours(matrix, out).numpy(), expected, equal_nan=True)
            assert same, name
            sides = {
                "moe_viz": lambda m=matrix: ours(m, out),
                "gguf": lambda r=raw, n=number: gguf.quants.dequantize(r, n),
            }
            seconds = interleaved(sides, args.repeats)
        mine, theirs = (statistics.median(s) for s in seconds.values())
        rates = [ROWS * COLUMNS / s / 1e6 for s in (mine, theirs)]
        ratio = theirs / mine
        verdict = "" if ratio >= ASKED else "  [red]below[/]"
        table.add_row(name, *(f"{r:,.0f}" for r in rates), f"{ratio:.2f}{verdict}", f"≥ {ASKED}")
    Console().print(table)


if __name__ == "__main__":
    main()
