# SPDX-License-Identifier: Apache-2.0
"""The tokens of the nine domains, as windows to train on and to look at.

In: `WORK/tokens`, which `tokens.py` wrote. Out: windows of token ids with BOS in front, drawn from
anywhere in a domain's text.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DOMAINS = ("en", "fr", "de", "es", "it", "python", "c", "javascript", "html")
BOS = 1
PROSE = 0.4  # share of a language's windows that are prose, where that has a stream of its own
_ROUNDS = 20261130  # seed of the order of domains where a batch is too small for all


class Corpus:
    """Token streams of the nine domains, and windows drawn from them.

    `streams` is all text of version two's corpus.  To train on, a language is two streams, manuals
    and prose, which together hold that and the prose of `prose.py`.
    """

    def __init__(self, folder: Path, split: str) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.streams = {d: _stream(folder, f"{d}.{split}") for d in DOMAINS}
        self.bytes = {d: index[f"{d}.{split}"]["bytes"] for d in DOMAINS}
        self.prose, self.manuals = dict(self.streams), dict(self.streams)
        for domain in DOMAINS:
            for name, streams in (("prose", self.prose), ("manuals", self.manuals)):
                if f"{domain}-{name}.{split}" in index:
                    streams[domain] = _stream(folder, f"{domain}-{name}.{split}")
                    self.bytes[f"{domain}-{name}"] = index[f"{domain}-{name}.{split}"]["bytes"]

    @property
    def looks(self) -> dict[str, np.ndarray]:
        """What is looked at during the run: every domain, and the languages' prose."""
        prose = {f"{d}-prose": s for d, s in self.prose.items() if f"{d}-prose" in self.bytes}
        return self.streams | prose

    def window(self, stream: np.ndarray, start: int, length: int) -> np.ndarray:
        """BOS and `length` tokens: inputs are all but the last, targets all but the first."""
        return np.concatenate(([BOS], stream[start : start + length].astype(np.int64)))

    def batch(self, rng: np.random.Generator, tokens: int, length: int, step: int) -> Tensor:
        """Windows (tokens / length, length + 1); `step` counts the batches of this length."""
        rows = []
        for domain in deal(rng, tokens // length, step):
            streams = self.prose if rng.random() < PROSE else self.manuals
            stream = streams[domain]
            start = int(rng.integers(0, len(stream) - length))
            rows.append(self.window(stream, start, length))
        return torch.from_numpy(np.stack(rows))


def _stream(folder: Path, name: str) -> np.ndarray:
    return np.memmap(folder / f"{name}.bin", "<u2", "r")


def deal(rng: np.random.Generator, rows: int, step: int) -> list[str]:
    """The domains of a batch's windows.

    Nine windows and more: all domains as often as each other, and no domain twice among those left
    over.  Fewer: they are dealt in rounds of nine that go on from batch to batch, so that any
    seventeen windows in a row hold all domains.
    """
    if rows >= len(DOMAINS):
        whole, rest = divmod(rows, len(DOMAINS))
        order = [*DOMAINS * whole, *rng.permutation(DOMAINS)[:rest].tolist()]
        return rng.permutation(order).tolist()
    windows = range(step * rows, step * rows + rows)
    rounds = {n // len(DOMAINS): None for n in windows}
    orders = {r: np.random.default_rng((_ROUNDS, r)).permutation(DOMAINS) for r in rounds}
    return [str(orders[n // len(DOMAINS)][n % len(DOMAINS)]) for n in windows]
