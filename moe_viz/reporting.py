# SPDX-License-Identifier: Apache-2.0
"""One page on your own recordings: section 5 of the Mixtral paper, and what later papers asked.

In: traces, and those of a control. Out: a `Report`: an offline page, and the same numbers as files
for machines. Published numbers of Mixtral stand beside your own, and are marked as such.
"""

from __future__ import annotations

import json
from pathlib import Path

from .analysis import Finding
from .analysis.corpus import count_shard
from .analysis.survey import Recordings, Survey, survey
from .errors import OutputError
from .files import atomic_path
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
    if engine == "inline":  # needs no more than a trace does
        found = survey(traces, control)
    else:
        from .recording.corpora.engines import engine_named

        with engine_named(engine, workers, alone=False).started(count_shard) as run:
            found = survey(traces, control, run)
    if effects is not None:
        found.findings["effects"] = effects
    if control_effects is not None:
        found.controls["effects"] = control_effects
    return Report(**vars(found))
