# SPDX-License-Identifier: Apache-2.0
"""Synthetic traces whose truth is known, of documents that have preferences of their own."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example

DOCUMENTS, LAYERS, E = 40, 2, 8
SHORTEST, LONGEST = 60, 120

#: Mean share of first choices; in French, expert 7 takes over some of the work of expert 0.
ENGLISH = np.array([0.22, 0.18, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05])
FRENCH = np.array([0.12, 0.18, 0.15, 0.13, 0.11, 0.09, 0.07, 0.15])
#: How like each other documents are: their shares are Dirichlet, with the mean times this.
ALIKE = 30.0
#: The second choice is so many experts beyond the first, around the circle: 1 … 7.
BEYOND = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.05])


# ---- choices: load, repetition, divergence of labels --------------------------------------------


def choices(
    rng: np.random.Generator,
    french: np.ndarray = ENGLISH,
    sticky: float = 0,
    parallel: bool = False,
) -> Documents:
    """40 English and 40 French documents; parallel ones share half of their preference.

    A token keeps the first choice of the one before it with probability `sticky`, and draws one
    from its document's shares otherwise.
    """
    labels = np.repeat([0, 1], DOCUMENTS)
    lengths = rng.integers(SHORTEST, LONGEST + 1, 2 * DOCUMENTS)
    document = np.repeat(np.arange(2 * DOCUMENTS), lengths)
    begins = np.cumsum(lengths) - lengths
    layers = []
    for _ in range(LAYERS):
        shares = np.array([rng.dirichlet(ALIKE * (ENGLISH, french)[n]) for n in labels])
        if parallel:
            shared = rng.dirichlet(ALIKE * ENGLISH, DOCUMENTS)
            shares = (shares + np.concatenate([shared, shared])) / 2
        fresh = (rng.random(len(document))[:, None] > shares.cumsum(1)[document]).sum(1)
        fresh = np.minimum(fresh, E - 1)
        drawn = rng.random(len(document)) >= sticky
        drawn[begins] = True
        first = fresh[np.maximum.accumulate(np.where(drawn, np.arange(len(document)), 0))]
        beyond = rng.choice(np.arange(1, E), len(first), p=BEYOND)
        layers.append(np.stack([first, (first + beyond) % E], 1))
    trace = example(layers, lengths.tolist(), [("en", "fr")[n] for n in labels], E)
    topics = [f"topic {n % DOCUMENTS}" for n in range(2 * DOCUMENTS)] if parallel else None
    return Documents(trace, topics)


def true_load(first: np.ndarray) -> np.ndarray:
    """Share of both choices of each expert."""
    second = sum(r * np.roll(first, n) for n, r in enumerate(BEYOND, 1))
    return (first + second) / 2


def true_repetition(first: np.ndarray, sticky: float) -> np.ndarray:
    """By first choice and by any, from the moments of the Dirichlet."""
    both = ALIKE * np.outer(first, first) / (ALIKE + 1)  # E p_a p_b of fresh draws
    both += np.diag(first / (ALIKE + 1))
    joint = (1 - sticky) * both + sticky * np.diag(first)
    overlap = np.zeros((E, E))
    for a in range(E):
        for b in range(E):
            for n, p in enumerate(BEYOND, 1):
                for m, q in enumerate(BEYOND, 1):
                    overlap[a, b] += p * q * bool({a, (a + n) % E} & {b, (b + m) % E})
    return np.array([np.trace(joint), (joint * overlap).sum()])


def true_divergence(a: np.ndarray, b: np.ndarray) -> float:
    return jensenshannon(a, b, base=2) ** 2


# ---- logits: divergence of languages ------------------------------------------------------------


def passages(
    rng: np.random.Generator, lengths: np.ndarray, apart: float, about: float
) -> np.ndarray:
    """Logits (T, E) of parallel passages, first the English ones, then as many French ones.

    A passage has an opinion of its own, shares some of it with its parallel (`about`), and French
    ones with each other (`apart`); the noise of its tokens is an autoregression.
    """
    pairs = len(lengths) // 2
    shared = rng.normal(0, 1, (pairs, E)) * about
    language = apart * np.array([1, -1, 0.5, -0.5, 0, 0, 1, -1])
    mean = np.concatenate([shared, shared + language]) + rng.normal(0, 0.4, (2 * pairs, E))
    noise = rng.standard_normal((LONGEST, 2 * pairs, E))
    for t in range(1, LONGEST):
        noise[t] = 0.5 * noise[t - 1] + np.sqrt(0.75) * noise[t]
    there = np.arange(LONGEST) < lengths[:, None]
    return (mean[:, None] + noise.swapaxes(0, 1))[there]


def parallel_passages(rng: np.random.Generator, apart: float = 0, about: float = 0) -> Documents:
    """40 passages, each in English and in French."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, 2 * DOCUMENTS)
    logits = np.stack([passages(rng, lengths, apart, about) for _ in range(LAYERS)])
    chosen = np.argsort(-logits, axis=2)[:, :, :2]
    labels = ["en"] * DOCUMENTS + ["fr"] * DOCUMENTS
    trace = example(chosen, lengths.tolist(), labels, E, logits=logits)
    return Documents(trace, [f"topic {n % DOCUMENTS}" for n in range(2 * DOCUMENTS)])


def true_distance(apart: float, about: float, pairs: int = 20_000) -> float:
    """Mean of JSD / (log E − mean entropy) over very many passages of these lengths."""
    rng = np.random.default_rng(12345)
    lengths = rng.integers(SHORTEST, LONGEST + 1, 2 * pairs)
    weights = np.exp(passages(rng, lengths, apart, about))
    p = weights / weights.sum(1, keepdims=True)
    q = np.add.reduceat(p, np.cumsum(lengths) - lengths) / lengths[:, None]
    a, b = q[:pairs], q[pairs:]
    room = np.log(E) - (entropy(a, axis=1) + entropy(b, axis=1)) / 2
    distance = jensenshannon(a, b, axis=1)  # type: ignore[call-arg]
    return float((distance**2 / room).mean())
