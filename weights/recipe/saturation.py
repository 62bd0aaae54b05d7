# SPDX-License-Identifier: Apache-2.0
"""How soon a router settles: the routing of fixed texts at a few steps of a training run.

In: the model in training. Out: `saturation.npz`: `steps` (S,) and `experts` (S, L, T, k) as uint8,
strongest first, of the project's own prompts (every eighth curated one, which the run never sees),
tokens end to end. A few hundred kB, next to the weights.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import moe_viz as mv
from moe_viz.model import Mixtral
from moe_viz.tokenization import Tokenizer

STEPS = (0, 4, 16, 64, 256, 1024, 4096, 16384)  # and the last


class Saturation:
    """The snapshots taken so far, in a file that a resumed run goes on with."""

    def __init__(self, path: Path, tokenizer: Path) -> None:
        self.path = path
        read = Tokenizer(tokenizer)
        self.prompts = [read.encode(text).ids for text in mv.prompts.curated().texts[::8]]
        self.taken: dict[int, np.ndarray] = {}
        if path.exists():
            with np.load(path) as there:
                self.taken = dict(zip(there["steps"].tolist(), there["experts"], strict=True))

    def look(self, model: Mixtral, step: int, last: bool = False) -> None:
        """Take a snapshot if this is a step for one."""
        if step in self.taken or not (last or step in STEPS):
            return
        self.taken[step] = mv.record(model, self.prompts).experts.astype(np.uint8)
        steps = sorted(self.taken)
        partial = self.path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial, steps=np.array(steps), experts=np.stack([self.taken[s] for s in steps])
        )
        os.replace(partial, self.path)
