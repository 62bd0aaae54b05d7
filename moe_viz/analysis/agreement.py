"""Do two runs of the same tokens route alike? Of another dtype, quantisation, backend, checkpoint.

In: two traces of the same tokens. Out: an `Agreement`: per layer, how far their choices coincide,
beside what runs that have nothing to do with each other would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import TraceError
from ..trace import Trace, margins_of
from .documents import BLOCK, Documents
from .finding import Finding
from .statistics import interval, ratio, resamples


@dataclass(frozen=True)
class Agreement:
    """Agreement of two runs, layer by layer; shares are of `tokens`, special tokens left out."""

    titles: tuple[str, str]
    layers: tuple[int, ...]
    tokens: int
    overlap: np.ndarray  # (L,) mean share of a token's k experts that both runs chose
    identical: np.ndarray  # (L,) share of tokens with the same set of experts
    first: np.ndarray  # (L,) share of tokens with the same first choice
    chance: np.ndarray  # (L,) overlap of independent choices with these runs' loads
    logit_error: np.ndarray  # (L,) |difference| / |first run|, of router logits less their mean
    margin: np.ndarray  # (L,) median margin of all tokens in the first run
    margin_changed: np.ndarray  # (L,) … of those whose set changed; NaN where none did

    def __repr__(self) -> str:
        return (
            f"<Agreement of {self.titles[0]} and {self.titles[1]}: {self.tokens:,} tokens, "
            f"{self.identical.mean():.1%} of all sets of experts are the same, overlap "
            f"{self.overlap.mean():.1%} (chance {self.chance.mean():.1%})>"
        )


def compare(a: Trace, b: Trace) -> Agreement:
    """Agreement of two runs of the same tokens: mean |S ∩ S′| / k, and where they part.

    S is the set of experts that a token went to, unused slots (−1) left out of it. `chance` is
    Σ_e p_e p′_e / k, with p_e the share of tokens that expert e gets: what independent choices with
    the same loads would share.

    Raises `TraceError` where tokens, layers or experts are not the same.

    >>> import moe_viz as mv
    >>> ids = [[1, 30, 500, 7, 9]]
    >>> runs = [mv.record(mv.load("8x7m", dtype=d), ids) for d in ("float32", "bfloat16")]
    >>> agreement = mv.compare(*runs)
    >>> agreement.tokens, bool(agreement.overlap.mean() > agreement.chance.mean())
    (4, True)
    """
    _refuse_strangers(a, b)
    counted = ~a.special
    if not counted.any():
        raise TraceError("These traces hold special tokens only: there is nothing to compare.")
    by_layer = [_layer(a, b, n, counted) for n in range(len(a.layers))]
    names = ("overlap", "identical", "first", "chance", "logit_error", "margin", "margin_changed")
    return Agreement(
        titles=(a.provenance.title, b.provenance.title),
        layers=a.layers,
        tokens=int(counted.sum()),
        **{name: np.array(found) for name, found in zip(names, zip(*by_layer, strict=True),
                                                        strict=True)},
    )  # fmt: skip


def agreement(a: Trace, b: Trace, seed: int = 0) -> Finding:
    """The same as a table, with intervals over documents: see `compare`.

    `what` is "overlap" (mean |S ∩ S′| / k) or "identical" (share of tokens with the same set);
    `chance` is that of independent choices with these loads, for the overlap. Columns: layer, what,
    share, low, high, chance, margin, margin_changed, tokens, documents.

    >>> from moe_viz.analysis.examples import example
    >>> runs = (example([[0, 1], [2, 3]]), example([[0, 1], [2, 4]]))
    >>> found = agreement(*runs)
    >>> found["what"].tolist(), found["share"].tolist()
    (['overlap', 'identical'], [0.75, 0.5])
    """
    whole = compare(a, b)
    docs, E = Documents(a), a.router_logits.shape[2]
    drawn = resamples(docs.units, np.random.default_rng(seed), strata=docs.strata)
    sums = np.zeros((2, len(docs), len(a.layers)))
    for layer in range(len(a.layers)):
        for rows, kept in docs.blocks():
            ours, theirs = (_membership(t.experts[layer, rows][kept], E) for t in (a, b))
            k = np.maximum(np.maximum(ours.sum(1), theirs.sum(1)), 1)
            values = ((ours & theirs).sum(1) / k, (ours == theirs).all(1))
            for what, value in enumerate(values):
                document = docs.document[rows][kept]
                sums[what, :, layer] += np.bincount(document, value, len(docs))
    n, L = docs.tokens.astype(np.float64), len(a.layers)
    low, high = zip(
        *(interval(ratio(drawn @ s, (drawn @ n)[:, None]), docs.independent) for s in sums),
        strict=True,
    )
    columns = {
        "layer": np.tile(a.layers, 2),
        "what": np.repeat(["overlap", "identical"], L),
        "share": np.concatenate([whole.overlap, whole.identical]),
        "low": np.concatenate(low),
        "high": np.concatenate(high),
        "chance": np.concatenate([whole.chance, np.full(L, np.nan)]),
        "margin": np.tile(whole.margin, 2),
        "margin_changed": np.tile(whole.margin_changed, 2),
        "tokens": np.full(2 * L, whole.tokens),
        "documents": np.full(2 * L, len(docs)),
    }
    title = " and ".join(whole.titles)
    return Finding("agreement", title, "tokens", columns, docs.few(docs.independent))


def _layer(a: Trace, b: Trace, n: int, counted: np.ndarray) -> tuple[float, ...]:
    """The figures of one layer, by blocks of tokens: a mapped trace is never held."""
    E, choices, sums = a.router_logits.shape[2], a.experts.shape[2], np.zeros(6)
    loads, margins, changed = np.zeros((2, E)), [], []
    for start in range(0, len(counted), BLOCK):
        rows, kept = slice(start, start + BLOCK), counted[start : start + BLOCK]
        experts = [trace.experts[n, rows][kept] for trace in (a, b)]
        ours, theirs = (_membership(e, E) for e in experts)  # (T, E) bool
        k = np.maximum(ours.sum(1), theirs.sum(1))
        logits = [trace.router_logits[n, rows][kept] for trace in (a, b)]
        # A constant added to all of a token's logits changes no decision.
        x, y = (v - v.mean(1, keepdims=True) for v in (w.astype(np.float64) for w in logits))
        loads += ours.sum(0), theirs.sum(0)
        changed.append((ours != theirs).any(1))
        margins.append(margins_of(logits[0], choices))
        sums += (
            ((ours & theirs).sum(1) / np.maximum(k, 1)).sum(),
            (experts[0][:, 0] == experts[1][:, 0]).sum(),
            k.sum(),
            ((y - x) ** 2).sum(),
            (x**2).sum(),
            len(k),
        )
    overlap, first, k, difference, norm, T = sums
    margin, parted = np.concatenate(margins), np.concatenate(changed)
    return (
        overlap / T,
        1 - parted.mean(),
        first / T,
        (loads[0] * loads[1]).sum() / T**2 / max(k / T, 1),
        np.sqrt(difference / norm) if norm else np.nan,
        np.median(margin),
        np.median(margin[parted]) if parted.any() else np.nan,
    )


def _membership(experts: np.ndarray, E: int) -> np.ndarray:
    """Which experts each token went to: (T, k) numbers → (T, E) bool."""
    return (experts[..., None] == np.arange(E)).any(axis=1)


def _refuse_strangers(a: Trace, b: Trace) -> None:
    if not np.array_equal(a.token_ids, b.token_ids) or [p.stop for p in a.prompts] != [
        p.stop for p in b.prompts
    ]:
        raise TraceError(
            f"These two traces are not of the same tokens ({len(a):,} and {len(b):,}). Record the "
            "same prompts with both models."
        )
    if a.layers != b.layers or a.router_logits.shape != b.router_logits.shape:
        raise TraceError(
            f"These two traces have other layers or experts: {len(a.layers)} layers of "
            f"{a.router_logits.shape[2]} and {len(b.layers)} of {b.router_logits.shape[2]}."
        )
