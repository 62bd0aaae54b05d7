# SPDX-License-Identifier: Apache-2.0
"""The bytes of a trace file: safetensors, with our header as JSON in its metadata.

Writing is atomic. Reading maps the arrays into memory: `safetensors.numpy` would copy what it
reads, and a trace of gigabytes should open without that. In: a path. Out: our header, read-only
NumPy views of the file, and the open file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import TraceError
from ..files import atomic_path
from ..tensorfile import Entry, HeldFile, read_header
from .checksums import HEADER_SUM, checksums, differing, text_sum
from .format import OPTIONAL
from .summaryfile import SUMMARY

_KEY = "moe_viz_trace"
#: Where our header keeps the checksums of the arrays; readers that do not know it pass it over.
CHECKSUMS = "checksums"

#: The arrays of a trace: the type that each must have in the file, and for NumPy.
_TYPES = {
    "router_logits": ("F32", "<f4"),
    "experts": ("I16", "<i2"),
    "gates": ("F32", "<f4"),
    "token_ids": ("I32", "<i4"),
    "pieces": ("I32", "<i4"),
    "spans": ("I32", "<i4"),
    "special": ("U8", "u1"),
    "generated": ("U8", "u1"),
    "prompt_stops": ("I64", "<i8"),
    "text_stops": ("I64", "<i8"),
    "texts": ("U8", "u1"),
    "loss": ("F32", "<f4"),
    "bias": ("F32", "<f4"),
    "choice_scores": ("F32", "<f4"),
}
_DAMAGED = (
    "{}: is damaged: {} not what was written. Copy it again from where it came, or record it again."
)
#: What reading a damaged header can raise.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def write(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write one file, whole or not at all; an existing one is replaced last."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({**header, CHECKSUMS: checksums(arrays)})
    with atomic_path(path, sum(a.nbytes for a in arrays.values()) + len(text)) as temporary:
        safetensors.numpy.save_file(arrays, temporary, {_KEY: text, HEADER_SUM: text_sum(text)})


def read(path: Path, whole: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray], HeldFile]:
    """Our header, the arrays as read-only views, and the file that they are views of.

    Checksums are compared in full where arrays are small, or `whole` is asked for; of large ones,
    parts are looked at. Raises `TraceError`, or one of `DAMAGED`, where the file is not what it
    should be.
    """
    held, metadata, entries = _opened(path)
    if SUMMARY in metadata:
        raise TraceError(
            f"{path}: holds counts in place of decisions (keep='summaries'). They answer "
            "moe_viz.report and moe_viz.atlas; for anything else record with keep='choices'."
        )
    if _KEY not in metadata:
        raise TraceError(
            f"{path}: is a safetensors file, but not a trace of moe_viz. Record one with "
            "moe_viz.record(…).save(path)."
        )
    summed = HEADER_SUM in metadata
    if not metadata.keys() <= {_KEY, HEADER_SUM} or (
        summed and metadata[HEADER_SUM] != text_sum(metadata[_KEY])
    ):
        raise TraceError(_DAMAGED.format(path, "its header is"))
    header, arrays = json.loads(metadata[_KEY]), _map_arrays(held, entries)
    if header["format"] > 1 and not summed:
        raise TraceError(_DAMAGED.format(path, "the checksum of its header is"))
    noted = header.get(CHECKSUMS, {})
    damaged = set(differing(arrays, noted, whole))
    if summed:
        damaged |= (arrays.keys() - noted.keys()) | (noted.keys() - entries.keys())
    if damaged:
        raise TraceError(_DAMAGED.format(path, f"{', '.join(sorted(damaged))} are"))
    return header, arrays, held


def read_shape(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a trace's arrays, from the file's first bytes alone."""
    _, _, entries = _opened(path)
    return {name: tuple(entry.shape) for name, entry in entries.items()}


def _opened(path: Path) -> tuple[HeldFile, dict[str, str], dict[str, Entry]]:
    size = 0
    try:
        held = HeldFile(path)
        size = held.file.seek(0, 2)
        held.file.seek(0)
        return held, *read_header(held.file, size)
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be read ({error.strerror}). Expected a trace saved by moe_viz."
        ) from error
    except ValueError as error:
        raise TraceError(
            f"{path}: is not a whole safetensors file ({size:,} bytes; {error!s:.200}). Expected a "
            "trace saved by moe_viz. Was the file cut short? Copy it again."
        ) from error


def _map_arrays(held: HeldFile, entries: dict[str, Entry]) -> dict[str, np.ndarray]:
    """The arrays of a trace as read-only views of its file."""
    path, whole = held.path, held.mapped("r")
    arrays = {}
    for name, (kind, dtype) in _TYPES.items():
        entry = entries.get(name)
        if entry is None:
            if name in OPTIONAL:
                continue
            raise TraceError(f"{path}: the array {name} is missing. Copy the file again.")
        if entry.kind != kind:
            raise TraceError(
                f"{path}: the array {name} should be {kind}, and is {entry.kind:.20}. Record it "
                "again with this version."
            )
        data = whole[entry.start : entry.start + entry.size]
        arrays[name] = data.view(np.dtype(dtype)).reshape(entry.shape)
    return arrays
