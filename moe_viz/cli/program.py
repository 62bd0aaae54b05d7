"""The command line: `moe-viz record | explore | generate | inspect | compare | ledger | doctor |
report | slides | html`.

Each command is a thin wrapper over the Python call of the same name. A `MoeVizError` is printed as
one message, without a traceback, and ends the program with status 1.
"""

from __future__ import annotations

import io
import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from ..errors import MissingDependencyError, MoeVizError
from . import look, run, share
from .app import app, visible

__all__ = ["app", "look", "main", "run", "share"]


def main() -> None:
    """The program `moe-viz`: errors of this library become messages, not tracebacks."""
    for stream in (sys.stdout, sys.stderr):  # another encoding must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except MoeVizError as error:
        _refuse(error)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "sentencepiece", "tqdm"):
            raise
        missing = MissingDependencyError(
            f"This command runs a model and needs the package {error.name}: "
            "pip install 'moe-viz[model]'. Recorded traces open without it."
        )
        _refuse(missing)


def _refuse(error: MoeVizError) -> NoReturn:
    """One message, not wrapped: a path that is broken over lines cannot be copied."""
    said = Text.assemble(("moe-viz:", "bold red"), " ", visible(str(error)))
    Console(stderr=True).print(said, soft_wrap=True)
    sys.exit(1)
