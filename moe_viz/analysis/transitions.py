# SPDX-License-Identifier: Apache-2.0
"""Where does a token go next: from an expert of one layer to which expert of the following one?"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..trace import Trace
from .corpus import Countable, documents_of
from .documents import Documents
from .finding import Finding
from .statistics import (
    REPEATS,
    by_unit,
    corrected,
    holm,
    interval,
    ratio,
    resamples,
    shares,
    standardised_flips,
)
from .sums import (
    NOTE,
    Sums,
    bounded_p,
    by_sums,
    moves_between,
    own_units,
    pair_shares,
    sums_of,
    totals_by_unit,
    units_within,
)
from .tallies import Tally

#: What is found of each pair.
FOUND = ("share", "low", "high", "matched", "shuffled", "p", "tokens")


def transitions(trace: Countable, seed: int = 0) -> Finding:
    """P(first choice at the next layer with experts | first choice at layer l), for every pair.

    Baselines: `matched`, the overall share of the next layer's expert, and `shuffled`, each
    document's tokens paired at random (the exact expectation); `p` compares with `shuffled` (sign
    flips over documents, corrected over all layers and experts by the largest). With many experts,
    intervals come from sums of squares over documents, and `p` from a bound. Columns: layer,
    expert, next, share, low, high, matched, shuffled, p, tokens, documents.

    Both tokens of expert 0 go on to expert 3:

    >>> from moe_viz.analysis.examples import example
    >>> found = transitions(example([[[0], [0], [1]], [[3], [3], [2]]], experts=4))
    >>> found.where(expert=0)["share"].tolist(), found.where(expert=0)["matched"].round(2).tolist()
    ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.33, 0.67])
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    L, E, _ = docs.shape
    if L < 2:
        raise InputError("A transition is between two layers, and this trace has one.")
    numbers = docs.trace.layers
    follows = [n for n in range(L - 1) if _neighbours(docs.trace, n)]
    if not follows:
        raise InputError(f"No two layers of this trace follow each other: {numbers}.")
    large = by_sums(docs)
    parts = [_by_sums(docs, n) for n in follows] if large else _by_resamples(docs, follows, rng)
    columns = {
        "layer": np.repeat([numbers[n] for n in follows], E * E),
        "expert": np.tile(np.repeat(np.arange(E), E), len(follows)),
        "next": np.tile(np.arange(E), E * len(follows)),
        **{name: np.concatenate([part[name].ravel() for part in parts]) for name in FOUND},
    }
    if large:
        columns["p"] = holm(columns["p"])
    columns["documents"] = np.full(len(columns["p"]), docs.counted)
    counted = "tokens whose first choice is the expert"
    title = docs.trace.provenance.title
    few = docs.few(docs.independent)
    if large:
        few = (NOTE, "p-values are Hoeffding's bound for random signs of documents.", *few)
    return Finding("transitions", title, counted, columns, few)


def _by_resamples(
    docs: Documents, follows: list[int], rng: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    """What is found of each two layers, (E, E) each; p-values corrected over all of them."""
    E = docs.shape[1]
    drawn = resamples(docs.units, rng, strata=docs.strata)
    signs = rng.choice((-1.0, 1.0), (REPEATS, len(np.unique(docs.units))))
    highest, parts = np.zeros(REPEATS), []
    for n in follows:
        counts = docs.laid(moves_of, n).astype(np.float64)  # (N, E, E)
        before, after = counts.sum(2), counts.sum(1)  # (N, E) each
        tokens = np.maximum(before.sum(1), 1)[:, None, None]
        expected = before[:, :, None] * after[:, None, :] / tokens
        values = ratio(np.tensordot(drawn, counts, 1), (drawn @ before)[:, :, None])
        low, high = interval(values, docs.independent)
        observed, largest = standardised_flips(by_unit(counts - expected, docs.units), signs)
        highest = np.maximum(highest, largest)
        share = ratio(counts.sum(0), before.sum(0)[:, None])
        parts.append({
            **_shares(E, share, low, high, before, after, expected.sum(0)), "p": observed,
        })  # fmt: skip
    for part in parts:
        part["p"] = corrected(part["p"], highest)
    return parts


def _by_sums(docs: Documents, n: int) -> dict[str, np.ndarray]:
    """The same of two layers, without a matrix for each document; p-values are not corrected."""
    E = docs.shape[1]
    before, after = docs.laid(ends_of_moves, n).transpose(1, 0, 2).astype(np.float64)  # (N, E) each
    strata, alone = totals_by_unit(docs, before)
    sums = docs.summed(move_sums, n, *own_units(docs))
    share, low, high = pair_shares(sums, alone, strata, docs.independent)
    chance = before.T @ (after / np.maximum(before.sum(1), 1)[:, None])
    found = _shares(E, share, low, high, before, after, chance)
    return {**found, "p": bounded_p(sums)}


def ends_of_moves(docs: Documents, n: int) -> np.ndarray:
    """How often each document's tokens go from each expert of row n, and to each of the next:
    (N, 2, E).
    """
    (_, E, _), N = docs.shape, len(docs)
    document, a, b = _both(docs, n)
    ends = [np.bincount(document * E + x, minlength=N * E).reshape(N, E) for x in (a, b)]
    return np.stack(ends, axis=1)


def move_sums(docs: Documents, n: int, units: np.ndarray | None, strata: np.ndarray | None) -> Sums:
    """What moves add up to over units; see `sums_of`."""
    E, unit, strata = docs.shape[1], *units_within(docs, units, strata)
    before, after = ends_of_moves(docs, n).transpose(1, 0, 2).astype(np.float64)
    members = [np.flatnonzero(unit == u) for u in range(len(strata))]
    alone = np.stack([before[rows].sum(0) for rows in members])
    tokens = np.maximum(before.sum(1), 1)[:, None]
    document, a, b = _both(docs, n)

    def expected(u: int) -> np.ndarray:
        rows = members[u]
        return before[rows].T @ (after[rows] / tokens[rows])

    return sums_of(moves_between(unit[document], a, b, len(members), E), alone, strata, expected)


def _both(docs: Documents, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Document, first choice at row n and at the next, of every token that has both."""
    kept = docs.document >= 0
    a, b = (np.asarray(docs.trace.experts[row, :, 0])[kept].astype(np.int64) for row in (n, n + 1))
    there = (a >= 0) & (b >= 0)
    return docs.document[kept][there].astype(np.int64), a[there], b[there]


def _shares(
    E: int,
    share: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    expected: np.ndarray,
) -> dict[str, np.ndarray]:
    """Columns that both ways have, (E, E) each, but for p."""
    from_ = before.sum(0)[:, None]
    return {
        "share": share,
        "low": low,
        "high": high,
        "matched": np.broadcast_to(shares(after.sum(0)), (E, E)),
        "shuffled": ratio(expected, from_),
        "tokens": np.broadcast_to(from_.astype(np.int64), (E, E)),
    }


def paths(trace: Countable, top: int = 20) -> Finding:
    """The most frequent paths of first choices through all layers.

    `independent` is the share that the layers' loads alone would give. Columns: path, share, count,
    independent, documents (those in which the path occurs).

    >>> from moe_viz.analysis.examples import example
    >>> found = paths(example([[[0], [0], [1]], [[3], [3], [2]]], experts=4), top=1)
    >>> list(found.rows())[0]["path"], found["share"].round(2), found["independent"].round(2)
    ('0 3', array([0.67]), array([0.44]))
    """
    docs = documents_of(trace)
    L = docs.shape[0]
    ways, counts = docs.tallied(path_tally)
    best = np.argsort(-counts[:, 0], kind="stable")[:top]
    loads = shares(docs.first.sum(0))  # (L, E)
    chosen = ways[best]
    columns = {
        "path": np.array([" ".join(map(str, way)) for way in chosen.tolist()], dtype=object),
        "share": counts[best, 0] / max(counts[:, 0].sum(), 1),
        "count": counts[best, 0],
        "independent": loads[np.arange(L), chosen].prod(axis=1),
        "documents": counts[best, 1],
    }
    few = docs.few(docs.independent)
    return Finding("paths", docs.trace.provenance.title, "tokens", columns, few)


def path_tally(docs: Documents) -> Tally:
    """Each path through all layers, (m, L); how often it is taken, and in how many documents."""
    kept = docs.document >= 0
    ways = np.asarray(docs.trace.experts[:, :, 0]).T[kept]
    used = (ways >= 0).all(axis=1)
    ways, document = ways[used], docs.document[kept][used]
    if not len(ways):
        return ways, np.zeros((0, 2), np.int64)
    order = np.lexsort((document, *ways.T[::-1]))
    ways, document = ways[order], document[order]
    # Sorted by path, then by document: something new begins where either changes.
    path = np.append(True, (ways[1:] != ways[:-1]).any(axis=1))
    either = path | np.append(True, document[1:] != document[:-1])
    number, found = path.cumsum() - 1, ways[path]
    held = np.bincount(number, either, len(found)).astype(np.int64)
    return found, np.stack([np.bincount(number, minlength=len(found)), held], axis=1)


def _neighbours(trace: Trace, n: int) -> bool:
    """Whether the trace's rows n and n + 1 are a layer with experts and the next that has some.

    Some mixtures have experts in every other layer. A selection of layers does not tell: those are
    neighbours only if nothing lies between.
    """
    here, there = trace.layers[n : n + 2]
    if not trace.mixtures:
        return there == here + 1
    return trace.mixtures.index(there) == trace.mixtures.index(here) + 1


def moves_of(docs: Documents, n: int) -> np.ndarray:
    """First choices at recorded layer n and at the next, of each document: (N, E, E)."""
    _, E, _ = docs.shape
    counts = np.zeros(len(docs) * E * E, np.int64)
    for rows, kept in docs.blocks():
        a, b = (docs.trace.experts[layer, rows, 0][kept].astype(np.int64) for layer in (n, n + 1))
        there = (a >= 0) & (b >= 0)
        key = (docs.document[rows][kept].astype(np.int64) * E + a) * E + b
        counts += np.bincount(key[there], minlength=len(counts))
    return counts.reshape(-1, E, E)
