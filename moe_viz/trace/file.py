"""The bytes of a trace file: safetensors, with our header as JSON in its metadata.

Writing is atomic. Reading maps the arrays into memory, with every claim of the file's header
checked: `safetensors.numpy` would copy what it reads, and a trace of gigabytes should open without
that. In: a path. Out: our header, and read-only NumPy views of the file.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import TraceError
from ..files import atomic_path

_KEY = "moe_viz_trace"

#: The types that a trace may hold, and the arrays that it must: anything else is refused.
_DTYPES = {"F32": "<f4", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1"}
_TYPE_OF = {
    "router_logits": "F32",
    "experts": "I16",
    "gates": "F32",
    "token_ids": "I32",
    "pieces": "I32",
    "spans": "I32",
    "special": "U8",
    "generated": "U8",
    "prompt_stops": "I64",
    "text_stops": "I64",
    "texts": "U8",
    "loss": "F32",
}
#: What reading a damaged header can raise.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
_LARGEST_HEADER = 100_000_000  # bytes: safetensors' own limit


def write(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write one file, whole or not at all; an existing one is replaced last."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_path(path) as temporary:
        safetensors.numpy.save_file(arrays, temporary, {_KEY: json.dumps(header)})


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Our header, and the arrays as read-only views.

    Raises `TraceError`, or one of `DAMAGED`, where the file is not what it should be.
    """
    metadata, layout = _read_layout(path)
    if _KEY not in metadata:
        raise TraceError(
            f"{path}: is a safetensors file, but not a trace of moe_viz. Record one with "
            "moe_viz.record(…).save(path)."
        )
    return json.loads(metadata[_KEY]), _map_arrays(path, layout)


def _read_layout(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Metadata and layout of a safetensors file: 8 bytes of length, JSON, then the arrays."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                raise TraceError(
                    f"{path}: is not a complete safetensors file ({size:,} bytes). Expected a "
                    "trace saved by moe_viz; copy it again if it was cut short."
                )
            header = json.loads(file.read(length))
        metadata = dict(header.pop("__metadata__", {}))
        return metadata, {"start": 8 + length, "size": size, "arrays": header}
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be read ({error.strerror}). Expected a trace saved by moe_viz."
        ) from error
    except DAMAGED as error:
        raise TraceError(
            f"{path}: is not a safetensors file. Expected a trace saved by moe_viz."
        ) from error


def _map_arrays(path: Path, layout: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a trace as read-only views of its file."""
    whole = np.memmap(path, np.uint8, "r")
    arrays = {}
    for name, expected in _TYPE_OF.items():
        if name not in layout["arrays"]:
            if name == "loss":
                continue
            raise TraceError(f"{path}: the array {name} is missing. Copy the file again.")
        entry = layout["arrays"][name]
        shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
        dtype = np.dtype(_DTYPES[expected])
        stop = layout["start"] + end
        if (
            entry["dtype"] != expected
            or any(type(n) is not int or n < 0 for n in shape)
            or end - begin != prod(shape) * dtype.itemsize
            or not 0 <= begin <= end
            or stop > layout["size"]
        ):
            raise TraceError(
                f"{path}: the array {name} should be {expected}; its entry {entry} does not fit "
                f"a file of {layout['size']:,} bytes. Was the file cut short?"
            )
        arrays[name] = whole[layout["start"] + begin : stop].view(dtype).reshape(shape)
    return arrays
