"""Writes files whole or not at all, so that nothing is lost; says what a readable file is."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from .errors import OutputError


class ReadablePath(Protocol):
    """A file, on this disk (`pathlib.Path`) or elsewhere."""

    @property
    def stem(self) -> str:
        """Its name without the extension."""
        ...

    @property
    def parent(self) -> Any:
        """The folder it is in, which has a name."""
        ...

    def read_text(self, encoding: str) -> str:
        """Its whole text."""
        ...


def package_text(name: str) -> str:
    """A text file that comes with this package, by its path in the package.

    >>> package_text("view/pages/page.css").splitlines()[0][:2]
    '/*'
    """
    return (resources.files("moe_viz") / name).read_text(encoding="utf-8")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error.

    What was at `path` before stays until then, and for good if anything fails.
    Raises `OutputError` where the folder cannot be written.
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would hide it from a web server
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` now, before long work, if its result could not be written here."""
    _beside(Path(path)).unlink()


def _beside(path: Path) -> Path:
    """A new, empty file in the folder of `path`, which is created if it is missing."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise OutputError(_explain(path, error)) from error
    os.close(handle)
    return Path(name)


def _explain(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"{path}: cannot be written ({reason}). Expected a file name in a folder you may "
        "write to, with room on the disk; choose another path."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
