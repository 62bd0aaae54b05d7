# SPDX-License-Identifier: Apache-2.0
"""Do routers tell languages apart where the texts mean the same, and where the tokens are the same?

In: traces. Out: per layer, the language divergence of parallel passages (arXiv 2510.04694), and the
divergence between labels that remains on tokens which all of them share, digits and punctuation.
NumPy only.

    P passages   L layers   E experts   G labels
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from routing_tests import Sample, entropy, jensen_shannon

import moe_viz as mv
from moe_viz.trace import Trace

BOOTSTRAP = 2000
LANGUAGES = ("fr", "de", "es", "it")  # each beside English
FEWEST = 20  # occurrences of a shared token under every label


def mean_probabilities(trace: Trace) -> np.ndarray:
    """The softmax over all experts, averaged over each prompt's tokens: (prompts, L, E)."""
    logits = trace.router_logits.astype(np.float64)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    rows = [np.arange(q.start, q.stop) for q in trace.prompts]
    return np.stack([p[:, r[~trace.special[r]]].mean(1) for r in rows])


def language_divergence(english: np.ndarray, other: np.ndarray) -> np.ndarray:
    """JSD(q_en, q_x) / (log E − (H(q_en) + H(q_x)) / 2) of parallel passages: (P, L)."""
    room = np.log2(english.shape[-1]) - (entropy(english) + entropy(other)) / 2
    return jensen_shannon(english, other) / room


def parallel(
    model: Any, passages: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> dict[str, Any]:
    """The divergence of each language from English on passages that say the same in all of them.

    Averaged over passages; the interval is a bootstrap over them.
    """
    q = {x: mean_probabilities(mv.record(model, texts)) for x, texts in passages.items()}
    found = {x: language_divergence(q["en"], q[x]) for x in LANGUAGES}
    mean = np.mean(list(found.values()), axis=0)  # (P, L), over languages
    draws = mean[rng.integers(0, len(mean), (BOOTSTRAP, len(mean)))].mean(1)
    low, high = np.percentile(draws, (2.5, 97.5), axis=0)
    each = {x: rows.mean(0) for x, rows in found.items()}
    return {**each, "mean": mean.mean(0), "low": low, "high": high, "passages": len(mean)}


def is_shared(piece: str) -> bool:
    """Whether a piece is digits, punctuation or symbols, and nothing else.

    >>> is_shared("▁12"), is_shared("),"), is_shared("a1"), is_shared("▁")
    (True, True, False, False)
    """
    text = piece.replace("▁", "")
    return bool(text) and all(unicodedata.category(c)[0] in "NPS" for c in text)


def on_shared_tokens(sample: Sample, pieces: list[str], labels: list[int]) -> dict[str, Any]:
    """How much of the divergence between these labels remains on tokens that all of them share.

    `all tokens` and `shared tokens` count whole texts; `equal mix` gives every shared token the
    same weight under every label, so that only what stands around it can make a difference.
    """
    label = sample.labels[sample.document]
    counted = np.isin(label, labels)
    shared = np.array([is_shared(p) for p in pieces])[sample.token_ids] & counted
    counts = {
        x: [np.flatnonzero(shared & (sample.token_ids == x) & (label == g)) for g in labels]
        for x in np.unique(sample.token_ids[shared])
    }
    common = {x: rows for x, rows in counts.items() if min(map(len, rows)) >= FEWEST}
    weight = np.array([min(map(len, rows)) for rows in common.values()], float)
    per_token = np.stack(
        [np.stack([_shares(sample, rows) for rows in by_label]) for by_label in common.values()]
    )  # (tokens, G, L, E)
    equal = np.einsum("x,xgle->gle", weight / weight.sum(), per_token)
    everything = np.stack([_shares(sample, np.flatnonzero(label == g)) for g in labels])
    only = np.stack([_shares(sample, np.flatnonzero(shared & (label == g))) for g in labels])
    return {
        "all tokens": _between(everything),
        "shared tokens": _between(only),
        "equal mix": _between(equal),
        "tokens": int(shared.sum()),
        "pieces": len(common),
    }


def _shares(sample: Sample, rows: np.ndarray) -> np.ndarray:
    """Shares of first choices of these tokens: (L, E)."""
    first = sample.experts[:, rows, 0]
    return np.stack([np.bincount(e, minlength=sample.E) for e in first]) / len(rows)


def _between(p: np.ndarray) -> np.ndarray:
    """Mean divergence over pairs of labels, (G, L, E) → (L,)."""
    pairs = np.triu_indices(len(p), 1)
    return jensen_shannon(p[pairs[0]], p[pairs[1]]).mean(0)
