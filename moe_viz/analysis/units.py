# SPDX-License-Identifier: Apache-2.0
"""What is known of each document, and which documents are resampled as one.

In: labels, numbers of tokens, topics. Out: members of a label, units, strata, and what must be said
of few. Whether the documents lie in one trace or in many shards makes no difference here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .finding import FEW


class Units:
    """N documents: labels, tokens that count, and what belongs together."""

    def __init__(
        self, labels: Sequence[str], tokens: np.ndarray, topics: Sequence[str], left_out: int
    ) -> None:
        self.names: tuple[str, ...] = tuple(dict.fromkeys(labels))
        number = {name: n for n, name in enumerate(self.names)}
        self.labels: np.ndarray = np.array([number[label] for label in labels])  # (N,)
        self.tokens: np.ndarray = tokens  # (N,)
        self.topics: tuple[str, ...] = tuple(topics)
        self.left_out: int = left_out
        keys = self.topics if _parallel(self.topics, self.labels) else [""] * len(self.labels)
        numbers: dict[Any, int] = {}
        self.units: np.ndarray = np.array(  # (N,) what is resampled as one
            [numbers.setdefault(key or n, len(numbers)) for n, key in enumerate(keys)]
        )

    def __len__(self) -> int:
        """Number of documents, N."""
        return len(self.labels)

    @property
    def documents(self) -> int:
        """How many documents these are, also where bundles stand for them."""
        return len(self)

    @property
    def paired(self) -> bool:
        """Whether some documents are the same text under another label."""
        return len(np.unique(self.units)) < len(self)

    @property
    def counted(self) -> int:
        """Number of documents that hold a counted token."""
        return int((self.tokens > 0).sum())

    @property
    def independent(self) -> int:
        """Number of units that hold a counted token: what an interval over all rests on."""
        return self.independent_of(np.flatnonzero(self.tokens > 0))

    def independent_of(self, members: np.ndarray) -> int:
        """Number of units among these documents: what an interval over them rests on."""
        return len(np.unique(self.units[members]))

    @property
    def exchangeable(self) -> np.ndarray:
        """Groups within which labels are permuted, (N,): units, if every unit holds every label;
        otherwise one group of all, since a label alone in its unit could not move.
        """
        whole = len(np.unique(self.units)) * len(self.names) == len(self)
        complete = whole and len(set(zip(self.units, self.labels, strict=True))) == len(self)
        return self.units if complete else np.arange(len(self))

    @cached_property
    def strata(self) -> np.ndarray:
        """Strata of the resampling, (N,): documents whose units hold the same labels.

        So no resample lacks a label that has few documents, and documents without a counted token
        displace no others.
        """
        held: dict[int, set[int]] = {unit: set() for unit in self.units.tolist()}
        for n in np.flatnonzero(self.tokens > 0).tolist():
            held[int(self.units[n])].add(int(self.labels[n]))
        numbers: dict[frozenset[int], int] = {}
        number = {u: numbers.setdefault(frozenset(h), len(numbers)) for u, h in held.items()}
        return np.array([number[unit] for unit in self.units.tolist()])

    def members(self, label: int) -> np.ndarray:
        """Numbers of the documents with this label that hold a counted token."""
        return np.flatnonzero((self.labels == label) & (self.tokens > 0))

    @property
    def left_out_note(self) -> tuple[str, ...]:
        """What must be said beside every result where prompts are left out for their NaN."""
        if not self.left_out:
            return ()
        return (
            f"Left out: {self.left_out} of {self.documents} prompts, whose router logits "
            "or gates hold NaN or infinity. Record them again with this version, which says where "
            "that comes from.",
        )

    def few(self, documents: int) -> tuple[str, ...]:
        """What must be said beside a result from so few documents, and without some prompts."""
        if documents >= FEW:
            return self.left_out_note
        return (
            *self.left_out_note,
            f"Few documents ({documents}, fewer than {FEW}): treat intervals with care.",
        )


@dataclass(frozen=True)
class About:
    """What a shard says of its documents before anything is counted."""

    names: tuple[str, ...]
    documents: int
    left_out: int
    has_probabilities: bool


def about(docs: Any) -> About:
    """See `About`."""
    return About(docs.names, len(docs), docs.left_out, docs.has_probabilities)


def said_of_each(docs: Units) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Label and topic of each document, and its number of tokens."""
    return tuple(docs.names[n] for n in docs.labels), docs.tokens, docs.topics


def token_counts(docs: Units) -> np.ndarray:
    """Tokens that count, of each document: (N,)."""
    return docs.tokens


def _parallel(topics: Sequence[str], labels: np.ndarray) -> bool:
    """Whether any topic has more than one label."""
    under: dict[str, set[int]] = {}
    for topic, label in zip(topics, labels.tolist(), strict=True):
        under.setdefault(topic, set()).add(label)
    return any(len(found) > 1 for topic, found in under.items() if topic)
