# SPDX-License-Identifier: Apache-2.0
"""The command that counts: `ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..costs import GuestLedger, Ledger
from .app import JsonOption, answer, app, cell, say, show


@app.command()
def ledger(
    model: Annotated[
        str,
        typer.Argument(
            help="mixtral-8x7b, mixtral-8x22b, 8x7m, a config.json, or a folder with one."
        ),
    ] = "mixtral-8x7b",
    as_json: JsonOption = False,
) -> None:
    """Count what a mixture stores and what one token uses, part by part.

    Example: [bold]moe-viz ledger mixtral-8x7b[/]
    """
    from ..config import MixtralConfig
    from ..errors import OtherFamilyError
    from ..guests.ledger import ledger as account

    try:
        books = account(MixtralConfig.from_file(model) if model.endswith(".json") else model)
    except OtherFamilyError:
        books = account(Path(model).parent)
    if as_json:
        parts = [{"part": p.name, "stored": p.total, "active": p.active} for p in books.parts]
        said = {
            "model": books.name, "parts": parts, "total": books.total, "active": books.active,
            "bytes_bfloat16": books.bytes("bfloat16"),
        }  # fmt: skip
        if isinstance(books, Ledger):
            said |= {
                "flops_per_token": books.flops_per_token(),
                "cache_bytes_per_token": books.cache_per_token("bfloat16"),
                "dense_twin": books.dense_twin,
            }
        else:
            said["expert_bytes_bfloat16"] = books.expert_bytes("bfloat16")
        answer(said)
        return
    table = Table(title=cell(f"{books.name}: parameters"))
    for name in ("part", "stored", "used by a token"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part in books.parts:
        table.add_row(part.name, f"{part.total:,}", f"{part.active:,}")
    table.add_section()
    total = ("total", f"{books.total:,}", f"{books.active:,}")
    table.add_row(*(Text(text, style="bold") for text in total))
    show(table)
    say(_counted(books) if isinstance(books, GuestLedger) else _by_arithmetic(books))


def _counted(books: GuestLedger) -> str:
    layer, most = max(books.expert_bytes("bfloat16").items(), key=lambda item: item[1])
    return (
        f"{books.bytes('bfloat16') / 2**30:,.2f} GiB in bf16. A token goes to {books.choice}; the "
        f"experts of a layer take up to {most / 2**20:,.1f} MiB (layer {layer})."
    )


def _by_arithmetic(books: Ledger) -> str:
    return (
        f"{books.bytes('bfloat16') / 2**30:,.2f} GiB in bf16; "
        f"{books.flops_per_token() / 1e9:,.2f} GFLOP a token without attention scores; "
        f"{books.cache_per_token('bfloat16'):,} bytes of cache a token.\n"
        f"The dense twin (one expert a layer, no router) has {books.dense_twin:,} parameters: "
        f"{books.config.experts} × that is {books.config.experts * books.dense_twin:,}, and not "
        f"this model."
    )
