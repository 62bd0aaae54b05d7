# SPDX-License-Identifier: Apache-2.0
"""Held-out documents as windows of tokens, and how well a model predicts them.

In: documents of `DIR/corpus/<domain>/held_out.jsonl` and a model.  Out: nats and bytes of every
document, and bits per byte with a bootstrap interval over documents.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from corpus import read
from sources import DOMAINS

import moe_viz as mv
from moe_viz.model import Mixtral
from moe_viz.tokenization import Tokenizer

WINDOW, STRIDE = 1024, 512  # tokens; each window but a document's first repeats its context
GROUP = 32  # windows that are run together
DOCUMENTS, BEGINNING = 40, 512  # documents of a domain in the balanced sample; tokens of each


def texts(work: Path, domain: str, split: str) -> list[str]:
    return [document["text"] for document in read(work / "corpus" / domain / f"{split}.jsonl")]


def windows(
    length: int, window: int = WINDOW, stride: int = STRIDE
) -> Iterator[tuple[int, int, int]]:
    """Where each window of a document starts, where its predictions begin, where both end.

    Every token is predicted exactly once, behind at least `window - stride` others where the
    document has them.

    >>> list(windows(9, window=4, stride=2))
    [(0, 0, 4), (2, 4, 6), (4, 6, 8), (6, 8, 9)]
    """
    predicted, start = 0, 0
    while predicted < length:
        stop = min(start + window, length)
        yield start, predicted, stop
        predicted, start = stop, start + stride


def nats(model: Mixtral, documents: Sequence[Sequence[int]]) -> np.ndarray:
    """What each document costs, in nats, without BOS and EOS: (N,).

    BOS stands in front of every window, as in training.
    """
    assert model.tokenizer is not None
    assert model.tokenizer.bos is not None
    total = np.zeros(len(documents))
    # By length, since windows of one length are one batch to attention.
    jobs = [(n, *window) for n, ids in enumerate(documents) for window in windows(len(ids))]
    jobs.sort(key=lambda job: job[3] - job[1])
    for group in (jobs[n : n + GROUP] for n in range(0, len(jobs), GROUP)):
        rows = [[model.tokenizer.bos, *documents[n][start:stop]] for n, start, _, stop in group]
        trace = mv.record(model, rows, loss=True)
        assert trace.loss is not None
        for (n, start, predicted, _), prompt in zip(group, trace.prompts, strict=True):
            losses = trace.loss[prompt.start + 1 + predicted - start : prompt.stop]
            total[n] += losses.sum(dtype=np.float64)
    return total


def bits_per_byte(nats: np.ndarray, sizes: np.ndarray) -> float:
    return float(nats.sum() / sizes.sum() / math.log(2))


def interval(nats: np.ndarray, sizes: np.ndarray, repeats: int = 2000) -> list[float]:
    """95 % interval of the bits per byte, documents drawn with replacement."""
    rows = np.random.default_rng(0).integers(0, len(nats), (repeats, len(nats)))
    draws = nats[rows].sum(1) / sizes[rows].sum(1) / math.log(2)
    return np.percentile(draws, [2.5, 97.5]).tolist()


def balanced(
    work: Path, tokenizer: Tokenizer, documents: int = DOCUMENTS, tokens: int = BEGINNING
) -> tuple[list[list[int]], list[str]]:
    """BOS and the beginnings of held-out documents, and their domains.

    Drawn among the documents that have so many tokens, so that each document counts the same, and
    each domain too: only Python has fewer (36).
    """
    rows, labels = [], []
    for domain in DOMAINS:
        ids = [tokenizer.encode(text).ids for text in texts(work, domain, "held_out")]
        long = [row[: tokens + 1] for row in ids if len(row) > tokens]
        chosen = random.Random(domain).sample(long, min(documents, len(long)))
        rows += chosen
        labels += [domain] * len(chosen)
    return rows, labels
