# SPDX-License-Identifier: Apache-2.0
"""The documents of a corpus of shards: counted shard by shard, laid end to end or added up.

In: a dataset, and what runs the counting (this process, or an engine). Out: the same counts as of
one trace with all documents, bit for bit. Beyond 131,072 documents their counts are added up
in bundles, so that what is held does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InputError, MoeVizError, TraceError
from ..progress import progress_bar
from ..trace import Trace, TraceDataset
from ..trace.dataset import Part
from .documents import Documents, Each, Once
from .tallies import Adding, Tally, scrambled
from .units import Units

#: Documents whose counts are held one by one; beyond, about so many bundles of them stand for all.
MOST, BUNDLES = 2**17, 2**16

#: How the results of shards are put together, the function, and its arguments.
Request = tuple[str, Callable[..., Any], tuple[Any, ...]]
Run = Callable[[Iterable[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Counting:
    """What is to be counted in one shard: a task for an engine, whose work is `count_shard`."""

    number: int
    part: Part
    start: int  # number of its first document
    counts: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]


def count_shard(task: Counting) -> tuple[int, list[Any]]:
    """Count what is asked for in one shard; nothing, where nothing of it was selected."""
    trace = task.part.open()
    if trace is None:
        return task.number, []
    docs = Documents(trace, start=task.start)
    return task.number, [_answer(docs, count, args) for count, args in task.counts]


def _answer(docs: Documents, count: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What is counted; or why it cannot be, for whoever asks for it."""
    try:
        return count(docs, *args)
    except (InputError, TraceError) as error:
        return error


@dataclass(frozen=True)
class _About:
    """What a shard says of its documents."""

    labels: tuple[str, ...]
    tokens: np.ndarray
    topics: tuple[str, ...]
    left_out: int
    has_probabilities: bool


def _about(docs: Documents) -> _About:
    labels = tuple(docs.names[n] for n in docs.labels)
    return _About(labels, docs.tokens, docs.topics, docs.left_out, docs.has_probabilities)


class CorpusDocuments(Documents):
    """The documents of all shards of a dataset.

    `run` takes tasks and gives what `count_shard` makes of them, in any order: an engine's, or
    Python's `map`.
    """

    def __init__(self, data: TraceDataset, run: Run | None = None) -> None:
        self.data: TraceDataset = data
        self._run: Run = run or (lambda tasks: map(count_shard, tasks))
        self._ready: dict[tuple[Any, ...], Any] = {}
        self.trace: Any = _Pattern(data)
        _, _, self._k = data.pattern.experts.shape
        self._slices: list[slice] = []
        self._bundle: np.ndarray | None = None
        found = self._each([(_about, ())])
        self._parts: list[Part] = [data.parts[n] for n, answer in enumerate(found) if answer]
        shards: list[_About] = [answer[0] for answer in found if answer]
        self._has_probabilities = all(shard.has_probabilities for shard in shards)
        ends = np.cumsum([0, *(len(shard.labels) for shard in shards)]).tolist()
        self._slices = [slice(a, b) for a, b in pairwise(ends)]
        self._all: int = ends[-1]
        Units.__init__(
            self,
            [label for shard in shards for label in shard.labels],
            np.concatenate([shard.tokens for shard in shards]),
            [topic for shard in shards for topic in shard.topics],
            sum(shard.left_out for shard in shards),
        )
        self.number: np.ndarray = np.arange(self._all)
        if self._all > MOST:
            self._put_into_bundles()
        self._check()

    def _put_into_bundles(self) -> None:
        """Let bundles stand for documents: their counts are sums, and they are resampled whole."""
        number = np.arange(self._all)
        each = max(64, BUNDLES // len(self.names))
        bundle = self.labels * each + (scrambled(1, number) % np.uint64(each)).astype(int)
        used, self._bundle = np.unique(bundle, return_inverse=True)
        self.tokens = np.bincount(self._bundle, self.tokens, len(used)).astype(np.int64)
        self.labels = used // each
        self.topics = ("",) * len(used)
        self.units = np.arange(len(used))
        self.number = np.arange(len(used))

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `Documents`."""
        return len(self.trace.layers), self.trace.expert_count, self._k

    @property
    def has_probabilities(self) -> bool:
        """See `Documents`."""
        return self._has_probabilities

    @property
    def left_out_note(self) -> tuple[str, ...]:
        """See `Documents`; also what bundles are."""
        if self._bundle is None:
            return super().left_out_note
        return (
            *super().left_out_note,
            f"{self._all:,} documents in {len(self):,} bundles: a bundle is resampled as one, and "
            "counts as a document here.",
        )

    # ---- Counting

    def prepare(self, requests: Sequence[Request]) -> None:
        """Count all this in one reading of the shards; asking for it is then no work."""
        missing = [r for r in requests if (r[1], r[2]) not in self._ready]
        if not missing:
            return
        merging = [_MERGING[kind](self) for kind, _, _ in missing]
        counts, refused = [(count, args) for _, count, args in missing], dict[int, MoeVizError]()
        with progress_bar("counting", len(self._parts), unit="shards") as bar:
            for number, answers in self._run(self._tasks(counts)):
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

    def _asked(self, kind: str, count: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self.prepare([(kind, count, args)])
        key = (count, args)
        found = self._ready[key] if not _passing(args) else self._ready.pop(key)
        if isinstance(found, MoeVizError):
            raise found
        return found

    def _tasks(self, counts: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> Iterator[Any]:
        for number, part in enumerate(self._parts):
            some = self._slices[number] if self._slices else slice(0, 0)
            yield Counting(
                number,
                part,
                some.start,
                tuple((count, tuple(self._own(arg, some) for arg in args))
                      for count, args in counts),
            )  # fmt: skip

    def _own(self, arg: Any, documents: slice) -> Any:
        """An argument as a shard gets it."""
        if not isinstance(arg, Each):
            return arg
        if self._bundle is not None:
            return arg.values[self._bundle[documents]]
        return arg.values[documents]

    def _each(self, counts: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
        found: list[Any] = [[]] * len(self.data.parts)
        self._parts = list(self.data.parts)
        for number, answers in self._run(self._tasks(counts)):
            found[number] = answers
        return found


class _Laid:
    """Tables of documents, end to end; of bundles, added up."""

    def __init__(self, docs: CorpusDocuments) -> None:
        self._docs = docs
        self.total: Any = None

    def add(self, number: int, table: np.ndarray) -> None:
        docs = self._docs
        if self.total is None:
            self.total = np.zeros((len(docs), *table.shape[1:]), table.dtype)
        rows = docs._slices[number]
        if docs._bundle is None:
            self.total[rows] = table
        else:
            np.add.at(self.total, docs._bundle[rows], table)


class _Tallied(Adding):
    def __init__(self, docs: CorpusDocuments) -> None:
        super().__init__()

    def add(self, number: int, more: Any) -> None:  # type: ignore[override]
        super().add(more)


class _Gathered:
    def __init__(self, docs: CorpusDocuments) -> None:
        self.total: list[Any] = [None] * len(docs._slices)

    def add(self, number: int, answer: Any) -> None:
        self.total[number] = answer


_MERGING: dict[str, Any] = {"laid": _Laid, "tallied": _Tallied, "gathered": _Gathered}


class _Pattern:
    """What a trace says that holds for a whole corpus; its arrays are never in memory together."""

    _SAID = ("provenance", "layers", "rule", "expert_count", "scored", "mixtures", "model_layers")

    def __init__(self, data: TraceDataset) -> None:
        self._said = {name: getattr(data.pattern, name) for name in self._SAID}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._SAID:
            raise AttributeError(f"{name} of a corpus is not in memory: count it shard by shard")
        return self._said[name]


def _passing(args: tuple[Any, ...]) -> bool:
    """Whether a result is of one call only, and is not kept."""
    return any(isinstance(arg, Once) for arg in args)


def documents_of(recordings: Trace | TraceDataset, run: Run | None = None) -> Documents:
    """The documents of a trace, or of a corpus that `run` counts."""
    if isinstance(recordings, TraceDataset):
        return CorpusDocuments(recordings, run)
    return Documents(recordings)
