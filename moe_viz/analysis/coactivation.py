# SPDX-License-Identifier: Apache-2.0
"""Which experts of a layer are chosen together?"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .corpus import Countable, documents_of
from .documents import Documents, choices
from .finding import Finding
from .statistics import interval, ratio, resamples
from .sums import (
    NOTE,
    Sums,
    by_sums,
    own_units,
    pair_shares,
    pairs_within,
    sums_of,
    totals_by_unit,
    units_within,
)

ROUNDS = 500


def coactivation(trace: Countable, seed: int = 0) -> Finding:
    """Of the tokens that go to one expert, the share that goes to another as well: N_ij / N_i.

    All pairs within a token's k experts count. Baselines: `uniform`, (k−1)/(E−1), and `matched`,
    random pairs with every expert as busy as observed. With many experts, intervals come from sums
    of squares over documents instead of resamples. Columns: layer, expert, other, share, low,
    high, uniform, matched, tokens (N_i), documents.

    Of the 2 tokens that went to expert 0, one went to 1 as well, and one to 2:

    >>> from moe_viz.analysis.examples import example
    >>> found = coactivation(example([[0, 1], [2, 0], [3, 1]], experts=4))
    >>> found.where(expert=0)["share"].tolist(), round(found["uniform"][0], 2)
    ([0.5, 0.5, 0.0], np.float64(0.33))
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    L, E, k = docs.shape
    if k < 2:
        raise InputError("Each token has one expert here: there are no pairs to count.")
    large = by_sums(docs)
    drawn = np.zeros(0) if large else resamples(docs.units, rng, strata=docs.strata)
    others = ~np.eye(E, dtype=bool)
    columns: dict[str, list[np.ndarray]] = {n: [] for n in ("share", "low", "high", "matched")}
    tokens = []
    for layer in range(L):
        single = docs.chosen[:, layer].astype(np.float64)  # (N, E)
        alone = single.sum(0)
        if large:
            share, low, high = _by_sums(docs, layer)
        else:
            pairs = docs.laid(pairs_of, layer).astype(np.float64)  # (N, E, E)
            share = ratio(pairs.sum(0), alone[:, None])
            values = ratio(np.tensordot(drawn, pairs, 1), (drawn @ single)[:, :, None])
            low, high = interval(values, docs.independent)
        matched = ratio(_independent((share * alone[:, None]).sum(1)), alone[:, None])
        for name, matrix in zip(columns, (share, low, high, matched), strict=True):
            columns[name].append(matrix[others])
        tokens.append(np.repeat(alone.astype(np.int64), E - 1))
    first, second = np.nonzero(others)
    cells = len(first)
    found = {
        "layer": np.repeat(docs.trace.layers, cells),
        "expert": np.tile(first, L),
        "other": np.tile(second, L),
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        "uniform": np.full(cells * L, (k - 1) / (E - 1)),
        "tokens": np.concatenate(tokens),
        "documents": np.full(cells * L, docs.counted),
    }
    counted = "tokens that go to the expert"
    few = docs.few(docs.independent)
    if large:
        few = (NOTE, *few)
    return Finding("co-activation", docs.trace.provenance.title, counted, found, few)


def _by_sums(docs: Documents, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, low and high of each pair, (E, E), without a matrix for each document."""
    strata, alone = totals_by_unit(docs, docs.chosen[:, layer])
    sums = docs.summed(pair_sums, layer, *own_units(docs))
    return pair_shares(sums, alone, strata, docs.independent)


def pair_sums(
    docs: Documents, layer: int, units: np.ndarray | None, strata: np.ndarray | None
) -> Sums:
    """What pairs of experts add up to over units; see `sums_of`."""
    E, unit, strata = docs.shape[1], *units_within(docs, units, strata)
    counted = docs.document >= 0
    experts = np.asarray(docs.trace.experts[layer])[counted]
    of, U = unit[docs.document[counted]], len(strata)
    alone = np.zeros((U, E))
    np.add.at(alone, unit, choices(docs, docs.shape[2])[:, layer])
    return sums_of(pairs_within(of, experts, U, E), alone, strata)


def pairs_of(docs: Documents, layer: int) -> np.ndarray:
    """How often each document chose two experts together: (N, E, E), symmetric, diagonal 0."""
    _, E, k = docs.shape
    N = len(docs)
    counts = np.zeros(N * E * E, np.int64)
    for rows, kept in docs.blocks():
        experts = docs.trace.experts[layer, rows][kept].astype(np.int64)
        document = docs.document[rows][kept].astype(np.int64)
        for a in range(k):
            for b in range(a + 1, k):
                i, j = experts[:, a], experts[:, b]
                there = (i >= 0) & (j >= 0)
                key = (document * E + i) * E + j
                counts += np.bincount(key[there], minlength=len(counts))
    square = counts.reshape(N, E, E)
    return square + square.transpose(0, 2, 1)


def _independent(sums: np.ndarray) -> np.ndarray:
    """Pairs at random with these row sums: a_i a_j off the diagonal, by proportional fitting.

    >>> _independent(np.array([2.0, 2.0, 2.0])).round(6).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    a = np.sqrt(sums.astype(np.float64))
    for _ in range(ROUNDS):
        rest = a.sum() - a
        a = np.sqrt(a * np.where(rest > 0, sums / np.maximum(rest, 1e-300), 0))
    matrix = np.outer(a, a)
    np.fill_diagonal(matrix, 0)
    return matrix
