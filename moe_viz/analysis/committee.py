# SPDX-License-Identifier: Apache-2.0
"""The standing committee: the few experts that do half of a layer's work, and labels' overlap."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..errors import InputError
from .corpus import Countable, documents_of
from .finding import Finding, columns_of
from .statistics import distributions, exceedance, holm, interval, permuted, resamples, shares

HALF, PERMUTATIONS = 0.5, 999


def committee(trace: Countable, seed: int = 0) -> Finding:
    """The smallest set of experts that takes half of each layer's routing mass, by label.

    Mass is the sum of gates. Even routing needs `uniform` = ⌈E/2⌉ experts. Columns: label, layer,
    size, low, high, uniform, experts (strongest first), mass, documents.

    Expert 2 has two thirds of the mass, and is a committee of one:

    >>> from moe_viz.analysis.examples import example
    >>> found = committee(example([[2], [2], [0]], experts=8))
    >>> found["size"], found["experts"], found["mass"].round(2), found["uniform"]
    (array([1]), array(['2'], dtype=object), array([0.67]), array([4]))
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    E = docs.shape[1]
    rows = []
    for label, name in enumerate(docs.names):
        members = docs.members(label)
        if not len(members):
            continue
        mine = docs.mass[members]
        drawn, rests = resamples(docs.units[members], rng), docs.independent_of(members)
        sizes = _members(shares(np.tensordot(drawn, mine, 1))).sum(-1).astype(float)
        low, high = interval(sizes, rests)
        pooled = shares(mine.sum(0))  # (L, E)
        for i, (number, share, chosen) in enumerate(
            zip(docs.trace.layers, pooled, _members(pooled), strict=True)
        ):
            order = [int(e) for e in np.argsort(-share, kind="stable") if chosen[e]]
            rows.append(
                (name, number, int(chosen.sum()), low[i], high[i], -(-E // 2),
                 " ".join(map(str, order)), share[chosen].sum(), len(members))
            )  # fmt: skip
    names = ("label", "layer", "size", "low", "high", "uniform", "experts", "mass", "documents")
    columns = columns_of(names, rows)
    columns["experts"] = columns["experts"].astype(object)
    few = docs.few(min(columns["documents"]))
    return Finding("standing committee", docs.trace.provenance.title, "gates", columns, few)


def committee_overlap(trace: Countable, seed: int = 0) -> Finding:
    """How far the committees of two labels overlap: members in both over members in either.

    `random` is what sets of these sizes would share by chance, `null` the mean with labels permuted
    among the documents; `p` says how rarely permuted labels overlap as little (Holm-corrected over
    layers). Columns: layer, label, other, overlap, low, high, random, null, p, documents.

    >>> from moe_viz.analysis.examples import example
    >>> trace = example([[2], [2], [0]], lengths=[1, 1, 1], labels=["a", "a", "b"])
    >>> committee_overlap(trace)["overlap"]
    array([0.])
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    E, G = docs.shape[1], len(docs.names)
    if G < 2:
        raise InputError("An overlap is between labels, and this trace has one.")
    mass = docs.mass

    def committees(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        counted = np.ones((1, len(docs))) if weights is None else weights
        return np.stack(
            [_members(shares(np.tensordot(counted * (labels == g), mass, 1))) for g in range(G)],
            axis=1,
        )  # (…, G, L, E)

    own = committees(docs.labels)[0]
    drawn = committees(docs.labels, resamples(docs.units, rng, 500, docs.strata))
    null = np.concatenate(
        [committees(permuted(docs.labels, docs.exchangeable, rng)) for _ in range(PERMUTATIONS)]
    )
    rows = []
    for a, b in combinations(range(G), 2):
        overlap = _jaccard(own[a], own[b])
        low, high = interval(_jaccard(drawn[:, a], drawn[:, b]), docs.independent)
        by_chance = _jaccard(null[:, a], null[:, b])
        p = holm(exceedance(-overlap, -by_chance))
        sizes = own[[a, b]].sum(-1)
        rows += [
            (number, docs.names[a], docs.names[b], overlap[i], low[i], high[i],
             _random_overlap(int(sizes[0, i]), int(sizes[1, i]), E), by_chance[:, i].mean(), p[i],
             docs.counted)
            for i, number in enumerate(docs.trace.layers)
        ]  # fmt: skip
    names = (
        "layer",
        "label",
        "other",
        "overlap",
        "low",
        "high",
        "random",
        "null",
        "p",
        "documents",
    )
    columns = columns_of(names, rows)
    title = docs.trace.provenance.title
    few = docs.few(docs.independent)
    return Finding("committee overlap", title, "members of either committee", columns, few)


def _members(share: np.ndarray) -> np.ndarray:
    """The smallest set that holds half: shares (…, E) → bool (…, E).

    >>> _members(np.array([0.3, 0.1, 0.35, 0.25])).tolist()
    [True, False, True, False]
    """
    order = np.argsort(-share, axis=-1, kind="stable")
    ranked = np.take_along_axis(share, order, -1)
    needed = ranked.cumsum(-1) - ranked < HALF - 1e-12
    chosen = np.zeros(share.shape, bool)
    np.put_along_axis(chosen, order, needed, -1)
    return chosen & (share > 0)


def _jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a & b).sum(-1) / np.maximum((a | b).sum(-1), 1)


def _random_overlap(a: int, b: int, E: int) -> float:
    """Expected overlap of two sets of these sizes out of E.

    >>> round(_random_overlap(1, 1, 8), 3)
    0.125
    """
    (hypergeom,) = distributions("hypergeom")
    both = np.arange(min(a, b) + 1)
    return float((hypergeom.pmf(both, E, a, b) * both / np.maximum(a + b - both, 1)).sum())
