# SPDX-License-Identifier: Apache-2.0
"""The file of a shard of which counts were kept in place of a trace: safetensors, as traces are.

In and out: a header, and arrays by name. They are packed: sorted keys as the steps between them,
everything by zlib; and read back as what they were. What was counted is the business of `analysis`.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import TraceError
from ..files import atomic_path
from ..tensorfile import read_header
from .checksums import HEADER_SUM, checksums, text_sum

FORMAT = 1
#: What such a file is known by, in its metadata.
SUMMARY = "moe_viz_summary"
#: How hard zlib tries: beyond this it takes longer, and hardly less room.
_LEVEL = 1


def write_summary(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> int:
    """Write one file, whole or not at all; its size in bytes."""
    packed = {name: _packed(array) for name, array in arrays.items()}
    sums = checksums(packed)
    said = {n: [a.dtype.str, list(a.shape), sums[n][0]] for n, a in arrays.items()}
    text = json.dumps({**header, "format": FORMAT, "arrays": said})
    data = safetensors.numpy.save(packed, {SUMMARY: text, HEADER_SUM: text_sum(text)})
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)
    return len(data)


def read_summary(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Header and arrays; None where the file is a trace. Raises `TraceError` for a damaged one."""
    if (header := summary_header(path)) is None:
        return None
    try:
        packed, said = safetensors.numpy.load(path.read_bytes()), header["arrays"]
        sums = {name: sums[0] for name, sums in checksums(packed).items()}
        if sums != {name: entry[2] for name, entry in said.items()}:
            raise ValueError("counts are not what was written")
        return header, {n: _unpacked(packed[n], *entry[:2]) for n, entry in said.items()}
    except (ValueError, LookupError, TypeError, zlib.error, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error


def summary_header(path: Path) -> dict[str, Any] | None:
    """The header alone, from the file's first bytes; None where the file is a trace."""
    try:
        with path.open("rb") as file:
            metadata, _ = read_header(file, path.stat().st_size)
        if SUMMARY not in metadata:
            return None
        if metadata.get(HEADER_SUM) != text_sum(metadata[SUMMARY]):
            raise ValueError("its header is not what was written")
        header = json.loads(metadata[SUMMARY])
        newer = int(header["format"]) > FORMAT
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, LookupError, TypeError) as error:
        raise _damaged(path, error) from error
    if newer:
        raise TraceError(
            f"{path}: has summary format {header['format']}, and this moe_viz reads up to {FORMAT}."
            " Upgrade moe_viz."
        )
    return header


def _packed(array: np.ndarray) -> np.ndarray:
    """The bytes of an array, packed: (bytes,) uint8. Of whole numbers in a row, steps are packed.

    >>> keys = 2**40 + 3 * np.arange(1000)
    >>> len(_packed(keys)) < 100, np.array_equal(_unpacked(_packed(keys), "<i8", [1000]), keys)
    (True, True)
    """
    if array.dtype == np.int64 and array.ndim == 1:
        array = np.diff(array, prepend=array.dtype.type(0))  # overflows wrap, here and back
    return np.frombuffer(zlib.compress(np.ascontiguousarray(array).tobytes(), _LEVEL), np.uint8)


def _unpacked(packed: np.ndarray, kind: str, shape: list[int]) -> np.ndarray:
    size = math.prod(shape) * np.dtype(kind).itemsize
    data = zlib.decompressobj().decompress(packed.tobytes(), size + 1)  # and not what it may hold
    array = np.frombuffer(data, kind).reshape(shape)
    return np.cumsum(array) if array.dtype == np.int64 and array.ndim == 1 else array


def _damaged(path: Path, error: Exception) -> TraceError:
    return TraceError(
        f"{path}: is damaged ({error!s:.200}). Delete it and call record_corpus again, which makes "
        "this shard anew."
    )
