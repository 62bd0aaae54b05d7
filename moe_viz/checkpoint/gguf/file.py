# SPDX-License-Identifier: Apache-2.0
"""GGUF files: packed tensors, configuration and vocabulary in one file, or in several parts.

In: a `.gguf` file. Out: a `Store` that maps tensors from the file: plain numbers as tensors, packed
ones as `Packed`, without a copy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ..hub.repository import HubPath
from ..stored import ByteStore, gather, read_from
from .header import read_header

#: How llama.cpp names the parts of a file that it split.
_PART = re.compile(r"-(\d{5})-of-(\d{5})(\.gguf)$", re.IGNORECASE)


def open_gguf(path: Path | HubPath) -> tuple[dict[str, Any], ByteStore]:
    """Metadata and tensors of a GGUF file, and of its other parts.

    Raises `CheckpointError` where a part is missing, damaged, cut short, or packed in a way that is
    not supported.
    """
    opened = {file: read_from(file, read_header) for file in _parts(path)}
    metadata = next(iter(opened.values())).metadata  # the first part's
    return metadata, ByteStore(gather({file: h.tensors for file, h in opened.items()}))


def split_stem(path: Path | HubPath) -> str:
    """What the names of all parts of a file that was split begin with; "" for any other file.

    >>> split_stem(Path("mixtral.Q8_0-00001-of-00003.gguf")), split_stem(Path("mixtral.gguf"))
    ('mixtral.Q8_0', '')
    """
    match = _PART.search(path.name)
    return path.name[: match.start()] if match else ""


def _parts(path: Path | HubPath) -> Sequence[Path | HubPath]:
    """All parts of a file that was split, in order; for any other file, just the file."""
    match = _PART.search(path.name)
    if match is None:
        return [path]
    stem, number, count, ending = path.name[: match.start()], int(match[1]), int(match[2]), match[3]
    if not 1 <= number <= count:
        raise CheckpointError(
            f"{path}: says that it is part {number} of {count}. Expected the name that it was "
            "published with; rename it, or download it again."
        )
    parts = [path.with_name(f"{stem}-{n:05}-of-{count:05}{ending}") for n in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise CheckpointError(
            f"{path}: is one of {count} parts, and {len(missing)} are missing, the first is "
            f"{missing[0]!r}. Download them into the same folder."
        )
    return parts
