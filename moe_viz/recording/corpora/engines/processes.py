# SPDX-License-Identifier: Apache-2.0
"""Workers on this machine: processes of loky's, of which one may die and nothing is lost.

loky starts them without running the caller's script again, and ends them when it is told to. When
one dies, its pool is broken: what was running is given to a new one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....errors import MoeVizError, first_line
from .engine import TRIES, Run, Work

_work: Work | None = None


@dataclass(frozen=True)
class Processes:
    """As many processes as are asked for, on this machine."""

    workers: int
    name: str = "processes"

    @contextmanager
    def started(self, work: Work) -> Iterator[Run]:
        """See `Engine`."""
        pool = _Pool(work, self.workers)
        try:
            yield pool.run
        finally:
            pool.end()


class _Pool:
    def __init__(self, work: Work, workers: int) -> None:
        self._work, self._workers, self._pool = work, workers, None

    def run(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Results as they come; a few tasks wait in line, however many there are."""
        coming, again = iter(tasks), deque[Any]()
        running: dict[Future[Any], Any] = {}
        deaths = 0  # since the last result: who was to blame is not known
        while True:
            while len(running) < 2 * self._workers:
                task = again.popleft() if again else next(coming, None)
                if task is None:
                    break
                running[self._submitted(task)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    again.append(task)
                    if self._pool is not None:  # and not the next of its victims
                        deaths += 1
                        self.end()
                    if deaths == TRIES:
                        raise MoeVizError(
                            f"Worker processes died {TRIES} times and finished nothing in between "
                            f"({first_line(error)}). Is there too little memory? Take fewer "
                            "workers=, or look at the system's log."
                        ) from error
                else:
                    deaths = 0
                    yield result

    def _submitted(self, task: Any) -> Future[Any]:
        from loky.process_executor import ProcessPoolExecutor

        for _ in range(TRIES):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    initializer=_begin,
                    initargs=(self._work, self._workers, os.getpid()),
                    env={
                        "OMP_WAIT_POLICY": "PASSIVE",
                        "OMP_NUM_THREADS": _threads(self._workers),
                        # A model and its batches are no leak, however much they come to.
                        "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18",
                    },
                )
            try:
                return self._pool.submit(_do, task)
            except BrokenProcessPool:  # one has died since
                self.end()
        raise MoeVizError("Worker processes die as soon as they start. Look at the system's log.")

    def end(self) -> None:
        """End the processes, whatever they do."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)


def _threads(workers: int) -> str:
    return str(max(1, (os.cpu_count() or 1) // workers))


def _begin(work: Work, workers: int, driver: int) -> None:
    """What a process does first: it keeps the work, and watches whether its driver lives."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver is told, and ends this process
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(_threads(workers)))


def _watch(driver: int) -> None:
    while _lives(driver):
        time.sleep(0.5)
    os._exit(1)  # whatever it does: a shard is written whole or not at all


def _lives(process: int) -> bool:
    if os.name == "posix":
        return os.getppid() == process
    import psutil

    return psutil.pid_exists(process)


def _do(task: Any) -> Any:
    assert _work is not None
    return _work(task)
