# SPDX-License-Identifier: Apache-2.0
"""Commands that look: at traces, checkpoints, sizes and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import InputError
from .app import (
    STANDARD,
    DeviceOption,
    DtypeOption,
    JsonOption,
    answer,
    app,
    cell,
    check_out,
    say,
    show,
    written,
)

if TYPE_CHECKING:  # torch is for those who run a model
    from ..placement.estimate import Estimate, Rates


@app.command()
def explore(
    trace: Annotated[Path, typer.Argument(help="A trace written by record.")],
    other: Annotated[
        Path | None, typer.Option(help="Another trace of the same tokens, to compare.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the page to this file instead; - for standard output."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
    port: Annotated[int, typer.Option(help="Port of the server; 0 picks a free one.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(help="Stop the server after so many seconds.")
    ] = None,
    base_url: Annotated[
        str, typer.Option(help="Path of the page behind a proxy: /user/me/proxy/8899/ on a hub.")
    ] = "/",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host, and port if it is shown, that a browser asks a proxy for."),
    ] = None,
) -> None:
    """Look at a trace in a browser, from a server on this machine alone; Ctrl-C ends it.

    The address holds a token: nobody else can open the page. Behind JupyterHub, with
    jupyter-server-proxy: --no-browser --port 8899 --base-url /user/NAME/proxy/8899/ --allow-host
    hub.example.org, and open the address that is printed, with https.

    Example: [bold]moe-viz explore hello.safetensors[/]
    """
    from ..trace import Trace
    from ..view.explorer.page import page_of, save_page
    from ..view.pages.serve import serve

    opened: Any = Trace.load(trace)
    if other is not None:
        opened = [opened, Trace.load(other)]
    if out is None:
        serve(
            page_of(opened),
            lambda address: say(f"{address}  (Ctrl-C ends it)"),
            port,
            browser,
            seconds,
            base_url,
            allow_host or (),
        )
        return
    if out.resolve() == trace.resolve():
        raise InputError(f"{out}: is the trace itself. Choose another page with --out.")
    check_out(out)
    with written(out) as path:
        save_page(opened, path)
    if out == STANDARD:
        return
    say(f"written to {out}")
    if browser:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())


@app.command()
def inspect(
    source: Annotated[
        str, typer.Argument(help="8x7m, a folder of weights, a .gguf file, or org/name.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what is in a checkpoint, from its headers: format, shape, types, sizes.

    Example: [bold]moe-viz inspect mixtral-8x7b-v0.1.Q4_K_M.gguf[/]
    """
    from ..guests.inspection import inspect as look_into

    found = look_into(source)
    if as_json:
        answer(dict(found))
    else:
        show(_listed(found))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A trace written by record.")],
    second: Annotated[Path, typer.Argument(help="Another trace of the same tokens.")],
    as_json: JsonOption = False,
) -> None:
    """Say how far two runs of the same tokens route alike, layer by layer.

    Example: [bold]moe-viz compare exact.safetensors q4.safetensors[/]
    """
    from ..analysis.agreement import compare as run
    from ..trace import Trace

    found = run(Trace.load(first), Trace.load(second))
    overlap = found.where(what="overlap")
    same, chosen = (found.where(what=what)["share"] for what in ("identical", "first"))
    columns = ("layer", "same", "overlap", "chance", "first", "error", "margin", "changed")
    rows = [
        (row["layer"], same[n], row["share"], row["chance"], chosen[n], row["logit_error"],
         row["margin"], row["margin_changed"])
        for n, row in enumerate(overlap.rows())
    ]  # fmt: skip
    if as_json:
        layers = [dict(zip(columns, row, strict=True)) for row in rows]
        answer({"title": found.title, "tokens": found["tokens"][0], "layers": layers})
        return
    table = Table(title=cell(found.title))
    for name in columns:
        table.add_column(name, justify="right")
    for layer, *numbers in rows:
        shares = (f"{x:.1%}" for x in numbers[:4])
        table.add_row(str(layer), *shares, *(f"{x:.2g}" for x in numbers[4:]))
    table.caption = (
        f"{found['tokens'][0]:,} tokens, special ones left out. same: all experts of a token; "
        "overlap: mean share of them; chance: overlap of independent choices; first: the first "
        "choice; error: relative, of router logits; margin: median, in the first run; changed: "
        "margin of the tokens whose experts changed."
    )
    show(table)


@app.command()
def doctor(
    source: Annotated[
        str | None, typer.Argument(help="8x7m, a folder, a .gguf file, or org/name.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Size of the planned recording.", min=1)] = 1000,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say what this machine has; for a checkpoint also where it fits and how long it takes.

    Example: [bold]moe-viz doctor mistralai/Mixtral-8x7B-v0.1 --tokens 5000[/]
    """
    from ..doctor import examine

    found = examine()
    if not as_json:
        show(_listed(found))
    if source is None:
        if as_json:
            answer({"machine": dict(found)})
        return
    from ..errors import OtherFamilyError
    from ..guests.inspection import inspect as look_into
    from ..placement.estimate import estimate

    try:
        rates, estimates = estimate(source, tokens, device, dtype)
    except OtherFamilyError:  # a guest: sizes, and whether they fit; times are transformers'
        about = look_into(source)
        if as_json:
            answer({"machine": dict(found), "checkpoint": dict(about)})
        else:
            show(_listed(about))
        return
    if as_json:
        placements = [{**vars(one), "fits": one.fits} for one in estimates]
        answer({"machine": dict(found), "rates": vars(rates), "placements": placements})
    else:
        show(_placements(source, tokens, rates, estimates))


def _listed(found: list[tuple[str, str]]) -> Table:
    """Findings, one a line; what is too long goes on in the next, and nothing is cut off."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, finding in found:
        table.add_row(cell(name), cell(finding))
    return table


def _placements(source: str, tokens: int, rates: Rates, estimates: list[Estimate]) -> Table:
    from ..checkpoint.inspection import readable

    table = Table(title=cell(f"{source}: recording {tokens:,} tokens"))
    for column in ("placement", "memory needed", "free", "load", "record", "generate"):
        table.add_column(column, justify="left" if column == "placement" else "right")
    for e in estimates:
        needed, free = readable(e.needed), readable(max(0.0, e.free))
        if e.fits:
            writes = "yes" if e.generates else "no"
            row = [needed, free, _duration(e.load), _duration(e.record), writes]
        else:
            row = [needed, free, cell(e.why_not or "does not fit")]
        table.add_row(e.placement, *row)
    table.caption = (
        f"Measured here: {rates.read / 1e6:,.0f} MB/s read, {rates.make:.3g} s to have an expert "
        f"ready, {rates.compute:.3g} s for its share of the tokens. Times are rough estimates."
    )
    return table


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s"
