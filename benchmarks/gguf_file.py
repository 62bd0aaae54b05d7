# SPDX-License-Identifier: Apache-2.0
"""A GGUF file of Mixtral's shape that holds nothing but noise, of any type of block.

Random bytes are valid blocks, as long as their half-precision factors are no monsters: these are
such that the numbers have a mean of zero and the deviation of weights. One stock of blocks for each
type is laid end to end, and every tensor begins elsewhere in it; see `synthetic`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from synthetic import DEVIATION, Repeated, vocabulary

from moe_viz.checkpoint.layout import LAYOUTS
from moe_viz.config import MixtralConfig
from moe_viz.model.gguf_blocks import BLOCK_TYPES
from tests.writers import FACTORS, gguf_metadata

#: Blocks in a stock, a prime.
BLOCKS = 2**19 - 1


@dataclass(frozen=True)
class Planned:
    """A tensor of the file."""

    name: str
    shape: tuple[int, ...]
    kind: str

    @property
    def row(self) -> int:
        """Bytes of a row."""
        if self.kind == "F32":
            return 4 * self.shape[-1]
        return self.shape[-1] // BLOCK_TYPES[self.kind].width * BLOCK_TYPES[self.kind].size

    @property
    def size(self) -> int:
        """Bytes of it all."""
        return math.prod(self.shape[:-1]) * self.row


def planned(config: MixtralConfig, kind: str) -> list[Planned]:
    """Merged experts, embedding and head of this type; attention in Q8_0, the rest in float32."""
    layout = next(layout for layout in LAYOUTS if layout.title == "GGUF, merged experts")
    shapes = {place.key: place.shape for _, _, place in layout.places(config)}
    return [Planned(name, shape, _kind(name, kind)) for name, shape in shapes.items()]


def _kind(name: str, kind: str) -> str:
    if "norm" in name or "ffn_gate_inp" in name:
        return "F32"
    return "Q8_0" if "attn_" in name else kind


def write_file(config: MixtralConfig, kind: str, path: Path) -> None:
    """Write it, one tensor in memory at a time."""
    writer = gguf.GGUFWriter(path, "llama")
    gguf_metadata(writer, config)
    said = vocabulary(config.vocab_size)
    writer.add_tokenizer_model(said["model"])
    writer.add_token_list(said["tokens"])
    writer.add_token_scores(said["scores"].tolist())
    writer.add_token_types(said["token_type"].tolist())
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    tensors = planned(config, kind)
    for tensor in tensors:
        number = gguf.GGMLQuantizationType[tensor.kind]
        plain = tensor.kind == "F32"
        stored = tensor.shape if plain else (*tensor.shape[:-1], tensor.row)
        dtype = np.dtype(np.float32 if plain else np.uint8)
        writer.add_tensor_info(tensor.name, stored, dtype, tensor.size, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for data in _contents(tensors):
        writer.write_tensor_data(data)
    writer.close()


def _contents(tensors: list[Planned]) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    stocks = {t.kind: random_blocks(t.kind) for t in tensors if t.kind != "F32"}
    for tensor in tensors:
        if "norm" in tensor.name:
            yield np.ones(tensor.shape, np.float32)
        elif tensor.kind == "F32":
            yield rng.normal(0, DEVIATION, tensor.shape).astype(np.float32)
        else:
            first = BLOCK_TYPES[tensor.kind].size * int(rng.integers(BLOCKS))
            parts = stocks[tensor.kind].slices(first, first + tensor.size)
            yield np.frombuffer(b"".join(parts), np.uint8)


def random_blocks(kind: str) -> Repeated:
    """Blocks of one type, whose numbers are as large as weights are."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (BLOCKS, BLOCK_TYPES[kind].size), dtype=np.uint8)
    some = blocks[:4096].copy()

    def numbers(*factors: float) -> torch.Tensor:
        _set_factors(some, kind, [np.full(len(some), factor) for factor in factors])
        return BLOCK_TYPES[kind].unpack(torch.from_numpy(some))

    factors = [1.0]
    if len(FACTORS.get(kind, ())) == 2:  # a scale, and one of minima, which are subtracted
        factors.append(-float(numbers(1.0, 0.0).mean() / numbers(0.0, 1.0).mean()))
    scales = DEVIATION / float(numbers(*factors).std()) * rng.uniform(0.5, 1.5, BLOCKS)
    _set_factors(blocks, kind, [factor * scales for factor in factors])
    return Repeated(blocks)


def _set_factors(blocks: np.ndarray, kind: str, factors: list[np.ndarray]) -> None:
    for start, factor in zip(FACTORS.get(kind, (0,)), factors, strict=True):
        blocks[:, start : start + 2] = factor.astype(np.float16).view(np.uint8).reshape(-1, 2)
