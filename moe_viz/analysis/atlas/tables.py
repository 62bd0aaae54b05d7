# SPDX-License-Identifier: Apache-2.0
"""The tables of an atlas, each by layer and expert."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import TraceError
from ..coactivation import coactivation
from ..documents import Documents
from ..finding import Finding, columns_of
from ..load import load
from ..transitions import transitions
from .counts import PLACES, gates_by_expert, margins_by_expert, medians
from .kinds import kinds_found, most_of_kinds
from .labels import label_tests, place_tests
from .pieces import Favourites, Pieces, found_among
from .sureness import at_least, false_discovery, holding

#: Of each expert: pieces that are shown, and neighbours, partners, moves, contexts.
MANY, SOME = 12, 5


def load_table(docs: Documents) -> Finding:
    """The share of each label's tokens that have the expert among their choices: even is k/E."""
    found, k = load(docs), docs.shape[2]
    names = ("share", "low", "high", "uniform")
    columns = {**found.columns, **{name: k * found[name] for name in names}}
    return Finding("load", found.title, "tokens of the label, any choice", columns, found.notes)


def pieces_table(
    docs: Documents, pieces: Pieces, counts: list[np.ndarray], favourites: list[Favourites]
) -> Finding:
    """For each expert the pieces of which it takes the largest shares, beyond an even one.

    The order is by what the share is at least, at the number of times that the piece occurs: few
    occurrences lead to a large share by luck. q and found are of the piece's favourite expert.
    """
    q, found = found_among(favourites)
    even, rows = docs.shape[2] / docs.shape[1], []
    for row, (layer, count, of) in enumerate(
        zip(docs.trace.layers, counts, favourites, strict=True)
    ):
        taken = count.sum(0)
        least = at_least(of.share, pieces.total[:, None])
        for e in range(docs.shape[1]):
            for v in np.argsort(-least[:, e], kind="stable")[:MANY].tolist():
                if of.share[v, e] <= even:
                    break
                mine = of.expert[v] == e
                halves = count[:, v, e] / np.maximum(pieces.counts[:, v], 1)
                rows.append(
                    (layer, e, pieces.spelled[v], of.share[v, e], int(taken[v, e]),
                     int(pieces.total[v]), of.twin[v], *halves, q[row, v] if mine else np.nan,
                     bool(mine and found[row, v]))
                )  # fmt: skip
    names = ("layer", "expert", "piece", "share", "count", "occurrences", "twin", "first_half",
             "second_half", "q", "found")  # fmt: skip
    columns = columns_of(names, rows)
    columns["piece"] = columns["piece"].astype(object)
    title = docs.trace.provenance.title
    return Finding("pieces", title, "occurrences of the piece, any choice", columns)


def kinds_table(
    docs: Documents, pieces: Pieces, counts: list[np.ndarray], twins: list[np.ndarray]
) -> Finding:
    """For each expert the kinds of which it takes more than of random sets.

    `twin` is the largest share of the kind that any of the twin's experts takes in that layer.
    """
    most = most_of_kinds(pieces, twins)
    rows = []
    for kind, (share, random, q, found) in kinds_found(pieces, counts).items():
        for i, e in np.argwhere(share > random).tolist():
            twin = most[kind][i] if most else np.nan
            rows.append(
                (docs.trace.layers[i], e, kind, share[i, e], random[i, e], twin, q[i, e],
                 bool(found[i, e]))
            )  # fmt: skip
    names = ("layer", "expert", "kind", "share", "random", "twin", "q", "found")
    counted = "pieces of the kind, each counting once"
    return Finding("kinds", docs.trace.provenance.title, counted, _columns(names, rows))


def labels_table(docs: Documents, control: Documents | None = None) -> Finding:
    """Each label's share of an expert, beside that of all other documents.

    `twin` is the share of the twin's expert of that layer which takes most of the label above the
    rest, and `twin_rest` that expert's share of the rest.
    """

    def tests(of: Documents) -> list[dict[str, np.ndarray]]:
        return [label_tests(of, row) for row in range(of.shape[0])] if len(of.names) > 1 else []

    said = "tokens of the label, any choice"
    return _tested(docs, "labels", "label", list(docs.names), tests, said, control)


def places_table(docs: Documents, control: Documents | None = None) -> Finding:
    """Each place's share of an expert, beside what the same documents give elsewhere."""
    ends = [0, *PLACES]
    names = [f"tokens {a} to {b - 1}" for a, b in zip(ends, PLACES, strict=False)]
    names.append(f"tokens from {PLACES[-1]}")

    def tests(of: Documents) -> list[dict[str, np.ndarray]]:
        return [place_tests(of, row) for row in range(of.shape[0])]

    return _tested(docs, "places", "place", names, tests, "tokens there, any choice", control)


def _tested(
    docs: Documents,
    name: str,
    what: str,
    names: list[str],
    tests_of: Callable[[Documents], list[dict[str, np.ndarray]]],
    counted: str,
    control: Documents | None,
) -> Finding:
    """Tests of all layers as a table, false discoveries controlled over all of them."""
    rows, tests = [], tests_of(docs)
    twins = tests_of(control) if control is not None else []
    q = false_discovery(np.stack([test["p"] for test in tests])) if tests else np.zeros(0)
    for row, (layer, test) in enumerate(zip(docs.trace.layers, tests, strict=True)):
        found = holding(q[row], *test["each"])
        twin, twin_rest = _furthest(twins[row]) if twins else (np.full(len(names), np.nan),) * 2
        for g, e in np.argwhere(np.isfinite(test["share"])).tolist():
            rows.append(
                (layer, e, names[g], test["share"][g, e], test["rest"][g, e], twin[g],
                 twin_rest[g], q[row, g, e], bool(found[g, e]))
            )  # fmt: skip
    columns = _columns(
        ("layer", "expert", what, "share", "rest", "twin", "twin_rest", "q", "found"), rows
    )
    return Finding(name, docs.trace.provenance.title, counted, columns)


def _furthest(test: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of each label or place, share and rest of the expert that takes most of it above the rest."""
    above = np.nan_to_num(test["share"] - test["rest"], nan=-1)
    best, rows = above.argmax(1), np.arange(len(above))
    return test["share"][rows, best], test["rest"][rows, best]


def neighbours_table(docs: Documents, pieces: Pieces) -> Finding:
    """What stands before and after an expert's tokens, more often than before and after others'."""
    rows = []
    for row, layer in enumerate(docs.trace.layers):
        for where, step in (("before", -1), ("after", 1)):
            n = pieces.at(docs, row, step).sum(0).astype(np.float64)  # (V, E)
            total = n.sum()
            expected = n.sum(1, keepdims=True) * n.sum(0) / max(total, 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                times = np.where(expected > 0, n / expected, 0)
                tells = np.where(n >= 5, n * np.log(np.maximum(times, 1e-30)), 0)
            for e in range(docs.shape[1]):
                for v in np.argsort(-tells[:, e], kind="stable")[:SOME].tolist():
                    if tells[v, e] > 0:
                        rows.append((layer, e, where, pieces.spelled[v], int(n[v, e]), times[v, e]))
    names = ("layer", "expert", "where", "piece", "count", "times")
    counted = "tokens of the expert"
    return Finding("neighbours", docs.trace.provenance.title, counted, _columns(names, rows))


def gates_table(docs: Documents) -> Finding:
    """Median gate of each expert, and median margin of the decisions in which it was chosen."""
    E, rows = docs.shape[1], []
    for row, layer in enumerate(docs.trace.layers):
        gate = medians(docs.tallied(gates_by_expert, row), E)
        try:
            margin = medians(docs.tallied(margins_by_expert, row), E)
        except TraceError:
            margin = np.full(E, np.nan)
        used = docs.chosen[:, row].sum(0)
        rows += [(layer, e, gate[e], margin[e], int(used[e])) for e in range(E)]
    names = ("layer", "expert", "gate", "margin", "uses")
    return Finding(
        "gates", docs.trace.provenance.title, "uses of the expert", _columns(names, rows)
    )


def partners_table(docs: Documents) -> Finding:
    """The experts that are chosen together with each, most above what loads would give."""
    return _top(coactivation(docs), "expert", "other")


def moves_tables(docs: Documents) -> tuple[Finding, Finding]:
    """Where an expert's tokens go next, and where they were before, most above what loads give."""
    found = transitions(docs)
    E = docs.shape[1]
    counts = np.nan_to_num(found["share"] * found["tokens"]).reshape(-1, E, E)  # from, to
    numbers = docs.trace.layers
    after = {layer: numbers[numbers.index(layer) + 1] for layer in np.unique(found["layer"])}
    rows = []
    for layer, moved in zip(np.unique(found["layer"]).tolist(), counts, strict=True):
        into, matched = moved.sum(0), moved.sum(1) / max(moved.sum(), 1)
        share = moved / np.maximum(into, 1)
        for e in range(E):
            best = np.argsort(-(share[:, e] - matched), kind="stable")[:SOME]
            rows += [
                (after[layer], e, int(b), share[b, e], matched[b])
                for b in best
                if share[b, e] > matched[b]
            ]
    columns = _columns(("layer", "expert", "before", "share", "matched"), rows)
    origins = Finding("origins", found.title, "tokens whose first choice is the expert", columns)
    return _top(found, "expert", "next"), origins


def _top(found: Finding, of: str, to: str) -> Finding:
    """The strongest few of each layer and expert."""
    above = np.nan_to_num(found["share"] - found["matched"], nan=-1)
    order = np.lexsort((-above, found[of], found["layer"]))
    layer, expert = found["layer"][order], found[of][order]
    new = np.append(True, (np.diff(layer) != 0) | (np.diff(expert) != 0))
    begins = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    kept = order[(np.arange(len(order)) - begins < SOME) & (above[order] > 0)]
    columns = {n: found[n][kept] for n in ("layer", of, to, "share", "low", "high", "matched")}
    return Finding(found.name, found.title, found.counted, columns, found.notes)


def _columns(names: tuple[str, ...], rows: list[tuple]) -> dict[str, np.ndarray]:
    if not rows:
        return {name: np.zeros(0, object) for name in names}
    columns = columns_of(names, rows)
    return {n: c.astype(object) if c.dtype.kind == "U" else c for n, c in columns.items()}
