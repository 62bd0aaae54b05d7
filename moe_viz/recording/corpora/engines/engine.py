# SPDX-License-Identifier: Apache-2.0
"""What an engine is: it runs work on tasks, wherever it likes, and hands back what came of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

#: What a worker does with a task; it is sent to where it runs, and must bear being done twice.
Work: TypeAlias = Callable[[Any], Any]
#: Tasks in, results out, in any order.
Run: TypeAlias = Callable[[Iterable[Any]], Iterator[Any]]
#: How often workers may die over a task, or in a row, before the run gives up.
TRIES = 10


class Engine(Protocol):
    """Something that runs tasks."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    def started(self, work: Work) -> AbstractContextManager[Run]:
        """Workers that are ready for this work, until the block ends."""
        ...


@dataclass(frozen=True)
class Inline:
    """One task after the other, in this process."""

    name: str = "inline"
    workers: int = 1

    @contextmanager
    def started(self, work: Work) -> Iterator[Run]:
        """See `Engine`."""
        yield lambda tasks: map(work, tasks)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
