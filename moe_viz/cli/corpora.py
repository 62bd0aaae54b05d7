# SPDX-License-Identifier: Apache-2.0
"""Commands for corpora: corpus records one, atlas shows what each expert takes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..files import check_writable
from .app import (
    AdapterOption,
    CacheOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    PlacementOption,
    answer,
    app,
    say,
    tell,
)

EngineOption = Annotated[
    str, typer.Option(help="auto, inline, processes, or ray (pip install 'moe-viz[scale]').")
]
WorkersOption = Annotated[int | None, typer.Option(help="How many workers; one for each core.")]


@app.command()
def corpus(
    source: Annotated[
        str, typer.Argument(help="A Parquet or JSON-lines file, a text file, or a folder of these.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = Path("corpus"),
    model: ModelOption = "8x7m",
    twin: Annotated[
        bool, typer.Option("--twin", help="Record its untrained twin instead: the control.")
    ] = False,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
    address: Annotated[
        str | None, typer.Option(help="With ray: a cluster that runs, as host:port.")
    ] = None,
    gpus: Annotated[float, typer.Option(help="With ray: GPUs for each worker.")] = 0,
    text: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label: Annotated[
        str | None, typer.Option(help="The column of labels; “label” where there is one.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="The column of ids; “id” where there is one.")
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            help="logits: everything; choices: experts and gates alone; summaries: what report and "
            "atlas count, no decisions."
        ),
    ] = "logits",
    loss: Annotated[bool, typer.Option(help="Keep each token's cross-entropy too.")] = False,
    context: Annotated[
        int | None, typer.Option(help="Cut documents to so many tokens, if not to the context.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    placement: PlacementOption = "auto",
    adapter: AdapterOption = None,
    cache_gb: CacheOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Record every document of a corpus, in shards: run it again, and only what is missing is made.

    Example: [bold]moe-viz corpus books.parquet -o books --label language --dry-run[/]
    """
    from ..recording.corpora.corpus import Corpus
    from ..recording.corpora.rows import Columns

    asked = {"device": device, "dtype": dtype, "placement": placement, "cache_gb": cache_gb,
             "adapter": adapter}  # fmt: skip
    loading = {name: value for name, value in asked.items() if value not in ("auto", None, 0.0)}
    job = Corpus(
        _model(model, twin, engine, loading), source, out, "inline" if twin else engine,
        Columns(text, label, id), keep, loss, context, workers, address, gpus,
        loading={} if twin else loading,
    )  # fmt: skip
    if dry_run:
        estimate = job.estimate()
        answer(vars(estimate)) if as_json else say(str(estimate))
        return
    data = job.record()
    if as_json:
        answer({"corpus": str(out), "model": data.provenance.title, "shards": len(data),
                "documents": data.documents, "tokens": data.tokens})  # fmt: skip
    else:
        say(f"{repr(data)[1:-1]}\nwritten to {out}\nNext: moe-viz atlas {out}")


def _model(source: str, twin: bool, engine: str, loading: dict[str, Any]) -> Any:
    """What is recorded: a name, or the twin, which is made here and runs here."""
    if not twin:
        return source
    if engine not in ("auto", "inline"):
        raise InputError(f"--twin runs in this process: leave out --engine {engine}.")
    from ..guests.loading import load
    from ..intervention.twin import untrained_twin

    return untrained_twin(load(source, **loading))


@app.command()
def atlas(
    corpus: Annotated[Path, typer.Argument(help="A folder that moe-viz corpus has written.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "atlas.html"
    ),
    control: Annotated[
        Path | None, typer.Option(help="The same corpus of the twin: moe-viz corpus … --twin.")
    ] = None,
    contexts: Annotated[
        Path | None, typer.Option(help="Another corpus to take examples from, for licences.")
    ] = None,
    minimum: Annotated[int, typer.Option(help="How often a piece must occur.", min=2)] = 20,
    tables: Annotated[
        Path | None, typer.Option(help="Also write each table here, as Parquet.")
    ] = None,
    engine: EngineOption = "inline",
    workers: WorkersOption = None,
) -> None:
    """What each expert of a corpus takes, and how sure that is: one page.

    Example: [bold]moe-viz atlas books --control books-twin -o books.html[/]
    """
    from ..reporting import atlas as made
    from ..trace import TraceDataset

    check_writable(out)
    opened = [None if p is None else TraceDataset.load(p) for p in (corpus, control, contexts)]
    assert opened[0] is not None  # an argument, not an option
    found = made(opened[0], opened[1], None, opened[2], minimum, engine, workers)
    path = found.save(out)
    if not found.control:
        tell("without --control no single piece is a finding, and nothing is told from chance of "
             "an untrained router: moe-viz corpus … --twin records one.")  # fmt: skip
    written = found.to_parquet(tables) if tables else []
    say(
        f"{repr(found)[1:-1]}\nwritten to {path}" + (f", and {len(written)} tables" * bool(written))
    )
