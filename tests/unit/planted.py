# SPDX-License-Identifier: Apache-2.0
"""Routers that are constant for each piece and know nothing else, and experts planted among them.

Documents have tastes of their own (an expert that they like in each layer), and words come in
bursts: who counts tokens as independent is led astray by both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_viz.analysis.examples import example
from moe_viz.trace import Trace

DIGITS = [str(n) for n in range(24)]
WORDS = [f" w{n}x" for n in range(276)]
PIECES = [*DIGITS, *WORDS]
LABELS = ("a", "b", "c")
EXPERTS, K = 8, 2


@dataclass(frozen=True)
class Texts:
    """Documents of pieces: token ids (T,), lengths, labels."""

    ids: np.ndarray
    lengths: list[int]
    labels: list[str]

    @property
    def document(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def position(self) -> np.ndarray:
        starts = np.cumsum([0, *self.lengths[:-1]])
        return np.arange(len(self.ids)) - starts[self.document]


def texts(documents: int = 300, seed: int = 0) -> Texts:
    """Documents in which a few words are used again and again; labels are drawn by lot."""
    rng = np.random.default_rng(seed)
    often = 1 / (8 + rng.permutation(len(PIECES)))
    lengths = rng.integers(60, 180, documents).tolist()
    ids = [
        rng.choice(len(PIECES), n, p=(p := often * rng.gamma(0.25, size=len(PIECES))) / p.sum())
        for n in lengths
    ]
    return Texts(np.concatenate(ids), lengths, rng.choice(LABELS, documents).tolist())


def routed(
    given: Texts, layers: int, seed: int, planted: bool = False, taste: float = 0.25
) -> Trace:
    """A trace of these texts under a random router; with `planted`, experts that take something.

    Planted in layer 0: expert 1 takes digits, expert 2 label b, expert 3 the first four tokens.
    In every other layer each expert takes two words of its own.
    """
    rng = np.random.default_rng(seed)
    T, chosen = len(given.ids), []
    document, position = given.document, given.position
    labels = np.array(given.labels)[document]
    for layer in range(layers):
        scores = 0.5 * rng.normal(size=(len(PIECES), EXPERTS))
        x = scores[given.ids] + 0.8 * rng.gumbel(size=(T, EXPERTS))
        likes = rng.integers(0, EXPERTS, len(given.lengths))[document]
        x[np.arange(T), likes] += 9 * (rng.random(T) < taste)
        if planted:
            for e in range(EXPERTS):
                takes = np.zeros(T, bool)
                if layer == 0:
                    takes |= (e == 1) & (given.ids < len(DIGITS))
                    takes |= (e == 2) & (labels == "b") & (rng.random(T) < 0.3)
                    takes |= (e == 3) & (position < 4)
                else:
                    takes |= np.isin(given.ids, owned(layer, e))
                x[takes, e] += 20
        chosen.append(np.argsort(-x, axis=1)[:, :K])
    trace = example(
        np.stack(chosen), given.lengths, given.labels, EXPERTS, given.ids,
        texts=[f"text {n}" for n in range(len(given.lengths))],
    )  # fmt: skip
    vars(trace)["tokens"] = [PIECES[n] for n in given.ids]
    return trace


def owned(layer: int, expert: int) -> list[int]:
    """The words that an expert takes, where it was planted."""
    rng = np.random.default_rng(1000 + layer)
    return (len(DIGITS) + rng.permutation(len(WORDS))[2 * expert : 2 * expert + 2]).tolist()
