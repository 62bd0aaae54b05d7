# SPDX-License-Identifier: Apache-2.0
"""What the stand-in for the Hub keeps: files, commits, repositories, and who may read them.

A file's contents are asked for a range at a time, so that they may be larger than memory, or be
made up. Checksums are worked out when somebody asks for them, unless they were given.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

Bytes = bytes | bytearray | memoryview

#: Bytes that are read, hashed or sent at once.
SLICE = 2**20


class StoredFile(ABC):
    """A file as the Hub knows it; with Git LFS (`lfs`) it is sent by the CDN."""

    def __init__(self, size: int, *, lfs: bool, etag: str | None = None) -> None:
        self.size, self.lfs = size, lfs
        if etag is not None:
            self.etag = etag

    @abstractmethod
    def read(self, start: int, stop: int) -> Bytes:
        """The bytes from start up to stop; both lie in the file."""

    @cached_property
    def etag(self) -> str:
        """What the Hub calls this content: SHA-256 with LFS, git's SHA-1 of a blob without."""
        digest = hashlib.sha256() if self.lfs else hashlib.sha1(b"blob %d\0" % self.size)
        for start in range(0, self.size, SLICE):
            digest.update(self.read(start, min(start + SLICE, self.size)))
        return digest.hexdigest()

    @property
    def stored_etag(self) -> str:
        """What the CDN calls it: S3 hashes the parts of the upload, so never the SHA-256."""
        return hashlib.md5(self.etag.encode()).hexdigest() + "-2"

    def listed(self, path: str, blobs: bool) -> dict[str, Any]:
        """Its entry in what the API says of a repository."""
        if not blobs:
            return {"rfilename": path}
        entry: dict[str, Any] = {"rfilename": path, "size": self.size, "blobId": self.etag}
        if self.lfs:
            # What git itself holds is a pointer, whose text git-lfs has laid down (its spec.md).
            pointer = (
                "version https://git-lfs.github.com/spec/v1\n"
                f"oid sha256:{self.etag}\nsize {self.size}\n"
            ).encode()
            entry["blobId"] = BytesFile(pointer, lfs=False).etag
            entry["lfs"] = {"sha256": self.etag, "size": self.size, "pointerSize": len(pointer)}
        return entry


class BytesFile(StoredFile):
    """A file in memory, handed out without a copy."""

    def __init__(self, data: Bytes, *, lfs: bool, etag: str | None = None) -> None:
        self.data = memoryview(data).cast("B")
        super().__init__(len(self.data), lfs=lfs, etag=etag)

    def read(self, start: int, stop: int) -> Bytes:
        return self.data[start:stop]


class PathFile(StoredFile):
    """A file on disk."""

    def __init__(self, path: str | Path, *, lfs: bool, etag: str | None = None) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        super().__init__(os.fstat(self._descriptor).st_size, lfs=lfs, etag=etag)

    def read(self, start: int, stop: int) -> Bytes:
        return os.pread(self._descriptor, stop - start, start)


class Repo:
    """A repository: commits that never change, and names for them (`refs`) that do.

    Only `tokens` may read a private repository; a gated one shows its list of files to everybody
    and their contents only to `tokens`.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, StoredFile],
        *,
        gated: bool = False,
        private: bool = False,
        tokens: Iterable[str] = (),
    ) -> None:
        self.name, self.gated, self.private, self.tokens = name, gated, private, set(tokens)
        self.commits: dict[str, dict[str, StoredFile]] = {}
        self.refs: dict[str, str] = {}
        self.push(files)

    def push(self, files: Mapping[str, StoredFile | None], branch: str = "main") -> str:
        """A new commit on a branch, with these files changed, or removed where None; its hash."""
        merged = {**self.commits.get(self.refs.get(branch, ""), {}), **files}
        commit = hashlib.sha1(f"{self.name} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = {path: file for path, file in merged.items() if file is not None}
        self.refs[branch] = commit
        return commit

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a full hash stands for."""
        return revision if revision in self.commits else self.refs.get(revision)
