# SPDX-License-Identifier: Apache-2.0
"""How GGUF packs numbers: each type's blocks as float32.

In: bytes (n, B) of n blocks. Out: float32 (n, W), the W numbers of each block, bit for bit as the
`gguf` package gives them. A block holds small whole numbers and their scales; the arithmetic below
is that of llama.cpp (ggml-quants.c), in the same order. `quantized` uses the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockType:
    """One way of packing numbers."""

    name: str
    width: int  # numbers in a block
    size: int  # bytes of a block
    unpack: Callable[[Tensor], Tensor]  # (n, size) bytes → (n, width) float32


def _halves(blocks: Tensor, start: int, count: int = 1) -> Tensor:
    """Half-precision numbers from byte `start` on, as float32: (n, count)."""
    return blocks[:, start : start + 2 * count].contiguous().view(torch.float16).float()


def _fields(packed: Tensor, bits: int) -> Tensor:
    """Bytes (n, g, h) cut into fields of `bits`, lowest first: uint8 (n, g · 8 / bits · h)."""
    parts = [(packed >> (bits * i)) & ((1 << bits) - 1) for i in range(8 // bits)]
    return torch.stack(parts, dim=2).flatten(1)


def _bits(packed: Tensor) -> Tensor:
    """The bits of bytes (n, b), lowest first: uint8 (n, 8 b), 0 or 1."""
    # Each byte is copied eight times into a 64-bit word, where each copy keeps one bit.
    words = packed.long().mul_(0x0101010101010101).bitwise_and_(_ONE_BIT_EACH)
    return words.view(torch.uint8).ne_(0)


#: Bytes 1, 2, 4 … 128, lowest first, as a signed number.
_ONE_BIT_EACH = 0x8040201008040201 - 2**64


def _less(q: Tensor, offset: int) -> Tensor:
    """Whole numbers 0 … 255 less an offset, as float32: subtracted while they are bytes."""
    return q.sub_(offset).view(torch.int8).float()


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_halves(blocks, 0))


def _q4_0(blocks: Tensor) -> Tensor:
    return _less(_fields(blocks[:, None, 2:], 4), 8).mul_(_halves(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    d, m = _halves(blocks, 0, 2).split(1, dim=1)
    return _fields(blocks[:, None, 4:], 4).float().mul_(d).add_(m)


def _q5_0(blocks: Tensor) -> Tensor:
    q = _fields(blocks[:, None, 6:], 4).add_(_bits(blocks[:, 2:6]), alpha=16)
    return _less(q, 16).mul_(_halves(blocks, 0))


def _q5_1(blocks: Tensor) -> Tensor:
    d, m = _halves(blocks, 0, 2).split(1, dim=1)
    q = _fields(blocks[:, None, 8:], 4).add_(_bits(blocks[:, 4:8]), alpha=16)
    return q.float().mul_(d).add_(m)


def _q2_k(blocks: Tensor) -> Tensor:
    scales, packed = blocks[:, :16], blocks[:, 16:80].unflatten(1, (2, 32))
    d, m = _halves(blocks, 80, 2).split(1, dim=1)
    q = _fields(packed, 2).float().view(-1, 16, 16)
    q.mul_((d * (scales & 15))[:, :, None]).sub_((m * (scales >> 4))[:, :, None])
    return q.flatten(1)


def _q3_k(blocks: Tensor) -> Tensor:
    high, packed = blocks[:, :32], blocks[:, 32:96].unflatten(1, (2, 32))
    # Sixteen scales of 6 bits: four low ones of each from 8 bytes, then two high ones from 4.
    low, top = _fields(blocks[:, None, 96:104], 4), _fields(blocks[:, None, 104:108], 2)
    scales = low.add_(top, alpha=16).float().sub_(32)
    # A third bit, which is subtracted where it is *not* set.
    q = _less(_fields(packed, 2).add_(_fields(high[:, None], 1), alpha=4), 4)
    return q.view(-1, 16, 16).mul_((_halves(blocks, 108) * scales)[:, :, None]).flatten(1)


def _k_scales(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight minima of 6 bits from 12 bytes: float32 (n, 8) each."""
    a, b, c = packed.split(4, dim=1)
    scales = torch.cat((a & 63, (c & 15) | ((a >> 2) & 48)), dim=1)
    minima = torch.cat((b & 63, (c >> 4) | ((b >> 2) & 48)), dim=1)
    return scales.float(), minima.float()


def _scaled_k(q: Tensor, blocks: Tensor) -> Tensor:
    """Whole numbers (n, 256) of Q4_K or Q5_K, scaled in eights of a block."""
    d, m = _halves(blocks, 0, 2).split(1, dim=1)
    scales, minima = _k_scales(blocks[:, 4:16])
    eighths = q.float().view(-1, 8, 32)
    return eighths.mul_((d * scales)[:, :, None]).sub_((m * minima)[:, :, None]).flatten(1)


def _q4_k(blocks: Tensor) -> Tensor:
    return _scaled_k(_fields(blocks[:, 16:].unflatten(1, (4, 32)), 4), blocks)


def _q5_k(blocks: Tensor) -> Tensor:
    q = _fields(blocks[:, 48:].unflatten(1, (4, 32)), 4)
    return _scaled_k(q.add_(_fields(blocks[:, None, 16:48], 1), alpha=16), blocks)


def _q6_k(blocks: Tensor) -> Tensor:
    q = _fields(blocks[:, :128].unflatten(1, (2, 64)), 4)
    high = _fields(blocks[:, 128:192].unflatten(1, (2, 32)), 2)
    scales = blocks[:, 192:208].view(torch.int8).float() * _halves(blocks, 208)
    q = _less(q.add_(high, alpha=16), 32)
    return q.view(-1, 16, 16).mul_(scales[:, :, None]).flatten(1)


#: What the sixteen codes of the IQ4 types stand for (ggml-quants.c).
_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _iq4(packed: Tensor) -> Tensor:
    """Codes (n, g, 16), two a byte, as numbers: (n, g, 2, 16)."""
    values = torch.tensor(_IQ4, dtype=torch.float32, device=packed.device)
    # One lookup in a table of all 256 bytes gives both codes' numbers.
    codes = torch.arange(256, device=packed.device)
    pairs = values[torch.stack((codes & 15, codes >> 4))]  # (2, 256)
    both = packed.int()
    return torch.stack([row.take(both.long()) for row in pairs], dim=2)


def _iq4_nl(blocks: Tensor) -> Tensor:
    return _iq4(blocks[:, None, 2:]).flatten(1).mul_(_halves(blocks, 0))


def _iq4_xs(blocks: Tensor) -> Tensor:
    # Eight scales of 6 bits: the low four from 4 bytes, two a byte; the high two from 2 bytes.
    low, high = _fields(blocks[:, 4:8, None], 4), _fields(blocks[:, 2:4, None], 2)
    scales = low.add_(high, alpha=16).float().sub_(32).mul_(_halves(blocks, 0))
    q = _iq4(blocks[:, 8:].unflatten(1, (8, 16))).flatten(2)  # (n, 8, 32)
    return q.mul_(scales[:, :, None]).flatten(1)


BLOCK_TYPES = {
    kind.name: kind
    for kind in (
        BlockType("Q8_0", 32, 34, _q8_0),
        BlockType("Q4_0", 32, 18, _q4_0),
        BlockType("Q4_1", 32, 20, _q4_1),
        BlockType("Q5_0", 32, 22, _q5_0),
        BlockType("Q5_1", 32, 24, _q5_1),
        BlockType("Q2_K", 256, 84, _q2_k),
        BlockType("Q3_K", 256, 110, _q3_k),
        BlockType("Q4_K", 256, 144, _q4_k),
        BlockType("Q5_K", 256, 176, _q5_k),
        BlockType("Q6_K", 256, 210, _q6_k),
        BlockType("IQ4_NL", 32, 18, _iq4_nl),
        BlockType("IQ4_XS", 256, 136, _iq4_xs),
    )
}
