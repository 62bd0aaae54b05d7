# SPDX-License-Identifier: Apache-2.0
"""What Hugging Face's own cache holds of a repository: its commits, and where their files lie.

In: a repository's name, or a path into the cache. Out: commits, and files on this disk. The form is
huggingface_hub's: `refs` say which commit a branch or tag was, `snapshots` hold the files of each
commit, and `blobs` the contents by their checksums. Nothing here asks the network.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

#: The hash of a commit, whole or shortened.
HASH = re.compile(r"[0-9a-f]{7,40}")

#: SHA-256 of large files, git's SHA-1 of the others.
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_PREFIX = "models--"


@dataclass(frozen=True)
class CachedRepo:
    """The folder of one repository in the cache; it need not exist.

    >>> kept = CachedRepo(Path("hub/models--mistralai--Mixtral-8x7B-v0.1"))
    >>> kept.name, kept.commits()
    ('mistralai/Mixtral-8x7B-v0.1', [])
    """

    folder: Path

    @staticmethod
    def named(name: str) -> CachedRepo:
        """The one of `org/name`, in the cache that HF_HUB_CACHE or HF_HOME name."""
        from huggingface_hub import constants

        return CachedRepo(Path(constants.HF_HUB_CACHE) / (_PREFIX + name.replace("/", "--")))

    @property
    def name(self) -> str:
        """`org/name`."""
        return self.folder.name.removeprefix(_PREFIX).replace("--", "/")

    def commits(self) -> list[str]:
        """The commits of which something is there."""
        try:
            return sorted(path.name for path in (self.folder / "snapshots").iterdir())
        except OSError:
            return []

    def refs(self) -> dict[str, str]:
        """The commit that each branch or tag was when it was last fetched; main comes first."""
        base = self.folder / "refs"
        found = sorted(base.rglob("*"), key=lambda path: (path.name != "main", path))
        return {
            path.relative_to(base).as_posix(): path.read_text().strip()
            for path in found
            if path.is_file()
        }

    def commit(self, revision: str) -> str | None:
        """The commit that a revision stands for here, if any of its files are."""
        named = self.refs().get(revision) or (revision if HASH.fullmatch(revision) else "-")
        return next((commit for commit in self.commits() if commit.startswith(named)), None)

    def files(self, commit: str) -> dict[str, Path]:
        """The files of a commit that are here whole, by their names in the repository."""
        base = self.folder / "snapshots" / commit
        return {p.relative_to(base).as_posix(): p for p in base.rglob("*") if p.is_file()}

    def blob(self, checksum: str | None) -> Path:
        """Where contents with this checksum lie, if they are here."""
        return (
            self.folder
            / "blobs"
            / (checksum if checksum and _CHECKSUM.fullmatch(checksum) else "-")
        )

    def title(self, revision: str) -> str:
        """`org/name`, and the revision unless it is main; a branch or tag, never a hash.

        >>> CachedRepo(Path("models--org--name")).title("v2")
        'org/name@v2'
        """
        if HASH.fullmatch(revision):
            known = [ref for ref, commit in self.refs().items() if commit.startswith(revision)]
            revision = known[0] if known else "main"
        return self.name if revision == "main" else f"{self.name}@{revision}"


def within_cache(path: Path) -> tuple[CachedRepo, str, str] | None:
    """The repository, the commit and the file in it that a path into the cache names.

    The commit is "" for the folder of the whole repository, the file "" for a folder of files.
    None where the path is not of the cache's form.

    >>> within_cache(Path("/c/models--org--name/snapshots/0123456789/a.gguf"))[1:]
    ('0123456789', 'a.gguf')
    """
    parts = Path(os.path.abspath(path)).parts
    for n, part in enumerate(parts):
        if part.startswith(_PREFIX):
            repo, inner = CachedRepo(Path(*parts[: n + 1])), parts[n + 1 :]
            if not inner and (repo.folder / "snapshots").is_dir():
                return repo, "", ""
            if len(inner) > 1 and inner[0] == "snapshots":
                return repo, inner[1], str(PurePosixPath(*inner[2:])) if inner[2:] else ""
    return None
