# SPDX-License-Identifier: Apache-2.0
"""Recording a full-size Mixtral from a GGUF file, against what the machine could do at best.

    python benchmarks/gguf_sweep.py --work DIR [--type Q4_K] [--layers 32] [--keep]
    python benchmarks/gguf_sweep.py --tiny      # does it run?

The file is made up: merged experts in random blocks of one type, attention in Q8_0, routers and
norms in float32, a vocabulary of 32,000 pieces; 27 GB with Q4_K, 16 with Q2_K. It is recorded
streamed, in float32, loading counted, cold (nothing of it in the page cache) and once more.

No sweep can take less time than the longest of three things that it must do: to read the bytes,
cold and from front to back; to unpack the numbers, once they are in memory; to multiply float32
matrices, with as many rows as the experts had tokens. Each is measured on its own on the tensors of
a middle layer, medians, and counted for all layers; of the last one, attention alone is needed. The
figure is that bound over wall time. Unpacking and multiplying both take all cores, so their sum is
shown too. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from gguf_file import planned, write_file
from measuring import (
    beside,
    cold_and_warm,
    drop_cache,
    in_process,
    median_seconds,
    workspace,
    written_once,
)
from rich.console import Console
from rich.table import Table
from synthetic import mixtral, ragged
from torch.nn import functional

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.checkpoint.gguf.file import open_gguf
from moe_viz.checkpoint.stored import Stored
from moe_viz.config import MixtralConfig
from moe_viz.model.quantized import CPU_NUMBERS, Packed

console = Console()
ASKED_MEMORY = 4.0
KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


def sweep(args: argparse.Namespace, config: MixtralConfig, path: Path) -> dict[str, Any]:
    """The recording, and how many tokens each expert of the middle layer had."""
    prompts, traces = ragged(config, args.prompts, 16, 128), list[mv.Trace]()

    def run() -> None:
        traces.append(mv.record(mv.load(path, placement="stream"), prompts))

    found = cold_and_warm(run, [path])
    assert all(np.isfinite(trace.router_logits).all() for trace in traces)
    chosen = traces[0].experts[middle(config)].ravel()
    counts = np.bincount(chosen, minlength=config.experts).tolist()
    return {"runs": found, "counts": counts, "tokens": len(traces[0])}


# ---- what it must do -----------------------------------------------------------------------------


def middle(config: MixtralConfig) -> int:
    return config.layers // 2


def all_layers(config: MixtralConfig, attention: float, experts: float) -> float:
    """Seconds of a recording from those of a layer: the last layer's experts are not needed."""
    return config.layers * attention + (config.layers - 1) * experts


def reading(path: Path, config: MixtralConfig, repeats: int) -> float:
    """Seconds to read what is needed from the disk."""
    headers, buffer = open_gguf(path)[1].headers, memoryview(bytearray(2**24))

    def read(tensors: Sequence[Stored]) -> None:
        with path.open("rb", buffering=0) as file:
            for tensor in tensors:
                file.seek(tensor.start)
                left = tensor.size
                while left:
                    left -= file.readinto(buffer[: min(left, len(buffer))])

    stem, seconds = f"blk.{middle(config)}.", []
    for part in ("attn_", "_exps"):
        found = [h for key, h in headers.items() if key.startswith(stem) and part in key]
        seconds.append(median_seconds(lambda t=found: read(t), repeats, lambda: drop_cache([path])))
    return all_layers(config, *seconds)


def unpacking(path: Path, config: MixtralConfig, repeats: int) -> float:
    """Seconds to unpack what is needed, some rows at a time as `PackedLinear` does it."""
    checkpoint, seconds = open_checkpoint(path), {"attention": 0.0, "moe": 0.0}

    def unpack(matrix: Packed) -> None:
        rows = max(1, CPU_NUMBERS // matrix.shape[1])
        for n in range(0, matrix.shape[0], rows):
            matrix[n : n + rows].unpacked()

    for part in seconds:
        for name in checkpoint:
            if name.startswith(f"layers.{middle(config)}.{part}."):
                matrix = checkpoint[name]
                if isinstance(matrix, Packed):  # the router is not
                    matrix = Packed(matrix.data.clone(), matrix.kind)
                    seconds[part] += median_seconds(lambda m=matrix: unpack(m), repeats)
    return all_layers(config, *seconds.values())


def multiplying(config: MixtralConfig, counts: list[int], repeats: int) -> float:
    """Seconds of the products alone: all tokens in attention, some in each expert."""
    D, F = config.hidden_size, config.expert_size
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    tokens = sum(counts) // config.experts_per_token

    def products(shapes: list[tuple[int, int]], counts: list[int]) -> float:
        seconds = 0.0
        for shape in shapes:
            weight = torch.randn(shape)
            for count in counts:
                x = torch.randn(count, shape[1])
                seconds += median_seconds(
                    lambda x=x, weight=weight: functional.linear(x, weight), repeats
                )
        return seconds

    attention = products([(queries, D), (keys, D), (keys, D), (D, queries)], [tokens])
    return all_layers(config, attention, products([(F, D), (D, F), (F, D)], counts))


# ---- both, side by side --------------------------------------------------------------------------


def report(args: argparse.Namespace, config: MixtralConfig, path: Path) -> None:
    flags = ["--side", "sweep", "--work", path, "--layers", args.layers, "--prompts", args.prompts]
    found = in_process([*flags, *(["--tiny"] if args.tiny else [])])
    runs = list(found["runs"].values())
    walls = [run["seconds"] for run in runs]
    console.print(f"recorded in {walls[0]:.1f} s, warm {walls[1]:.1f} s", highlight=False)
    with torch.inference_mode():
        unpack = unpacking(path, config, args.repeats)
        multiply = multiplying(config, found["counts"], args.repeats)
    read = reading(path, config, args.repeats)
    table = Table(
        title=f"moe_viz {mv.__version__}, {torch.get_num_threads()} threads: {config.layers} "
        f"layers in {args.type}, {path.stat().st_size / 1e9:.1f} GB, float32, "
        f"{found['tokens']} tokens"
    )
    for name in ("what", "cold", "warm", "asked"):
        table.add_column(name, justify="left" if name == "what" else "right")
    table.add_row("wall, s", *(f"{wall:.1f}" for wall in walls))
    table.add_row("read, s", f"{read:.1f}")
    table.add_row("unpack, s", *[f"{unpack:.1f}"] * 2)
    table.add_row("multiply, s", *[f"{multiply:.1f}"] * 2)
    bounds = max(read, unpack, multiply), max(unpack, multiply)
    shares = (f"{bound / wall:.0%}" for bound, wall in zip(bounds, walls, strict=True))
    table.add_row("the longest of them / wall", *shares)
    table.add_row("(unpack + multiply) / wall", *(f"{(unpack + multiply) / w:.0%}" for w in walls))
    table.add_row("read from the disk, GB", *(f"{run['read'] / 1e9:.2f}" for run in runs))
    table.add_row("extra disk, GB", *(f"{run['written'] / 1e9:.2f}" for run in runs))
    memory = [beside(run["memory"] / 1e9, ASKED_MEMORY, least=False) for run in runs]
    table.add_row("peak anonymous memory, GB", memory[0][0], *memory[1])
    console.print(table)
    counts = found["counts"]
    console.print(f"tokens of each expert of layer {middle(config)}: {counts}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for the file (a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the file for the next run")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, to try this script")
    parser.add_argument("--type", default="Q4_K", choices=KINDS)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3, help="of each part; medians")
    parser.add_argument("--side", choices=["sweep"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    config = mixtral(args.layers, args.tiny)
    if args.side:
        print(json.dumps(sweep(args, config, args.work)))
        return
    with workspace(args.work, "gguf_sweep", args.keep) as folder:
        path = folder / f"mixtral-{args.type}.gguf"
        size = sum(tensor.size for tensor in planned(config, args.type))
        what = config, args.type
        written_once(folder, what, size, 0, lambda: write_file(config, args.type, path))
        report(args, config, path)


if __name__ == "__main__":
    main()
