# SPDX-License-Identifier: Apache-2.0
"""How sure a router is: margins and entropies."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..trace import Trace, margins_of
from ..trace.choice import has_probabilities, ranked_by, recorded
from .corpus import Countable, documents_of
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
from .tallies import Tally, leading_bits, of_bits, tally

WHAT = ("margin", "entropy")


def certainty(trace: Countable, seed: int = 0) -> Finding:
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
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    _, E, k = docs.shape
    layers = measured_layers(docs)
    # (2, N, layers) each
    observed, expected = docs.laid(certainty_sums, seed)[..., layers].transpose(1, 2, 0, 3)
    kinds = 2 if docs.has_probabilities else 1
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


def margin_histogram(trace: Countable, bins: int = 40, seed: int = 0) -> Finding:
    """How the margins of each layer are spread: the share of tokens in each of `bins` steps.

    The last step holds everything above the 99th percentile, which is found to within 0.2 %.
    Columns: layer, start, stop, share,
    low, high, documents.

    >>> import numpy as np
    >>> from moe_viz.analysis.examples import example
    >>> logits = np.array([[[1.0, 0.5, 0, 0], [0, 0, 2, 0.5]]])
    >>> margin_histogram(example([[0], [2]], logits=logits, experts=4), bins=2)["share"]
    array([0.5, 0.5])
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    _, E, k = docs.shape
    if k == E:
        raise InputError("All experts are chosen here: there is no next one, and no margin.")
    drawn = resamples(docs.units, rng, strata=docs.strata)
    n = docs.tokens.astype(np.float64)
    parts, layers = [], measured_layers(docs)
    for layer in layers:
        most = quantile(docs.tallied(margin_tally, layer), 0.99)
        edges = np.linspace(0, max(most, 1e-6), bins + 1)[:-1]
        counts = docs.laid(margin_steps, layer, tuple(edges.tolist())).astype(np.float64)
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


def measured_layers(docs: Documents) -> list[int]:
    """Rows of the layers whose choice goes by scores; all, if none does: asking them says why."""
    scored = [row for row, goes in enumerate(docs.trace.scored) if goes]
    return scored or list(range(docs.shape[0]))


def certainty_sums(docs: Documents, seed: int) -> np.ndarray:
    """Sums of margins and entropies over each document's tokens, as they are and with every
    expert's logits shuffled: (N, 2, 2, L).
    """
    L, E, _ = docs.shape
    orders = [shuffled_within(docs, seed, e).astype(np.int32) for e in range(E)]
    found = np.zeros((2, 2, len(docs), L))
    for layer in measured_layers(docs):
        numbers = recorded(docs.trace, layer)
        for rows, kept in docs.blocks():
            document = docs.document[rows][kept]
            own = np.asarray(numbers[rows])[kept]
            mixed = np.stack([numbers[order[rows], e] for e, order in enumerate(orders)], 1)[kept]
            for sums, x in zip(found, (own, mixed), strict=True):
                for what, values in enumerate(_measured(docs.trace, layer, x)):
                    sums[what, :, layer] += np.bincount(document, values, len(docs))
    return found.transpose(2, 0, 1, 3)


def margin_tally(docs: Documents, layer: int) -> Tally:
    """Margins of a layer's decisions by their leading bits: steps of 0.2 %. Margins are never
    negative, so that the bits of larger ones are larger numbers.
    """
    return tally(leading_bits(_margins(docs, layer)))


def margin_steps(docs: Documents, layer: int, edges: tuple[float, ...]) -> np.ndarray:
    """How many of each document's margins lie in each step: (N, steps)."""
    bins = len(edges)
    step = np.clip(np.searchsorted(edges, _margins(docs, layer), side="right") - 1, 0, bins - 1)
    document = docs.document[docs.document >= 0].astype(np.int64)
    return np.bincount(document * bins + step, minlength=len(docs) * bins).reshape(-1, bins)


def quantile(margins: Tally, q: float) -> float:
    """The margin that this share of them does not exceed, to within 0.2 %.

    >>> quantile((leading_bits(np.array([0.5, 1.0, 2.0])), np.array([50, 40, 10])), 0.9)
    1.0
    """
    keys, counts = margins
    found = keys[np.searchsorted(counts.cumsum(), q * counts.sum() * (1 - 1e-12))]
    return float(of_bits(found))


def _margins(docs: Documents, layer: int) -> np.ndarray:
    """Margins of the counted tokens, in order."""
    parts = [
        _measured(docs.trace, layer, np.asarray(recorded(docs.trace, layer, rows))[kept])[0]
        for rows, kept in docs.blocks()
    ]
    return np.concatenate(parts).astype(np.float32)


def _measured(trace: Trace, row: int, numbers: np.ndarray) -> list[np.ndarray]:
    """Margin, and normalised entropy where there is one, of each token: (T, E) → (T,) each."""
    x = np.nan_to_num(numbers, nan=-1e30, posinf=1e30, neginf=-1e30).astype(np.float32)
    found = [margins_of(ranked_by(trace, row, x), trace.experts.shape[2])]
    if has_probabilities(trace):
        found.append(entropy(softmax(x)) / np.log(max(x.shape[1], 2)))
    return found
