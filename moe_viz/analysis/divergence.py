# SPDX-License-Identifier: Apache-2.0
"""How far apart is the routing of different labels, and of one passage in two languages?"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..errors import InputError
from .corpus import Countable, documents_of
from .finding import Finding, columns_of
from .statistics import (
    entropy,
    exceedance,
    holm,
    interval,
    jensen_shannon,
    permuted,
    reflected,
    resamples,
    shares,
    sign_flips,
)

PERMUTATIONS = 999


def label_divergence(trace: Countable, seed: int = 0) -> Finding:
    """Jensen-Shannon divergence between the labels' first choices, in bits, layer by layer.

    The mean over all pairs of labels of JSD(f¹ of one, f¹ of the other): 0 is alike, 1 is disjoint.
    Finite counts alone give more than 0: `null` is the mean with labels permuted among the
    documents (within parallel passages, if each exists under every label), `p` the share of
    permutations that reach the observed value (Holm-corrected over layers). A small p proves
    nothing about training: an untrained router tells labels apart too, since their tokens differ;
    run the control beside it. Columns: layer, divergence, low, high, null, p, documents.

    >>> from moe_viz.analysis.examples import example
    >>> chosen = [[0], [0], [1], [1]]
    >>> trace = example(chosen, lengths=[1, 1, 1, 1], labels=["a", "a", "b", "b"])
    >>> label_divergence(trace)["divergence"]
    array([1.])
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    if len(docs.names) < 2:
        raise InputError(
            "A divergence is between labels, and this trace has one. Record with labels=."
        )
    first, G = docs.first.astype(np.float64), len(docs.names)
    observed = _between(_pooled(first, docs.labels, G))
    null = np.array(
        [
            _between(_pooled(first, permuted(docs.labels, docs.exchangeable, rng), G))
            for _ in range(PERMUTATIONS)
        ]
    )
    drawn = resamples(docs.units, rng, strata=docs.strata)
    weighted = np.stack(
        [np.tensordot(drawn[:, docs.labels == g], first[docs.labels == g], 1) for g in range(G)], 1
    )  # (B, G, L, E)
    low, high = reflected(observed, _between(shares(weighted)), docs.independent)
    columns = {
        "layer": np.array(docs.trace.layers),
        "divergence": observed,
        "low": low,
        "high": high,
        "null": null.mean(0),
        "p": holm(exceedance(observed, null)),
        "documents": np.full(len(observed), docs.counted),
    }
    pairs = G * (G - 1) // 2
    counted = f"mean of {pairs} pairs of labels, first choices of all tokens of a label"
    title = docs.trace.provenance.title
    return Finding("label divergence", title, counted, columns, docs.few(docs.independent))


def language_divergence(trace: Countable, reference: str = "en", seed: int = 0) -> Finding:
    """How differently the same passage is routed in two languages, layer by layer.

    q is the mean softmax over all experts of a passage's tokens; D = JSD(q_ref, q_x) /
    (log E − (H(q_ref) + H(q_x))/2), averaged over parallel passages (arXiv 2510.04694). The
    baseline `within` is the same D between *different* passages of one language: what a change of
    words and topic gives. `p` compares the two, passage by passage (sign flips, Holm-corrected over
    layers). Columns: layer, label, divergence, low, high, within, p, documents (passages).

    English goes to expert 0 and French to 1, for certain: JSD = log 2, both entropies are 0, so
    D = log 2 / log 8 = 1/3; another English passage goes to 0 as well:

    Raises `TraceError` for a router that takes no softmax.

    >>> import numpy as np
    >>> from moe_viz.analysis import Documents
    >>> from moe_viz.analysis.examples import example
    >>> trace = example([[0], [1], [0], [1]], lengths=[1] * 4, labels=["en", "fr"] * 2,
    ...                 logits=99 * np.eye(8)[[0, 1, 0, 1]][None])
    >>> found = language_divergence(Documents(trace, topics=["cat", "cat", "dog", "dog"]))
    >>> found["divergence"].round(3), found["within"].round(3)
    (array([0.333]), array([0.]))
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    if reference not in docs.names:
        raise InputError(f"The reference must be one of {docs.names}, found {reference!r}.")
    E = docs.shape[1]
    q = docs.probability  # (N, L, E)
    by_topic = {}
    for n, (topic, label) in enumerate(zip(docs.topics, docs.labels, strict=True)):
        if topic and docs.tokens[n]:
            by_topic.setdefault(topic, {})[docs.names[label]] = n
    rows = []
    for label in docs.names:
        both = [d for d in by_topic.values() if reference in d and label in d]
        if label == reference or len(both) < 2:
            continue
        a, b = (q[[d[name] for d in both]] for name in (reference, label))  # (n, L, E)
        apart = _normalised(a, b, E)  # (n, L)
        within = (_others(a, E) + _others(b, E)) / 2
        drawn = resamples(np.arange(len(both)), rng)
        low, high = interval(drawn @ apart / len(both), len(both))
        p = holm(sign_flips(apart - within, rng))
        rows += [
            (
                number,
                label,
                apart[:, i].mean(),
                low[i],
                high[i],
                within[:, i].mean(),
                p[i],
                len(both),
            )
            for i, number in enumerate(docs.trace.layers)
        ]
    if not rows:
        raise InputError(
            f"No two passages are parallel to one labelled {reference!r} here. Record "
            "moe_viz.prompts.passages(), or say which prompts belong together: "
            "Documents(trace, topics=[…])."
        )
    names = ("layer", "label", "divergence", "low", "high", "within", "p", "documents")
    columns = columns_of(names, rows)
    title, few = docs.trace.provenance.title, docs.few(int(columns["documents"].min()))
    return Finding(f"language divergence from {reference}", title, "passages", columns, few)


def _pooled(counts: np.ndarray, labels: np.ndarray, G: int) -> np.ndarray:
    """Shares of each label, (G, L, E), from counts of documents (N, L, E)."""
    member = (labels == np.arange(G)[:, None]).astype(np.float64)
    return shares(np.tensordot(member, counts, 1))


def _between(pooled: np.ndarray) -> np.ndarray:
    """Mean divergence in bits of all pairs of labels: (…, G, L, E) → (…, L)."""
    pairs = combinations(range(pooled.shape[-3]), 2)
    each = [jensen_shannon(pooled[..., i, :, :], pooled[..., j, :, :]) for i, j in pairs]
    return np.mean(each, axis=0) / np.log(2)


def _normalised(p: np.ndarray, q: np.ndarray, E: int) -> np.ndarray:
    room = np.log(E) - (entropy(p) + entropy(q)) / 2
    return jensen_shannon(p, q) / np.maximum(room, 1e-12)


def _others(q: np.ndarray, E: int) -> np.ndarray:
    """Mean divergence of each passage from the other passages of its language: (n, L)."""
    n = len(q)
    return np.array([_normalised(q[i][None], np.delete(q, i, axis=0), E).mean(0) for i in range(n)])
