"""Commands that look: at traces, checkpoints, sizes and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from .app import DeviceOption, DtypeOption, app, console


@app.command()
def explore(
    trace: Annotated[Path, typer.Argument(help="A trace written by record.")],
    other: Annotated[
        Path | None, typer.Option(help="Another trace of the same tokens, to compare.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the page to this file instead.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
    port: Annotated[int, typer.Option(help="Port of the server; 0 picks a free one.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(help="Stop the server after so many seconds.")
    ] = None,
) -> None:
    """Look at a trace in a browser, from a server on this machine alone; Ctrl-C ends it.

    Example: [bold]moe-viz explore hello.safetensors[/]
    """
    from ..trace import Trace
    from ..view.explorer.page import page_of, save_page
    from ..view.pages.serve import serve

    opened: Any = Trace.load(trace)
    if other is not None:
        opened = [opened, Trace.load(other)]
    if out is None:
        serve(page_of(opened), lambda address: console.print(f"{address}  (Ctrl-C ends it)"),
              port, browser, seconds)  # fmt: skip
        return
    if out.resolve() == trace.resolve():
        raise InputError(f"{out}: is the trace itself. Choose another page with --out.")
    save_page(opened, out)
    console.print(f"written to {out}", markup=False)
    if browser:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())


@app.command()
def ledger(
    model: Annotated[
        str, typer.Argument(help="mixtral-8x7b, mixtral-8x22b, 8x7m, or a config.json.")
    ] = "mixtral-8x7b",
) -> None:
    """Count what a Mixtral stores and what one token uses, part by part.

    Example: [bold]moe-viz ledger mixtral-8x7b[/]
    """
    from ..config import MixtralConfig
    from ..costs import ledger as account

    is_file = model.endswith(".json")
    books = account(MixtralConfig.from_file(model) if is_file else model)
    table = Table(title=f"{books.config.name}: parameters")
    for name in ("part", "stored", "used by a token"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part in books.parts:
        table.add_row(part.name, f"{part.total:,}", f"{part.active:,}")
    table.add_section()
    table.add_row("[bold]total[/]", f"[bold]{books.total:,}[/]", f"[bold]{books.active:,}[/]")
    console.print(table)
    console.print(
        f"{books.bytes('bfloat16') / 2**30:,.2f} GiB in bf16; "
        f"{books.flops_per_token() / 1e9:,.2f} GFLOP a token without attention scores; "
        f"{books.cache_per_token('bfloat16'):,} bytes of cache a token.\n"
        f"The dense twin (one expert a layer, no router) has {books.dense_twin:,} parameters: "
        f"{books.config.experts} × that is {books.config.experts * books.dense_twin:,}, and not "
        f"this model."
    )


@app.command()
def inspect(
    source: Annotated[
        str, typer.Argument(help="8x7m, a folder of weights, a .gguf file, or org/name.")
    ],
) -> None:
    """Say what is in a checkpoint, from its headers: format, shape, types, sizes.

    Example: [bold]moe-viz inspect mixtral-8x7b-v0.1.Q4_K_M.gguf[/]
    """
    from ..checkpoint.inspection import inspect as look_into

    table = Table(show_header=False)
    for name, finding in look_into(source):
        table.add_row(name, escape(finding))
    console.print(table)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A trace written by record.")],
    second: Annotated[Path, typer.Argument(help="Another trace of the same tokens.")],
) -> None:
    """Say how far two runs of the same tokens route alike, layer by layer.

    Example: [bold]moe-viz compare exact.safetensors q4.safetensors[/]
    """
    from ..analysis.agreement import compare as run
    from ..trace import Trace

    found = run(Trace.load(first), Trace.load(second))
    overlap = found.where(what="overlap")
    same, chosen = (found.where(what=what)["share"] for what in ("identical", "first"))
    table = Table(title=escape(found.title))
    columns = ("layer", "same", "overlap", "chance", "first", "error", "margin", "changed")
    for name in columns:
        table.add_column(name, justify="right")
    for n, row in enumerate(overlap.rows()):
        shares = (same[n], row["share"], row["chance"], chosen[n])
        numbers = (row["logit_error"], row["margin"], row["margin_changed"])
        table.add_row(
            str(row["layer"]), *(f"{x:.1%}" for x in shares), *(f"{x:.2g}" for x in numbers)
        )
    table.caption = (
        f"{found['tokens'][0]:,} tokens, special ones left out. same: all experts of a token; "
        "overlap: mean share of them; chance: overlap of independent choices; first: the first "
        "choice; error: relative, of router logits; margin: median, in the first run; changed: "
        "margin of the tokens whose experts changed."
    )
    console.print(table)


@app.command()
def doctor(
    source: Annotated[
        str | None, typer.Argument(help="8x7m, a folder, a .gguf file, or org/name.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Size of the planned recording.", min=1)] = 1000,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Say what this machine has; for a checkpoint also where it fits and how long it takes.

    Example: [bold]moe-viz doctor mistralai/Mixtral-8x7B-v0.1 --tokens 5000[/]
    """
    from ..doctor import examine

    table = Table(show_header=False)
    for name, finding in examine():
        table.add_row(name, escape(finding))
    console.print(table)
    if source is not None:
        _placements(source, tokens, device, dtype)


def _placements(source: str, tokens: int, device: str, dtype: str) -> None:
    from ..checkpoint.inspection import readable
    from ..placement.estimate import estimate

    rates, estimates = estimate(source, tokens, device, dtype)
    table = Table(title=f"{escape(source)}: recording {tokens:,} tokens")
    for column in ("placement", "memory needed", "free", "load", "record", "generate"):
        table.add_column(column, justify="left" if column == "placement" else "right")
    for e in estimates:
        needed, free = readable(e.needed), readable(max(0.0, e.free))
        if e.fits:
            writes = "yes" if e.generates else "no"
            row = [needed, free, _duration(e.load), _duration(e.record), writes]
        else:
            row = [needed, free, e.why_not or "does not fit"]
        table.add_row(e.placement, *row)
    table.caption = (
        f"Measured here: {rates.read / 1e6:,.0f} MB/s read, {rates.make:.3g} s to have an expert "
        f"ready, {rates.compute:.3g} s for its share of the tokens. Times are rough estimates."
    )
    console.print(table)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s"
