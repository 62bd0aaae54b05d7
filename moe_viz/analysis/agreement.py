# SPDX-License-Identifier: Apache-2.0
"""Do two runs of the same tokens route alike, across dtypes, quantisations, backends, checkpoints?

In: two traces of the same tokens. Out: a `Finding`: per layer, how often their choices coincide,
beside what unrelated runs would give.
"""

from __future__ import annotations

import numpy as np

from ..errors import TraceError
from ..trace import Rule, Trace, margins_of, mismatch
from .documents import Documents
from .finding import Finding
from .statistics import interval, ratio, resamples

WHAT = ("overlap", "identical", "first")


def compare(a: Trace, b: Trace, seed: int = 0) -> Finding:
    """How often two runs of the same tokens choose the same experts, layer by layer.

    `what` is "overlap", the mean of |S ∩ S′| / k, where S is the set of experts that a token went
    to; "identical", the share of tokens with S = S′; "first", with the same first choice. Unused
    slots (−1) belong to no set; two empty sets are the same.

    `chance` is what independent choices with these runs' frequencies would share: Σ_e p_e p′_e / k,
    where p_e is the share of tokens that expert e gets, and Σ p p′ over sets and first choices.
    `logit_error` is |difference| / |first run| of the router logits, each token's centred on their
    mean where the router takes a softmax; `margin` is the median margin in the first run,
    `margin_changed` the median over tokens whose set changed (NaN if none did, or where a trace
    holds no logits or its choice goes by no scores). Columns: layer, what, share, low, high,
    chance, logit_error, margin, margin_changed, tokens, documents.

    Raises `TraceError` if tokens, layers or experts differ.

    The second of two tokens went to experts {2, 3} in one run and {2, 4} in the other:

    >>> from moe_viz.analysis.examples import example
    >>> found = compare(example([[0, 1], [2, 3]]), example([[0, 1], [2, 4]]))
    >>> dict(zip(found["what"].tolist(), found["share"].tolist()))
    {'overlap': 0.75, 'identical': 0.5, 'first': 1.0}
    >>> found.where(what="identical")["chance"]
    array([0.25])
    """
    if reason := mismatch(a, b):
        raise TraceError(reason)
    if a.special.all():
        raise TraceError("These traces hold special tokens only: there is nothing to compare.")
    docs = Documents(a, beside=b)
    drawn = resamples(docs.units, np.random.default_rng(seed), strata=docs.strata)
    n = docs.tokens.astype(np.float64)
    parts = []
    for layer in range(len(a.layers)):
        sums, chance, others = _layer(docs, b, layer)
        low, high = interval(ratio(drawn @ sums.T, (drawn @ n)[:, None]), docs.independent)
        parts.append((sums.sum(1) / n.sum(), low, high, chance, *np.repeat([others], 3, axis=0).T))
    names = ("share", "low", "high", "chance", "logit_error", "margin", "margin_changed")
    L, rows = len(a.layers), len(a.layers) * len(WHAT)
    columns = {
        "layer": np.tile(a.layers, len(WHAT)),
        "what": np.repeat(WHAT, L),
        **{m: np.stack(v, 1).ravel() for m, v in zip(names, zip(*parts, strict=True), strict=True)},
        "tokens": np.full(rows, docs.tokens.sum()),
        "documents": np.full(rows, docs.counted),
    }
    title = f"{a.provenance.title} and {b.provenance.title}"
    return Finding("agreement", title, "tokens", columns, docs.few(docs.independent))


def _layer(docs: Documents, b: Trace, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One layer, in blocks of tokens, so that a mapped trace is never held in memory.

    Out: each document's sums of the three kinds of agreement (3, N), their chances (3,), and the
    logits' error, the median margin, and the median margin of changed tokens (3,).
    """
    a, (_, E, choices) = docs.trace, docs.shape
    has_logits = a.router_logits is not None and b.router_logits is not None
    sums, loads, firsts = np.zeros((3, len(docs))), np.zeros((2, E)), np.zeros((2, E))
    difference = norm = slots = 0.0
    sets: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    margins, changed = [], []
    for rows, kept in docs.blocks():
        document = docs.document[rows][kept]
        experts = [trace.experts[layer, rows][kept] for trace in (a, b)]
        ours, theirs = (_membership(e, E) for e in experts)  # (T, E) bool
        k = np.maximum(ours.sum(1), theirs.sum(1))
        same = (ours == theirs).all(1)
        alike = (
            np.where(k > 0, (ours & theirs).sum(1) / np.maximum(k, 1), 1),
            same,
            experts[0][:, 0] == experts[1][:, 0],
        )
        for what, values in enumerate(alike):
            sums[what] += np.bincount(document, values, len(docs))
        for run, members in enumerate((ours, theirs)):
            loads[run] += members.sum(0)
            first = experts[run][:, 0]
            firsts[run] += np.bincount(first[first >= 0], minlength=E)
            sets[run].append(_keys(members))
        slots += k.sum()
        logits = [np.asarray(t.router_logits[layer, rows])[kept] for t in (a, b) if has_logits]
        if has_logits:
            x, y = (_centred(v, a.rule) for v in logits)
            difference += ((y - x) ** 2).sum()
            norm += (x**2).sum()
        try:
            margins.append(margins_of(a.ranking(layer, rows)[kept], choices))
        except TraceError:  # the rule or the record has none
            margins.append(np.full(kept.sum(), np.nan))
        changed.append(~same)
    T, margin, parted = docs.tokens.sum(), np.concatenate(margins), np.concatenate(changed)
    chance = (
        (loads[0] * loads[1]).sum() / T**2 / max(slots / T, 1),
        _meetings(*(np.concatenate(keys) for keys in sets)),
        (firsts[0] * firsts[1]).sum() / T**2,
    )
    others = (
        np.sqrt(difference / norm) if norm else np.nan,
        np.median(margin),
        np.median(margin[parted]) if parted.any() else np.nan,
    )
    return sums, np.array(chance), np.array(others)


def _centred(logits: np.ndarray, rule: Rule) -> np.ndarray:
    """Logits (T, E) to compare: a constant added to all of a token's changes no softmax."""
    x = np.where(np.isfinite(logits), logits, 0).astype(np.float64)  # −∞: an absent expert
    return x - x.mean(1, keepdims=True) if rule.score == "softmax" else x


def _membership(experts: np.ndarray, E: int) -> np.ndarray:
    """Which experts each token went to: (T, k) numbers → (T, E) bool."""
    return (experts[..., None] == np.arange(E)).any(axis=1)


def _keys(members: np.ndarray) -> np.ndarray:
    """Each token's set as one value: (T, E) bool → (T,)."""
    packed = np.packbits(members, axis=1)
    return packed.view(f"S{packed.shape[1]}").ravel()


def _meetings(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The probability that random values of the one (T,) and of the other (T,) are equal.

    >>> _meetings(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 4]))
    0.25
    """
    values, n = np.unique(ours, return_counts=True)
    others, m = np.unique(theirs, return_counts=True)
    _, i, j = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    return float(n[i] @ m[j] / (len(ours) * len(theirs)))
