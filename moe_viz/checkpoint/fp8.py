# SPDX-License-Identifier: Apache-2.0
"""FP8 weights: numbers of eight bits (e4m3), and scales that they are multiplied by.

In: a store whose tensors are partly F8_E4M3, with their scales beside them. Out: a store without
scales, whose tensors are float32: number times scale, which is what the checkpoint means. Scales of
activations say how another program rounds while it runs; they are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..model.quantized import Packed
from .quantised import FP8
from .stored import Store, Stored

KIND = "F8_E4M3"

#: How the scale of a tensor x.weight is spelled: Hugging Face's, DeepSeek's, Mistral's. All are
#: multiplied by, also "inv".
_SCALES = ("weight_scale", "weight_scale_inv", "qscale_weight")

#: What belongs to rounding activations and caches.
_RUNTIME = (
    ".input_scale", ".activation_scale", ".qscale_act", ".k_scale", ".v_scale", ".q_scale",
    ".output_scale", ".input_scale_ub",
)  # fmt: skip


def scaled(store: Store, scheme: FP8 | None, where: str) -> Store:
    """The same tensors with their scales multiplied in; a store without FP8 as it is.

    Raises `CheckpointError` where a scale is missing, or it is not clear which numbers it is for.
    """
    if any(header.kind == KIND for header in store.headers.values()):
        return ScaledStore(store, scheme or FP8())
    if scheme is not None:
        raise CheckpointError(
            f"{where}: says that the weights are quantised as FP8, and none of them is; expected "
            "F8_E4M3. If they were unpacked since, delete quantization_config there."
        )
    return store


class ScaledStore:
    """Tensors of another store, those in FP8 with their scales multiplied in."""

    def __init__(self, store: Store, scheme: FP8) -> None:
        self._store, self._block = store, scheme.block
        packed = [key for key, header in store.headers.items() if header.kind == KIND]
        self._scales = {key: _scale_of(key, store.headers) for key in packed}
        for key in packed:
            self._check(key)
        beside = set(self._scales.values())
        self.headers: Mapping[str, Stored] = {
            key: header
            for key, header in store.headers.items()
            if key not in beside and not key.endswith(_RUNTIME)
        }

    def read(self, key: str, rows: slice | None) -> Tensor | Packed:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        found = self._store.read(key, rows)
        if key not in self._scales or not isinstance(found, Tensor):
            return found
        count = math.prod(self.headers[key].shape[:-1])
        numbers = torch.arange(count) if rows is None else torch.arange(rows.start, rows.stop)
        return self._times(key, found, numbers)

    def pick(self, key: str, rows: Tensor) -> Tensor | Packed:
        """Rows of a stored matrix, by ascending number."""
        found = self._store.pick(key, rows)
        if key not in self._scales or not isinstance(found, Tensor):
            return found
        return self._times(key, found, rows)

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of a mapped file, and no copy."""
        return self._store.lends(tensor)

    def check(self) -> None:
        """Raise `CheckpointError` if a mapped file is not what it was when it was opened."""
        self._store.check()

    def _times(self, key: str, found: Tensor, rows: Tensor) -> Tensor:
        """The numbers of these rows of the matrix, each times its scale, in float32."""
        scale = self._store.read(self._scales[key], None)
        assert isinstance(scale, Tensor)  # its header says so
        *_, height, width = self.headers[key].shape
        grid = scale.float().reshape(-1, *self._grid(key))  # (matrices, scales down, across)
        tall, wide = self._span(key)
        down = grid[rows // height if len(grid) > 1 else 0 * rows, rows % height // tall]
        across = down[:, torch.arange(width) // wide]
        return found.float() * across.view(found.shape)

    def _grid(self, key: str) -> tuple[int, int]:
        """How many scales a matrix has, down and across."""
        shape, said = self.headers[key].shape, self._store.headers[self._scales[key]].shape
        if math.prod(said) in (1, math.prod(shape[:-2])):
            return 1, 1
        tall, wide = self._span(key)
        return -(-shape[-2] // tall), -(-shape[-1] // wide)

    def _span(self, key: str) -> tuple[int, int]:
        """How many numbers share a scale, down and across."""
        shape, said = self._store.headers[key].shape, self._store.headers[self._scales[key]].shape
        height, width, matrices = shape[-2], shape[-1], shape[:-2]
        if math.prod(said) in (1, math.prod(matrices)):
            return height, width
        if said in ((*matrices, height), (*matrices, height, 1)):
            return 1, width
        if self._block is not None:
            tall, wide = self._block
            if said == (*matrices, -(-height // tall), -(-width // wide)):
                return tall, wide
        raise CheckpointError(
            f"{self._store.headers[key].file}: {key} is stored as {KIND} with scales of shape "
            f"{said} for numbers of shape {shape}, and the config names "
            f"{f'blocks of {self._block}' if self._block else 'no weight_block_size'}. Expected "
            "one scale, one for each row, or one for each block. Download the weights in BF16."
        )

    def _check(self, key: str) -> None:
        header = self._store.headers[key]
        scale = self._store.headers[self._scales[key]]
        if len(header.shape) < 2 or scale.kind not in ("F32", "BF16", "F16"):
            raise CheckpointError(
                f"{header.file}: {key} of shape {header.shape} has scales stored as {scale.kind}; "
                "expected a matrix with scales in F32 or BF16. Download the weights in BF16."
            )
        self._span(key)


def _scale_of(key: str, headers: Mapping[str, Stored]) -> str:
    """The name of a tensor's scale."""
    stem = key.removesuffix("weight")
    fused = [f"{key}_scale", f"{key}_scale_inv"]  # of experts in one tensor
    names = [f"{stem}{name}" for name in _SCALES] if key.endswith("weight") else fused
    found = [name for name in names if name in headers]
    if len(found) != 1:
        raise CheckpointError(
            f"{headers[key].file}: {key} is stored as {KIND} with {len(found)} scales; expected "
            f"one of {', '.join(names)}. Download the weights in BF16."
        )
    return found[0]
