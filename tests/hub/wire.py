# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as far as the stand-in for the Hub speaks it: requests, answers, and what is recorded.

An `Answer` is data until it is sent, so that a fault can change anything in it. What is sent is
counted before it leaves: whoever has received a byte finds it in the record.
"""

from __future__ import annotations

import fcntl
import io
import re
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from .files import SLICE, StoredFile

Range = tuple[int, int]  # the first byte, and the one after the last


@dataclass
class Record:
    """One request, and what was sent for it."""

    server: str  # "hub" or "cdn"
    method: str
    path: str  # decoded, without the query
    headers: dict[str, str]  # the request's, names in lower case
    range: Range | None = None  # as asked for, an open end resolved where the file is found
    status: int = 0
    bytes_sent: int = 0  # of the body
    file: str = ""  # whose contents the body is, as they are
    start: int = 0  # where in the file it begins


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The target without its query, still encoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters, the last of each name."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def token(self) -> str | None:
        """Who asks."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None

    def range(self, size: int = sys.maxsize) -> Range | None:
        """The one range asked for, in a file of this size; start ≥ stop where it lies outside.

        None for the whole file, also where several are asked for: S3 does not do that.
        """
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("range", ""))
        if match is None or not any(match.groups()):
            return None
        first, last = (int(group) if group else None for group in match.groups())
        if first is None:
            return max(0, size - (last or 0)), size
        stop = size if last is None else min(last + 1, size)
        return None if last is not None and last < first else (first, stop)


@dataclass
class Answer:
    """What will be sent: `body`, or a range of a file. The last fields are for faults."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: StoredFile | None = None
    name: str = ""  # of the file, in its repository
    start: int = 0
    stop: int = 0
    cut: int | None = None  # the connection ends after so many bytes of the body,
    reset: bool = False  # as if the network broke, not as if the server closed it
    pause: tuple[int, float] | None = None  # after so many bytes nothing comes for some seconds

    def __len__(self) -> int:
        return len(self.body) if self.file is None else self.stop - self.start

    def part(self, start: int, stop: int) -> memoryview:
        """A part of the body."""
        if self.file is None:
            return memoryview(self.body)[start:stop]
        return memoryview(self.file.read(self.start + start, self.start + stop))

    def head(self) -> bytes:
        """Status line and headers."""
        lines = dict(self.headers)
        if "Transfer-Encoding" not in lines:
            lines["Content-Length"] = str(len(self))
        first = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        return (first + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode()


def contents(request: Request, file: StoredFile, name: str, headers: dict[str, str]) -> Answer:
    """A file, or the range of it that is asked for; `headers` are those of every such answer."""
    asked, etag = request.range(file.size), headers["ETag"]
    if request.headers.get("if-match", etag) != etag:
        return Answer(412, headers)
    if asked is None or request.headers.get("if-range", etag) != etag:
        return Answer(200, headers, file=file, name=name, stop=file.size)
    start, stop = asked
    if start >= stop:
        body = b"<Error><Code>InvalidRange</Code></Error>"
        return Answer(416, {"Content-Range": f"bytes */{file.size}"}, body)
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"}
    return Answer(206, {**headers, **place}, file=file, name=name, start=start, stop=stop)


def read_request(stream: io.BufferedIOBase) -> Request | None:
    """The next request on a connection; None where the client has closed it."""
    words = stream.readline(65536).decode("latin-1").split()
    if len(words) != 3:
        return None
    headers = {}
    while line := stream.readline(65536).decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    stream.read(int(headers.get("content-length", 0)))  # nothing here takes a body
    return Request(words[0], words[1], headers)


class Line:
    """The line that all connections share: its rate in bytes/s, if it has one, and its end."""

    def __init__(self, rate: float | None) -> None:
        self.rate, self.down = rate, threading.Event()
        self._lock, self._free = threading.Lock(), 0.0

    @property
    def step(self) -> int:
        """Bytes that are sent at once: what takes about 10 ms, so that sending is even."""
        return SLICE if self.rate is None else min(SLICE, max(2**14, int(self.rate / 100)))

    def take(self, count: int) -> None:
        """Wait until so many bytes may be sent."""
        if self.rate is None:
            return
        with self._lock:
            # What a late wake-up has lost is made up for, but no more than 50 ms of it.
            now = time.monotonic()
            self._free = max(self._free, now - 0.05) + count / self.rate
            wait = self._free - now
        if wait > 0:
            self.wait(wait)

    def wait(self, seconds: float) -> None:
        """Do nothing; raises `ConnectionAbortedError` when the server stops meanwhile."""
        if self.down.wait(seconds):
            raise ConnectionAbortedError("the server stops")

    def send(self, connection: socket.socket, answer: Answer, record: Record, body: bool) -> bool:
        """Send it, with its body or without; whether the connection may be used again."""
        connection.sendall(answer.head())
        for start, stop in pairwise(_stops(answer, self.step)):
            if not body:
                break
            if answer.pause and start == answer.pause[0]:
                self.wait(answer.pause[1])
            left = answer.part(start, stop)
            self.take(len(left))
            record.bytes_sent += len(left)
            try:
                while left:
                    left = left[connection.send(left) :]
            except OSError:
                record.bytes_sent -= len(left)
                raise
        if answer.reset:
            # RST throws away what is still on its way: let it arrive first.
            while _unacknowledged(connection):
                self.wait(0.001)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return answer.cut is None


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that were sent and that the other side does not have yet (Linux: SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


def _stops(answer: Answer, step: int) -> Iterator[int]:
    """Where sending stops for a moment, from 0 to the end of what is sent."""
    end = len(answer) if answer.cut is None else min(answer.cut, len(answer))
    pause = {min(answer.pause[0], end)} if answer.pause else set()
    yield from sorted({*range(0, end, step), *pause, end})
