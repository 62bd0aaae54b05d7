# SPDX-License-Identifier: Apache-2.0
"""All analyses of one model's recordings, beside those of a control.

In: traces, and those of a control. Out: a `Survey`: every finding by name, and the analyses that
these traces do not allow, each with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import InputError, TraceError
from ..progress import progress_bar
from ..trace import Trace
from .cache import expert_cache
from .certainty import certainty, margin_histogram
from .coactivation import coactivation
from .committee import committee, committee_overlap
from .divergence import label_divergence, language_divergence
from .documents import Documents
from .finding import Finding
from .load import load
from .repetition import repetition
from .transitions import paths, transitions
from .vocabulary import vocabulary

#: Every analysis of a survey, by name.
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
class Survey:
    """What all analyses found in some traces, and in those of the control."""

    trace: Trace
    control: Trace | None
    findings: dict[str, Finding]
    controls: dict[str, Finding] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # analyses, and why


def survey(
    traces: Trace | Sequence[Trace], control: Trace | Sequence[Trace] | None = None
) -> Survey:
    """Every analysis of one or several traces of one model, and of the control's traces.

    >>> from moe_viz.analysis.examples import example
    >>> found = survey(example([[0, 1], [0, 2], [1, 0]]))
    >>> len(found.findings) + len(found.left_out) == len(ANALYSES), "load" in found.findings
    (True, True)
    """
    own = Trace.join(traces)
    other = None if control is None else Trace.join(control)
    findings, left_out = _all(own, "analyses")
    controls = {} if other is None else _all(other, "control")[0]
    return Survey(own, other, findings, controls, left_out)


def _all(trace: Trace, name: str) -> tuple[dict[str, Finding], dict[str, str]]:
    docs = Documents(trace)
    findings, left_out = {}, {}
    with progress_bar(name, len(ANALYSES)) as bar:
        for key, analyse in ANALYSES.items():
            try:
                findings[key] = analyse(docs)
            except (InputError, TraceError) as error:
                left_out[key] = str(error)
            bar.update()
    return findings, left_out
