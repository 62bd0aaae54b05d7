"""Commands that run a model: record, generate, demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from ..files import check_writable
from .app import (
    CacheOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    PlacementOption,
    app,
    console,
    read_text,
)


@app.command()
def record(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts, or @FILE for the contents of a file.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The trace to write.")] = Path(
        "trace.safetensors"
    ),
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="One label for each text, in order.")
    ] = None,
    curated: Annotated[
        bool, typer.Option(help="Record the curated prompts: five languages and code.")
    ] = False,
    loss: Annotated[bool, typer.Option(help="Keep each token's cross-entropy too.")] = False,
    model: ModelOption = "8x7m",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    placement: PlacementOption = "auto",
    resume: Annotated[
        Path | None, typer.Option(help="Keep unfinished work in this file; run again to continue.")
    ] = None,
    cache_gb: CacheOption = 0.0,
) -> None:
    """Run texts once and keep what every router said about every token.

    Example: [bold]moe-viz record "Good morning" "Guten Morgen" -l en -l de -o hello.safetensors[/]
    """
    from .. import prompts
    from ..placement import load
    from ..recording.recording import record as run

    if curated == bool(texts):
        raise InputError("Give texts to record, or --curated: one of the two.")
    check_writable(out)
    source = prompts.curated() if curated else [read_text(text) for text in texts or []]
    opened = load(model, device, dtype, placement, cache_gb)
    trace = run(opened, source, labels=label or None, loss=loss, resume=resume)
    trace.save(out)
    console.print(f"{trace.__repr__()[1:-1]}\nwritten to {out}", markup=False)
    console.print(f"Look at it with: moe-viz explore {out}", markup=False)


@app.command()
def generate(
    text: Annotated[str, typer.Argument(help="The text to continue, or @FILE.")],
    max_new_tokens: Annotated[int, typer.Option("--tokens", "-n", help="At most this many.")] = 64,
    temperature: Annotated[
        float, typer.Option(help="Of sampling; 0 takes the likeliest token.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from this share of probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the trace here.")
    ] = None,
    model: ModelOption = "8x7m",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Continue a text, and say where it was routed.

    Example: [bold]moe-viz generate "The first file" -n 40 --temperature 0.8[/]
    """
    from ..placement import load
    from ..recording.generation import generate as run

    if out is not None:
        check_writable(out)
    result = run(
        load(model, device, dtype), read_text(text), max_new_tokens, temperature, top_p, seed
    )
    console.print(f"[dim]{escape(read_text(text))}[/]{escape(result.text)}")
    if out is not None:
        result.trace.save(out)
        console.print(f"trace written to {out}", markup=False)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the trace and the page go.")] = Path("out"),
) -> None:
    """Record all curated prompts with 8x7m, sum them up, write the page: what make demo does."""
    from .. import prompts
    from ..placement import load
    from ..recording.recording import record as run
    from ..view.explorer.page import save_page

    model = load("8x7m")
    began = time.perf_counter()
    trace = run(model, prompts.curated())
    seconds = time.perf_counter() - began
    saved = trace.save(folder / "routing.safetensors")
    page = save_page(trace, folder / "routing.html")
    console.print(_summary(trace))
    uniform = 1 / trace.router_logits.shape[2]
    console.print(
        f"{len(trace):,} tokens through {len(trace.layers)} layers in {seconds:.1f} s "
        f"({len(trace) / seconds:,.0f} tokens/s). Even routing would give every expert "
        f"{uniform:.1%} of a layer.\n",
        highlight=False,
    )
    console.print("[bold]Look:[/] open [bold]" + escape(str(page)) + "[/] in a browser.")
    console.print(f"[bold]Again later:[/] moe-viz explore {escape(str(saved))}")
    console.print("[bold]Next:[/] make lab opens notebooks/00_start_here.ipynb in JupyterLab.")


def _summary(trace) -> Table:
    from ..analysis.load import load_shares

    k, E = trace.experts.shape[2], trace.router_logits.shape[2]
    table = Table(title=f"{trace.provenance.title}: the busiest expert of each label")
    table.add_column("label")
    for name in ("tokens", "layer", "expert", "its share of the layer", "beside"):
        table.add_column(name, justify="right")
    for label in trace.labels:
        shares, tokens = load_shares(trace.select(label=label))
        layer, expert = divmod(int(shares.argmax()), E)
        table.add_row(
            label, f"{tokens:,}", str(trace.layers[layer]), str(expert),
            f"{shares[layer, expert]:.1%}", f"{1 / E:.1%}",
        )  # fmt: skip
    table.caption = f"Share of the {k} × tokens assignments of that layer; <s> left out."
    return table
