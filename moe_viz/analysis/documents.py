# SPDX-License-Identifier: Apache-2.0
"""What all analyses count: documents, their labels, and which of them belong together.

In: a trace. Out: counts of each document, layer by layer, so that a mapped trace of any length is
read once and never held in memory. A corpus is many traces, each counted by itself: an analysis
asks for counts of each document (`laid`), or for counts by key (`tallied`), and gets those of all.

    N documents   T tokens   L layers   E experts   k choices
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import InputError
from ..prompts import topics_of
from ..trace import Trace, gaps
from ..trace.choice import has_probabilities
from .tallies import Sums, Tally
from .units import Units

#: Tokens processed at a time, which bounds memory.
BLOCK = 262_144
#: What is said of a question that counts cannot answer.
DECISIONS = (
    "It needs decisions, and this corpus holds counts in place of them (keep='summaries'). Record "
    "it with keep='choices'."
)


@dataclass(frozen=True, eq=False)
class Once:
    """An argument of one call: what is counted with it is not kept."""

    def among(self, kept: Any) -> Any:
        """What is meant of an answer that a summary has kept, if it can have any."""
        raise InputError(DECISIONS)


@dataclass(frozen=True, eq=False)
class Each(Once):
    """An argument that has a value for each document: every part gets those of its own."""

    values: np.ndarray


class Documents(Units):
    """The documents of a trace: its prompts, special tokens left out.

    Prompts with NaN or infinity in them are left out whole (also where `beside`, another run of the
    same tokens, holds some), and every result says so. The parts of a document that was longer than
    the context are one document.

    `topics` names what each prompt is about; prompts of one topic under several labels are the
    same text in several languages, and are resampled together. Curated prompts bring their topics.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), mv.prompts.passages()[:10])
    >>> d = Documents(trace)
    >>> len(d), len(d.names), d.paired, len(set(d.units.tolist()))
    (10, 5, True, 2)
    """

    def __init__(
        self,
        trace: Trace,
        topics: Sequence[str] | None = None,
        beside: Trace | None = None,
        start: int | None = None,  # of a shard: the number of its first document
    ) -> None:
        self.trace: Any = trace
        first = [n for n, follows in enumerate(_follows(trace)) if not follows]
        if topics is not None and len(topics) != len(first):
            raise InputError(
                f"Expected a topic for each of the {len(first)} prompts, found {len(topics)}."
            )
        heads = [trace.prompts[n] for n in first]
        starts = np.array([head.start for head in heads])
        self._ends: np.ndarray = np.append(starts[1:], len(trace))  # the row after each document
        whole = np.repeat(np.arange(len(heads), dtype=np.int32), self._ends - starts)
        broken = _broken(trace) if beside is None else _broken(trace) | _broken(beside)
        broken = np.unique(whole[broken])  # documents that hold a gap
        self.document: np.ndarray = np.where(trace.special, np.int32(-1), whole)  # (T,)
        self.document[np.isin(whole, broken)] = -1
        counted = self.document[self.document >= 0]
        tokens = np.bincount(counted, minlength=len(heads))
        self.number: np.ndarray = np.arange(len(heads)) + (start or 0)  # (N,) in the corpus
        if topics is None:
            topics = topics_of(head.text for head in heads)
        super().__init__([head.label for head in heads], tokens, topics, len(broken))
        if start is None:
            self._check()

    def _check(self) -> None:
        """Raise `InputError` where there is nothing to count."""
        if not self.tokens.any():
            if not self.left_out:
                raise InputError("This trace holds special tokens only: there is nothing to count.")
            raise InputError(f"{self.left_out_note[0]} There is nothing else to count.")
        if not any(self.gathered(any_used)):
            raise InputError(
                "No token went to any expert: every slot was left empty. Record without the "
                "intervention that empties them."
            )

    # ---- Counting

    def laid(self, count: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
        """What `count(documents, *args)` gives for each document, (N, …).

        `count` is a function of a module, counts each document by itself, and may be called
        with the documents of one shard after the other.
        """
        return self.answer(count, args)

    def tallied(self, count: Callable[..., Tally], *args: Any) -> Tally:
        """The tally that `count(documents, *args)` gives, added up over all shards."""
        return self.answer(count, args)

    def gathered(self, count: Callable[..., Any], *args: Any) -> list[Any]:
        """What `count(documents, *args)` gives, of each shard in their order."""
        return [self.answer(count, args)]

    def summed(self, count: Callable[..., Sums], *args: Any) -> Sums:
        """The sums that `count(documents, *args)` gives, added up over all shards."""
        return self.answer(count, args)

    def answer(self, count: Callable[..., Any], args: Sequence[Any]) -> Any:
        """What `count` gives for these documents, by themselves."""
        return count(self, *(arg.values if isinstance(arg, Each) else arg for arg in args))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, experts, choices: (L, E, k)."""
        return len(self.trace.layers), self.trace.expert_count, self.trace.experts.shape[2]

    @property
    def summarised(self) -> bool:
        """Whether counts were kept in place of decisions."""
        return False

    @property
    def has_probabilities(self) -> bool:
        """Whether the recorded numbers are logits of which the router takes a softmax."""
        return has_probabilities(self.trace)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of whole documents, about BLOCK tokens at a time, and which of them count."""
        start = 0
        while start < len(self.document):
            within = np.searchsorted(self._ends, start + BLOCK, side="right") - 1
            stop = int(self._ends[max(within, np.searchsorted(self._ends, start, side="right"))])
            yield slice(start, stop), self.document[start:stop] >= 0
            start = stop

    @cached_property
    def first(self) -> np.ndarray:
        """How often each document's first choice was each expert: (N, L, E)."""
        return self.laid(choices, 1)

    @cached_property
    def second(self) -> np.ndarray:
        """How often each document's second choice was each expert: (N, L, E)."""
        both = self.chosen if self.shape[2] == 2 else self.laid(choices, 2)
        return both - self.first

    @cached_property
    def chosen(self) -> np.ndarray:
        """How often each document chose each expert, all k choices: (N, L, E)."""
        return self.laid(choices, self.shape[2])

    @cached_property
    def mass(self) -> np.ndarray:
        """Sum of the gates with which each document used each expert: (N, L, E) float64.

        Where gates do not add up to 1, they are a token's shares of its gates, so that each counts
        once.
        """
        return self.laid(gate_sums)

    @cached_property
    def probability(self) -> np.ndarray:
        """Mean softmax over all experts of each document's tokens: (N, L, E) float64."""
        return self.laid(probability_sums) / np.maximum(self.tokens, 1)[:, None, None]

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
        """See `Units`; also what must be said of first choices."""
        notes = super().few(documents)
        return (*self.left_out_note, *self.order_note, *notes[len(self.left_out_note) :])


# ---- What is counted of each document of a trace; see `Documents.laid`


def choices(docs: Documents, most: int) -> np.ndarray:
    """How often each expert is among the first `most` choices: (N, L, E)."""
    return _counts(docs, most, gates=False)


def gate_sums(docs: Documents) -> np.ndarray:
    """See `Documents.mass`."""
    return _counts(docs, docs.shape[2], gates=True)


def probability_sums(docs: Documents) -> np.ndarray:
    """Sum of the softmax over all experts, of each document's tokens: (N, L, E)."""
    L, E, _ = docs.shape
    total = np.zeros((len(docs), L, E))
    for layer in range(L):
        for rows, kept in docs.blocks():
            p = docs.trace.probabilities(layer, rows)[kept]
            for e in range(E):
                found = np.bincount(docs.document[rows][kept], p[:, e], len(docs))
                total[:, layer, e] += found
    return total


def any_used(docs: Documents) -> np.ndarray:
    """Whether any expert is used, ()."""
    return np.array(any(bool((layer >= 0).any()) for layer in docs.trace.experts))


def _counts(docs: Documents, most: int, gates: bool) -> np.ndarray:
    (L, E, _), N = docs.shape, len(docs)
    counts = np.zeros((N, L, E), np.float64 if gates else np.int64)
    for layer in range(L):
        for rows, kept in docs.blocks():
            experts = docs.trace.experts[layer, rows, :most][kept]
            key = docs.document[rows][kept][:, None].astype(np.int64) * E + experts
            used = experts >= 0  # an unused slot counts for no expert
            weights = _shares(docs.trace, layer, rows)[kept][used] if gates else None
            found = np.bincount(key[used], weights, minlength=N * E)
            counts[:, layer] += found.reshape(N, E).astype(counts.dtype)
    return counts


def _shares(trace: Trace, layer: int, rows: slice) -> np.ndarray:
    """Gates of these tokens, (T, k), or their shares of a token's gates; see `Documents.mass`."""
    gates = np.asarray(trace.gates[layer, rows])
    if trace.rule.sums_to_one:  # what an empty slot lacks is missing
        return gates
    return gates / np.maximum(gates.sum(axis=1, keepdims=True), np.float32(1e-20))


def _follows(trace: Trace) -> Iterator[bool]:
    """Of each prompt, whether it goes on with the document of the one before it."""
    before = None
    for prompt in trace.prompts:
        yield (
            before is not None
            and prompt.part == before.part + 1
            and (prompt.document, prompt.label) == (before.document, before.label)
        )
        before = prompt


def _broken(trace: Trace) -> np.ndarray:
    """Tokens with a gap in any layer, (T,) bool."""
    return np.asarray(gaps(trace).any(axis=0))
