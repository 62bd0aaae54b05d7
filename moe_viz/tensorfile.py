"""The header of a safetensors file: where each tensor lies.

In: an open file; only its header is read. Out: its metadata, and an entry for each tensor.
Files come from the internet, so everything in the header is held against the size of the file.
Weights and traces are both read through here, without a copy, which `safetensors` does not offer
for NumPy. The format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

#: Bytes of one number of each type.
WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

#: Bytes of a header, and how many tensors it may name: a hostile one would take minutes to read.
LONGEST, MOST = 25_000_000, 50_000


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
    if kind in WIDTHS and stop - start != math.prod(shape) * WIDTHS[kind]:
        raise ValueError(f"{name:.80} of shape {shape!s:.80} does not take {stop - start:,} bytes")
    return Entry(kind, tuple(shape), data + start, stop - start)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("its header names something twice")
    return dict(pairs)
