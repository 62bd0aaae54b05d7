"""Recording a full-size Mixtral from a GGUF file, against what the machine could do at best.

    python benchmarks/gguf_sweep.py --work DIR [--type Q4_K] [--layers 32] [--keep]
    python benchmarks/gguf_sweep.py --tiny      # does it run?

The file is made up: merged experts in random blocks of one type, attention in Q8_0, routers and
norms in float32, a vocabulary of 32,000 pieces; 27 GB with Q4_K, 16 with Q2_K. It is recorded
streamed, in float32, loading counted.

No sweep can take less time than the longest of three things that it must do, each of which is
measured on its own on the tensors of one layer, median of --repeats, and counted for all of them
(of the last layer, attention alone is needed): to read the bytes, cold and from front to back; to
unpack the numbers, which are in memory; to multiply float32 matrices, with as many rows as each
expert of that layer had tokens. The figure is that bound over wall time. Unpacking and multiplying
both take all cores, so their sum is shown too. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from synthetic import (
    BLOCKS,
    DEVIATION,
    Measured,
    Repeated,
    beside,
    drop_cache,
    in_process,
    mixtral,
    normal_numbers,
    ragged,
    vocabulary,
    workspace,
    written_once,
)
from torch.nn import functional

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.checkpoint.gguf import open_gguf
from moe_viz.checkpoint.layout import LAYOUTS
from moe_viz.config import MixtralConfig
from moe_viz.model.blocks import BLOCK_TYPES
from moe_viz.model.quantized import CPU_NUMBERS, Packed
from tests.writers import FACTORS, gguf_metadata

console = Console()
ASKED_MEMORY = 4.0
LAYER = 1  # the one whose tensors are measured


# ---- the file ----------------------------------------------------------------------------------


def tensors(config: MixtralConfig, kind: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and types of a file with merged experts."""
    layout = next(layout for layout in LAYOUTS if layout.title == "GGUF, merged experts")
    found = {}
    for _, _, place in layout.places(config):
        plain = "norm" in place.key or "ffn_gate_inp" in place.key
        attention = "attn_" in place.key
        found[place.key] = place.shape, "F32" if plain else "Q8_0" if attention else kind
    return found


def row_bytes(shape: tuple[int, ...], kind: str) -> int:
    block = BLOCK_TYPES[kind]
    return shape[-1] // block.width * block.size


def total_bytes(config: MixtralConfig, kind: str) -> int:
    """Bytes of the file, but for its header."""
    return sum(
        int(np.prod(shape[:-1])) * (4 * shape[-1] if kind == "F32" else row_bytes(shape, kind))
        for shape, kind in tensors(config, kind).values()
    )


def random_blocks(kind: str) -> Repeated:
    """Blocks with any contents and such factors that their numbers are as large as weights are."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (BLOCKS, BLOCK_TYPES[kind].size), dtype=np.uint8)
    places = FACTORS.get(kind, (0,))

    def set_factors(rows: np.ndarray, *factors: float | np.ndarray) -> np.ndarray:
        for start, factor in zip(places, factors, strict=True):
            halves = np.broadcast_to(np.asarray(factor, np.float16), len(rows))
            rows[:, start : start + 2] = np.ascontiguousarray(halves).view(np.uint8).reshape(-1, 2)
        return rows

    def numbers(*factors: float) -> torch.Tensor:
        some = set_factors(blocks[:4096].copy(), *factors)
        return BLOCK_TYPES[kind].unpack(torch.from_numpy(some))

    factors = [1.0]
    if len(places) == 2:  # a scale, and a minimum that is subtracted: their means cancel out
        factors.append(float(numbers(1.0, 0.0).mean() / -numbers(0.0, 1.0).mean()))
    scale = DEVIATION / float(numbers(*factors).std()) * rng.uniform(0.5, 1.5, BLOCKS)
    return Repeated(set_factors(blocks, *(factor * scale for factor in factors)))


def write(config: MixtralConfig, kind: str, path: Path) -> None:
    """One tensor in memory at a time."""
    writer = gguf.GGUFWriter(path, "llama")
    gguf_metadata(writer, config)
    said = vocabulary(config.vocab_size)
    writer.add_tokenizer_model(said["model"])
    writer.add_token_list(said["tokens"])
    writer.add_token_scores(said["scores"].tolist())
    writer.add_token_types(said["token_type"].tolist())
    for name, number in (("bos", 1), ("eos", 2), ("unk", 0)):
        getattr(writer, f"add_{name}_token_id")(number)
    listed = tensors(config, kind)
    for name, (shape, kind) in listed.items():
        if kind == "F32":
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * int(np.prod(shape)))
        else:
            stored = (*shape[:-1], row_bytes(shape, kind))
            number = gguf.GGMLQuantizationType[kind]
            size = int(np.prod(stored))
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), size, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(1)
    stocks = {kind: random_blocks(kind) for _, kind in listed.values() if kind != "F32"}
    stocks["F32"] = normal_numbers()  # as bf16, of which the routers are made
    for name, (shape, kind) in listed.items():
        count = int(np.prod(shape))
        if "norm" in name:
            writer.write_tensor_data(np.ones(count, np.float32))
            continue
        block = 2 if kind == "F32" else BLOCK_TYPES[kind].size
        size = 2 * count if kind == "F32" else count // shape[-1] * row_bytes(shape, kind)
        first = block * int(rng.integers(stocks[kind].period // block))
        data = np.frombuffer(b"".join(stocks[kind].slices(first, first + size)), np.uint8)
        if kind == "F32":
            bf16 = torch.from_numpy(data.view(np.int16).copy()).view(torch.bfloat16)
            data = bf16.float().numpy()
        writer.write_tensor_data(data)
    writer.close()


# ---- the sweep, in a process of its own ----------------------------------------------------------


def sweep(args: argparse.Namespace, config: MixtralConfig, path: Path) -> dict[str, Any]:
    """Once cold, once more."""
    prompts, found = ragged(config, args.prompts, 16, 128), {}
    for state in ("cold", "warm"):
        if state == "cold":
            drop_cache([path])
        with Measured() as measured:
            trace = mv.record(mv.load(path, placement="stream"), prompts)
        assert np.isfinite(trace.router_logits).all()
        found[state] = measured.figures
        chosen = trace.experts[LAYER].ravel()
        found["counts"] = np.bincount(chosen, minlength=config.experts).tolist()
        found["tokens"] = len(trace)
    return found


# ---- what it must do -----------------------------------------------------------------------------


class Parts:
    """Seconds of each thing that a sweep does, for one layer: attention, experts."""

    def __init__(self, path: Path, config: MixtralConfig, counts: list[int], repeats: int) -> None:
        self.path, self.config, self.counts, self.repeats = path, config, counts, repeats
        self.checkpoint = open_checkpoint(path)

    def all_layers(self, attention: float, experts: float) -> float:
        """Counted for a recording, which never needs the last layer's experts."""
        return self.config.layers * attention + (self.config.layers - 1) * experts

    def read(self) -> float:
        headers = open_gguf(self.path)[1].headers
        seconds = {"attn_": 0.0, "_exps": 0.0}
        buffer = memoryview(bytearray(2**24))
        for word in seconds:
            found = [h for key, h in headers.items() if key.startswith(f"blk.{LAYER}.") and word in key]
            times = []
            for _ in range(self.repeats):
                drop_cache([self.path])
                began = time.perf_counter()
                with self.path.open("rb", buffering=0) as file:
                    for header in found:
                        file.seek(header.start)
                        left = header.size
                        while left:
                            left -= file.readinto(buffer[: min(left, len(buffer))]) or left
                times.append(time.perf_counter() - began)
            seconds[word] = statistics.median(times)
        return self.all_layers(*seconds.values())

    def unpack(self) -> float:
        """As `PackedLinear` does it: some rows at a time."""
        attention, experts = self._matrices()
        return self.all_layers(*(sum(map(self._unpacking, ms)) for ms in (attention, experts)))

    def _matrices(self) -> tuple[list[Packed], list[Packed]]:
        """Of one layer's attention and experts, as they are stored."""
        stem = f"layers.{LAYER}."
        found = {"attention.": list[Packed](), "moe.experts.": list[Packed]()}
        for word, matrices in found.items():
            for name in self.checkpoint:
                matrix = self.checkpoint[name] if name.startswith(stem + word) else None
                if isinstance(matrix, Packed):
                    matrices.append(matrix)
        return found["attention."], found["moe.experts."]

    def _unpacking(self, matrix: Packed) -> float:
        matrix = Packed(matrix.data.clone(), matrix.kind)  # in memory
        rows, times = max(1, CPU_NUMBERS // matrix.shape[1]), []
        for _ in range(self.repeats):
            began = time.perf_counter()
            for n in range(0, matrix.shape[0], rows):
                matrix[n : n + rows].unpacked()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def multiply(self) -> float:
        c = self.config
        D, F, Q, K = c.hidden_size, c.expert_size, c.heads * c.head_dim, c.kv_heads * c.head_dim
        tokens = sum(self.counts) // c.experts_per_token
        attention = self._multiplying([(Q, D), (K, D), (K, D), (D, Q)], [tokens])
        return self.all_layers(attention, self._multiplying([(F, D), (D, F), (F, D)], self.counts))

    def _multiplying(self, shapes: list[tuple[int, int]], counts: list[int]) -> float:
        """Products of so many rows with each of these matrices, for every count."""
        seconds = 0.0
        for shape in shapes:
            weight = torch.randn(shape)
            for count in counts:
                x, times = torch.randn(count, shape[1]), []
                for _ in range(self.repeats):
                    began = time.perf_counter()
                    functional.linear(x, weight)
                    times.append(time.perf_counter() - began)
                seconds += statistics.median(times)
        return seconds


def report(args: argparse.Namespace, config: MixtralConfig, path: Path) -> None:
    flags = ["--side", "sweep", "--work", path, "--layers", args.layers, "--prompts", args.prompts]
    found = in_process([*flags, *(["--tiny"] if args.tiny else [])])
    console.print(f"recorded: {found['cold']['seconds']:.1f} s, {found['warm']['seconds']:.1f} warm")
    parts = Parts(path, config, found["counts"], args.repeats)
    read, unpack, multiply = parts.read(), parts.unpack(), parts.multiply()
    table = Table(
        title=f"moe_viz {mv.__version__}, {torch.get_num_threads()} threads: {config.layers} "
        f"layers of {config.hidden_size}/{config.expert_size} in {args.type}, "
        f"{path.stat().st_size / 1e9:.1f} GB, float32, {found['tokens']} tokens"
    )
    for name in ("what", "cold", "warm", "asked"):
        table.add_column(name, justify="left" if name == "what" else "right")
    walls = [found[state]["seconds"] for state in ("cold", "warm")]
    table.add_row("wall time, s", *(f"{wall:.1f}" for wall in walls))
    table.add_row("read, s", f"{read:.1f}")
    table.add_row("unpack, s", *[f"{unpack:.1f}"] * 2)
    table.add_row("multiply, s", *[f"{multiply:.1f}"] * 2)
    bounds = (max(read, unpack, multiply), max(unpack, multiply))
    shares = [f"{bound / wall:.0%}" for bound, wall in zip(bounds, walls, strict=True)]
    table.add_row("share of the bound", *shares)
    both = [f"{(unpack + multiply) / wall:.0%}" for wall in walls]
    table.add_row("(unpack + multiply) / wall", *both)
    for name, key in (("read from the disk, GB", "read"), ("written to the disk, GB", "written")):
        table.add_row(name, *(f"{found[state][key] / 1e9:.2f}" for state in ("cold", "warm")))
    memory = [found[state]["memory"] / 1e9 for state in ("cold", "warm")]
    figure, asked = beside(max(memory), ASKED_MEMORY, least=False)
    table.add_row("peak anonymous memory, GB", figure, f"{memory[1]:.2f}", asked)
    console.print(table)
    console.print(f"tokens of each expert of layer {LAYER}: {found['counts']}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for the file (temporary)")
    parser.add_argument("--keep", action="store_true", help="leave the file for the next run")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, to try this script")
    parser.add_argument("--type", default="Q4_K", choices=["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
    parser.add_argument("--layers", type=int, default=32, help="at least 2")
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
        size = total_bytes(config, args.type)
        what = (config, args.type)
        written_once(folder, what, size, 0, lambda: write(config, args.type, path))
        report(args, config, path)


if __name__ == "__main__":
    main()
