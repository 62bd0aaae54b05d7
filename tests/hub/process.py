# SPDX-License-Identifier: Apache-2.0
"""The stand-in in a process of its own, so that it takes no time from what is measured."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from .server import Hub


@dataclass(frozen=True)
class Totals:
    """What was asked and sent so far."""

    requests: int
    bytes_sent: int  # of bodies, by both servers
    by_file: dict[str, int]  # bytes of each file's contents


def totals(hub: Hub) -> Totals:
    """What a hub's log comes to."""
    log, by_file = list(hub.log), Counter[str]()
    for record in log:
        if record.file:
            by_file[record.file] += record.bytes_sent
    return Totals(len(log), sum(record.bytes_sent for record in log), dict(by_file))


def forget(hub: Hub) -> None:
    """Start a hub's log anew."""
    hub.log.clear()


class RemoteHub:
    """A hub in another process: its addresses, and a way to ask it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.endpoint, self.cdn_endpoint = connection.recv()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function says of the hub there: `ask(totals)`, `ask(setattr, "rate", 1e8)`.

        Function, arguments and result must be picklable; what it raises is raised here.
        """
        self._connection.send((function, arguments))
        result = self._connection.recv()
        if isinstance(result, Exception):
            raise result
        return result

    def totals(self) -> Totals:
        """What was asked and sent so far."""
        return self.ask(totals)


@contextmanager
def serve_in_process(make_hub: Callable[[], Hub]) -> Iterator[RemoteHub]:
    """Run the hub that a function of some module makes (picklable) in a new process.

    It ends with the context, and with this process however that ends.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(make_hub, theirs), daemon=True)
    process.start()
    theirs.close()  # so that the end of either process is seen by the other
    try:
        yield RemoteHub(ours)
    finally:
        ours.close()
        process.join(10)
        process.close()


def _serve(make_hub: Callable[[], Hub], connection: Connection) -> None:
    with make_hub() as hub:
        connection.send((hub.endpoint, hub.cdn_endpoint))
        while True:
            try:
                function, arguments = connection.recv()
            except (EOFError, KeyboardInterrupt):
                return
            try:
                connection.send(function(hub, *arguments))
            except Exception as error:
                connection.send(error)
