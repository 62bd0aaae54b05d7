# SPDX-License-Identifier: Apache-2.0
"""Does routing tell domains apart, and by more than chance and an untrained model would?

In: `Sample`s, the routing of whole documents.  Out: arrays with one value per layer.  Every test
works on documents, never on single tokens: tokens of one document are not independent, so halves,
permutations and folds are drawn among documents.  NumPy only.

    N documents   T tokens   L layers   E experts   k choices   G labels (domains)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_viz.trace import Trace


@dataclass(frozen=True, eq=False)
class Sample:
    """Routing of N documents, special tokens left out."""

    experts: np.ndarray  # (L, T, k) strongest first
    token_ids: np.ndarray  # (T,)
    document: np.ndarray  # (T,) 0 … N-1
    labels: np.ndarray  # (N,) 0 … G-1
    E: int

    @staticmethod
    def of(trace: Trace) -> Sample:
        """The tokens of a trace's text; its prompts are the documents."""
        lengths = [prompt.stop - prompt.start for prompt in trace.prompts]
        names = list(trace.labels)
        kept = ~trace.special
        return Sample(
            trace.experts[:, kept],
            trace.token_ids[kept],
            np.repeat(np.arange(len(lengths)), lengths)[kept],
            np.array([names.index(prompt.label) for prompt in trace.prompts]),
            trace.router_logits.shape[2],
        )

    def counts(self, choices: int = 1) -> np.ndarray:
        """How often each document chose each expert, first `choices` only: (N, L, E)."""
        N, (L, _, _), E = len(self.labels), self.experts.shape, self.E
        layer = np.arange(L)[:, None, None]
        key = (self.document[:, None] * L + layer) * E + self.experts[:, :, :choices]
        return np.bincount(key.ravel(), minlength=N * L * E).reshape(N, L, E)


def entropy(p: np.ndarray) -> np.ndarray:
    """Bits, over the last axis."""
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts (…, E) as shares of their sum."""
    return counts / np.maximum(counts.sum(-1, keepdims=True), 1)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits, over the last axis."""
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def pooled(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Load shares of each label, its documents' tokens together: (N, L, E) → (G, L, E)."""
    return shares(np.stack([counts[labels == g].sum(0) for g in range(labels.max() + 1)]))


def divergence(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over pairs of labels of the divergence between their load shares: (L,)."""
    return _pairs(p := pooled(counts, labels), p)


def _pairs(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Mean divergence of label a in `p` from label b in `q`, over a ≠ b."""
    between = jensen_shannon(p[:, None], q[None])  # (G, G, L)
    return between[~np.eye(len(p), dtype=bool)].mean(0)


def halves(
    counts: np.ndarray, labels: np.ndarray, rng: np.random.Generator, repeats: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Divergence between halves of the same label's documents, and of different labels', (L,) each.

    Both halves are of the same size, so their difference is the divergence between labels without
    what few documents alone would give.
    """
    within, between = [], []
    for _ in range(repeats):
        order = rng.permutation(len(labels))
        rank = np.empty_like(order)
        for g in range(labels.max() + 1):
            members = order[labels[order] == g]
            rank[members] = np.arange(len(members))
        p, q = (pooled(counts[rank % 2 == half], labels[rank % 2 == half]) for half in (0, 1))
        within.append(jensen_shannon(p, q).mean(0))
        between.append(_pairs(p, q))
    return np.mean(within, 0), np.mean(between, 0)


def permutation_null(
    counts: np.ndarray, labels: np.ndarray, rng: np.random.Generator, repeats: int = 200
) -> np.ndarray:
    """95th percentile of the divergence with labels permuted among the documents: (L,)."""
    draws = [divergence(counts, rng.permutation(labels)) for _ in range(repeats)]
    return np.percentile(draws, 95, axis=0)


def conditional_information(first: np.ndarray, label: np.ndarray, token: np.ndarray) -> float:
    """I(first choice; label | token) in bits, plug-in estimate, over T tokens.

    The estimate is too high where counts are small: compare it with its shuffle.
    """
    e, d, x = (np.unique(a, return_inverse=True)[1].astype(np.int64) for a in (first, label, token))
    ex, dx = x * (e.max() + 1) + e, x * (d.max() + 1) + d
    edx = dx * (e.max() + 1) + e
    return _bits(ex) + _bits(dx) - _bits(x) - _bits(edx)


def _bits(key: np.ndarray) -> float:
    """Entropy of the distribution of these keys."""
    return float(entropy(shares(np.unique(key, return_counts=True)[1])))


def within_tokens(label: np.ndarray, token: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels exchanged among the occurrences of the same token: every count of a pair stays."""
    shuffled = np.empty_like(label)
    shuffled[np.argsort(token, kind="stable")] = label[np.lexsort((rng.random(len(token)), token))]
    return shuffled


def information(
    sample: Sample, rng: np.random.Generator, repeats: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """I(first choice; label | token) of each layer, (L,), and two shuffles, (repeats, L) each.

    The first deals out the labels among whole documents; it errs on the safe side, since tokens
    of one label alone, which tell nothing, get several.  The second exchanges labels among the
    occurrences of a token, so all counts stay, as if occurrences were independent.
    """

    def of(label: np.ndarray) -> np.ndarray:
        rows = sample.experts[:, :, 0]
        return np.array([conditional_information(e, label, token) for e in rows])

    token, labels = sample.token_ids, sample.labels
    own = labels[sample.document]
    documents = [of(rng.permutation(labels)[sample.document]) for _ in range(repeats)]
    occurrences = [of(within_tokens(own, token, rng)) for _ in range(repeats)]
    return of(own), np.array(documents), np.array(occurrences)
