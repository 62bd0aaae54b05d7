# SPDX-License-Identifier: Apache-2.0
"""Documents that differ from each other, and what plain loops count in each of them.

For oracles of intervals and p-values: each function of `PER_DOCUMENT` says what one document adds
to a row of a table, numerator and denominator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from moe_viz.analysis.examples import example
from moe_viz.trace import Trace
from tests.unit.test_analysis import chosen, counted, first
from tests.unit.test_analysis_promises import hits

Row = dict
Sums = tuple[float, float]


def varied(
    labels: list[str], seed: int = 0, L: int = 2, E: int = 4, k: int = 2, apart: float = 1.0
) -> Trace:
    """A document for each label, of 12 to 24 tokens, with a preference and a stickiness of its own.

    One token in ten is special, one last slot in ten unused; the last document holds special tokens
    alone. Layers are numbered from 3.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(12, 25, len(labels))
    document = np.repeat(np.arange(len(labels)), lengths)
    logits = rng.normal(size=(L, len(document), E)) + rng.normal(size=(L, 1, E)) / 2
    logits += apart * rng.normal(size=(L, len(labels), E))[:, document]
    sticky = rng.choice((0.0, 0.6), len(labels))[document]
    for t in range(1, len(document)):
        if rng.random() < sticky[t]:
            logits[:, t] = logits[:, t - 1]
    experts = np.argsort(-logits, axis=2)[:, :, :k].astype(np.int16)
    if k > 1:
        experts[:, :, -1][rng.random(experts.shape[:2]) < 0.1] = -1
    ids = np.where(
        rng.random(len(document)) < 0.5, experts[0, :, 0], rng.integers(0, 6, len(document))
    )
    trace = example(experts, lengths.tolist(), labels, E, ids, logits)
    special = rng.random(len(document)) < 0.1
    special[np.cumsum(lengths) - 2] = False  # no other document without a token that counts
    special[document == len(labels) - 1] = True
    return replace(trace, special=special, layers=tuple(range(3, 3 + L)))


def layer_of(trace: Trace, row: Row) -> int:
    return trace.layers.index(row["layer"])


def load(trace: Trace, rows: list[int], row: Row, slots: slice = slice(None)) -> Sums:
    n = layer_of(trace, row)
    used = [e for t in rows for e in trace.experts[n, t, slots].tolist() if e >= 0]
    return used.count(row["expert"]), len(used)


def repetition(trace: Trace, rows: list[int], row: Row) -> Sums:
    n = layer_of(trace, row)
    pairs = [(a, b) for a, b in pairwise(rows) if b == a + 1]
    if row["what"] == "first choice":
        return sum(first(trace, n, a) == first(trace, n, b) for a, b in pairs), len(pairs)
    sets = [(set(chosen(trace, n, a)), set(chosen(trace, n, b))) for a, b in pairs]
    return sum(bool(x & y) for x, y in sets), len(pairs)


def coactivation(trace: Trace, rows: list[int], row: Row) -> Sums:
    sets = [set(chosen(trace, layer_of(trace, row), t)) for t in rows]
    own = [s for s in sets if row["expert"] in s]
    return sum(row["other"] in s for s in own), len(own)


def certainty(trace: Trace, rows: list[int], row: Row) -> Sums:
    x = trace.router_logits[layer_of(trace, row), rows].astype(float)
    k, E = trace.experts.shape[2], x.shape[1]
    if row["what"] == "entropy":
        return (entropy(softmax(x, 1), axis=1) / np.log(E)).sum(), len(rows)
    return sum(sorted(v)[-k] - sorted(v)[-k - 1] for v in x.tolist()), len(rows)


def margins(trace: Trace, rows: list[int], row: Row) -> Sums:
    values = trace.margins[layer_of(trace, row), rows]
    return ((values >= row["start"]) & (values < row["stop"])).sum(), len(rows)


def transitions(trace: Trace, rows: list[int], row: Row) -> Sums:
    n = layer_of(trace, row)
    after = [first(trace, n + 1, t) for t in rows if first(trace, n, t) == row["expert"]]
    return after.count(row["next"]), len(after)


def cache(trace: Trace, rows: list[int], row: Row) -> Sums:
    wanted = [e for t in rows for e in chosen(trace, layer_of(trace, row), t)]
    return hits(wanted, row["size"], row["policy"]), len(wanted)


PER_DOCUMENT: dict[str, Callable[[Trace, list[int], Row], Sums]] = {
    "load": load,
    "load_first": lambda *a: load(*a, slots=slice(0, 1)),
    "load_second": lambda *a: load(*a, slots=slice(1, 2)),
    "repetition": repetition,
    "coactivation": coactivation,
    "certainty": certainty,
    "margins": margins,
    "transitions": transitions,
    "expert_cache": cache,
}


def sums_of(name: str, trace: Trace, rows: list[Row]) -> np.ndarray:
    """What each document adds to each row: (documents, rows, 2)."""
    return np.array(
        [
            [PER_DOCUMENT[name](trace, document, row) if document else (0, 0) for row in rows]
            for document in counted(trace)
        ],
        float,
    )
