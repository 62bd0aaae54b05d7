# SPDX-License-Identifier: Apache-2.0
"""Ray: workers on this machine or on a cluster, each an actor that keeps its model.

Ray Data hands out the tasks and starts an actor again when one dies. Without an address Ray's own
processes are started here, on loopback, and ended with the block; those that a driver which was
killed has left behind are ended by their ids, which are noted when they start.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import MissingDependencyError, MoeVizError, first_line
from .engine import Run, Work, cores

#: Tasks that are handed to Ray at a time, so that a million are not held at once.
BLOCK = 4096
_NOTED = "moe-viz-ray-processes"


@dataclass(frozen=True)
class Ray:
    """Actors of Ray Data: on a cluster at `address`, or on this machine alone."""

    asked: int | None = None
    address: str | None = None
    gpus: float = 0
    name: str = "ray"

    @property
    def workers(self) -> int:
        """How many actors there will be; of a cluster, before it is asked, one."""
        return self.asked or (1 if self.address else cores())

    @contextmanager
    def started(self, work: Work) -> Iterator[Run]:
        """See `Engine`."""
        ray = _ray()
        began_here = not ray.is_initialized()
        if began_here:
            _end_left_over()
            _begin(ray, self.address)
        try:
            yield lambda tasks: self._run(ray, work, tasks)
        finally:
            if began_here:
                ray.shutdown()
                _end_left_over()

    def _run(self, ray: Any, work: Work, tasks: Iterable[Any]) -> Iterator[Any]:
        count = self.asked or self._offered(ray)
        pending: list[Any] = []
        for task in tasks:
            pending.append({"task": task})
            if len(pending) == BLOCK:
                yield from self._block(ray, work, pending, count)
                pending = []
        if pending:
            yield from self._block(ray, work, pending, count)

    def _block(self, ray: Any, work: Work, items: list[Any], count: int) -> Iterator[Any]:
        count = min(count, len(items))
        threads = 1 if self.address else max(1, cores() // count)
        done = ray.data.from_items(items, override_num_blocks=len(items)).map(
            _Actor,
            fn_constructor_args=(work, threads),
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
            num_gpus=self.gpus or None,
        )
        try:
            for row in done.iter_rows():
                yield row["done"]
        except Exception as error:
            if isinstance(error, MoeVizError):
                raise
            if (cause := _ours(error)) is not None:
                raise cause from error
            raise MoeVizError(
                f"Ray could not finish ({first_line(error)}). What was recorded is kept: the same "
                "call goes on from there."
            ) from error

    def _offered(self, ray: Any) -> int:
        there = ray.cluster_resources()
        by_gpus = there.get("GPU", 0) / self.gpus if self.gpus else float("inf")
        return max(1, int(min(there.get("CPU", 1), by_gpus)))


class _Actor:
    """What keeps the work, and with it the model, between tasks."""

    def __init__(self, work: Work, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"done": self._work(row["task"])}


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "engine='ray' needs the package ray: pip install 'moe-viz[scale]'. On one machine, "
            "engine='processes' does without."
        ) from error
    return ray


def _begin(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one of this machine alone, on loopback."""
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            before = _children()
            ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            _note([one for one in _children() if one not in before])
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MoeVizError(
            f"Ray could not be started, or reached at {address} ({first_line(error)}). Expected "
            "an address as ray start --head prints it, or none for processes on this machine."
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


# ---- Ray's own processes, which outlive a driver that is killed


def _children() -> list[tuple[int, float]]:
    """Ids and starting times of this process's descendants."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found.append((process.pid, process.create_time()))
    return found


def _noted() -> Path:
    return Path(tempfile.gettempdir()) / f"{_NOTED}-{os.getuid() if os.name == 'posix' else 0}"


def _note(processes: list[tuple[int, float]]) -> None:
    folder = _noted()
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"driver": os.getpid(), "processes": processes})
    (folder / f"{os.getpid()}.json").write_text(text, encoding="utf-8")


def _end_left_over() -> None:
    """End what drivers that are gone have left, and forget what is gone."""
    import psutil

    with suppress(OSError):
        for path in _noted().glob("*.json"):
            with suppress(ValueError, LookupError, OSError):
                noted = json.loads(path.read_text(encoding="utf-8"))
                if noted["driver"] != os.getpid() and psutil.pid_exists(noted["driver"]):
                    continue
                for pid, began in noted["processes"]:
                    with suppress(psutil.Error):
                        process = psutil.Process(pid)
                        if process.create_time() == began:  # and not another with its number
                            process.kill()
            path.unlink(missing_ok=True)


def _ours(error: BaseException | None) -> MoeVizError | None:
    """The error of ours that Ray has wrapped, if there is one."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for found in (error, getattr(error, "cause", None)):
            if isinstance(found, MoeVizError):
                return found
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return None
