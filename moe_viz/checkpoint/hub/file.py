# SPDX-License-Identifier: Apache-2.0
"""One file on the Hub as ranges of bytes, each of them checked, or refused.

In: repository, commit, name. Out: `file[start:stop]`, a tensor of bytes. The network is not
trusted: every answer must be the range that was asked for, from a file with the size and the ETag
that it had at first. A read that breaks off continues where it stopped; what stays wrong is an
error. The token goes to the Hub, and never to the servers that it redirects to.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin, urlsplit

import torch
from torch import Tensor

from ...errors import CheckpointError
from .bytecache import ByteCache
from .errors import client_error, explained

#: Connections of one read, and bytes that each fetches at a time.
CONNECTIONS, PART = 4, 16 * 2**20

#: Failures in a row, without a byte gained, before a read is given up; seconds before the first
#: retry, doubled each time; and the longest wait that a server may ask for.
TRIES, FIRST_WAIT, LONGEST_WAIT = 6, 0.5, 120.0

#: Seconds without a byte, or for a connection.
TIMEOUT = 30.0

#: A server that ignores ranges sends the whole file: up to this many bytes of it are skipped.
SKIP = 2**26

_CONTENT_RANGE = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20}|\*)")


#: Room for bytes, and where they begin in the file.
Job = tuple[memoryview, int]


class _Again(Exception):
    """A failure that a retry may mend; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class HubFile:
    """A file of one commit; any range of it can be read: `file[start:stop]`, uint8.

    Raises `CheckpointError` where the file changes while it is read, or the network stays broken.
    """

    def __init__(self, repo: str, commit: str, name: str, cache: ByteCache | None = None) -> None:
        from huggingface_hub import constants, hf_hub_url

        self.repo: str = repo
        self.commit: str = commit
        self.name: str = name
        self._url = hf_hub_url(repo, name, revision=commit, endpoint=constants.ENDPOINT)
        self._cache = cache
        self._lock = threading.Lock()
        self._served: tuple[str, str] | None = None  # host that answers with bytes, and its ETag
        self.etag: str = ""
        self.size: int = -1
        self._location = self._resolve()
        if cache is not None:
            cache.claim(self.etag)

    def __getitem__(self, rows: slice) -> Tensor:
        return self.ranges([rows])[0]

    def ranges(self, wanted: Sequence[slice]) -> list[Tensor]:
        """Several ranges at once, (stop − start,) each, over up to `CONNECTIONS` connections."""
        found, fetched, jobs = list[Tensor](), list[tuple[int, Tensor]](), list[Job]()
        for start, stop in ((r.start, r.stop) for r in wanted):
            data = self._at_hand(start, stop)
            if data is None:
                data = torch.empty(stop - start, dtype=torch.uint8)
                view = data.numpy().data
                jobs += [(view[a : a + PART], start + a) for a in range(0, len(view), PART)]
                fetched.append((start, data))
            found.append(data)
        self._fetch_all(jobs)
        if self._cache is not None:
            for start, data in fetched:
                self._cache.put(self.etag, start, data)
        return found

    def _at_hand(self, start: int, stop: int) -> Tensor | None:
        if not 0 <= start <= stop <= self.size:
            raise CheckpointError(
                f"{self}: bytes {start:,} to {stop:,} were asked for, and it has {self.size:,}."
            )
        return None if self._cache is None else self._cache.get(self.etag, start, stop)

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:12]}/{self.name}"

    # ---- where it is -----------------------------------------------------------------------

    def _resolve(self) -> str:
        """Ask the Hub where the bytes are: an address that may expire after a while."""
        from huggingface_hub import get_hf_file_metadata

        said = get_hf_file_metadata(self._url, timeout=TIMEOUT, retry_on_errors=True)
        if said.commit_hash not in (None, self.commit):
            raise self._changed(f"it comes from commit {said.commit_hash} now")
        if said.etag is None or said.size is None:
            raise CheckpointError(
                f"{self}: the server names no ETag or no size, so nothing could be checked. Is "
                "HF_ENDPOINT the address of a Hub?"
            )
        if self.etag and (said.etag, said.size) != (self.etag, self.size):
            raise self._changed(f"its ETag is {said.etag} and was {self.etag}")
        self.etag, self.size = said.etag, said.size
        return said.location

    def _resolve_again(self, refused: str) -> None:
        """Another address, unless another connection has fetched one since."""
        with self._lock:
            if self._location == refused:
                with explained(self.repo):
                    self._location = self._resolve()

    # ---- bytes -----------------------------------------------------------------------------

    def _fetch_all(self, jobs: Sequence[Job]) -> None:
        if len(jobs) == 1:
            self._fetch(*jobs[0])
        elif jobs:
            with ThreadPoolExecutor(min(CONNECTIONS, len(jobs))) as pool:
                done = [pool.submit(self._fetch, *job) for job in jobs]
                try:
                    for job in done:
                        job.result()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise

    def _fetch(self, view: memoryview, start: int) -> None:
        """Fill `view` with the bytes from `start` on, in as many answers as it takes."""
        got = failures = 0
        while got < len(view):
            before, location = got, self._location
            try:
                for part in self._answer(location, start + got, start + len(view)):
                    view[got : got + len(part)] = part
                    got += len(part)
                if got < len(view):
                    raise _Again("the answer ended early")
            except _Again as error:
                failures = 1 if got > before else failures + 1
                if failures > TRIES:
                    raise CheckpointError(
                        f"{self}: bytes {start + got:,} to {start + len(view):,} could not be "
                        f"read in {TRIES} tries, the last time because {error}. Try again later; "
                        "record(…, resume=) continues after the last finished layer."
                    ) from error
                # Not all connections at the same moment.
                wait = FIRST_WAIT * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(max(wait, error.wait), LONGEST_WAIT))

    def _answer(self, location: str, start: int, stop: int) -> Iterator[memoryview]:
        """What one request yields of these bytes: all of them, or the first ones."""
        from huggingface_hub import get_session

        client: Any = get_session()
        headers = self._headers(location) | {"Range": f"bytes={start}-{stop - 1}"}
        try:
            with client.stream(
                "GET", location, headers=headers, timeout=TIMEOUT, follow_redirects=False
            ) as answer:
                skip = self._check(answer, location, start, stop)
                left = stop - start
                for part in answer.iter_raw():
                    if skip >= len(part):
                        skip -= len(part)
                        continue
                    wanted = memoryview(part)[skip:][:left]
                    skip, left = 0, left - len(wanted)
                    yield wanted
                    if not left and answer.status_code == 200:
                        return  # a whole file continues beyond
                # Read to its end, an answer leaves its connection free for the next.
        except client_error() as error:  # reset, timeout, cut off
            raise _Again(f"{str(error) or type(error).__name__:.200}") from error

    def _headers(self, location: str) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers

        there, hub = urlsplit(location), urlsplit(self._url)
        at_home = (there.scheme, there.netloc) == (hub.scheme, hub.netloc)
        token = None if at_home else False  # None: the one that is set here, if any
        return build_hf_headers(token=token) | {"Accept-Encoding": "identity"}

    def _check(self, answer: Any, location: str, start: int, stop: int) -> int:
        """How many of the answer's bytes come before `start`; raises if the answer is wrong."""
        status, said = answer.status_code, answer.headers
        if status in (401, 403):  # a signed address is good for an hour or so
            self._resolve_again(location)
            raise _Again(f"the server answered with {status}")
        if status in (301, 302, 303, 307, 308):
            with self._lock:
                if self._location == location:
                    self._location = urljoin(location, said.get("Location", ""))
            raise _Again("of too many redirects")
        if status == 429 or status >= 500:
            raise _Again(f"the server answered with {status}", _seconds(said.get("Retry-After")))
        if status not in (200, 206):
            raise CheckpointError(
                f"{self}: the server answered with {status} when asked for bytes {start:,} to "
                f"{stop:,} of {self.size:,}. Was the file removed? Otherwise try again later."
            )
        if said.get("Content-Encoding", "identity") != "identity":
            raise CheckpointError(
                f"{self}: the server, or a proxy before it, encodes the bytes "
                f"({said['Content-Encoding']:.40}), although they were asked for unencoded."
            )
        self._check_etag(said.get("ETag"), location)
        if status == 200:
            return self._check_whole(said, start)
        found = _CONTENT_RANGE.fullmatch(said.get("Content-Range", ""))
        if found is None or found[3] not in ("*", str(self.size)):
            raise self._changed(
                f"an answer has Content-Range {said.get('Content-Range')!r:.80} where its size is "
                f"{self.size:,}"
            )
        if int(found[1]) != start or int(found[2]) >= stop:
            raise CheckpointError(
                f"{self}: bytes {start:,} to {stop - 1:,} were asked for, and {found[1]} to "
                f"{found[2]} came. The server, or a proxy before it, cannot be relied upon."
            )
        return 0

    def _check_whole(self, said: Any, start: int) -> int:
        """The whole file comes, from its beginning: accepted where `start` is near that."""
        length = said.get("Content-Length")
        if length is not None and int(length) != self.size:
            raise self._changed(f"it has {int(length):,} bytes now, and had {self.size:,}")
        if start > SKIP:
            raise CheckpointError(
                f"{self}: the server, or a proxy before it, sends whole files where a range was "
                "asked for. Download the weights, and give their folder."
            )
        return start

    def _check_etag(self, etag: str | None, location: str) -> None:
        host = urlsplit(location).netloc
        with self._lock:
            if etag is None:
                return
            if self._served is None or self._served[0] != host:
                self._served = host, etag  # another host may have other ETags
            elif self._served[1] != etag:
                raise self._changed(f"its ETag is {etag:.80} and was {self._served[1]:.80}")

    def _changed(self, how: str) -> CheckpointError:
        return CheckpointError(
            f"{self}: changed while it was read: {how}. What was read before and after would not "
            "belong together; load the model again."
        )


def _seconds(retry_after: str | None) -> float:
    """How long a server asks us to wait, if it says so in seconds."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
