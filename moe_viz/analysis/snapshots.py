# SPDX-License-Identifier: Apache-2.0
"""What 8x7m's routers did at 32 moments of its training, step 0 and the last among them.

In: `snapshots.npz`, which lies beside the embedded weights. Out: findings: who took each token of a
passage at each moment, what the model had learnt by then, and how far languages had parted.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import embedded_folder
from .finding import Finding

#: What numpy says of a file that is missing, cut off, changed, or something else.
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class Snapshots:
    """A training run, looked at S times; T tokens of some passages, L layers, N kinds of text."""

    steps: np.ndarray  # (S,)
    passages: tuple[str, ...]  # "cat/en", end to end
    starts: np.ndarray  # of each passage, in tokens
    ids: np.ndarray  # (T,)
    experts: np.ndarray  # (S, L, T, k), strongest first
    looks: tuple[str, ...]  # kinds of held-out text
    bits: np.ndarray  # (S, N), bits per byte
    assignments: np.ndarray  # (S, N, L, E): how often an expert was chosen
    moved: np.ndarray  # (S, L, 2): see `parted`

    @classmethod
    def load(cls, path: str | Path | None = None) -> Snapshots:
        """Read them, those of the embedded model if nothing else is named.

        Raises `InputError` where the file is not there, or holds something else.
        """
        path = Path(path) if path else embedded_folder() / "snapshots.npz"
        try:
            with np.load(path, allow_pickle=False) as held:
                return cls(
                    held["steps"], tuple(held["passages"].tolist()), held["starts"], held["ids"],
                    held["experts"], tuple(held["looks"].tolist()), held["bits"],
                    held["assignments"], held["moved"],
                )  # fmt: skip
        except DAMAGED as error:
            raise InputError(f"{path}: holds no snapshots of a training run ({error}).") from error

    def choices(self, passage: str) -> Finding:
        """Who took each token of a passage, layer by layer, at every moment.

        Columns: step, layer, first (the first choices of the passage's tokens, in their order).
        """
        start, stop = self.within(passage)
        firsts = self.experts[:, :, start + 1 : stop, 0]  # without <s>
        S, L, _ = firsts.shape
        said = [" ".join(map(str, row)) for row in firsts.reshape(S * L, -1).tolist()]
        columns = {
            "step": np.repeat(self.steps, L),
            "layer": np.tile(np.arange(L), S),
            "first": np.array(said, dtype=object),
        }
        return Finding("choices", f"8x7m in training, {passage}", "tokens without <s>", columns)

    def learnt(self) -> Finding:
        """Bits per byte of held-out text at every moment. Columns: step, label, bits."""
        S, N = self.bits.shape
        columns = {
            "step": np.repeat(self.steps, N),
            "label": np.array([*self.looks] * S, dtype=object),
            "bits": self.bits.ravel().astype(float),
        }
        return Finding("learnt", "8x7m in training", "bytes of held-out text", columns)

    def parted(self) -> Finding:
        """How far function words part by meaning and by language, at every moment and layer.

        The load that would have to move between two words' experts, the mean over pairs. Columns:
        step, layer, meaning (pairs of one meaning in two languages), language (pairs of one
        language with two meanings). Where languages have experts, `language` is the smaller.
        """
        S, L, _ = self.moved.shape
        columns = {
            "step": np.repeat(self.steps, L),
            "layer": np.tile(np.arange(L), S),
            "meaning": self.moved[:, :, 0].ravel().astype(float),
            "language": self.moved[:, :, 1].ravel().astype(float),
        }
        return Finding("words parted", "8x7m in training", "function words", columns)

    def pieces(self, passage: str) -> np.ndarray:
        """The ids of a passage's tokens, without <s>."""
        start, stop = self.within(passage)
        return self.ids[start + 1 : stop]

    def within(self, passage: str) -> tuple[int, int]:
        """Where a passage's tokens begin and end, its <s> among them.

        Raises `InputError` if no passage is called so.
        """
        if passage not in self.passages:
            raise InputError(f"passage is one of {', '.join(self.passages)}, found {passage!r}.")
        n = self.passages.index(passage)
        ends = [*self.starts.tolist()[1:], len(self.ids)]
        return int(self.starts[n]), ends[n]
