# SPDX-License-Identifier: Apache-2.0
"""Commands that run a model: record, generate, demo."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import InputError
from .app import (
    STANDARD,
    AdapterOption,
    CacheOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    PlacementOption,
    answer,
    app,
    cell,
    check_out,
    read_text,
    say,
    show,
    tell,
    written,
)

if TYPE_CHECKING:
    from ..trace import Trace


@app.command()
def record(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, or @FILE for the contents of a file, @- for what is piped in."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The trace to write; - for standard output.")
    ] = Path("trace.safetensors"),
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
    adapter: AdapterOption = None,
    cache_gb: CacheOption = 0.0,
    server: Annotated[
        str | None,
        typer.Option(help="Ask a running vLLM instead, http://…: chosen experts, no logits."),
    ] = None,
    experts: Annotated[
        int, typer.Option(help="With --server: how many experts a layer has.", min=0)
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run texts once and keep what every router said about every token.

    With --server nothing runs here: vLLM, started with --enable-return-routed-experts, is sent the
    texts, and -m is the name that it serves.

    Example: [bold]moe-viz record "Good morning" "Guten Morgen" -l en -l de -o hello.safetensors[/]
    """
    from .. import prompts
    from ..guests.loading import load
    from ..recording.recording import record as run

    if curated == bool(texts):
        raise InputError("Give texts to record, or --curated: one of the two.")
    _check(out, as_json)
    if resume is not None and out == STANDARD:
        raise InputError("--resume keeps what is done until a file holds it: name one with --out.")
    for text in texts or ():
        if os.path.exists(text):
            tell(
                f"{text} is recorded as a text. A model is named with -m, a file's text by @{text}."
            )
    source = prompts.curated() if curated else [read_text(text) for text in texts or []]
    if server is not None:
        trace = _from_server(server, source, experts, label, None if model == "8x7m" else model)
        with written(out) as path:
            trace.save(path)
    else:
        opened = load(model, device, dtype, placement, cache_gb, adapter)
        with written(out) as path:
            trace = run(opened, source, label or None, loss, resume, path)
    if as_json:
        answer({"trace": str(out), **_said(trace)})
    elif out == STANDARD:
        tell(repr(trace)[1:-1])
    else:
        say(f"{repr(trace)[1:-1]}\nwritten to {out}\nLook at it with: moe-viz explore {out}")


def _from_server(
    server: str, source: Any, experts: int, label: list[str] | None, model: str | None
) -> Trace:
    from ..recording.server import record_from

    if not experts:
        raise InputError("--server needs --experts: no record says how many a layer has.")
    return record_from(server, source, experts, label or None, model)


@app.command()
def generate(
    text: Annotated[str, typer.Argument(help="The text to continue, or @FILE, or @-.")],
    max_new_tokens: Annotated[int, typer.Option("--tokens", "-n", help="At most this many.")] = 64,
    temperature: Annotated[
        float, typer.Option(help="Of sampling; 0 takes the likeliest token.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from this share of probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also write the trace here; - for standard output."),
    ] = None,
    model: ModelOption = "8x7m",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    adapter: AdapterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Continue a text, and say where it was routed.

    Example: [bold]moe-viz generate "The first file" -n 40 --temperature 0.8[/]
    """
    from ..guests.loading import load
    from ..recording.generation import generate as run

    if out is not None:
        _check(out, as_json)
    given = read_text(text)
    opened = load(model, device, dtype, adapter=adapter)
    result = run(opened, given, max_new_tokens, temperature, top_p, seed)
    if out is not None:
        with written(out) as path:
            result.trace.save(path)
    if as_json:
        trace = result.trace
        new = trace.token_ids[trace.generated].tolist()
        said = {"prompt": given, "text": result.text, "token_ids": new, **_said(trace)}
        answer({**said, "trace": str(out) if out else None})
    elif out == STANDARD:
        tell(given + result.text)
    else:
        say(given + result.text)
        if out is not None:
            tell(f"trace written to {out}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the trace and the page go.")] = Path("out"),
) -> None:
    """Record all curated prompts with 8x7m, sum them up, write two pages: what make demo does."""
    from .. import prompts
    from ..guests.loading import load
    from ..living import save_live
    from ..recording.recording import record as run
    from ..view.explorer.page import save_page

    for name in ("routing.safetensors", "routing.html", "live.html"):
        check_out(folder / name)
    model = load("8x7m")
    began = time.perf_counter()
    trace = run(model, prompts.curated())
    seconds = time.perf_counter() - began
    saved = trace.save(folder / "routing.safetensors")
    page = save_page(trace, folder / "routing.html")
    live = save_live(folder / "live.html", model)
    show(_summary(trace))
    uniform = 1 / trace.expert_count
    say(
        f"{len(trace):,} tokens through {len(trace.layers)} layers in {seconds:.1f} s "
        f"({len(trace) / seconds:,.0f} tokens/s). Even routing would give every expert "
        f"{uniform:.1%} of a layer.\n\n"
        f"Look: open {page} in a browser.\n"
        f"Run it there: open {live}, type, switch experts off, let it write.\n"
        f"Again later: moe-viz explore {saved}\n"
        "Next: make lab opens notebooks/00_start_here.ipynb in JupyterLab."
    )


def _check(out: Path, as_json: bool) -> None:
    if as_json and out == STANDARD:
        raise InputError("-o - and --json both ask for standard output: leave one of them out.")
    check_out(out)


def _said(trace: Trace) -> dict[str, Any]:
    """What a script may want to know of a trace that it has just made."""
    return {
        "model": trace.provenance.title,
        "tokens": len(trace),
        "prompts": len(trace.prompts),
        "layers": list(trace.layers),
        "experts": trace.expert_count,
        "experts_per_token": trace.experts.shape[2],
    }


def _summary(trace: Trace) -> Table:
    from ..analysis.load import load_shares

    k, E = trace.experts.shape[2], trace.expert_count
    table = Table(title=f"{trace.provenance.title}: the busiest expert of each label")
    table.add_column("label")
    for name in ("tokens", "layer", "expert", "its share of the layer", "beside"):
        table.add_column(name, justify="right")
    for label in trace.labels:
        shares, tokens = load_shares(trace.select(label=label))
        layer, expert = divmod(int(shares.argmax()), E)
        table.add_row(
            cell(label), f"{tokens:,}", str(trace.layers[layer]), str(expert),
            f"{shares[layer, expert]:.1%}", f"{1 / E:.1%}",
        )  # fmt: skip
    table.caption = f"Share of the {k} × tokens assignments of that layer; <s> left out."
    return table
