# SPDX-License-Identifier: Apache-2.0
"""All analyses of one model's recordings, beside those of a control.

In: traces, and those of a control. Out: a `Survey`: every finding by name, and the analyses that
these traces do not allow, each with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import InputError, TraceError
from ..progress import progress_bar
from ..trace import Trace, TraceDataset
from .cache import expert_cache
from .certainty import certainty, certainty_sums, margin_histogram, margin_tally
from .coactivation import coactivation, pairs_of
from .committee import committee, committee_overlap
from .corpus import CorpusDocuments, Run
from .counting import Request
from .divergence import label_divergence, language_divergence
from .documents import Documents, choices, gate_sums, probability_sums
from .finding import Finding
from .load import load
from .repetition import repeats, repetition, sets_by_label
from .sums import by_sums
from .transitions import ends_of_moves, moves_of, path_tally, paths, transitions
from .vocabulary import shuffled_choices, token_tally, vocabulary

#: What a survey takes: a trace, several of one model, or a corpus.
Recordings: TypeAlias = Trace | Sequence[Trace] | TraceDataset

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

    trace: Trace | TraceDataset
    control: Trace | TraceDataset | None
    documents: Documents  # of the trace
    findings: dict[str, Finding]
    controls: dict[str, Finding] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # analyses, and why


def survey(traces: Recordings, control: Recordings | None = None, run: Run | None = None) -> Survey:
    """Every analysis of one or several traces of one model, and of the control's traces.

    A dataset is counted shard by shard, by `run` where one is given: an engine's, which runs
    `count_shard`.

    >>> from moe_viz.analysis.examples import example
    >>> found = survey(example([[0, 1], [0, 2], [1, 0]]))
    >>> len(found.findings) + len(found.left_out) == len(ANALYSES), "load" in found.findings
    (True, True)
    """
    own, documents = _together(traces, run)
    findings, left_out = _all(documents, "analyses")
    if control is None:
        return Survey(own, None, documents, findings, {}, left_out)
    other, beside = _together(control, run)
    return Survey(own, other, documents, findings, _all(beside, "control")[0], left_out)


def _together(traces: Recordings, run: Run | None) -> tuple[Trace | TraceDataset, Documents]:
    if isinstance(traces, TraceDataset):
        docs = CorpusDocuments(traces, run)
        docs.prepare(counts_of(docs))
        return traces, docs
    joined = Trace.join(traces)
    return joined, Documents(joined)


def counts_of(docs: Documents) -> list[Request]:
    """All that the analyses count in each shard by itself, so that shards are opened once."""
    L, _, k = docs.shape
    layers, follows = range(L), range(L - 1)
    laid: list[Any] = [(choices, (n,)) for n in {1, min(2, k), k}]
    laid += [(gate_sums, ()), (repeats, (0,)), (certainty_sums, (0,))]
    if docs.paired:
        laid.append((probability_sums, ()))
    if not by_sums(docs):
        laid += [(pairs_of, (n,)) for n in layers if k > 1]
        laid += [(moves_of, (n,)) for n in follows]
    else:
        laid += [(ends_of_moves, (n,)) for n in follows]
    tallied: list[Any] = [(token_tally, ()), (path_tally, ())]
    tallied += [(sets_by_label, (n,)) for n in layers]
    tallied += [(margin_tally, (n,)) for n in layers]
    tallied += [(shuffled_choices, (n, 0)) for n in layers]
    return [("laid", *one) for one in laid] + [("tallied", *one) for one in tallied]


def _all(docs: Documents, name: str) -> tuple[dict[str, Finding], dict[str, str]]:
    findings, left_out = {}, {}
    with progress_bar(name, len(ANALYSES)) as bar:
        for key, analyse in ANALYSES.items():
            try:
                findings[key] = analyse(docs)
            except (InputError, TraceError) as error:
                left_out[key] = str(error)
            bar.update()
    return findings, left_out
