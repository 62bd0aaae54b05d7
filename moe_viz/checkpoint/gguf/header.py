# SPDX-License-Identifier: Apache-2.0
"""The header of a GGUF file: its metadata, and where each tensor lies.

In: a file, read as far as its header. Out: a `GGUFHeader`. Everything in it comes from the
internet, so every count, length and offset is checked against the size of the file before it is
used. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import CheckpointError
from ...model.gguf_blocks import BLOCK_TYPES
from ..hub.repository import HubPath
from ..stored import PLAIN, Stored

#: Numbers of GGUF's tensor types, as in `ggml.h`.
_TENSOR_TYPES = {
    0: "F32", 1: "F16", 30: "BF16",
    2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
    20: "IQ4_NL", 23: "IQ4_XS",
}  # fmt: skip

#: Types that are not read, by the names that people know them by.
_OTHERS = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip

#: Numbers of GGUF's metadata types → their names in struct and NumPy.
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9

_MAX_DIMENSIONS = 4

#: Limits beyond any model: entries of a list or of the header, bytes of a name and of a text.
_MOST, _LONGEST_NAME, _LONGEST_TEXT = 2**20, 2**16, 2**22


@dataclass(frozen=True)
class GGUFHeader:
    """Metadata and tensors of one GGUF file."""

    metadata: dict[str, Any]
    tensors: dict[str, Stored]


def read_header(file: BinaryIO, size: int, path: Path | HubPath) -> GGUFHeader:
    """Read the header of an open file of `size` bytes; `path` is its name in messages.

    Raises `CheckpointError` where it is not a GGUF file, is cut short, contradicts itself, or is of
    a version or a tensor type that is not supported.
    """
    try:
        return _Reader(file, size, path).header()
    except (struct.error, EOFError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: its header is damaged or cut short ({error}); the file has {size:,} bytes. "
            "Download it again."
        ) from error


class _Reader:
    def __init__(self, file: BinaryIO, size: int, path: Path | HubPath) -> None:
        self.file, self.size, self.path, self.at = file, size, path, 0

    def header(self) -> GGUFHeader:
        magic = self._bytes(4) if self.size >= 4 else b""
        if magic != b"GGUF":
            raise CheckpointError(
                f"{self.path}: is not a GGUF file: it begins with {magic!r}. Expected b'GGUF'; "
                "convert an older ggml or ggjt file; if this is a page that says 404, download "
                "the file again."
            )
        version = self._number("I")
        if version not in (2, 3):
            raise CheckpointError(
                f"{self.path}: is GGUF version {version}; expected 2 or 3, little-endian. "
                "Download a newer file of this model."
            )
        tensors, entries = self._count("tensors", 24), self._count("metadata entries", 13)
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key, value = self._string(_LONGEST_NAME), self._value(self._number("I"))
            if key in metadata:
                raise self._damaged(f"{key!r:.80} occurs twice")
            metadata[key] = value
        infos = [self._tensor_info() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
            raise self._damaged(f"general.alignment is {alignment!r:.40}, not a multiple of 8")
        start = end = -(-self.at // alignment) * alignment
        located: dict[str, Stored] = {}
        before = "the header"
        for name, shape, kind, offset in infos:
            if name in located:
                raise self._damaged(f"the tensor {name!r:.80} occurs twice")
            if start + offset != end:  # they lie end to end, in the order of the header
                raise self._damaged(
                    f"{name} should begin where {before} ends, at byte {end:,}, and begins at "
                    f"{start + offset:,}"
                )
            located[name] = tensor = self._locate(name, shape, kind, end)
            end += -(-tensor.size // alignment) * alignment
            before = name
        return GGUFHeader(metadata, located)

    def _locate(self, name: str, shape: tuple[int, ...], kind: str, start: int) -> Stored:
        size = math.prod(shape[:-1]) * self._row_bytes(name, shape[-1], kind)
        if start + size > self.size:
            raise CheckpointError(
                f"{self.path}: the tensor {name} should lie in bytes {start:,} to "
                f"{start + size:,}; the file has {self.size:,}. It was probably cut short: "
                "download it again."
            )
        return Stored(shape, kind, self.path, start, size)

    def _row_bytes(self, name: str, width: int, kind: str) -> int:
        if kind in PLAIN:
            return width * PLAIN[kind].itemsize
        block = BLOCK_TYPES[kind]
        if width % block.width:
            raise self._damaged(
                f"{name} has rows of {width} numbers; {kind} packs {block.width} at a time"
            )
        return width // block.width * block.size

    def _tensor_info(self) -> tuple[str, tuple[int, ...], str, int]:
        name, dimensions = self._string(_LONGEST_NAME), self._number("I")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {name!r:.80} has {dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]  # ggml has the last first
        number = self._number("I")
        if number not in _TENSOR_TYPES:
            kind = _OTHERS.get(number, f"GGUF's type {number}")
            raise CheckpointError(
                f"{self.path}: {name} is packed as {kind}, which moe_viz does not read; expected "
                f"{', '.join(_TENSOR_TYPES.values())}. Download another quantisation of this "
                "model, Q4_K_M for instance."
            )
        return name, shape, _TENSOR_TYPES[number], self._number("Q")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._scalar(kind)
        kind = self._number("I")
        if kind == _STRING:
            return [self._string() for _ in range(self._count("strings", 8))]
        if kind not in _NUMBERS:
            raise self._damaged(f"there is an array of metadata type {kind}")
        dtype = np.dtype(_NUMBERS[kind]).newbyteorder("<")
        count = self._count("numbers", dtype.itemsize)
        return np.frombuffer(self._bytes(count * dtype.itemsize), dtype)

    def _scalar(self, kind: int) -> Any:
        if kind not in _NUMBERS:
            raise self._damaged(f"there is a value of metadata type {kind}")
        value = self._number(_NUMBERS[kind])
        # 1e-5 is kept as the nearest float32, 9.99999975e-06: back to the number that was meant.
        return float(str(np.float32(value))) if _NUMBERS[kind] == "f" else value

    def _string(self, longest: int = _LONGEST_TEXT) -> str:
        return self._bytes(self._count("characters", 1, longest)).decode("utf-8")

    def _count(self, what: str, smallest: int, most: int = _MOST) -> int:
        """How many things follow; they must fit into the rest of the file."""
        count = self._number("Q")
        if count > most or count * smallest > self.size - self.at:
            raise self._damaged(f"it announces {count:,} {what} at byte {self.at:,}")
        return count

    def _number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._bytes(struct.calcsize(f"<{code}")))[0]

    def _bytes(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise EOFError(f"{count} bytes expected at byte {self.at:,}, {len(data)} found")
        self.at += count
        return data

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: its header contradicts itself: {what}, and the file has "
            f"{self.size:,} bytes. Download it again."
        )
