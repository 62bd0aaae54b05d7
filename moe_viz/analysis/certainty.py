# SPDX-License-Identifier: Apache-2.0
"""How sure a router is: margins and entropies."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..trace import Trace, margins_of
from ..trace.choice import has_probabilities, ranked_by, recorded
from .documents import Documents
from .finding import Finding, columns_of
from .repetition import shuffled_within
from .statistics import (
    by_unit,
    entropy,
    holm,
    interval,
    ratio,
    resamples,
    sign_flips,
    softmax,
)

WHAT = ("margin", "entropy")


def certainty(trace: Trace | Documents, seed: int = 0) -> Finding:
    """Mean margin and entropy of each layer's decisions, by label.

    The margin is the k-th of what the choice goes by, minus the next: in logits in Mixtral, in
    scores where the router's rule adds a bias or chooses in groups. The entropy is H(p_t)/log E of
    the softmax over all experts: 0 is certain, 1 is undecided; a router that scores each expert by
    itself has none. The baseline `shuffled` permutes each expert's logits among a document's
    tokens, so that every expert stays as popular but no token has a preference of its own; `p`
    compares with it (sign flips over documents, Holm-corrected over layers). Columns: label, layer,
    what, mean, low, high, shuffled, p, tokens, documents.

    Raises `TraceError` where the trace does not hold what choices went by.

    >>> import numpy as np
    >>> from moe_viz.analysis.examples import example
    >>> logits = np.array([[[2.0, 1.5, 0, 0], [0, 0, 3, 1]]])
    >>> found = certainty(example([[0], [2]], logits=logits, experts=4))
    >>> found.where(what="margin")["mean"]
    array([1.25])
    """
    docs, rng = Documents.of(trace), np.random.default_rng(seed)
    L, E, k = docs.shape
    orders = [shuffled_within(docs.document, rng).astype(np.int32) for _ in range(E)]
    observed, expected = np.zeros((2, len(docs), L)), np.zeros((2, len(docs), L))
    layers = measured_layers(docs.trace)
    for layer in layers:
        numbers = recorded(docs.trace, layer)
        for rows, kept in docs.blocks():
            document = docs.document[rows][kept]
            own = np.asarray(numbers[rows])[kept]
            mixed = np.stack([numbers[order[rows], e] for e, order in enumerate(orders)], 1)[kept]
            for sums, x in ((observed, own), (expected, mixed)):
                for what, values in enumerate(_measured(docs.trace, layer, x)):
                    sums[what, :, layer] += np.bincount(document, values, len(docs))
    observed, expected = observed[..., layers], expected[..., layers]
    kinds = 2 if has_probabilities(docs.trace) else 1
    rows_ = []
    for label, name in enumerate(docs.names):
        members = docs.members(label)
        if not len(members):
            continue
        drawn, rests = resamples(docs.units[members], rng), docs.independent_of(members)
        n = docs.tokens[members].astype(np.float64)
        for what in range(k == E, kinds):  # without a next logit there is no margin
            o, x = observed[what][members], expected[what][members]
            low, high = interval(ratio(drawn @ o, (drawn @ n)[:, None]), rests)
            p = holm(sign_flips(by_unit(o - x, docs.units[members]), rng))
            mean, shuffled = o.sum(0) / n.sum(), x.sum(0) / n.sum()
            rows_ += [
                (name, docs.trace.layers[layer], WHAT[what], mean[i], low[i], high[i],
                 shuffled[i], p[i], int(n.sum()), len(members))
                for i, layer in enumerate(layers)
            ]  # fmt: skip
    names = (
        "label",
        "layer",
        "what",
        "mean",
        "low",
        "high",
        "shuffled",
        "p",
        "tokens",
        "documents",
    )
    if not rows_:
        raise InputError(
            "All experts are chosen here, and the router scores each by itself: there is no margin "
            "and no entropy."
        )
    columns = columns_of(names, rows_)
    few = docs.few(min(columns["documents"]))
    return Finding("certainty", docs.trace.provenance.title, "tokens of the label", columns, few)


def margin_histogram(trace: Trace | Documents, bins: int = 40, seed: int = 0) -> Finding:
    """How the margins of each layer are spread: the share of tokens in each of `bins` steps.

    The last step holds everything above the 99th percentile. Columns: layer, start, stop, share,
    low, high, documents.

    >>> import numpy as np
    >>> from moe_viz.analysis.examples import example
    >>> logits = np.array([[[1.0, 0.5, 0, 0], [0, 0, 2, 0.5]]])
    >>> margin_histogram(example([[0], [2]], logits=logits, experts=4), bins=2)["share"]
    array([0.5, 0.5])
    """
    docs, rng = Documents.of(trace), np.random.default_rng(seed)
    _, E, k = docs.shape
    if k == E:
        raise InputError("All experts are chosen here: there is no next one, and no margin.")
    drawn = resamples(docs.units, rng, strata=docs.strata)
    n = docs.tokens.astype(np.float64)
    parts, layers = [], measured_layers(docs.trace)
    for layer in layers:
        margins = np.concatenate(
            [_measured(docs.trace, layer, np.asarray(recorded(docs.trace, layer, r))[kept])[0]
             for r, kept in docs.blocks()]
        )  # fmt: skip
        document = docs.document[docs.document >= 0]
        edges = np.linspace(0, max(np.quantile(margins, 0.99), 1e-6), bins + 1)[:-1]
        step = np.clip(np.searchsorted(edges, margins, side="right") - 1, 0, bins - 1)
        counts = np.bincount(document.astype(np.int64) * bins + step, minlength=len(docs) * bins)
        counts = counts.reshape(-1, bins).astype(np.float64)
        low, high = interval(ratio(drawn @ counts, (drawn @ n)[:, None]), docs.independent)
        stops = np.append(edges[1:], np.inf)
        parts.append((edges, stops, counts.sum(0) / n.sum(), low, high))
    columns = {"layer": np.repeat([docs.trace.layers[layer] for layer in layers], bins)}
    for name, values in zip(
        ("start", "stop", "share", "low", "high"), zip(*parts, strict=True), strict=True
    ):
        columns[name] = np.concatenate(values)
    columns["documents"] = np.full(len(layers) * bins, docs.counted)
    few = docs.few(docs.independent)
    return Finding("margins", docs.trace.provenance.title, "tokens", columns, few)


def measured_layers(trace: Trace) -> list[int]:
    """Rows of the layers whose choice goes by scores; all, if none does: asking them says why."""
    scored = [row for row, goes in enumerate(trace.scored) if goes]
    return scored or list(range(len(trace.layers)))


def _measured(trace: Trace, row: int, numbers: np.ndarray) -> list[np.ndarray]:
    """Margin, and normalised entropy where there is one, of each token: (T, E) → (T,) each."""
    x = np.nan_to_num(numbers, nan=-1e30, posinf=1e30, neginf=-1e30).astype(np.float32)
    found = [margins_of(ranked_by(trace, row, x), trace.experts.shape[2])]
    if has_probabilities(trace):
        found.append(entropy(softmax(x)) / np.log(max(x.shape[1], 2)))
    return found
