# SPDX-License-Identifier: Apache-2.0
"""Files of tensors, which are mapped and not copied: where each lies, and whether it still does.

In: an open file. Out: what the header of a safetensors file says, an entry for each tensor; files
come from the internet, so everything in it is held against the size of the file. The format:
https://github.com/huggingface/safetensors#format. Weights and traces are both read through here,
without a copy, which `safetensors` does not offer for NumPy.

Mapped bytes are read when they are used. By then somebody may have overwritten the file, which
changes the numbers without a word, or cut it short, and then reading them ends the process
(SIGBUS). Neither can be caught where it happens, so whoever is about to read on asks `HeldFile`
first. A file that was replaced by another under its name is no matter: what is held is the old one.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from .files import open_file

#: Bytes of one number of each type.
WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

#: Bytes of a header, and how many tensors it may name: a hostile one would take minutes to read.
LONGEST, MOST = 25_000_000, 50_000
#: Dimensions of a tensor: weights have two or three.
DEEPEST = 8


class HeldFile:
    """A file that stays open, and what it was like then. `OSError` where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self.file: BinaryIO = open_file(path)
        weakref.finalize(self, self.file.close)
        self._was = self._state()

    def mapped(self, mode: Literal["r", "c"]) -> np.memmap:
        """All its bytes, (size,) uint8: read-only ("r"), or with changes kept private ("c")."""
        return np.memmap(self.file, np.uint8, mode)

    def change(self) -> str:
        """What has happened to the file since it was opened; "" where nothing has.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "file"
        ...     size = path.write_bytes(bytes(9))
        ...     held = HeldFile(path)
        ...     before = held.change()
        ...     size = path.write_bytes(bytes(5))
        ...     before, held.change()
        ('', 'it had 9 bytes and now has 5')
        """
        size, written = self._was
        now, rewritten = self._state()
        if now != size:
            return f"it had {size:,} bytes and now has {now:,}"
        return "it has been written to" if rewritten != written else ""

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self.file.fileno())
        return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Entry:
    """What the header says about one tensor."""

    kind: str  # the type of its numbers, as the format spells it
    shape: tuple[int, ...]
    start: int  # byte of the file
    size: int  # bytes


def read_header(file: BinaryIO, size: int) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and entries of an open file of `size` bytes.

    Raises `ValueError`, which says what is wrong, for a file that is cut short, is of another
    format, or contradicts itself; and `OSError` where it cannot be read.

    >>> import io
    >>> from safetensors.numpy import save
    >>> import numpy as np
    >>> data = save({"a": np.zeros((2, 3), np.float32)}, {"made": "here"})
    >>> metadata, entries = read_header(io.BytesIO(data), len(data))
    >>> metadata, entries["a"].kind, entries["a"].shape, entries["a"].size
    ({'made': 'here'}, 'F32', (2, 3), 24)
    """
    first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(size - 8, LONGEST):
        raise ValueError(f"it announces a header of {length:,} bytes")
    text = file.read(length)
    if text.count(b'"data_offsets"') > MOST:
        raise ValueError(f"its header names more than {MOST:,} tensors")
    try:
        raw = json.loads(text, object_pairs_hook=_no_twins)
        metadata = {str(key): str(value) for key, value in raw.pop("__metadata__", {}).items()}
        entries = {name: _entry(name, entry, 8 + length) for name, entry in raw.items()}
    except (TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"its header is not one of tensors ({error})") from error
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
        if entry.start != end:
            raise ValueError(f"{name:.80} begins at byte {entry.start:,} and not {end:,}")
        end += entry.size
    if end != size:
        raise ValueError(f"its tensors end at byte {end:,}")
    return metadata, entries


def _entry(name: str, entry: dict[str, Any], data: int) -> Entry:
    kind, shape, (start, stop) = str(entry["dtype"]), entry["shape"], entry["data_offsets"]
    if any(type(n) is not int or n < 0 for n in (*shape, start, stop)) or start > stop:
        raise ValueError(
            f"{name:.80} has shape {shape!s:.80} in bytes {start!s:.20} to {stop!s:.20}"
        )
    if len(shape) > DEEPEST or any(n > stop for n in shape):  # before they are multiplied
        raise ValueError(
            f"{name:.80} has a shape of {len(shape):,} dimensions, or beyond its bytes"
        )
    if kind in WIDTHS and stop - start != math.prod(shape) * WIDTHS[kind]:
        raise ValueError(f"{name:.80} of shape {shape!s:.80} does not take {stop - start:,} bytes")
    return Entry(kind, tuple(shape), data + start, stop - start)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("its header names something twice")
    return dict(pairs)
