# SPDX-License-Identifier: Apache-2.0
"""Interventions written out for one token in plain Python, as `mv.intervene` describes them.

The oracle of the tests beside it: lists and loops, and nothing of the library.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

MASK = 2**64 - 1


def splitmix64(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014), whose step is 0x9E3779B97F4A7C15."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def lot(seed: int, layer: int, token: int, expert: int, E: int) -> float:
    """The top 24 of the 64 bits, as a number in [0, 1)."""
    start = 0x9E3779B97F4A7C15 * (seed * 1_000_003 + layer + 1)
    return (splitmix64((token * E + expert + start) & MASK) >> 40) / 2**24


@dataclass
class Decision:
    """One token's: what the choice goes by, and what is chosen."""

    scores: list[float]
    experts: list[int]
    gates: list[float]


@dataclass
class Token:
    """Where it stands."""

    layer: int
    row: int
    prompt: int


@dataclass
class Change:
    """The arguments of `mv.intervene`."""

    ablate: list = field(default_factory=list)
    instead: str = "next best"
    force: list = field(default_factory=list)
    swap: list = field(default_factory=list)
    top_k: int | None = None
    temperature: float | None = None
    uniform_gates: bool = False
    random: int | None = None
    layers: list | None = None
    tokens: list | None = None
    prompts: list | None = None


def softmax(scores: list[float]) -> list[float]:
    weights = [math.exp(s - max(scores)) for s in scores]
    return [w / sum(weights) for w in weights]


def best(scores: list[float], k: int, first: Collection[int] = ()) -> list[int]:
    """The k best, with `first` among them; strongest first."""
    order = sorted(range(len(scores)), key=lambda e: (e not in first, -scores[e]))[:k]
    return sorted(order, key=lambda e: -scores[e])


def decision(scores: list[float], experts: list[int]) -> Decision:
    return Decision(scores, experts, softmax([scores[e] for e in experts]))


def applies(change: Change, token: Token) -> bool:
    bounds = ((change.layers, token.layer), (change.tokens, token.row))
    return all(b is None or n in b for b, n in (*bounds, (change.prompts, token.prompt)))


def changed(logits: list[float], k: int, token: Token, change: Change) -> Decision:
    """The decision that is executed in the place of the router's own."""
    E, now = len(logits), decision(list(logits), best(logits, k))
    if not applies(change, token):
        return now
    here = lambda items: [rest for layer, *rest in items if layer == token.layer]  # noqa: E731
    gone = {e for (e,) in here(change.ablate)}
    forced = {e for (e,) in here(change.force)}

    for a, b in here(change.swap):  # the networks a and b change places
        other = {a: b, b: a}
        now.scores = [now.scores[other.get(e, e)] for e in range(E)]
        now.experts = [other.get(e, e) for e in now.experts]

    if gone and change.instead == "next best":
        scores = [-math.inf if e in gone else s for e, s in enumerate(now.scores)]
        if gone & set(now.experts):
            now = decision(scores, best(scores, k, set(now.experts) - gone))
        now.scores = scores

    if change.temperature is not None:
        now.scores = [s / change.temperature for s in now.scores]
    if change.top_k is not None:
        now = decision(now.scores, best(now.scores, change.top_k, forced))
    elif forced:
        now = decision(now.scores, best(now.scores, k, forced))
    elif change.temperature is not None:
        now = decision(now.scores, now.experts)

    if change.random is not None:
        lots = [lot(change.random, token.layer, token.row, e, E) for e in range(E)]
        order = sorted(range(E), key=lambda e: (now.scores[e] == -math.inf, -lots[e]))
        ranked = sorted(now.scores, reverse=True)
        now.scores = [ranked[order.index(e)] for e in range(E)]
        now.experts = order[: len(now.experts)]

    if change.uniform_gates:
        now.gates = [1 / len(now.experts)] * len(now.experts)

    if gone and change.instead == "nothing":
        now.scores = [-math.inf if e in gone else s for e, s in enumerate(now.scores)]
        now.gates = [0.0 if e in gone else g for e, g in zip(now.experts, now.gates, strict=True)]
        now.experts = [-1 if e in gone else e for e in now.experts]
    return now
