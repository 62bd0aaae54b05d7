"""The command line: `moe-viz record | explore | ledger | generate | doctor | demo`.

Each command is a thin wrapper over the Python call of the same name. A `MoeVizError` is printed as
one message, without a traceback, and ends the program with status 1.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .errors import InputError, MissingDependencyError, MoeVizError
from .files import check_writable

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See a sparse mixture of experts decide: record the router of a Mixtral, and look at it.",
)
console = Console()

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="8x7m (embedded), or a folder in Hugging Face's form.")
]
DtypeOption = Annotated[
    str, typer.Option(help="auto (float32: exact), float32, bfloat16 or float16.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]


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
) -> None:
    """Run texts once and keep what every router said about every token.

    Example: [bold]moe-viz record "Good morning" "Guten Morgen" -l en -l de -o hello.safetensors[/]
    """
    from . import prompts
    from .placement import load
    from .record import record as run

    if curated == bool(texts):
        raise InputError("Give texts to record, or --curated: one of the two.")
    check_writable(out)
    source = prompts.curated() if curated else [_read(text) for text in texts or []]
    trace = run(load(model, device, dtype), source, labels=label or None, loss=loss)
    trace.save(out)
    console.print(f"{trace.__repr__()[1:-1]}\nwritten to {out}", markup=False)
    console.print(f"Look at it with: moe-viz explore {out}", markup=False)


@app.command()
def explore(
    trace: Annotated[Path, typer.Argument(help="A trace written by record.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page to write (default: beside it).")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Write a trace as one offline page, and open it.

    Example: [bold]moe-viz explore hello.safetensors[/]
    """
    from .trace import Trace
    from .view import save_page

    opened, page = Trace.load(trace), out or trace.with_suffix(".html")
    if page.resolve() == trace.resolve():
        raise InputError(f"{page}: is the trace itself. Choose another page with --out.")
    save_page(opened, page)
    console.print(f"written to {page}", markup=False)
    if browser:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


@app.command()
def ledger(
    model: Annotated[
        str, typer.Argument(help="mixtral-8x7b, mixtral-8x22b, 8x7m, or a config.json.")
    ] = "mixtral-8x7b",
) -> None:
    """Count what a Mixtral stores and what one token uses, part by part.

    Example: [bold]moe-viz ledger mixtral-8x7b[/]
    """
    from .config import MixtralConfig
    from .ledger import ledger as account

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
        f"{books.flops_per_token() / 1e9:,.2f} GFLOP a token, attention scores apart; "
        f"{books.cache_per_token('bfloat16'):,} bytes of cache a token.\n"
        f"The dense twin (one expert a layer, no router) has {books.dense_twin:,} parameters: "
        f"{books.config.experts} × that is {books.config.experts * books.dense_twin:,}, and not "
        f"this model."
    )


@app.command()
def generate(
    text: Annotated[str, typer.Argument(help="The text to continue, or @FILE.")],
    max_new_tokens: Annotated[int, typer.Option("--tokens", "-n", help="At most this many.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from this share of probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
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
    from .generate import generate as run
    from .placement import load

    if out is not None:
        check_writable(out)
    result = run(load(model, device, dtype), _read(text), max_new_tokens, temperature, top_p, seed)
    console.print(f"[dim]{_plain(_read(text))}[/]{_plain(result.text)}")
    if out is not None:
        result.trace.save(out)
        console.print(f"trace written to {out}", markup=False)


@app.command()
def doctor() -> None:
    """Say what this machine has, and whether moe_viz can run here.

    Example: [bold]moe-viz doctor[/]
    """
    from .doctor import examine

    table = Table(show_header=False)
    for name, finding in examine():
        table.add_row(name, _plain(finding))
    console.print(table)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the trace and the page go.")] = Path("out"),
) -> None:
    """Record all curated prompts with 8x7m, sum them up, write the page: what make demo does."""
    from . import prompts
    from .placement import load
    from .record import record as run
    from .view import save_page

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
    console.print("[bold]Look:[/] open [bold]" + _plain(str(page)) + "[/] in a browser.")
    console.print(f"[bold]Again later:[/] moe-viz explore {_plain(str(saved))}")
    console.print("[bold]Next:[/] make lab opens notebooks/00_start_here.ipynb in JupyterLab.")


def _summary(trace) -> Table:
    from .analysis.load import load_shares

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


def _read(text: str) -> str:
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


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def main() -> None:
    """The program `moe-viz`: errors of this library become messages, not tracebacks."""
    for stream in (sys.stdout, sys.stderr):  # a terminal or pipe of another encoding is no reason
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except MoeVizError as error:
        Console(stderr=True).print(f"[bold red]moe-viz:[/] {_plain(str(error))}", highlight=False)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "sentencepiece", "tqdm"):
            raise
        missing = MissingDependencyError(
            f"This command runs a model and needs the package {error.name}: "
            "pip install 'moe-viz[model]'. Recorded traces open without it."
        )
        Console(stderr=True).print(f"[bold red]moe-viz:[/] {_plain(str(missing))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
