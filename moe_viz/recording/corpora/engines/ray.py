# SPDX-License-Identifier: Apache-2.0
"""Ray: workers on this machine or on a cluster, each an actor that keeps its model.

Ray starts an actor again when it or its machine dies, and gives it its task again. Without an
address Ray's own processes are started here, on loopback, and ended with the block; those that a
driver which was killed has left behind are ended by their ids, which are noted when they start.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import MissingDependencyError, MoeVizError, first_line
from ....progress import tell
from .engine import TRIES, Run, Work, cores

_NOTED = "moe-viz-ray-processes"


@dataclass(frozen=True)
class Ray:
    """Actors of Ray: on a cluster at `address`, or on this machine alone."""

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
        if self.address:
            _check_reached(self.address)
        ray = _ray(alone=not self.address)
        began_here = not ray.is_initialized()
        if began_here:
            _end_left_over()
            _begin(ray, self.address)
        try:
            actors = self._actors(ray, work)
            yield lambda tasks: _run(ray, actors, tasks)
        finally:
            if began_here:
                ray.shutdown()
                _end_left_over()

    def _actors(self, ray: Any, work: Work) -> list[Any]:
        there = ray.cluster_resources()
        by_gpus = int(there.get("GPU", 0) / self.gpus) if self.gpus else 2**30
        count = self.asked or max(1, min(int(there.get("CPU", 1)), by_gpus))
        threads = 1 if self.address else max(1, cores() // count)
        kind = ray.remote(
            num_cpus=1, num_gpus=self.gpus or None, max_restarts=-1, max_task_retries=TRIES
        )(_Actor)
        # The work itself, not an object in Ray's store: an actor that starts again needs it still.
        return [kind.remote(work, threads) for _ in range(count)]


def _run(ray: Any, actors: list[Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """Results as they come; every actor has one task to do and one that waits."""
    coming, free = iter(tasks), deque([*actors, *actors])
    running: dict[Any, Any] = {}
    while True:
        while free and (task := next(coming, None)) is not None:
            actor = free.popleft()
            running[actor.do.remote(task)] = actor
        if not running:
            return
        (done,), _ = ray.wait(list(running), num_returns=1)
        free.append(running.pop(done))
        try:
            result = ray.get(done)
        except ray.exceptions.RayError as error:
            raise MoeVizError(
                f"Ray could not finish a task ({first_line(error)}). What was recorded is kept: "
                "the same call goes on from there. Is there too little memory for a worker?"
            ) from error
        if isinstance(result, MoeVizError):
            raise result
        yield result


class _Actor:
    """What keeps the work, and with it the model, between tasks."""

    def __init__(self, work: Work, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._work = work

    def do(self, task: Any) -> Any:
        """What comes of a task; an error of ours as it is, which Ray would wrap."""
        try:
            return self._work(task)
        except MoeVizError as error:
            return error


def _ray(alone: bool) -> Any:
    """The package. Alone on a machine, Ray listens on loopback: it reads this when imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if alone and "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ:
        if "ray" in sys.modules:
            tell(
                "ray was imported before this, and so listens on this machine's address in the "
                "network too. Set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 first for loopback alone."
            )
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "engine='ray' needs the package ray: pip install 'moe-viz[scale]'. On one machine, "
            "engine='processes' does without."
        ) from error
    return ray


def _check_reached(address: str) -> None:
    """Raise `MoeVizError` where nothing listens: Ray would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto", or a name that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise MoeVizError(
            f"{address}: no Ray cluster answers there ({first_line(error)}). Expected an address "
            "as ray start --head prints it, or none for processes on this machine."
        ) from error


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
