"""Stored tensors: where each lies in its file, and its bytes as numbers.

In: what the headers of files say. Out: tensors under the names that the files give them, mapped
into memory, plain or packed. What the names mean is `layout`'s business.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from ..model.blocks import BLOCK_TYPES
from ..model.quantized import Packed

#: Types of numbers that are stored as they are; all others are packed in blocks.
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Stored:
    """What a header says about one tensor."""

    shape: tuple[int, ...]
    kind: str  # in PLAIN, or in BLOCK_TYPES
    file: Path
    start: int  # byte of the file
    size: int  # bytes


class Store(Protocol):
    """Stored tensors, as one file format keeps them, under the names that it gives them."""

    @property
    def headers(self) -> Mapping[str, Stored]:
        """What the files say about every tensor."""
        ...

    def read(self, key: str, rows: slice | None) -> Tensor | Packed:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        ...


class ByteStore:
    """Tensors that lie in files as ranges of bytes: safetensors, GGUF."""

    def __init__(self, headers: Mapping[str, Stored]) -> None:
        self.headers = headers
        self._files = {file: map_file(file) for file in {h.file for h in headers.values()}}

    def read(self, key: str, rows: slice | None) -> Tensor | Packed:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        header = self.headers[key]
        count, width = math.prod(header.shape[:-1]), header.shape[-1]
        row = header.size // max(1, count)  # bytes
        first, last = (0, count) if rows is None else (rows.start, rows.stop)
        data = self._files[header.file][header.start + first * row : header.start + last * row]
        if header.kind in BLOCK_TYPES:
            return Packed(data.view(-1, row), header.kind)
        dtype = PLAIN[header.kind]
        if data.storage_offset() % dtype.itemsize:  # a header of odd length: numbers lie askew
            data = data.clone()
        return data.view(dtype).view(header.shape if rows is None else (-1, width))


def map_file(path: Path) -> Tensor:
    """All bytes of a file, uint8, mapped.

    Whoever writes to them changes a copy of their own. The system counts such a mapping against
    its memory, though, and refuses 87 GiB: a file that large is mapped read-only.
    """
    try:
        return torch.from_numpy(np.memmap(path, np.uint8, mode="c"))
    except OSError:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.memmap(path, np.uint8, mode="r"))


Header = TypeVar("Header")


def read_from(path: Path, read_header: Callable[[BinaryIO, int, Path], Header]) -> Header:
    """What a format's reader finds in the header of this file, of which no more is read."""
    try:
        with open(path, "rb") as file:
            return read_header(file, path.stat().st_size, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: is not a whole file of weights that can be read ({error.strerror}). Download "
            "it again, or see to it that you may read it."
        ) from error


def gather(files: Mapping[Path, Mapping[str, Stored]]) -> dict[str, Stored]:
    """The tensors of several files as one; `CheckpointError` where two have the same name."""
    gathered: dict[str, Stored] = {}
    for file, headers in files.items():
        for key, header in headers.items():
            if key in gathered:
                raise CheckpointError(
                    f"{file}: holds {key}, which {gathered[key].file.name} holds too. Expected "
                    "each tensor whole in one file. Download the files of one checkpoint only "
                    "into a folder; files that were cut for tensor parallelism must be merged "
                    "first."
                )
            gathered[key] = header
    return gathered
