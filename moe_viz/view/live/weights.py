# SPDX-License-Identifier: Apache-2.0
"""A model's weights as a page carries them: one block of bytes, and where each matrix lies in it.

In: a Mixtral in memory. Out: what `js/transformer.js` runs. By default a weight takes a byte:
each row is scaled so that its largest weight is 127.
Routers and norms stay float32, since routing notices rounding before the loss does. `exact` keeps
bfloat16, which Mixtrals are published in.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError

#: Weights that a page carries at most: with more it opens too slowly, and no phone has room for it.
MOST = 100_000_000
ATTENTION, EXPERT = ("wq", "wk", "wv", "wo"), ("w1", "w2", "w3")
_ALIGNED = 64


@dataclass
class Weights:
    """The weights of a page: `manifest` says where in `block` everything lies."""

    manifest: dict[str, Any]
    block: bytes

    def packed(self) -> bytes:
        """The block for transport, gzip: of bfloat16 first the low bytes, then the high ones.

        High bytes, signs and exponents, are much alike; between random bytes that would be lost.
        """
        block = np.frombuffer(self.block, np.uint8)
        halves = self.manifest["halves"]
        planes = block[:halves].reshape(-1, 2).T.ravel()
        return gzip.compress(np.concatenate([planes, block[halves:]]).tobytes(), 9, mtime=0)


class _Block:
    """Addresses in a block of bytes: matrices first, then what stays float32."""

    def __init__(self, matrices: Iterator[Any], exact: bool) -> None:
        self.size = 2 if exact else 1  # bytes of a weight
        self.matrices = sum(_padded(module.weight.numel() * self.size) for module in matrices)
        self._parts: tuple[list[bytes], list[bytes]] = [], []
        self._next = [0, self.matrices]

    def matrix(self, weight: np.ndarray) -> list[int]:
        """Where a matrix is put, its rows, and where their scales are put."""
        if self.size == 2:
            return [self._put(0, _bfloat16(weight)), len(weight), 0]
        steps, scale = in_steps(weight)
        return [self._put(0, steps), len(weight), self._put(1, scale)]

    def numbers(self, values: np.ndarray) -> int:
        """Where numbers are put that stay float32."""
        return self._put(1, values.astype(np.float32))

    def joined(self) -> bytes:
        """The whole block."""
        return b"".join([*self._parts[0], *self._parts[1]])

    def _put(self, part: int, array: np.ndarray) -> int:
        at, raw = self._next[part], array.tobytes()
        self._parts[part].append(raw.ljust(_padded(len(raw)), b"\0"))
        self._next[part] += _padded(len(raw))
        return at


def in_steps(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row of a matrix as int8, and what a step of it is worth: the largest is 127 of them."""
    scale = np.abs(weight).max(axis=1) / np.float32(127)
    scale[scale == 0] = 1
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def weights_of(model: Any, exact: bool = False) -> Weights:
    """The weights of a Mixtral in memory, for a page.

    Raises `InputError` for a model that is too large for a page, and for one whose weights a page
    cannot read.
    """
    config = model.config
    _refuse(model)
    block = _Block(matrices(model), exact)
    layers = [
        {
            "attention_norm": block.numbers(_array(layer.attention_norm)),
            **{n: block.matrix(_array(getattr(layer.attention, n))) for n in ATTENTION},
            "moe_norm": block.numbers(_array(layer.moe_norm)),
            "router": [block.numbers(_array(layer.moe.router)), config.experts, 0],
            "experts": [
                [block.matrix(_array(getattr(expert, n))) for n in EXPERT]
                for expert in layer.moe.experts
            ],
        }
        for layer in model.layers
    ]
    # As torch rounds them: another last bit would move scores by 1e-5 at the 300th token.
    exponents = model.norm.weight.new_tensor(range(0, config.head_dim, 2)).float() / config.head_dim
    frequencies = (config.rope_theta**-exponents).cpu().numpy()
    manifest = {
        "shape": {
            "D": config.hidden_size, "L": config.layers, "H": config.heads, "G": config.kv_heads,
            "d": config.head_dim, "F": config.expert_size, "E": config.experts,
            "k": config.experts_per_token, "V": config.vocab_size, "context": config.context,
        },
        "eps": config.norm_eps,
        "size": block.size,
        "frequencies": block.numbers(frequencies),
        "embedding": block.matrix(_array(model.embedding)),
        "layers": layers,
        "norm": block.numbers(_array(model.norm)),
        "head": block.matrix(_array(model.head)),
    }  # fmt: skip
    whole = block.joined()
    halves = block.matrices if exact else 0
    return Weights(manifest | {"halves": halves, "total": len(whole)}, whole)


def matrices(model: Any) -> Iterator[Any]:
    """The modules whose weights take one byte or two."""
    yield model.embedding
    for layer in model.layers:
        yield from (getattr(layer.attention, name) for name in ATTENTION)
        for expert in layer.moe.experts:
            yield from (getattr(expert, name) for name in EXPERT)
    yield model.head


def _array(module: Any) -> np.ndarray:
    """A module's weight, float32."""
    return module.weight.detach().float().cpu().numpy()


def _bfloat16(weight: np.ndarray) -> np.ndarray:
    """The upper halves of float32 numbers that are bfloat16."""
    bits = np.ascontiguousarray(weight).view(np.uint32)
    if (bits & 0xFFFF).any():
        raise InputError(
            "exact=True keeps bfloat16 weights as they are, and these are finer. Expected a "
            "checkpoint in bfloat16; or leave exact out, and the page carries int8."
        )
    return (bits >> 16).astype(np.uint16)


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _refuse(model: Any) -> None:
    """Raise `InputError` for a model that no page can run."""
    config, name = model.config, model.config.name
    try:
        away = any(module.weight.is_meta for module in matrices(model))
    except AttributeError:  # no Mixtral of ours, or one whose weights stay packed
        away = True
    if away:
        raise InputError(
            f"{name}: a page runs models of Mixtral's architecture whose weights are in memory, "
            "unpacked. Load one with placement='resident', from a folder of safetensors."
        )
    widths = {"hidden_size": config.hidden_size, "head_dim": config.head_dim,
              "expert_size": config.expert_size}  # fmt: skip
    for what, width in widths.items():
        if width % 8:
            raise InputError(
                f"{name}: a page multiplies eight numbers at a time; {what} is {width}."
            )
    weights = sum(module.weight.numel() for module in matrices(model))
    if weights > MOST:
        raise InputError(
            f"{name}: {weights / 1e6:,.0f} million weights are too many for a page, which carries "
            f"up to {MOST / 1e6:,.0f} million. Expected a small model, such as 8x7m."
        )
