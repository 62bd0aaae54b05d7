# SPDX-License-Identifier: Apache-2.0
"""Commands that make something to hand on: a report, slides, a page."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, MissingDependencyError
from ..files import check_writable
from .app import STANDARD, ModelOption, app, check_out, say, tell, written

if TYPE_CHECKING:
    from ..trace import Trace, TraceDataset

NotebooksArgument = Annotated[list[Path], typer.Argument(help="Notebooks, in their order.")]
ExecuteOption = Annotated[
    bool | None,
    typer.Option(
        "--execute/--as-is",
        help="Run them first, which runs their code (default: the course's own, without outputs).",
    ),
]

AddressOption = Annotated[
    str,
    typer.Option(help="Where the page with the model is hosted: it is shared as a QR code."),
]


@app.command()
def report(
    traces: Annotated[
        list[Path] | None, typer.Argument(help="Traces of one model, or a corpus's folder.")
    ] = None,
    control: Annotated[
        list[Path] | None, typer.Option(help="The same texts, recorded with another model.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = Path("report"),
    model: ModelOption = "8x7m",
    effects: Annotated[
        bool, typer.Option(help="Also turn every expert off in turn (without traces; minutes).")
    ] = False,
) -> None:
    """Go through the paper's analysis of routing: one offline page, and every number as files.

    Without traces, the curated prompts are recorded with the model and with its untrained twin.

    Example: [bold]moe-viz report -o report[/]
    """
    from ..reporting import report as run

    if traces:
        if effects:
            raise InputError(
                "--effects runs the model, which a trace does not hold: leave traces out."
            )
        own, other = _opened(traces), _opened(control) if control else None
        check_writable(out / "report.html")
        made = run(own, other)
    else:
        check_writable(out / "report.html")
        made = _recorded(model, effects)
    paths = made.save(out)
    for name, why in made.left_out.items():
        tell(f"left out: {name}: {why}")
    say(f"written: {paths[0]}, {paths[1].name} and {len(paths) - 2} tables")


def _opened(paths: list[Path]) -> Trace | TraceDataset:
    """Traces as one, or a corpus."""
    from ..trace import Trace, TraceDataset

    if any(path.is_dir() for path in paths):
        if len(paths) > 1:
            raise InputError("A corpus is reported on by itself: name one folder, or traces.")
        return TraceDataset.load(paths[0])
    return Trace.join([Trace.load(path) for path in paths])


def _recorded(source: str, effects: bool):
    from .. import prompts
    from ..guests.loading import load
    from ..intervention.effects import effects as damage
    from ..intervention.twin import untrained_twin
    from ..recording.recording import record
    from ..reporting import report as run

    model = load(source)
    twin, texts = untrained_twin(model), prompts.curated()
    traces = [record(m, texts) for m in (model, twin)]
    found = [damage(m, texts) for m in (model, twin)] if effects else [None, None]
    return run(traces[0], traces[1], found[0], found[1])


@app.command()
def lab(
    folder: Annotated[Path, typer.Argument(help="Where the notebooks are.")] = Path("notebooks"),
) -> None:
    """Open the notebooks in JupyterLab.

    Example: [bold]moe-viz lab[/]
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingDependencyError(
            "JupyterLab is not installed here: pip install 'moe-viz[lab]'."
        )
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder. The course is in the repository's folder "
            "notebooks; go there, or name it."
        )
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", str(folder)]))


@app.command()
def slides(
    notebooks: NotebooksArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The deck to write, .html; - for standard output.")
    ],
    execute: ExecuteOption = None,
    pdf: Annotated[
        Path | None, typer.Option(help="Also print it here, with Chromium or Chrome.")
    ] = None,
    address: AddressOption = "",
    theme: Annotated[str, typer.Option(help="light, or dark for a dark room.")] = "light",
) -> None:
    """Make slides of notebooks: one file that needs no network, with interactive pictures.

    Behind the picture of a cell tagged live the model itself runs.

    Example: [bold]moe-viz slides notebooks/04_expert_heatmaps.ipynb -o talk.html[/]
    """
    from ..living import held
    from ..view.pages.pdf import save_pdf
    from ..view.pages.slides import save_slides

    if out == STANDARD and pdf is not None:
        raise InputError("--pdf prints the deck, which must be a file: name one with --out.")
    check_out(out)
    if pdf is not None:
        check_writable(pdf)
    with written(out) as path:
        save_slides(notebooks, path, execute, tell, partial(held, address=address), theme)
    if out != STANDARD:
        say(f"written to {out}; arrow keys change slides, S opens the notes")
    if pdf is not None:
        say(f"printed to {save_pdf(out, pdf)}")


@app.command()
def html(
    notebooks: NotebooksArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page to write, .html; - for standard output.")
    ],
    execute: ExecuteOption = None,
    address: AddressOption = "",
) -> None:
    """Make a page of notebooks: one file that needs no network, with interactive pictures.

    Behind the picture of a cell tagged live the model itself runs.

    Example: [bold]moe-viz html notebooks/00_start_here.ipynb -o start.html[/]
    """
    from ..living import held
    from ..view.pages.slides import save_notebook_page

    check_out(out)
    with written(out) as path:
        save_notebook_page(notebooks, path, execute, tell, partial(held, address=address))
    if out != STANDARD:
        say(f"written to {out}")


@app.command()
def live(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page to write, .html; - for standard output.")
    ],
    model: ModelOption = "8x7m",
    text: Annotated[str, typer.Option(help="The text that the page opens on.")] = "",
    exact: Annotated[
        bool, typer.Option(help="Keep bfloat16 weights as they are; a byte each otherwise.")
    ] = False,
    address: AddressOption = "",
) -> None:
    """Make a page that runs a small model in the browser: one file that needs no network.

    Example: [bold]moe-viz live -o lab.html[/]
    """
    from ..living import save_live

    check_out(out)
    with written(out) as path:
        save_live(path, model, text, exact, address)
    if out != STANDARD:
        say(f"written to {out}: open it in a browser")
