"""Writes files whole or not at all, so that nothing is lost; says what a readable file is."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from .errors import OutputError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None

#: How the name of a folder for temporary files ends; nothing else is called that.
TEMPORARY = ".moe-viz-part"


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
    """A temporary file on the same disk that takes the place of `path` when the block ends.

    What was at `path` before stays until then, and for good if anything fails. What a writer that
    was killed has left in this folder is removed. Raises `OutputError` where the folder cannot be
    written.
    """
    path = Path(path)
    folder, lock = _beside(path)
    try:
        with writing(path):
            _remove_left(path.parent)
            temporary = folder / path.name
            temporary.touch()
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())  # some writers would hide it from a web server
            os.replace(temporary, path)
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within the block an `OSError` means that `path` cannot be written: `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(_explain(path, error)) from error


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` now, before long work, if its result could not be written here."""
    folder, lock = _beside(Path(path))
    os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)


def _beside(path: Path) -> tuple[Path, int]:
    """A new folder for temporary files in the folder of `path`, and the handle of its lock.

    A folder of its own, since writers have temporary files themselves. The lock ends with this
    process, however it ends.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(TEMPORARY, f".{path.name[:100]}.", path.parent))
            with suppress(FileNotFoundError):  # another writer removed it before it was locked
                lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL)
                if fcntl is not None:
                    with suppress(OSError):  # this disk knows no locks: nothing is removed here
                        fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock).st_nlink:
                    return folder, lock
                os.close(lock)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise OutputError(_explain(path, error)) from error


def _remove_left(folder: Path) -> None:
    """Remove the temporary folders whose writers are gone: nobody holds their locks."""
    with suppress(OSError), os.scandir(folder) as entries:
        for left in [Path(entry.path) for entry in entries if entry.name.endswith(TEMPORARY)]:
            with suppress(OSError):
                left.rmdir()  # killed before it was locked
            with suppress(OSError):  # at work, or removed in the meantime
                _take_lock(left / "lock")
                shutil.rmtree(left, ignore_errors=True)


def _take_lock(path: Path) -> None:
    """Raise `OSError` while the writer that holds this lock is at work."""
    if fcntl is None:
        return path.unlink()
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()  # before it is let go: who locks it now sees that it is gone
    finally:
        os.close(handle)


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
