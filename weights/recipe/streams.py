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


class Corpus:
    """Token streams of the nine domains, and windows drawn from them."""

    def __init__(self, folder: Path, split: str) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.streams: dict[str, np.ndarray] = {
            d: np.memmap(folder / f"{d}.{split}.bin", "<u2", "r") for d in DOMAINS
        }
        self.bytes = {d: index[f"{d}.{split}"]["bytes"] for d in DOMAINS}

    def window(self, domain: str, start: int, length: int) -> np.ndarray:
        """BOS and `length` tokens: inputs are all but the last, targets all but the first."""
        return np.concatenate(
            ([BOS], self.streams[domain][start : start + length].astype(np.int64))
        )

    def batch(self, rng: np.random.Generator, tokens: int, length: int) -> Tensor:
        """Windows (tokens / length, length + 1), domains drawn evenly."""
        rows = []
        for n in rng.integers(0, len(DOMAINS), tokens // length):
            stream = self.streams[DOMAINS[n]]
            start = int(rng.integers(0, len(stream) - length))
            rows.append(self.window(DOMAINS[n], start, length))
        return torch.from_numpy(np.stack(rows))
