# SPDX-License-Identifier: Apache-2.0
"""The documents of a corpus of shards: counted shard by shard, laid end to end or added up.

In: a dataset, and what runs the counting (this process, or an engine). Out: the same counts as of
one trace with all documents, bit for bit. Beyond 131,072 documents their counts are added up
in bundles, so that what is held does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from ..errors import MoeVizError
from ..progress import progress_bar
from ..trace import Trace, TraceDataset
from ..trace.dataset import Part
from .counting import Bundles, Counting, Request, count_shard
from .documents import Documents, Each, Once
from .tallies import Adding, Sums, Tally, added_sums
from .units import Units, about, said_of_each, token_counts

Run = Callable[[Iterable[Any]], Iterator[Any]]
#: Documents whose counts are held one by one; beyond, about so many bundles of them stand for all.
MOST, BUNDLES = 2**17, 2**16


class CorpusDocuments(Documents):
    """The documents of all shards of a dataset.

    `run` takes tasks and gives what `count_shard` makes of them, in any order: an engine's, or
    Python's `map`.
    """

    def __init__(self, data: TraceDataset, run: Run | None = None) -> None:
        self.data: TraceDataset = data
        self._run: Run = run or (lambda tasks: map(count_shard, tasks))
        self._ready: dict[tuple[Any, ...], Any] = {}
        self._bundles: Bundles | None = None
        self.trace: Any = data.pattern
        self._parts: list[Part] = list(data.parts)
        sizes, names, left_out = self._first_look()
        ends = np.cumsum([0, *sizes])
        self._all: int = int(ends[-1])
        self._slices: list[slice] = [slice(a, b) for a, b in pairwise(ends.tolist())]
        if self._all > MOST:
            each = max(64, BUNDLES // len(names))
            self._bundles = Bundles(names, each)
            labels = [name for name in names for _ in range(each)]
            # Units first: tables of bundles are as long as they are.
            Units.__init__(self, labels, np.ones(len(labels), int), [""] * len(labels), left_out)
            self.tokens = self.laid(token_counts)
        else:
            said = self.gathered(said_of_each)
            Units.__init__(
                self,
                [label for labels, _, _ in said for label in labels],
                np.concatenate([tokens for _, tokens, _ in said]),
                [topic for _, _, topics in said for topic in topics],
                left_out,
            )
        self.number: np.ndarray = np.arange(len(self))
        if self.summarised and self._bundles is None:  # as they were counted
            starts = (part.shard.number or 0 for part in self._parts)
            self.number = np.concatenate(
                [np.arange(n) + start for n, start in zip(sizes, starts, strict=True)]
            )
        self._check()

    def _first_look(self) -> tuple[list[int], tuple[str, ...], int]:
        """Documents of each shard, the labels in the order of their first, and what is left out."""
        sizes, first, left_out = [0] * len(self._parts), dict[str, int](), 0
        self._slices, self._has_probabilities = [slice(0, 0)] * len(self._parts), True
        for number, answers in self._run(self._tasks([("gathered", about, ())])):
            if answers:
                (said,) = answers
                sizes[number] = said.documents
                left_out += said.left_out
                self._has_probabilities &= said.has_probabilities
                for place, name in enumerate(said.names):
                    at = (number << 32) + place
                    first[name] = min(first.get(name, at), at)
        there = [n for n, size in enumerate(sizes) if size]
        self._parts = [self._parts[n] for n in there]
        return [sizes[n] for n in there], tuple(sorted(first, key=lambda n: first[n])), left_out

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `Documents`."""
        return len(self.trace.layers), self.trace.expert_count, self.trace.choices

    @property
    def has_probabilities(self) -> bool:
        """See `Documents`."""
        return self._has_probabilities

    @property
    def summarised(self) -> bool:
        """See `Documents`."""
        return self.data.summarised

    @property
    def documents(self) -> int:
        """See `Units`."""
        return self._all

    @property
    def left_out_note(self) -> tuple[str, ...]:
        """See `Documents`; also what bundles are."""
        if self._bundles is None:
            return super().left_out_note
        return (
            *super().left_out_note,
            f"{self._all:,} documents in {self.counted:,} bundles: a bundle is resampled as one, "
            "and counts as a document here.",
        )

    # ---- Counting

    def prepare(self, requests: Sequence[Request]) -> None:
        """Count all this in one reading of the shards; asking for it is then no work."""
        missing = [r for r in requests if (r[1], r[2]) not in self._ready]
        if not missing:
            return
        merging = [_MERGING[kind](self) for kind, _, _ in missing]
        refused = dict[int, MoeVizError]()
        with progress_bar("counting", len(self._parts), unit="shards") as bar:
            for number, answers in self._run(self._tasks(missing)):
                for n, answer in enumerate(answers):
                    if isinstance(answer, MoeVizError):
                        refused[n] = answer
                    else:
                        merging[n].add(number, answer)
                bar.update()
        for n, (_, count, args) in enumerate(missing):
            self._ready[count, args] = refused.get(n) or merging[n].total

    def laid(self, count: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
        """See `Documents`."""
        return self._asked("laid", count, args)

    def tallied(self, count: Callable[..., Tally], *args: Any) -> Tally:
        """See `Documents`."""
        return self._asked("tallied", count, args)

    def gathered(self, count: Callable[..., Any], *args: Any) -> list[Any]:
        """See `Documents`."""
        return self._asked("gathered", count, args)

    def summed(self, count: Callable[..., Sums], *args: Any) -> Sums:
        """See `Documents`."""
        return self._asked("summed", count, args)

    def _asked(self, kind: str, count: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self.prepare([(kind, count, args)])
        key = (count, args)
        found = self._ready[key] if not _passing(args) else self._ready.pop(key)
        if isinstance(found, MoeVizError):
            raise found
        return found

    def _tasks(self, requests: Sequence[Request]) -> Iterator[Counting]:
        for number, (part, some) in enumerate(zip(self._parts, self._slices, strict=True)):
            own = tuple(
                (kind, count, tuple(self._own(arg, some) for arg in args))
                for kind, count, args in requests
            )
            yield Counting(number, part, some.start, own, self._bundles)

    def _own(self, arg: Any, documents: slice) -> Any:
        """An argument as a shard gets it: of its own documents, or of all bundles."""
        if not isinstance(arg, Each) or self._bundles is not None:
            return arg
        return arg.values[documents]


class _Laid:
    """Tables of documents, end to end; of bundles, added up."""

    def __init__(self, docs: CorpusDocuments) -> None:
        self._docs = docs
        self.total: Any = None

    def add(self, number: int, found: Any) -> None:
        rows, table = found if self._docs._bundles else (self._docs._slices[number], found)
        if self.total is None:
            self.total = np.zeros((len(self._docs), *table.shape[1:]), table.dtype)
        self.total[rows] += table  # no row is named twice


class _Tallied(Adding):
    """Tallies, added up."""

    def __init__(self, docs: CorpusDocuments) -> None:
        super().__init__()

    def add(self, number: int, more: Any) -> None:  # type: ignore[override]
        super().add(more)


class _Summed:
    """Sums, added up as they come: of many experts each is large."""

    def __init__(self, docs: CorpusDocuments) -> None:
        self.total: Any = None

    def add(self, number: int, more: Any) -> None:
        self.total = Sums(*more) if self.total is None else added_sums(self.total, Sums(*more))


class _Gathered:
    """Whatever it is, in the order of the shards."""

    def __init__(self, docs: CorpusDocuments) -> None:
        self.total: list[Any] = [None] * len(docs._slices)

    def add(self, number: int, answer: Any) -> None:
        self.total[number] = answer


_MERGING: dict[str, Any] = {
    "laid": _Laid, "tallied": _Tallied, "summed": _Summed, "gathered": _Gathered,
}  # fmt: skip


def _passing(args: tuple[Any, ...]) -> bool:
    """Whether a result is of one call only, and is not kept."""
    return any(isinstance(arg, Once) for arg in args)


#: What analyses count: a trace, a corpus, or the documents of either.
Countable: TypeAlias = Trace | TraceDataset | Documents


def documents_of(recordings: Countable, run: Run | None = None) -> Documents:
    """The documents of a trace, or of a corpus that `run` counts; or those given."""
    if isinstance(recordings, Documents):
        return recordings
    if isinstance(recordings, TraceDataset):
        return CorpusDocuments(recordings, run)
    return Documents(recordings)
