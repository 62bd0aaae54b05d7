"""One page through the paper's section 5 and what later papers asked, of one's own recordings.

In: traces, and those of a control. Out: a `Report`: an offline page, and the same numbers as files
for machines. Published numbers of Mixtral stand beside one's own, and are told apart from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .analysis import (
    Documents,
    Finding,
    certainty,
    coactivation,
    committee,
    committee_overlap,
    expert_cache,
    label_divergence,
    language_divergence,
    load,
    margin_histogram,
    paths,
    repetition,
    transitions,
    vocabulary,
)
from .errors import InputError, OutputError
from .files import atomic_path
from .progress import progress_bar
from .trace import Trace
from .view.charts.chart import page
from .view.pages.report import report_body

#: Every analysis of a report, under the name of its file.
ANALYSES: dict[str, Callable[[Documents], Finding]] = {
    "load": load,
    "load_first": lambda docs: load(docs, "first choice"),
    "load_second": lambda docs: load(docs, "second choice"),
    "repetition": repetition,
    "label_divergence": label_divergence,
    "language_divergence": language_divergence,
    "vocabulary": vocabulary,
    "coactivation": coactivation,
    "certainty": certainty,
    "margins": margin_histogram,
    "transitions": transitions,
    "paths": paths,
    "expert_cache": expert_cache,
    "committee": committee,
    "committee_overlap": committee_overlap,
}


@dataclass(frozen=True, eq=False)
class Report:
    """What all analyses found in some traces, and in the control's; see `report`."""

    trace: Trace
    control: Trace | None
    findings: dict[str, Finding]
    controls: dict[str, Finding] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # analyses, and why

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
    traces: Trace | Sequence[Trace],
    control: Trace | Sequence[Trace] | None = None,
    effects: Finding | None = None,
    control_effects: Finding | None = None,
) -> Report:
    """All analyses of one or several traces of one model, beside the same of a control.

    `control` is the same texts recorded with `untrained_twin(model)`: without it, no claim about
    specialisation can be told from what untrained routers do as well. `effects` is what
    `moe_viz.effects` found, if the report shall show it. What these traces are too little for (one
    label, no parallel passages) is left out, and the page says why.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), mv.prompts.passages()[:10])
    >>> found = mv.report(trace)
    >>> sorted(found.left_out), found.findings["load"]["uniform"][0]
    ([], np.float64(0.125))
    """
    own = Trace.join(traces)
    other = None if control is None else Trace.join(control)
    findings, left_out = _all(own, "analyses")
    controls = {} if other is None else _all(other, "control")[0]
    if effects is not None:
        findings["effects"] = effects
    if control_effects is not None:
        controls["effects"] = control_effects
    return Report(own, other, findings, controls, left_out)


def _all(trace: Trace, name: str) -> tuple[dict[str, Finding], dict[str, str]]:
    docs = Documents(trace)
    findings, left_out = {}, {}
    with progress_bar(name, len(ANALYSES)) as bar:
        for key, analyse in ANALYSES.items():
            try:
                findings[key] = analyse(docs)
            except InputError as error:
                left_out[key] = str(error)
            bar.update()
    return findings, left_out
