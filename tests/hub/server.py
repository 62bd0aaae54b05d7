# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Hugging Face Hub and its CDN, on loopback: two servers and what happens there.

In: repositories of files. Out: `Hub`, which runs while its context is open, records every request
in `Hub.log`, and lets things go wrong with `Hub.fault`. What is answered is `answers`' business,
what goes wrong `faults'`.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from .answers import API, Refused, Signer, cdn_answer, hub_answer
from .faults import Fault, named
from .files import Repo, StoredFile
from .wire import Answer, Line, Range, Record, Request, read_request


class Hub:
    """The two servers, in threads of their own.

    `tokens` are those of people who may read no private or gated repository; `rate` is in bytes/s
    over all connections. With `resolve_cache`, files without LFS lie behind a relative redirect
    (307), as they do on the Hub since 2025 (huggingface/swift-transformers#209).

    >>> from tests.hub.files import BytesFile
    >>> with Hub([Repo("org/name", {"a.txt": BytesFile(b"text", lfs=False)})]) as hub:
    ...     hub.fault("reset", match="a.txt", bytes=2).hits
    0
    """

    def __init__(
        self,
        repos: Iterable[Repo],
        *,
        tokens: Iterable[str] = (),
        rate: float | None = None,
        resolve_cache: bool = False,
    ) -> None:
        self.repos = {repo.name: repo for repo in repos}
        self.tokens, self.resolve_cache = set(tokens), resolve_cache
        self.signer, self.line = Signer(), Line(rate)
        self.log: list[Record] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._servers: list[_Server] = []

    def __enter__(self) -> Hub:
        # Two names for one machine: to a client the cdn is another host.
        for name, answer in (("hub", hub_answer), ("cdn", cdn_answer)):
            self._servers.append(_Server(self, name, answer))
        hub, cdn = (server.server_address[1] for server in self._servers)
        self.endpoint, self.cdn_endpoint = f"http://127.0.0.1:{hub}", f"http://localhost:{cdn}"
        for server in self._servers:
            server.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.line.down.set()
        for server in self._servers:
            server.stop()

    @property
    def rate(self) -> float | None:
        """Bytes/s over all connections; None: as fast as it goes."""
        return self.line.rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        self.line.rate = rate

    def push(self, repo: str, files: Mapping[str, StoredFile | None], branch: str = "main") -> str:
        """A new commit, with these files changed, or removed where None; its hash."""
        return self.repos[repo].push(files, branch)

    def fault(
        self,
        kind: str | int,
        match: str = "",
        times: int | None = 1,
        after: int = 0,
        on: str = "contents",
        **options: Any,
    ) -> Fault:
        """Let the next requests whose path contains `match` meet a fault of `faults.FAULTS`.

        The first `after` are spared; then it happens `times` times (None: for ever). `on` says to
        which requests: "contents" (GETs that would send a file's), "resolve" (HEADs, and GETs that
        would be sent to the cdn), "api", or "any". A request meets one fault at most, the one that
        was injected first.
        """
        fault = named(kind, match, on, times, after, options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def expire(self) -> None:
        """No address of the cdn that was handed out so far holds any more."""
        self.signer.forget()

    def sent(self, path: str) -> list[Range]:
        """The ranges of a file's contents that were really sent, by either server, in order.

        An answer that a fault compressed is left out, as it has no place in the file.
        """
        found = [record for record in self.log if record.file == path and record.bytes_sent]
        return [(record.start, record.start + record.bytes_sent) for record in found]

    def faulty(self, server: str, request: Request, answer: Answer) -> Answer:
        """What is sent instead of this answer, if something goes wrong."""
        path, part = unquote(request.path), "resolve"
        if request.method == "GET" and answer.file is not None:
            part = "contents"
        elif server == "cdn":
            part = "refused"
        elif API.fullmatch(request.path):
            part = "api"
        with self._lock:
            met = next((fault for fault in self._faults if fault.meets(path, part)), None)
        return met.effect(self, request, answer) if met else answer


class _Server(socketserver.ThreadingTCPServer):
    """One of the two: a thread that accepts, and one for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: Hub, name: str, answer: Callable[[Hub, Request], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.hub, self.name, self.answer = hub, name, answer
        self.open: dict[socket.socket, threading.Thread] = {}
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def shutdown_request(self, request: Any) -> None:
        # The base class says goodbye (FIN) first; a connection that breaks does not.
        self.open.pop(request, None)
        request.close()

    def stop(self) -> None:
        """Accept nothing more, and end what is under way."""
        self.shutdown()
        self.server_close()
        for connection, thread in list(self.open.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class _Connection(socketserver.StreamRequestHandler):
    """One client's connection, with request after request."""

    disable_nagle_algorithm = True  # a head and a short body would wait for each other

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        hub = server.hub
        server.open[self.connection] = threading.current_thread()
        # A client that goes away in the middle is nothing unusual.
        with suppress(ConnectionError):
            while not hub.line.down.is_set() and (request := read_request(self.rfile)):
                # In the log before it is answered: whoever has an answer finds it there.
                record = Record(server.name, request.method, unquote(request.path), request.headers)
                hub.log.append(record)
                try:
                    answer = server.answer(hub, request)
                except Refused as refused:
                    answer = refused.answer
                record.range = request.range(*([answer.file.size] if answer.file else []))
                answer = hub.faulty(server.name, request, answer)
                record.status, record.file, record.start = answer.status, answer.name, answer.start
                again = hub.line.send(self.connection, answer, record, request.method != "HEAD")
                if not again or request.headers.get("connection", "").lower() == "close":
                    return
