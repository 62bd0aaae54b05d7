# SPDX-License-Identifier: Apache-2.0
"""What all analyses count: documents, their labels, and which of them belong together.

In: a trace. Out: counts of each document, layer by layer, so that a mapped trace of any length is
read once and never held in memory.

    N documents   T tokens   L layers   E experts   k choices
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..prompts import topics_of
from ..trace import Trace, gaps
from .finding import FEW

#: Tokens processed at a time, which bounds memory.
BLOCK = 262_144


class Documents:
    """The documents of a trace: its prompts, special tokens left out.

    Prompts with NaN or infinity in them are left out whole (also where `beside`, another run of the
    same tokens, holds some), and every result says so.

    `topics` names what each prompt is about; prompts of one topic under several labels are the
    same text in several languages, and are resampled together. Curated prompts bring their topics.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), mv.prompts.passages()[:10])
    >>> d = Documents(trace)
    >>> len(d), len(d.names), d.paired, len(set(d.units.tolist()))
    (10, 5, True, 2)
    """

    def __init__(
        self, trace: Trace, topics: Sequence[str] | None = None, beside: Trace | None = None
    ) -> None:
        if topics is not None and len(topics) != len(trace.prompts):
            raise InputError(
                f"Expected a topic for each of the {len(trace.prompts)} prompts, found "
                f"{len(topics)}."
            )
        self.trace = trace
        lengths = [prompt.stop - prompt.start for prompt in trace.prompts]
        numbers = np.arange(len(lengths), dtype=np.int32)
        self.document: np.ndarray = np.repeat(numbers, lengths)  # (T,)
        broken = _broken(trace) if beside is None else _broken(trace) | _broken(beside)
        broken = np.unique(self.document[broken])  # prompts that hold a gap
        self.left_out: int = len(broken)
        self.document[trace.special] = -1
        if (self.document < 0).all():
            raise InputError("This trace holds special tokens only: there is nothing to count.")
        self.document[np.isin(self.document, broken)] = -1
        if (self.document < 0).all():
            raise InputError(f"{self.left_out_note[0]} There is nothing else to count.")
        if not any((layer >= 0).any() for layer in trace.experts):
            raise InputError(
                "No token went to any expert: every slot was left empty. Record without the "
                "intervention that empties them."
            )
        self.names: tuple[str, ...] = trace.labels
        labels = [self.names.index(prompt.label) for prompt in trace.prompts]
        self.labels: np.ndarray = np.array(labels)  # (N,)
        counted = self.document[self.document >= 0]
        self.tokens: np.ndarray = np.bincount(counted, minlength=len(lengths))  # (N,)
        self.topics: tuple[str, ...] = tuple(
            topics_of(p.text for p in trace.prompts) if topics is None else topics
        )
        keys = self.topics if _parallel(self.topics, self.labels) else [""] * len(lengths)
        alone = [key or f"\0{n}" for n, key in enumerate(keys)]
        _, units = np.unique(alone, return_inverse=True)
        self.units: np.ndarray = units  # (N,) what is resampled as one

    def __len__(self) -> int:
        """Number of documents, N."""
        return len(self.labels)

    @staticmethod
    def of(source: Trace | Documents) -> Documents:
        """The documents of a trace, or those given."""
        return source if isinstance(source, Documents) else Documents(source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, experts, choices: (L, E, k)."""
        return len(self.trace.layers), self.trace.expert_count, self.trace.experts.shape[2]

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

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of at most BLOCK tokens, and which of them count."""
        for start in range(0, len(self.document), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self.document[rows] >= 0

    @cached_property
    def first(self) -> np.ndarray:
        """How often each document's first choice was each expert: (N, L, E)."""
        return self._counts(1)

    @cached_property
    def second(self) -> np.ndarray:
        """How often each document's second choice was each expert: (N, L, E)."""
        return (self.chosen if self.shape[2] == 2 else self._counts(2)) - self.first

    @cached_property
    def chosen(self) -> np.ndarray:
        """How often each document chose each expert, all k choices: (N, L, E)."""
        return self._counts(self.shape[2])

    @cached_property
    def mass(self) -> np.ndarray:
        """Sum of the gates with which each document used each expert: (N, L, E) float64.

        Where gates do not add up to 1, they are a token's shares of its gates, so that each counts
        once.
        """
        return self._counts(self.shape[2], gates=True)

    @cached_property
    def probability(self) -> np.ndarray:
        """Mean softmax over all experts of each document's tokens: (N, L, E) float64."""
        L, E, _ = self.shape
        total = np.zeros((len(self), L, E))
        for layer in range(L):
            for rows, kept in self.blocks():
                p = self.trace.probabilities(layer, rows)[kept]
                for e in range(E):
                    found = np.bincount(self.document[rows][kept], p[:, e], len(self))
                    total[:, layer, e] += found
        return total / np.maximum(self.tokens, 1)[:, None, None]

    def _counts(self, choices: int, gates: bool = False) -> np.ndarray:
        (L, E, _), N = self.shape, len(self)
        counts = np.zeros((N, L, E), np.float64 if gates else np.int64)
        for layer in range(L):
            for rows, kept in self.blocks():
                experts = self.trace.experts[layer, rows, :choices][kept]
                key = self.document[rows][kept][:, None].astype(np.int64) * E + experts
                used = experts >= 0  # an unused slot counts for no expert
                weights = self._shares(layer, rows)[kept][used] if gates else None
                found = np.bincount(key[used], weights, minlength=N * E)
                counts[:, layer] += found.reshape(N, E).astype(counts.dtype)
        return counts

    def _shares(self, layer: int, rows: slice) -> np.ndarray:
        """Gates of these tokens, (T, k), or their shares of a token's gates; see `mass`."""
        gates = np.asarray(self.trace.gates[layer, rows])
        if self.trace.rule.sums_to_one:  # what an empty slot lacks is missing
            return gates
        return gates / np.maximum(gates.sum(axis=1, keepdims=True), np.float32(1e-20))

    @property
    def left_out_note(self) -> tuple[str, ...]:
        """What must be said beside every result where prompts are left out for their NaN."""
        if not self.left_out:
            return ()
        return (
            f"Left out: {self.left_out} of {len(self.trace.prompts)} prompts, whose router logits "
            "or gates hold NaN or infinity. Record them again with this version, which says where "
            "that comes from.",
        )

    @property
    def order_note(self) -> tuple[str, ...]:
        """What must be said of first choices: experts stand in the order of their gates, if known.

        >>> from moe_viz.analysis.examples import example
        >>> Documents(example([[0, 1]])).order_note
        ()
        """
        if self.trace.rule.gated or self.shape[2] == 1:
            return ()
        return (
            "Gates were not recorded: a token's first choice is the expert that the program which "
            "recorded it names first.",
        )

    def few(self, documents: int) -> tuple[str, ...]:
        """What must be said beside a result from so few documents, and without some prompts."""
        notes = (*self.left_out_note, *self.order_note)
        if documents >= FEW:
            return notes
        return (
            *notes,
            f"Few documents ({documents}, fewer than {FEW}): treat intervals with care.",
        )


def _broken(trace: Trace) -> np.ndarray:
    """Tokens with a gap in any layer, (T,) bool."""
    return np.asarray(gaps(trace).any(axis=0))


def _parallel(topics: Sequence[str], labels: np.ndarray) -> bool:
    """Whether any topic has more than one label."""
    under: dict[str, set[int]] = {}
    for topic, label in zip(topics, labels.tolist(), strict=True):
        under.setdefault(topic, set()).add(label)
    return any(len(found) > 1 for topic, found in under.items() if topic)
