# SPDX-License-Identifier: Apache-2.0
"""What a training run looked like at 32 moments: the film of how a router comes to route.

In: the model in training and the held-out text. Out: `snapshots.npz`, at most 4 MB, whole after
every snapshot; S snapshots, T tokens of six passages, L layers, E experts, k = 2:

    steps (S,)                       step 0 and the last among them
    ids (T,), starts (6,), passages (6,)   the passages, end to end, each with its BOS
    experts (S, L, T, k) uint8       strongest first
    router_logits (S, L, T, E) float16
    losses (S, T) float16            nats for a token, NaN for each passage's BOS
    looks (N,), bits (S, N)          held-out bits per byte of N streams (`Corpus.looks`)
    assignments, first (S, N, L, E)  how often an expert was chosen there, and chosen first
    words, word_languages, word_meanings (W,), word_counts (S, W, L, E)
                                     the same for function words, in their own language (`words.py`)
    moved (S, L, 2)                  load to move: same meaning, same language
    guesses (S, 40, 5), ranks (S, 40)      the first five next tokens after each of `openings.py`,
                                     and the rank of the withheld word's first piece, 0 the first
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openings import OPENINGS
from streams import Corpus
from torch.nn import functional
from words import moved, pieces

import moe_viz as mv
from moe_viz.model import Mixtral
from moe_viz.routing import Routing
from moe_viz.tokenization import Tokenizer

COUNT = 32
PASSAGE, PROGRAM = "cat", ("binary_search", "python")  # curated: no training text has them
WINDOWS, LENGTH = 12, 512  # of each held-out stream: evenly spaced


def moments(last: int, count: int = COUNT) -> list[int]:
    """Steps to look at: 0, `last`, and between them as even on a log scale as whole steps can be.

    >>> moments(100, 8)
    [0, 1, 2, 5, 10, 22, 46, 100]
    """
    found: list[int] = []
    points = 1
    while len(found) < min(count, last + 1):  # more points than steps: the first ones coincide
        points += 1
        found = sorted({0, *np.geomspace(1, last, points).round().astype(int).tolist()})
    return found


#: Arrays that are the same for all snapshots.
_OF_ALL = frozenset(
    ("steps", "ids", "starts", "passages", "looks", "words", "word_languages", "word_meanings")
)


class Snapshots:
    """The snapshots taken so far, in a file that a resumed run goes on with."""

    def __init__(self, path: Path, tokenizer: Path, held_out: Corpus, last: int) -> None:
        self.path, self.held_out, self.moments = path, held_out, frozenset(moments(last))
        self.tokenizer = Tokenizer(tokenizer)
        self.passages = [*mv.prompts.passages().select(topic=PASSAGE)]
        self.passages += [*mv.prompts.code().select(topic=PROGRAM[0], label=PROGRAM[1])]
        self.ids = [self.tokenizer.encode(p.text).ids for p in self.passages]
        self.words = pieces(self.tokenizer)
        self.taken: dict[int, dict[str, np.ndarray]] = {}
        if path.exists():
            with np.load(path) as there:
                kept = {name: there[name] for name in there.files}
            names = set(kept) - _OF_ALL
            for n, step in enumerate(kept["steps"].tolist()):
                self.taken[step] = {name: kept[name][n] for name in names}

    def look(self, model: Mixtral, step: int) -> dict[str, float]:
        """Take a snapshot if this is a step for one; held-out bits per byte if it was."""
        if step in self.taken or step not in self.moments:
            return {}
        trace = mv.record(model, self.ids, loss=True)
        assert trace.router_logits is not None
        assert trace.loss is not None
        bits, counts = look_at(model, self.held_out)
        word_counts = np.stack([counts.words[language][i] for _, language, _, i in self.words])
        guesses, ranks = self._openings(model)
        self.taken[step] = {
            "experts": trace.experts.astype(np.uint8),
            "router_logits": trace.router_logits.astype(np.float16),
            "losses": trace.loss.astype(np.float16),
            "bits": np.array(list(bits.values()), np.float32),
            "assignments": np.stack([counts.assignments[d] for d in bits]).astype(np.uint32),
            "first": np.stack([counts.first[d] for d in bits]).astype(np.uint32),
            "word_counts": word_counts.astype(np.uint16),
            "moved": moved(word_counts, self.words).astype(np.float32),
            "guesses": guesses,
            "ranks": ranks,
        }
        self._write()
        return bits

    @torch.no_grad()
    def _openings(self, model: Mixtral) -> tuple[np.ndarray, np.ndarray]:
        rows = [self.tokenizer.encode(o.text).ids for o in OPENINGS]
        logits = model(torch.tensor([i for r in rows for i in r]), [len(r) for r in rows], "last")
        assert logits is not None
        order = logits.float().argsort(-1, descending=True).numpy()
        wanted = [first_piece(self.tokenizer, o.text, o.whole) for o in OPENINGS]
        ranks = (order == np.array(wanted)[:, None]).argmax(-1)
        return order[:, :5].astype(np.uint16), ranks.astype(np.uint16)

    def _write(self) -> None:
        steps = sorted(self.taken)
        arrays: dict[str, Any] = {
            name: np.stack([self.taken[s][name] for s in steps]) for name in self.taken[steps[0]]
        }
        lengths = [len(row) for row in self.ids]
        partial = self.path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial,
            steps=np.array(steps),
            ids=np.concatenate(self.ids).astype(np.uint16),
            starts=np.cumsum([0, *lengths[:-1]]),
            passages=np.array([p.name for p in self.passages]),
            looks=np.array(list(self.held_out.looks)),
            words=np.array([word for *_, word, _ in self.words]),
            word_languages=np.array([language for _, language, *_ in self.words]),
            word_meanings=np.array([meaning for meaning, *_ in self.words]),
            **arrays,
        )
        os.replace(partial, self.path)


def first_piece(tokenizer: Tokenizer, text: str, whole: str) -> int:
    """The first piece behind `text` in `whole`, which the text's own pieces must begin."""
    ids, longer = tokenizer.encode(text).ids, tokenizer.encode(whole).ids
    if longer[: len(ids)] != ids:
        raise ValueError(f"{whole!r}: its pieces do not begin with those of {text!r}")
    return longer[len(ids)]


class Counts:
    """A router hook that counts, for the windows of one stream after the other."""

    def __init__(self) -> None:
        self.assignments: dict[str, np.ndarray] = {}
        self.first: dict[str, np.ndarray] = {}
        self.words: dict[str, Any] = defaultdict(int)  # language: counts (V, L, E)

    def add(self, stream: str, experts: np.ndarray, ids: np.ndarray, E: int, V: int) -> None:
        """`experts` is (L, T, k), for the tokens `ids` (T,)."""
        one = np.eye(E, dtype=np.int64)
        self.first[stream] = one[experts[:, :, 0]].sum(1)
        self.assignments[stream] = one[experts].sum((1, 2))
        language = stream.removesuffix("-prose")
        table = np.zeros((V, len(experts), E), np.int64)
        for layer, chosen in enumerate(experts):
            np.add.at(table[:, layer], (ids[:, None], chosen), 1)
        self.words[language] = self.words[language] + table


@torch.no_grad()
def look_at(model: Mixtral, corpus: Corpus) -> tuple[dict[str, float], Counts]:
    """Bits per byte of evenly spaced windows of every held-out stream, and where they went."""
    bits, counts = {}, Counts()
    kept: dict[int, list[np.ndarray]] = defaultdict(list)

    def keep(routing: Routing) -> None:  # a layer runs a chunk of tokens at a time, in order
        kept[routing.layer].append(routing.experts.numpy())

    for name, stream in corpus.looks.items():
        starts = np.linspace(0, len(stream) - LENGTH, WINDOWS).astype(int)
        rows = torch.from_numpy(np.stack([corpus.window(stream, s, LENGTH) for s in starts]))
        inputs, targets = rows[:, :-1].flatten(), rows[:, 1:].flatten()
        kept.clear()
        with model.router_hooks(keep):
            logits = model(inputs, [LENGTH] * WINDOWS)
        assert logits is not None
        nats = functional.cross_entropy(logits.float().cpu(), targets).item()
        bits[name] = nats / math.log(2) * len(stream) / corpus.bytes[name]
        E, V = model.config.experts, model.config.vocab_size
        experts = np.stack([np.concatenate(kept[layer]) for layer in sorted(kept)])
        counts.add(name, experts, inputs.numpy(), E, V)
    return bits, counts
