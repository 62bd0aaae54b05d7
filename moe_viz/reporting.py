# SPDX-License-Identifier: Apache-2.0
"""Pages on your own recordings: section 5 of the Mixtral paper, what later papers asked, an atlas.

In: traces or a corpus, and those of a control. Out: a `Report` or an atlas: an offline page, and
the same numbers as files for machines. Published numbers of Mixtral stand beside your own, and are
marked as such.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .analysis import Finding
from .analysis.atlas import Atlas, atlas_of
from .analysis.corpus import documents_of
from .analysis.counting import count_shard
from .analysis.survey import Recordings, Survey, survey
from .errors import OutputError
from .files import atomic_path
from .trace import Trace, TraceDataset
from .view.atlas.page import atlas_html, save_atlas
from .view.charts.chart import page
from .view.pages.report import report_body


class Report(Survey):
    """A survey with its page; see `report`."""

    def __repr__(self) -> str:
        return (
            f"<Report on {self.trace!r}: {len(self.findings)} analyses; .save('report') writes it>"
        )

    def to_html(self) -> str:
        """The report as one page that needs no network."""
        return page(f"How {self.trace.provenance.model} routes", report_body(self))

    def save(self, folder: str | Path) -> list[Path]:
        """Write report.html, report.json, and a Parquet file for each table; what was written.

        Raises `OutputError` where the folder cannot be written, and `MissingDependencyError`
        without pyarrow, after the page and the JSON are there.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error}). Name another folder."
            ) from error
        content = {
            "trace": self.trace.provenance.to_json(),
            "control": self.control.provenance.to_json() if self.control else None,
            "findings": {name: found.to_json() for name, found in self.findings.items()},
            "controls": {name: found.to_json() for name, found in self.controls.items()},
            "left_out": self.left_out,
        }
        written = [folder / "report.html", folder / "report.json"]
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
        for path, what in zip(written, (self.to_html(), text), strict=True):
            with atomic_path(path) as temporary:
                temporary.write_bytes(what.encode("utf-8", "replace"))
        for kind, findings in (("", self.findings), ("control_", self.controls)):
            for name, found in findings.items():
                table = found.table()
                import pyarrow.parquet as parquet

                written.append(folder / f"{kind}{name}.parquet")
                with atomic_path(written[-1]) as temporary:
                    parquet.write_table(table, temporary)
        return written


def report(
    traces: Recordings,
    control: Recordings | None = None,
    effects: Finding | None = None,
    control_effects: Finding | None = None,
    engine: str = "inline",
    workers: int | None = None,
) -> Report:
    """All analyses of one or several traces of one model, or of a corpus, beside a control's.

    A `TraceDataset` is counted shard by shard, by the `engine` and `workers` of `record_corpus`.

    `control` is the same texts recorded with `untrained_twin(model)`: without it, no claim about
    specialisation can be told from what untrained routers also do. `effects` is what
    `moe_viz.effects` found, if the report should show it. Analyses for which the traces are too few
    (one label, no parallel passages) are left out, and the page says why.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), mv.prompts.passages()[:10])
    >>> found = mv.report(trace)
    >>> sorted(found.left_out), found.findings["load"]["uniform"][0]
    ([], np.float64(0.125))
    """
    found = _counted(lambda run=None: survey(traces, control, run), engine, workers)
    if effects is not None:
        found.findings["effects"] = effects
    if control_effects is not None:
        found.controls["effects"] = control_effects
    return Report(**vars(found))


class AtlasPage(Atlas):
    """An atlas with its page; see `atlas`."""

    def to_html(self) -> str:
        """The atlas as one page that needs no network, however many experts there are."""
        return atlas_html(self)

    def save(self, path: str | Path) -> Path:
        """Write the page; of more than 2,048 experts, each layer as a script beside it."""
        return save_atlas(self, path)

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """Write each table as a Parquet file; needs pyarrow."""
        written = []
        for name, found in self.tables.items():
            table = found.table()
            import pyarrow.parquet as parquet

            written.append(Path(folder) / f"{name}.parquet")
            with atomic_path(written[-1]) as temporary:
                parquet.write_table(table, temporary)
        return written


def atlas(
    data: Trace | TraceDataset,
    control: Trace | TraceDataset | None = None,
    effects: Finding | None = None,
    contexts: Trace | TraceDataset | None = None,
    minimum: int = 20,
    engine: str = "inline",
    workers: int | None = None,
) -> AtlasPage:
    """What each expert of a corpus takes, how sure that is, and what an untrained router does.

    `control` is the same corpus recorded with `untrained_twin(model)`; without it, no single piece
    is a finding. `effects` is what `moe_viz.effects` found on ablating experts. `contexts` are the
    recordings from which examples are shown, if not these: texts may not be yours to pass on.
    Pieces that occur fewer than `minimum` times are left out. A dataset is counted by the `engine`
    and `workers` of `record_corpus`.

    What is `found` is so at a rate of at most 5 % false discoveries, and in each half of the
    documents by itself. `docs/scale.md` says how each is tested.

    >>> import moe_viz as mv
    >>> model, texts = mv.load("8x7m"), mv.prompts.curated()
    >>> found = mv.atlas(mv.record(model, texts), mv.record(mv.untrained_twin(model), texts))
    >>> found
    <Atlas of 8x7m · float32: 6 layers of 8 experts, 184 documents, 25,574 tokens>
    """

    def made(run: Any = None) -> Atlas:
        return atlas_of(
            documents_of(data, run),
            None if control is None else documents_of(control, run),
            effects,
            None if contexts is None else documents_of(contexts, run),
            minimum,
        )

    return AtlasPage(**vars(_counted(made, engine, workers)))


def _counted(make: Callable[..., Any], engine: str, workers: int | None) -> Any:
    """What `make` makes of an engine's workers; of none, where this process does it all."""
    if engine == "inline":  # needs no more than a trace does
        return make()
    from .recording.corpora.engines import engine_named

    with engine_named(engine, workers, alone=False).started(count_shard) as run:
        return make(run)
