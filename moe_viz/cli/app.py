# SPDX-License-Identifier: Apache-2.0
"""What all commands share: the program, its options, how texts are read and results written.

A result goes to standard output, data in it as they are: never wrapped, no markup, no emoji codes.
Where a terminal reads it, control characters in them are shown, not obeyed. Messages go to standard
error.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from ..errors import InputError
from ..files import check_writable
from ..progress import visible

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See a sparse mixture of experts decide: record the router of a Mixtral, and look at it.",
)
#: As a file name: standard output, and as @-, standard input.
STANDARD = Path("-")

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="8x7m (embedded), a folder of weights, a .gguf file, or org/name on the Hub.",
    ),
]
DtypeOption = Annotated[
    str, typer.Option(help="auto (float32: exact), float32, bfloat16 or float16.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
PlacementOption = Annotated[
    str, typer.Option(help="auto, resident (in memory), offload, or stream (one pass).")
]
AdapterOption = Annotated[
    str | None,
    typer.Option(help="A LoRA adapter to merge into the weights: a folder, or org/name."),
]
CacheOption = Annotated[
    float, typer.Option("--cache-gb", help="Keep up to this much of what the Hub sends on disk.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


def say(text: str) -> None:
    """Write a result, as it is, on one line of its own."""
    print(visible(text) if sys.stdout.isatty() else text)


def tell(text: str) -> None:
    """Write a message to whoever started this, beside the result."""
    print(visible(text), file=sys.stderr)


def show(*tables: RenderableType) -> None:
    """Write tables, as wide as the terminal; in a file or a pipe, as wide as they are."""
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    for table in tables:
        console.print(table)


def answer(content: dict[str, Any]) -> None:
    """Write a result for scripts: numbers that JSON does not have are null."""
    print(json.dumps(_finite(content), indent=2, allow_nan=False))


def cell(text: object) -> str:
    """Text for a cell of a table: on one line, and without control characters."""
    return visible(str(text).replace("\n", " "))


@contextmanager
def written(out: Path) -> Iterator[Path]:
    """Where to write what is to be at `out`; what is to go to standard output goes there whole.

    Raises `InputError` for a terminal, `OutputError` where `out` cannot be written.
    """
    if out != STANDARD:
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "out"
        sys.stdout.flush()
        with open(Path(folder) / "out", "rb") as made:
            shutil.copyfileobj(made, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def check_out(out: Path) -> None:
    """Refuse now, before long work, what could not be written: see `written`."""
    if out != STANDARD:
        check_writable(out)
    elif sys.stdout.isatty():
        raise InputError("-o - writes a file to standard output: send it to a file or a program.")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if hasattr(content, "item"):  # a number of NumPy's
        content = content.item()
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_text(text: str) -> str:
    """A text, or the contents of @FILE, of standard input for @-: UTF-8, with or without a BOM."""
    if not text.startswith("@"):
        return text
    name = "standard input" if text == "@-" else text[1:]
    try:
        held = sys.stdin.buffer.read() if text == "@-" else Path(name).read_bytes()
        return held.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name}: cannot be read as a UTF-8 text ({error}). Give a text file, or a text that "
            "does not begin with @."
        ) from error
