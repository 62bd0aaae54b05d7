"""Writing files so that nothing is lost: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error.

    What stood at `path` before stays until that moment, and stays for good if anything fails.
    Raises `OutputError` where the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would hide it from a web server
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _explain(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot be written ({error.strerror}). Expected a file name in a folder you may "
        "write to, with room on the disk; choose another path."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
