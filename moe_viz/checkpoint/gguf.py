"""GGUF files: packed tensors, configuration and vocabulary in one file, or in several parts.

In: a `.gguf` file. Out: a `Store` that maps tensors from the file: plain numbers as tensors, packed
ones as `Packed`, without a copy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import CheckpointError
from ..model.blocks import BLOCK_TYPES
from ..model.quantized import Packed
from .ggufheader import GGUFHeader, read_header
from .mapped import PLAIN, map_file
from .mapping import Stored, refuse_twice

#: How llama.cpp names the parts of a file that it split.
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class GGUFStore:
    """The tensors of a GGUF file, and of its other parts.

    Raises `CheckpointError` where a part is missing, damaged, cut short, or packed in a way that is
    not supported.
    """

    def __init__(self, path: Path) -> None:
        files = _parts(path)
        opened = [_read(file) for file in files]
        self.metadata: dict[str, Any] = opened[0].metadata
        self.headers: dict[str, Stored] = {}
        self._starts: dict[str, int] = {}
        for file, header in zip(files, opened, strict=True):
            for key, tensor in header.tensors.items():
                refuse_twice(key, file, self.headers)
                self.headers[key] = Stored(tensor.shape, tensor.kind, file, tensor.size)
                self._starts[key] = tensor.start
        self._bytes = {file: map_file(file) for file in files}

    def read(self, key: str, rows: slice | None) -> Tensor | Packed:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        header, start = self.headers[key], self._starts[key]
        data = self._bytes[header.file][start : start + header.size]
        if header.kind in BLOCK_TYPES:
            whole = Packed(data.view(-1, header.size // max(1, _rows(header))), header.kind)
            return whole if rows is None else whole[rows]
        tensor = data.view(PLAIN[header.kind]).view(header.shape)
        return tensor if rows is None else tensor.flatten(0, -2)[rows]


def whole_split(files: Sequence[Path]) -> bool:
    """Whether these are parts of one file that was split."""
    stems = {(match := _PART.search(f.name)) and f.name[: match.start()] for f in files}
    return len(stems) == 1 and None not in stems


def _rows(header: Stored) -> int:
    return int(np.prod(header.shape[:-1], dtype=np.int64))


def _read(path: Path) -> GGUFHeader:
    try:
        with open(path, "rb") as file:
            return read_header(file, path.stat().st_size, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}). Expected a GGUF file you may read."
        ) from error


def _parts(path: Path) -> Sequence[Path]:
    """All parts of a file that was split, in order; of any other file, itself."""
    match = _PART.search(path.name)
    if match is None:
        return [path]
    stem, number, count = path.name[: match.start()], int(match[1]), int(match[2])
    if not 1 <= number <= count:
        raise CheckpointError(
            f"{path}: says that it is part {number} of {count}. Expected the name that it was "
            "published with; rename it, or download it again."
        )
    parts = [path.with_name(f"{stem}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise CheckpointError(
            f"{path}: is one of {count} parts, and {len(missing)} are missing, the first is "
            f"{missing[0]!r}. Download them into the same folder."
        )
    return parts
