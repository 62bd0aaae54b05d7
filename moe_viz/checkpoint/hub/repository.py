# SPDX-License-Identifier: Apache-2.0
"""Checkpoints on the Hugging Face Hub, without downloading them.

In: `org/name`, optionally with `@revision`, and for GGUF followed by the file's path in the
repository. Out: a `HubPath`, which answers the few questions that opening a checkpoint asks of a
path on disk. The revision is resolved to one commit at once, and everything is read from that
commit: from Hugging Face's cache where a file is there, else from the Hub. `hub.cache` knows the
cache, `hub.file` fetches bytes, huggingface_hub knows addresses, tokens and the endpoint.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from ...errors import CheckpointError
from ...files import open_file
from .bytecache import ByteCache
from .errors import explained
from .file import HubFile

#: org/name, optionally a revision, optionally a file in the repository.
_SOURCE = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w./-]+?))?(/[^@]+\.(?i:gguf))?")

#: At most this many bytes of a header are read at once.
_AHEAD = 2**20

#: No configuration, index or vocabulary is larger.
_LARGEST = 2**26


class HubName(NamedTuple):
    """A name on the Hub, in its parts."""

    repository: str
    revision: str
    file: str  # "" for the whole repository

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repository}{at}{'/' if self.file else ''}{self.file}"


def parse(source: str) -> HubName | None:
    """The parts of a name on the Hub; None for what cannot be one.

    >>> parse("mistralai/Mixtral-8x7B-v0.1@refs/pr/3")
    HubName(repository='mistralai/Mixtral-8x7B-v0.1', revision='refs/pr/3', file='')
    >>> str(parse("org/name/sub/model.Q4_K_M.gguf")), parse("./folder"), parse("a/b/c")
    ('org/name/sub/model.Q4_K_M.gguf', None, None)
    """
    match = _SOURCE.fullmatch(source)
    if match is None or source.startswith("."):
        return None
    return HubName(match[1], match[2] or "main", (match[3] or "").lstrip("/"))


@dataclass(frozen=True)
class HubRepo:
    """One commit of a repository: the files it has, and those that have been opened.

    `local` are the files that lie in Hugging Face's cache. `alone` says why there are no others:
    nothing where the Hub was asked.
    """

    name: str
    commit: str
    title: str  # org/name, with its branch or tag unless that is main
    sizes: dict[str, int]  # bytes of each file
    local: dict[str, Path] = field(default_factory=dict)
    alone: str = ""
    cache: ByteCache | None = None
    opened: dict[str, HubFile] = field(default_factory=dict)

    def file(self, name: str) -> HubFile:
        """The bytes of a file; the same object for the same name."""
        if name not in self.opened:
            with explained(self.name):
                self.opened[name] = HubFile(self.name, self.commit, name, self.cache)
        return self.opened[name]


class HubPath:
    """A file or folder of a repository, with as much of pathlib's interface as is needed here."""

    def __init__(self, repo: HubRepo, inner: str = "") -> None:
        self.repo: HubRepo = repo
        self.inner: PurePosixPath = PurePosixPath(inner)

    def __str__(self) -> str:
        at = f"{self.repo.name}@{self.repo.commit[:12]}"
        return at if self.inner == PurePosixPath() else f"{at}/{self.inner}"

    def __hash__(self) -> int:
        return hash((self.repo.name, self.repo.commit, self.inner))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HubPath) and str(self) == str(other)

    def __lt__(self, other: HubPath) -> bool:
        return self.inner < other.inner

    def __truediv__(self, name: str) -> HubPath:
        return HubPath(self.repo, str(self.inner / name))

    @property
    def name(self) -> str:
        """Its last part; a repository's own name without its owner's."""
        return self.inner.name or self.repo.name.split("/")[-1]

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.inner.stem or self.name

    @property
    def suffix(self) -> str:
        """The ending of the name."""
        return self.inner.suffix

    @property
    def parent(self) -> HubPath:
        """The folder it lies in."""
        return HubPath(self.repo, str(self.inner.parent))

    def with_name(self, name: str) -> HubPath:
        """Its neighbour of this name."""
        return self.parent / name

    @property
    def local(self) -> Path | None:
        """Where it lies on this disk, if it does."""
        return self.repo.local.get(str(self.inner))

    def relative_to(self, other: HubPath) -> PurePosixPath:
        """Its name within a folder above it."""
        return self.inner.relative_to(other.inner)

    def is_dir(self) -> bool:
        """Whether it is a folder: the repository itself, or one in it."""
        return any(self.inner in PurePosixPath(name).parents for name in self.repo.sizes)

    def is_file(self) -> bool:
        """Whether the repository has a file of this name."""
        return str(self.inner) in self.repo.sizes

    def iterdir(self) -> Iterator[HubPath]:
        """The files and folders in it."""
        depth = len(self.inner.parts)
        inside = [p for p in map(PurePosixPath, self.repo.sizes) if self.inner in p.parents]
        for name in dict.fromkeys("/".join(p.parts[: depth + 1]) for p in inside):
            yield HubPath(self.repo, name)

    def bytes(self) -> HubFile:
        """Ranges of its bytes, read when they are asked for."""
        if not self.is_file():
            raise CheckpointError(f"{self}: this commit of the repository has no such file.")
        return self.repo.file(str(self.inner))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its bytes as a file."""
        if self.local is not None:
            return open_file(self.local)
        return _Reading(self.bytes())  # type: ignore[return-value]

    def read_bytes(self) -> bytes:
        """All of a small file, checked against its checksum where it comes over the network."""
        if self.local is not None:
            return self.local.read_bytes()
        file = self.bytes()
        if file.size > _LARGEST:
            raise CheckpointError(
                f"{self}: has {file.size:,} bytes, more than any file of its kind needs. Is it "
                "what its name says?"
            )
        data = bytes(file[0 : file.size].numpy())
        if not _matches(data, file.etag):
            raise CheckpointError(
                f"{self}: does not have the checksum that the Hub names ({file.etag}): it was "
                "damaged on the way. Try again; if that does not help, a proxy alters the data."
            )
        return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """The same as text."""
        return self.read_bytes().decode(encoding)


class _Reading(io.RawIOBase):
    """Ranges of bytes as a file that is read from front to back.

    It fetches what is asked for and, where pieces are small, reads ahead, twice as far each time.
    So a header whose length is in its first eight bytes (safetensors) takes two requests and not a
    byte beyond it, and one of a million small pieces (GGUF) takes some twenty.
    """

    def __init__(self, file: HubFile) -> None:
        self._file, self._at, self._ahead = file, 0, 8
        self._start, self._window = 0, b""  # what has been fetched, and where it begins

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._file.size)
        count = max(0, stop - self._at)
        if count and not self._start <= self._at <= stop <= self._start + len(self._window):
            ahead = min(self._at + max(count, self._ahead), self._file.size)
            self._window = self._file[self._at : ahead].numpy().tobytes()
            self._start, self._ahead = self._at, min(2 * self._ahead, _AHEAD)
        at = self._at - self._start
        buffer[:count] = self._window[at : at + count]
        self._at += count
        return count


def _matches(data: bytes, etag: str) -> bool:
    """Whether bytes have a checksum: SHA-256 of large files, git's SHA-1 of the others."""
    if len(etag) == 64:
        return hashlib.sha256(data).hexdigest() == etag
    if len(etag) == 40:
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == etag
    return True  # another kind of server, which promises nothing
