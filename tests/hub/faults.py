# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way from the Hub, one function each.

A fault takes the answer that would have been sent and returns the one that is. `FAULTS` maps names
to them; their keyword arguments are the options of `Hub.fault`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from .answers import cdn_answer
from .files import Bytes, StoredFile
from .wire import Answer, Request, contents

if TYPE_CHECKING:
    from .server import Hub

Effect = Callable[..., Answer]  # (hub, request, answer, **options)
FAULTS: dict[str, Effect] = {}


@dataclass
class Fault:
    """A fault that waits for requests; `hits` counts those it has met."""

    kind: str
    effect: Effect
    match: str
    on: str
    times: int | None
    after: int
    hits: int = 0

    def meets(self, path: str, part: str) -> bool:
        """Whether it befalls this request; counts down."""
        if self.match not in path or self.on not in (part, "any") or self.hits == self.times:
            return False
        self.after -= 1
        self.hits += self.after < 0
        return self.after < 0


class Altered(StoredFile):
    """A file with every byte changed, or only the one at `at`."""

    def __init__(self, file: StoredFile, at: int | None = None) -> None:
        etag = file.etag if at is not None else file.etag[::-1]
        super().__init__(file.size, lfs=file.lfs, etag=etag)
        self.file, self.at = file, at

    def read(self, start: int, stop: int) -> Bytes:
        data = self.file.read(start, stop)
        if self.at is None:
            return bytes(data).translate(bytes(range(255, -1, -1)))
        if start <= self.at < stop:
            data = bytearray(data)
            data[self.at - start] ^= 1
        return data


def _fault(effect: Effect) -> Effect:
    FAULTS[effect.__name__] = effect
    return effect


@_fault
def reset(hub: Hub, request: Request, answer: Answer, *, bytes: int = 0) -> Answer:
    """The connection breaks (RST) after so many bytes of the body."""
    return replace(answer, cut=bytes, reset=True)


@_fault
def short(hub: Hub, request: Request, answer: Answer, *, bytes: int | None = None) -> Answer:
    """The server closes the connection after so many bytes (half), having promised all."""
    return replace(answer, cut=len(answer) // 2 if bytes is None else bytes)


@_fault
def lie_short(hub: Hub, request: Request, answer: Answer, *, bytes: int | None = None) -> Answer:
    """A complete answer of so many bytes (half) whose Content-Range claims all of them."""
    return replace(answer, stop=answer.start + (len(answer) // 2 if bytes is None else bytes))


@_fault
def stall(hub: Hub, request: Request, answer: Answer, *, seconds: float, bytes: int = 0) -> Answer:
    """Nothing comes for some seconds after so many bytes of the body; then the rest does."""
    return replace(answer, pause=(bytes, seconds))


def status(
    hub: Hub,
    request: Request,
    answer: Answer,
    *,
    code: int,
    retry_after: float | str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """An error of the server, with a Retry-After (seconds, or a date) and other headers."""
    wait = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Answer(code, {"Content-Type": "text/html", **wait, **(headers or {})}, b"<p>Sorry.")


FAULTS |= {str(code): partial(status, code=code) for code in (429, 500, 502, 503, 504)}


@_fault
def expire(hub: Hub, request: Request, answer: Answer) -> Answer:
    """Every address handed out so far stops working, this one first."""
    hub.expire()
    return cdn_answer(hub, request)


@_fault
def etag(hub: Hub, request: Request, answer: Answer, *, value: str = "another") -> Answer:
    """The answer is labelled as another content."""
    return replace(answer, headers={**answer.headers, "ETag": f'"{value}"'})


@_fault
def content_change(hub: Hub, request: Request, answer: Answer) -> Answer:
    """Behind the same address lies another content of the same size, with its own ETag.

    With `times=None` it stays so.
    """
    assert answer.file is not None
    changed = Altered(answer.file)
    headers = {k: v for k, v in answer.headers.items() if k != "Content-Range"}
    return contents(request, changed, answer.name, {**headers, "ETag": f'"{changed.etag}"'})


@_fault
def range_wrong(hub: Hub, request: Request, answer: Answer) -> Answer:
    """The range beside the one asked for, and labelled so."""
    assert answer.file is not None
    by = -1 if answer.start else 1
    start, stop = answer.start + by, min(answer.stop + by, answer.file.size)
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{answer.file.size}"}
    return replace(answer, start=start, stop=stop, headers={**answer.headers, **place})


@_fault
def range_missing(hub: Hub, request: Request, answer: Answer) -> Answer:
    """A 206 that does not say which range it is."""
    kept = {k: v for k, v in answer.headers.items() if k != "Content-Range"}
    return replace(answer, status=206, headers=kept)


@_fault
def total_wrong(hub: Hub, request: Request, answer: Answer, *, by: int = 1) -> Answer:
    """The Content-Range of a file of another size."""
    assert answer.file is not None
    place = f"bytes {answer.start}-{answer.stop - 1}/{answer.file.size + by}"
    return replace(answer, headers={**answer.headers, "Content-Range": place})


@_fault
def ignore_range(hub: Hub, request: Request, answer: Answer) -> Answer:
    """200 and the whole file, as some proxies do."""
    assert answer.file is not None
    whole = range_missing(hub, request, answer)
    return replace(whole, status=200, start=0, stop=answer.file.size)


@_fault
def redirect(hub: Hub, request: Request, answer: Answer) -> Answer:
    """302 from the CDN to itself under another host's name, which then serves it."""
    host = request.headers["host"]
    if not host.startswith("localhost"):
        return answer
    return Answer(
        302, {"Location": f"http://{host.replace('localhost', '127.0.0.1')}{request.target}"}
    )


@_fault
def corrupt(hub: Hub, request: Request, answer: Answer, *, at: int | None = None) -> Answer:
    """One bit is wrong: in the byte at this place of the file, or in the middle of the range."""
    assert answer.file is not None
    middle = (answer.start + answer.stop) // 2
    return replace(answer, file=Altered(answer.file, middle if at is None else at))


@_fault
def gzip_encoded(hub: Hub, request: Request, answer: Answer, *, chunked: bool = False) -> Answer:
    """Compressed, though nobody asked; `chunked`: of a length that only its end tells.

    The Hub compresses its text files so for whoever accepts it.
    """
    body = gzip.compress(answer.part(0, len(answer)), compresslevel=1)
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return Answer(answer.status, headers, body)


FAULTS["gzip"] = FAULTS.pop("gzip_encoded")


def named(
    kind: str | int, match: str, on: str, times: int | None, after: int, options: dict[str, Any]
) -> Fault:
    """A fault by its name; an option that it does not have is a `TypeError` here, not later."""
    effect = FAULTS[str(kind)]
    signature(effect).bind(None, None, None, **options)
    return Fault(str(kind), partial(effect, **options), match, on, times, after)
