# SPDX-License-Identifier: Apache-2.0
"""Writes files whole or not at all, so that nothing is lost; says what a readable file is."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from safetensors import SafetensorError

from .errors import OutputError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None

#: How the name of a folder for temporary files ends; nothing else is called that.
TEMPORARY = ".moe-viz-part"
#: Errors of a disk, or of an account's share of it, that is full.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


#: Bytes that a small file may have: settings, vocabularies, notebooks; several times the largest.
LARGEST = 2**28


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

    def read_bytes(self) -> bytes:
        """All of it."""
        ...


def open_file(path: Path) -> BinaryIO:
    """A file for reading; `OSError` for a pipe or a device, which may keep a reader for ever."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a device or a pipe, no file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def small_bytes(path: ReadablePath) -> bytes:
    """All of a small file; `OSError` for a pipe or a device, and for one larger than any."""
    if not isinstance(path, Path):  # on the Hub, where sizes are known before
        return path.read_bytes()
    parts, length = [], 0
    with open_file(path) as file:
        while part := file.read(2**20):
            parts.append(part)
            length += len(part)
            if length > LARGEST:
                what = f"it has more than {LARGEST / 1e6:.0f} MB, which no file of its kind needs"
                raise OSError(errno.EFBIG, what)
    return b"".join(parts)


def small_text(path: ReadablePath) -> str:
    """The text of a small file, in UTF-8; a byte order mark, as Windows writes, is none of it."""
    return small_bytes(path).decode("utf-8-sig")


def package_text(name: str) -> str:
    """A text file that comes with this package, by its path in the package.

    >>> package_text("view/pages/page.css").splitlines()[0][:2]
    '/*'
    """
    return package_bytes(name).decode("utf-8")


def package_bytes(name: str) -> bytes:
    """The same as bytes."""
    return (resources.files("moe_viz") / name).read_bytes()


#: The model that comes with this package.
EMBEDDED = "8x7m"


def embedded_folder() -> Path:
    """The folder of `8x7m`, in Hugging Face's format: in the package, or in the repository."""
    package = Path(__file__).parent
    installed = package / "weights" / EMBEDDED
    return installed if installed.is_dir() else package.parent / "weights" / EMBEDDED


@contextmanager
def atomic_path(path: str | Path, size: int = 0, lasting: bool = True) -> Iterator[Path]:
    """A temporary file on the same disk that takes the place of `path` when the block ends.

    What was at `path` before stays until then, and for good if anything fails; who may read it
    stays too, and a link leads on to where the file is. What a writer that was killed has left in
    this folder is removed. `size` is about how many bytes it will take, where that is known. Unless
    it is not to be `lasting`, it is on the disk when the block has ended, whatever happens then.

    Raises `OutputError` where the folder cannot be written, or has no room.
    """
    path = target(path)
    folder, lock = _beside(path, size)
    try:
        with writing(path, size):
            remove_left(path.parent)
            temporary = folder / path.name
            temporary.touch()
            # Some writers would hide a new file from a web server; others, show a private one.
            mode = stat.S_IMODE((path if path.exists() else temporary).stat().st_mode)
            yield temporary
            os.chmod(temporary, mode)
            if lasting:
                _sync(temporary)
            os.replace(temporary, path)
            if lasting:
                _sync(path.parent)
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(path: Path, size: int = 0) -> Iterator[None]:
    """Within the block an error of the disk means that `path` cannot be written: `OutputError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(_explain(path, error, size)) from error


def check_writable(path: str | Path, size: int = 0) -> None:
    """Raise `OutputError` now, before long work, if its result could not be written here.

    `size` is about how many bytes it will take, where that is known.
    """
    folder, lock = _beside(target(path), size)
    os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)


def target(path: str | Path) -> Path:
    """Where a file is written: the end of a link, unless somebody else may have laid it.

    In a folder where every account may write, as /tmp, a link of another one is `OutputError`: it
    could lead to any file of ours. (Linux has the same rule, `protected_symlinks`, for opening.)
    """
    path = Path(path)
    for _ in range(40):  # as many as Linux follows
        if not os.path.islink(path):
            break
        folder = os.stat(path.parent)
        for_all = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
        if for_all and os.lstat(path).st_uid not in (os.geteuid(), folder.st_uid):
            raise OutputError(
                f"{path}: is a link that another account has laid in a folder for all, and is not "
                "followed. Choose another path."
            )
        path = path.parent / os.readlink(path)
    return path


def _sync(path: Path) -> None:
    """Have the disk hold what was written, before anything rests on it."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing for folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path, size: int) -> tuple[Path, int]:
    """A new folder for temporary files in the folder of `path`, and the handle of its lock.

    A folder of its own, since writers have temporary files themselves. The lock ends with this
    process, however it ends.
    """
    try:
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "a device or a pipe, no file"
            raise OSError(errno.EINVAL, f"it is {what}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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
        raise OutputError(_explain(path, error, size)) from error


def remove_left(folder: Path) -> None:
    """Remove the temporary folders whose writers are gone: nobody holds their locks."""
    with suppress(OSError), os.scandir(folder) as entries:
        ours = [entry for entry in entries if entry.name.endswith(TEMPORARY) and _is_ours(entry)]
        for left in [Path(entry.path) for entry in ours]:
            with suppress(OSError):
                left.rmdir()  # killed before it was locked
            with suppress(OSError):  # at work, or removed in the meantime
                _take_lock(left / "lock")
                shutil.rmtree(left, ignore_errors=True)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is this account's, and no link that somebody laid to another place."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    return os.name == "nt" or entry.stat(follow_symlinks=False).st_uid == os.geteuid()


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


def _explain(path: Path, error: Exception, size: int) -> str:
    reason = getattr(error, "strerror", None) or error
    # The safetensors library has an error of its own, which names the system's in words.
    if getattr(error, "errno", 0) in _FULL or any(f"(os error {n})" in str(error) for n in _FULL):
        needed = f"about {size / 1e6:,.1f} MB are needed, and " if size else ""
        return (
            f"{path}: cannot be written ({reason}): {needed}{_free(path.parent)} free there, with "
            "what was written of it gone. Make room, or choose another path."
        )
    return (
        f"{path}: cannot be written ({reason}). Expected a file name in a folder you may "
        "write to, with room on the disk; choose another path."
    )


def _free(folder: Path) -> str:
    """How much room a folder's disk has, without what our own unfinished file takes there."""
    try:
        ours = sum(p.stat().st_size for p in folder.glob(f"*{TEMPORARY}/*"))
        return f"{(shutil.disk_usage(folder).free + ours) / 1e6:,.1f} MB are"
    except OSError:
        return "too little is"
