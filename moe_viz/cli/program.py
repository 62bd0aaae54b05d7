# SPDX-License-Identifier: Apache-2.0
"""The command line: `moe-viz record | explore | generate | inspect | compare | ledger | doctor |
report | corpus | atlas | slides | html`.

Each command is a thin wrapper over the Python call of the same name. A `MoeVizError` is printed as
one message, without a traceback, and ends the program with status 1.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from ..errors import MissingDependencyError, MoeVizError, OutputError
from ..progress import visible
from . import corpora, counts, look, run, share
from .app import app

#: What writing to a disk that is full, or to a program that has ended, gives.
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EBADF, errno.EIO)

__all__ = ["app", "corpora", "counts", "look", "main", "run", "share"]


def main() -> None:
    """The program `moe-viz`: errors of this library become messages, not tracebacks."""
    for stream in (sys.stdout, sys.stderr):  # another encoding must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout = sys.stdout or _Closed()
    try:
        try:
            app()  # which ends by SystemExit, also where all went well
        finally:
            sys.stdout.flush()  # now, while it can be said that it does not work
    except MoeVizError as error:
        _refuse(error)
    except MemoryError:
        _refuse(MoeVizError("There is not enough memory for this. Take a smaller input."))
    except OSError as error:
        if error.filename is not None or error.errno not in _UNWRITTEN:
            raise
        sys.stdout = None  # type: ignore[assignment]  # what it still holds is lost already
        _refuse(OutputError(f"Standard output cannot be written ({error})."))
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "sentencepiece", "tqdm"):
            raise
        missing = MissingDependencyError(
            f"This command runs a model and needs the package {error.name}: "
            "pip install 'moe-viz[model]'. Recorded traces open without it."
        )
        _refuse(missing)


class _Closed(io.TextIOBase):
    """Standard output where it was closed: what is written to it must not vanish unsaid."""

    def write(self, text: str, /) -> int:
        """Raise `OSError`."""
        raise OSError(errno.EBADF, "it is closed")


def _refuse(error: MoeVizError) -> NoReturn:
    """One message, not wrapped: a path that is broken over lines cannot be copied."""
    said = Text.assemble(("moe-viz:", "bold red"), " ", visible(str(error)))
    Console(stderr=True).print(said, soft_wrap=True)
    sys.exit(1)
