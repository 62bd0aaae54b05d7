# SPDX-License-Identifier: Apache-2.0
"""Stored tensors: where each lies in its file, and its bytes as numbers.

In: what the headers of files say. Out: tensors under the names that the files give them, mapped
into memory, plain or packed. What the names mean is `layout`'s business.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..files import open_file
from ..model.gguf_blocks import BLOCK_TYPES
from ..model.quantized import Packed
from ..tensorfile import HeldFile
from .hub.repository import HubPath

#: Rows fewer bytes apart than this are read as one range: another request would cost more.
GAP = 2**16

#: Types of numbers that are stored plain; all others are packed in blocks. Those in eight bits have
#: scales beside them (`fp8`).
PLAIN = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """What a header says about one tensor."""

    shape: tuple[int, ...]
    kind: str  # in PLAIN, or in BLOCK_TYPES
    file: Path | HubPath
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

    def pick(self, key: str, rows: Tensor) -> Tensor | Packed:
        """Rows of a stored matrix, by ascending number."""
        ...

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of a mapped file, and no copy."""
        ...

    def check(self) -> None:
        """Raise `CheckpointError` if a mapped file is not what it was when it was opened."""
        ...


class Bytes(Protocol):
    """The bytes of a file, in ranges: uint8, (stop − start,)."""

    def ranges(self, wanted: Sequence[slice]) -> list[Tensor]:
        """Several ranges at once; `CheckpointError` if the file is not what it was."""
        ...


class ByteStore:
    """Tensors that lie in files as ranges of bytes: safetensors, GGUF, here or on the Hub."""

    def __init__(self, headers: Mapping[str, Stored]) -> None:
        self.headers = headers
        self._files = {file: _bytes_of(file) for file in {h.file for h in headers.values()}}
        self._mapped = [f for f in self._files.values() if isinstance(f, MappedFile)]

    def read(self, key: str, rows: slice | None) -> Tensor | Packed:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        header = self.headers[key]
        matrix = slice(0, math.prod(header.shape[:-1])) if rows is None else rows
        found = self._read(header, [matrix])
        return found.view(header.shape) if rows is None and isinstance(found, Tensor) else found

    def pick(self, key: str, rows: Tensor) -> Tensor | Packed:
        """Rows of a stored matrix, by ascending number; few or no others are read."""
        header = self.headers[key]
        gap = GAP // max(1, header.size // header.shape[0])
        # A range ends where the next row is not close.
        runs = rows.tensor_split((rows.diff() > gap + 1).nonzero().flatten() + 1)
        wanted = [slice(int(run[0]), int(run[-1]) + 1) for run in runs]
        found = self._read(header, wanted)
        numbers = torch.cat([torch.arange(r.start, r.stop) for r in wanted])
        return found[torch.searchsorted(numbers, rows)]

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of a mapped file, and no copy."""
        return any(file.lends(tensor) for file in self._mapped)

    def check(self) -> None:
        """Raise `CheckpointError` if a mapped file is not what it was when it was opened."""
        for file in self._mapped:
            file.check()

    def _read(self, header: Stored, rows: Sequence[slice]) -> Tensor | Packed:
        """Ranges of rows of a matrix, end to end."""
        width = header.shape[-1] if header.shape else 1
        row = header.size // max(1, math.prod(header.shape[:-1]))  # bytes
        start = header.start
        wanted = [slice(start + r.start * row, start + r.stop * row) for r in rows]
        parts = self._files[header.file].ranges(wanted)
        data = parts[0] if len(parts) == 1 else torch.cat(parts)
        if header.kind in BLOCK_TYPES:
            return Packed(data.view(-1, row), header.kind)
        dtype = PLAIN[header.kind]
        if data.storage_offset() % dtype.itemsize:  # an odd header leaves them misaligned
            data = data.clone()
        return data.view(dtype).view(-1, width)


class MappedFile:
    """The bytes of a file on this disk, mapped: a range is a view, not a copy."""

    def __init__(self, path: Path) -> None:
        self._held = HeldFile(path)
        self._whole = map_file(self._held)

    def ranges(self, wanted: Sequence[slice]) -> list[Tensor]:
        """Several ranges, (stop − start,) each."""
        refuse_changed(self._held)
        return [self._whole[range_] for range_ in wanted]

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of this file."""
        return lies_in(tensor) == lies_in(self._whole)

    def check(self) -> None:
        """Raise `CheckpointError` if the file is not what it was."""
        refuse_changed(self._held)


def _bytes_of(path: Path | HubPath) -> Bytes:
    return path.bytes() if isinstance(path, HubPath) else MappedFile(path)


def map_file(held: HeldFile) -> Tensor:
    """All bytes of a file, uint8, mapped.

    Writing to them changes a private copy. The system counts such a mapping against its memory,
    though, and refuses 87 GiB: a file that large is mapped read-only.
    """
    try:
        return torch.from_numpy(held.mapped("c"))
    except OSError:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            try:
                return torch.from_numpy(held.mapped("r"))
            except OSError as error:
                raise CheckpointError(
                    f"{held.path}: cannot be mapped into memory ({error.strerror or error}). Is "
                    "the address space of this process limited (ulimit -v)? Expected more of it "
                    "than the file has bytes."
                ) from error


def refuse_changed(held: HeldFile) -> None:
    """Raise `CheckpointError` if a file of weights is not what it was when it was opened."""
    if change := held.change():
        raise CheckpointError(
            f"{held.path}: has changed while it was in use: {change}. Weights are read from it as "
            "they are needed, so the model would be of two files. Load it again; to replace a file "
            "that is in use, write another one and rename it."
        )


def lies_in(tensor: Tensor) -> int:
    """Where the memory begins that a tensor is a view of."""
    return tensor.untyped_storage().data_ptr()


Header = TypeVar("Header")


def read_from(
    path: Path | HubPath, read_header: Callable[[BinaryIO, int, Path | HubPath], Header]
) -> Header:
    """What a format's reader finds in the header of this file; nothing more is read."""
    try:
        with open_file(path) if isinstance(path, Path) else path.open() as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            return read_header(file, size, path)  # type: ignore[arg-type]
    except OSError as error:
        raise CheckpointError(
            f"{path}: is not a whole file of weights that can be read ({error.strerror}). Download "
            "it again, or check that you have permission to read it."
        ) from error


def gather(files: Mapping[Path | HubPath, Mapping[str, Stored]]) -> dict[str, Stored]:
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
