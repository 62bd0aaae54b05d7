"""What all commands share: the program, its options, how texts are read and messages written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import InputError

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See a sparse mixture of experts decide: record the router of a Mixtral, and look at it.",
)
console: Console = Console()

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

CacheOption = Annotated[
    float, typer.Option("--cache-gb", help="Keep up to this much of what the Hub sends on disk.")
]


def read_text(text: str) -> str:
    """A text, or the contents of @FILE."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{text[1:]}: cannot be read as a UTF-8 text ({error}). Give a text file, or a text "
            "that does not begin with @."
        ) from error
