# SPDX-License-Identifier: Apache-2.0
"""How much of a layer's work each expert does (the Mixtral paper's Figures 7 and 9)."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..trace import Trace
from .corpus import Countable, documents_of
from .documents import Documents
from .finding import Finding
from .statistics import interval, ratio, resamples, shares

#: "either choice" is every choice: all k of them, where k is not 2.
CHOICES = ("either choice", "first choice", "second choice")


def load(trace: Countable, choice: str = "either choice", seed: int = 0) -> Finding:
    """Share of each layer's assignments that each expert takes, by label.

    f_e = Σ_t [e ∈ S_t] / (k·T) for "either choice" (any of the k), so that shares of a layer add up
    to 1 and even routing gives 1/E; "first choice" and "second choice" count those alone, over T.
    First and second go by gate. (Some published plots show k·f_e.) Columns: label, layer, expert,
    share, low, high, uniform, assignments, documents.

    Three tokens of one document: experts {0, 1}, {0, 2} and {1, 0}, so expert 0 has 3 of 6:

    >>> from moe_viz.analysis.examples import example
    >>> found = load(example([[0, 1], [0, 2], [1, 0]], experts=4))
    >>> found["share"].round(3).tolist(), found["uniform"][0]
    ([0.5, 0.333, 0.167, 0.0], np.float64(0.25))
    """
    if choice not in CHOICES:
        raise InputError(f"choice must be one of {', '.join(CHOICES)}, found {choice!r}.")
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    L, E, k = docs.shape
    if choice == "second choice" and k == 1:
        raise InputError("There is no second choice: a token goes to one expert in each layer.")
    counts = {
        "either choice": lambda: docs.chosen,
        "first choice": lambda: docs.first,
        "second choice": lambda: docs.second,
    }[choice]()
    said = "any choice" if choice == CHOICES[0] and k != 2 else choice
    parts = []
    for label in range(len(docs.names)):
        members = docs.members(label)
        if not len(members):
            continue
        mine = counts[members].astype(np.float64)  # (n, L, E)
        total = mine.sum(axis=2)  # (n, L)
        drawn, rests = resamples(docs.units[members], rng), docs.independent_of(members)  # (B, n)
        values = ratio(np.tensordot(drawn, mine, 1), (drawn @ total)[..., None])
        low, high = interval(values, rests)
        assigned = total.sum(0)
        parts.append((label, ratio(mine.sum(0), assigned[:, None]), low, high, assigned, members))
    columns = {
        "label": np.repeat([docs.names[p[0]] for p in parts], L * E),
        "layer": np.tile(np.repeat(docs.trace.layers, E), len(parts)),
        "expert": np.tile(np.arange(E), L * len(parts)),
        "share": np.concatenate([p[1].ravel() for p in parts]),
        "low": np.concatenate([p[2].ravel() for p in parts]),
        "high": np.concatenate([p[3].ravel() for p in parts]),
        "uniform": np.full(L * E * len(parts), 1 / E),
        "assignments": np.concatenate([np.repeat(p[4].astype(np.int64), E) for p in parts]),
        "documents": np.repeat([len(p[5]) for p in parts], L * E),
    }
    per = f"{k} choices of each token" if choice == CHOICES[0] else f"{choice} of each token"
    few = docs.few(min(len(p[5]) for p in parts))
    return Finding(f"load, {said}", docs.trace.provenance.title, per, columns, few)


def load_shares(trace: Trace) -> tuple[np.ndarray, int]:
    """Share of each layer's assignments that each expert takes, and the number of tokens counted.

    Shares are (L, E) and add up to 1 in each layer: the denominator is k × tokens, every choice
    counted, special tokens and unused slots (−1) left out; even routing gives 1/E.
    """
    if trace.special.all() or not (trace.experts >= 0).any():
        return np.zeros((len(trace.layers), trace.expert_count)), int((~trace.special).sum())
    docs = Documents(trace)
    return shares(docs.chosen.sum(axis=0)), int(docs.tokens.sum())
