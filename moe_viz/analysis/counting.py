# SPDX-License-Identifier: Apache-2.0
"""What a worker counts in one shard, without knowing of the others.

In: a task. Out: what was counted, in the order in which it was asked for; bundles of documents are
added up here already, so that what travels does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, TraceError
from ..trace.dataset import Part
from .documents import Documents, Each
from .summary import Summary
from .tallies import scrambled

#: How the results of shards are put together, the function, and its arguments.
Request = tuple[str, Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Bundles:
    """Which documents stand together where there are too many: `each` bundles of every label."""

    names: tuple[str, ...]
    each: int

    def of(self, docs: Documents | Summary) -> np.ndarray:
        """The number of each document's bundle, (N,)."""
        known = {name: n for n, name in enumerate(self.names)}
        label = np.array([known[name] for name in docs.names])[docs.labels]
        return label * self.each + (scrambled(1, docs.number) % np.uint64(self.each)).astype(int)


@dataclass(frozen=True)
class Counting:
    """What is to be counted in one shard: a task for an engine, whose work is `count_shard`."""

    number: int
    part: Part
    start: int  # number of its first document
    counts: tuple[Request, ...]
    bundles: Bundles | None = None


def count_shard(task: Counting) -> tuple[int, list[Any]]:
    """Count what is asked for in one shard; nothing, where nothing of it was selected."""
    docs = _documents(task)
    if docs is None:
        return task.number, []
    return task.number, [_answer(docs, task.bundles, *request) for request in task.counts]


def _documents(task: Counting) -> Documents | Summary | None:
    """A shard's documents, of its decisions or of what was counted when it was made."""
    if (summary := Summary.load(task.part.path)) is not None:
        return summary
    trace = task.part.open()
    return None if trace is None else Documents(trace, start=task.start)


def _answer(
    docs: Documents | Summary,
    bundles: Bundles | None,
    kind: str,
    count: Callable[..., Any],
    args: tuple[Any, ...],
) -> Any:
    """What is counted; or why it cannot be, for whoever asks for it."""
    try:
        if bundles is None:
            return docs.answer(count, args)
        bundle = bundles.of(docs)
        own = [Each(arg.values[bundle]) if isinstance(arg, Each) else arg for arg in args]
        found = docs.answer(count, own)
        if kind != "laid":
            return found
        used, which = np.unique(bundle, return_inverse=True)
        sums = np.zeros((len(used), *found.shape[1:]), found.dtype)
        np.add.at(sums, which, found)
        return used, sums
    except (InputError, TraceError) as error:
        return error
