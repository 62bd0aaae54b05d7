# SPDX-License-Identifier: Apache-2.0
"""A Mixtral that nobody trained, for benchmarks that care how large weights are, not what they say.

No download: the weights are one block of normal numbers laid end to end, in which every tensor
begins elsewhere, so that experts differ and files are written as fast as a disk takes them. A
length that is prime keeps the block from meeting itself in the rows of a matrix.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moe_viz.checkpoint.gguf.sentencepiece import sentencepiece_model
from moe_viz.checkpoint.layout import hugging_face, shapes
from moe_viz.config import MixtralConfig

#: Deviation of the weights: that of an untrained model in transformers.
DEVIATION = 0.02

#: Numbers in the block, a prime.
NUMBERS = 2**24 - 3

#: 1.0 in bf16.
ONE = b"\x80\x3f"

#: No more than so many bytes of contents are asked for at once.
SLICE = 2**20

#: A shard has no more bytes of tensors than this, as Hugging Face cuts them.
SHARD = 5_000_000_000


def mixtral(layers: int, tiny: bool) -> MixtralConfig:
    """Mixtral 8x7B with fewer layers, or, to try a script, with narrow ones."""
    config = replace(MixtralConfig.preset("mixtral-8x7b"), layers=layers)
    narrow = {"hidden_size": 256, "heads": 4, "kv_heads": 2, "head_dim": 64, "expert_size": 512}
    return replace(config, **narrow) if tiny else config


def ragged(config: MixtralConfig, count: int, shortest: int, longest: int) -> list[list[int]]:
    """Prompts of random tokens, their lengths spread evenly, the short ones first."""
    rng = np.random.default_rng(0)
    lengths = np.linspace(shortest, longest, count).round().astype(int)
    return [rng.integers(3, config.vocab_size, n).tolist() for n in lengths]


class Repeated:
    """Bytes that go on for ever, as slices of one buffer."""

    def __init__(self, data: np.ndarray) -> None:
        raw = data.tobytes()
        self.period = len(raw)
        self._data = memoryview(raw + raw[:SLICE])

    def slice(self, start: int, stop: int) -> memoryview:
        """At most SLICE bytes, without a copy."""
        first = start % self.period
        return self._data[first : first + stop - start]

    def slices(self, start: int, stop: int) -> Iterator[memoryview]:
        """Any number of bytes, piece by piece."""
        for n in range(start, stop, SLICE):
            yield self.slice(n, min(n + SLICE, stop))


def normal_numbers() -> Repeated:
    """Weights in bf16."""
    values = torch.randn(NUMBERS, generator=torch.Generator().manual_seed(0))
    return Repeated(values.mul_(DEVIATION).bfloat16().view(torch.int16).numpy())


@dataclass(frozen=True)
class Shard:
    """A safetensors file in bf16: its name, its header, and where tensors lie, canonical names."""

    name: str
    header: bytes
    tensors: dict[str, tuple[int, int]]

    @cached_property
    def size(self) -> int:
        """Bytes of the file."""
        return max(stop for _, stop in self.tensors.values())


def shards(config: MixtralConfig) -> list[Shard]:
    """A model as Hugging Face would cut it, under the names that transformers 4 gave."""
    groups: list[dict[str, tuple[int, ...]]] = [{}]
    room = SHARD
    for name, shape in shapes(config):
        size = 2 * int(np.prod(shape))
        if size > room:
            groups.append({})
            room = SHARD
        groups[-1][name] = shape
        room -= size
    names = (f"model-{n + 1:05}-of-{len(groups):05}.safetensors" for n in range(len(groups)))
    return [_shard(name, group) for name, group in zip(names, groups, strict=True)]


def _shard(name: str, tensors: dict[str, tuple[int, ...]]) -> Shard:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    places, end = {}, 0
    for tensor, shape in tensors.items():
        start, end = end, end + 2 * int(np.prod(shape))
        places[tensor] = start, end
        entries[hugging_face(tensor)] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return Shard(
        name, header, {k: (len(header) + a, len(header) + b) for k, (a, b) in places.items()}
    )


def small_files(config: MixtralConfig) -> dict[str, bytes]:
    """What lies beside the shards."""
    files = {hugging_face(t): shard.name for shard in shards(config) for t in shard.tensors}
    total = sum(shard.size - len(shard.header) for shard in shards(config))
    index = {"metadata": {"total_size": total}, "weight_map": files}
    said = {f"tokenizer.ggml.{k}": v for k, v in vocabulary(config.vocab_size).items()}
    return {
        "config.json": json.dumps(config.to_hf()).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "tokenizer.model": sentencepiece_model(said, Path("made up")),
    }


def vocabulary(size: int) -> dict[str, Any]:
    """Pieces that stand for bytes, and otherwise for nothing; as GGUF's metadata has them."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    types = [2, 3, 3, *[6] * 256, 1]
    made_up = range(len(pieces), size)
    return {
        "model": "llama",
        "tokens": [*pieces, *(f"▁{n}" for n in made_up)],
        "scores": -np.arange(size, dtype=np.float32),
        "token_type": np.array([*types, *[1] * len(made_up)], dtype=np.int32),
    }


def write_folder(config: MixtralConfig, folder: Path) -> list[Path]:
    """The model as Hugging Face would publish it, norms of ones; its files of weights."""
    numbers, files = normal_numbers(), list[Path]()
    rng = np.random.default_rng(1)
    for name, data in small_files(config).items():
        (folder / name).write_bytes(data)
    for shard in shards(config):
        files.append(folder / shard.name)
        with files[-1].open("wb") as file:
            file.write(shard.header)
            for name, (start, stop) in shard.tensors.items():
                if "norm" in name:
                    file.write(ONE * ((stop - start) // len(ONE)))
                    continue
                first = 2 * int(rng.integers(NUMBERS))
                for part in numbers.slices(first, first + stop - start):
                    file.write(part)
    return files
