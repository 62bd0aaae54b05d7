"""The header of a safetensors file: where each tensor lies.

In: a file, of which only the header is read. Out: its tensors by name. Everything in it comes from
the internet, so it is held against the size of the file. The format:
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError
from .hub.repository import HubPath
from .stored import PLAIN, Stored

_LONGEST = 100_000_000  # bytes of a header, as the safetensors library has it


def read_header(file: BinaryIO, size: int, path: Path | HubPath) -> dict[str, Stored]:
    """Read the header of an open file of `size` bytes; `path` is what messages call it.

    Raises `CheckpointError` where it is no safetensors file, cut short, contradicts itself, or
    holds numbers of a type that is not supported.
    """
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, _LONGEST):
            raise ValueError(f"it announces a header of {length:,} bytes")
        raw = json.loads(file.read(length), object_pairs_hook=_no_twins)
        raw.pop("__metadata__", None)
        entries = {name: _entry(name, entry, 8 + length, path) for name, entry in raw.items()}
        _check_ends(entries, 8 + length, size)
    except CheckpointError:
        raise
    except (struct.error, ValueError, TypeError, AttributeError, LookupError, RecursionError) as e:
        raise CheckpointError(
            f"{path}: is not a whole safetensors file ({str(e) or type(e).__name__:.200}). It was "
            f"probably cut short; download it again (it has {size:,} bytes now)."
        ) from e
    return entries


def _entry(name: str, entry: dict[str, Any], data: int, path: Path | HubPath) -> Stored:
    kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in PLAIN:
        raise CheckpointError(
            f"{path}: {name} is stored as {kind!s:.20}; expected one of {', '.join(PLAIN)}. "
            "Download the weights in bf16, or convert them."
        )
    numbers = [*shape, start, stop]
    if any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(
            f"{name:.80} has shape {shape!s:.80} in bytes {start!s:.20} to {stop!s:.20}"
        )
    if stop - start != math.prod(shape) * PLAIN[kind].itemsize:
        raise ValueError(f"{name:.80} of shape {shape!s:.80} does not take {stop - start:,} bytes")
    return Stored(tuple(shape), kind, path, data + start, stop - start)


def _check_ends(entries: dict[str, Stored], data: int, size: int) -> None:
    """Tensors lie end to end, without holes, and fill the file."""
    end = data
    for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
        if entry.start != end:
            raise ValueError(f"{name:.80} begins at byte {entry.start:,} and not {end:,}")
        end += entry.size
    if end != size:
        raise ValueError(f"its tensors end at byte {end:,}")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("its header names something twice")
    return dict(pairs)
