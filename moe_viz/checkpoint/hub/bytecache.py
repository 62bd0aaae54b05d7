# SPDX-License-Identifier: Apache-2.0
"""A bounded folder of byte ranges that have come from the Hub.

In: which file (by its ETag), which range. Out: its bytes, where an earlier sweep kept them. A sweep
passes over the weights in the same order each time, so evicting the least recently used range would
evict the very one that comes next. Ranges of an open checkpoint therefore stay, and when the cache
is full new ones are not kept. Only ranges of other checkpoints make room, the oldest first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ...errors import OutputError
from ...files import atomic_path
from ...progress import tell

_CHECKSUM = 4  # bytes behind each range


def cache_folder() -> Path:
    """Where ranges are kept: moe_viz/ranges in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "moe_viz" / "ranges"


class ByteCache:
    """Ranges of files, at most `gigabytes` of them in all.

    Raises `OutputError` where the folder cannot be written, or the disk has less room than that.
    """

    def __init__(self, gigabytes: float, folder: Path | None = None) -> None:
        self.folder: Path = folder or cache_folder()
        self.limit: int = int(gigabytes * 1e9)
        self._lock, self._mine, self._full = Lock(), set[str](), False  # _mine: open files
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sizes = {p.name: p.stat().st_size for p in self._by_age()}
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be used as a cache ({error.strerror}). Set XDG_CACHE_HOME "
                "to a folder you may write to, or leave cache_gb out."
            ) from error
        more = self.limit - self.used
        if more > free:
            raise OutputError(
                f"{self.folder}: cache_gb={gigabytes:g} asks for {more / 1e9:,.1f} GB more, and "
                f"the disk has {free / 1e9:,.1f} GB free. Ask for less."
            )

    @property
    def used(self) -> int:
        """Bytes that are kept."""
        return sum(self._sizes.values())

    def claim(self, etag: str) -> None:
        """This file is open now: none of its ranges is evicted."""
        with self._lock:
            self._mine.add(_file(etag))

    def get(self, etag: str, start: int, stop: int) -> Tensor | None:
        """A range, if it is kept and whole: uint8, (stop − start,)."""
        name = _name(etag, start, stop)
        if name not in self._sizes:
            return None
        try:
            data = np.fromfile(self.folder / name, np.uint8)
        except OSError:
            return None
        kept, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:].tobytes()
        if len(kept) != stop - start or _checksum(kept) != checksum:
            return None  # cut short, or changed: treated as missing
        return torch.from_numpy(kept)

    def put(self, etag: str, start: int, data: Tensor) -> None:
        """Keep a range if there is room for it; if there is not, that is not an error."""
        name, array = _name(etag, start, start + len(data)), data.numpy()
        with self._lock:
            if self._full or not self._make_room(len(array) + _CHECKSUM):
                return
            self._sizes[name] = len(array) + _CHECKSUM
        try:
            with atomic_path(self.folder / name, lasting=False) as path, path.open("wb") as file:
                file.write(array.data)
                file.write(_checksum(array))
        except OutputError as error:
            with self._lock:
                self._full = True
                del self._sizes[name]
            tell(f"the cache keeps nothing more: {error}")

    def _make_room(self, size: int) -> bool:
        """Remove ranges of other checkpoints until `size` bytes fit; whether they do."""
        evictable = [n for n in self._sizes if n.split("-")[0] not in self._mine]  # oldest first
        while self.used + size > self.limit and evictable:
            name = evictable.pop(0)
            (self.folder / name).unlink(missing_ok=True)
            del self._sizes[name]
        return self.used + size <= self.limit

    def _by_age(self) -> list[Path]:
        whole = [p for p in self.folder.iterdir() if not p.name.startswith(".")]
        return sorted(whole, key=lambda p: p.stat().st_mtime)


def _file(etag: str) -> str:
    return hashlib.sha256(etag.encode()).hexdigest()[:24]


def _name(etag: str, start: int, stop: int) -> str:
    return f"{_file(etag)}-{start}-{stop}"


def _checksum(data: np.ndarray) -> bytes:
    return zlib.crc32(data.data).to_bytes(_CHECKSUM, "little")
