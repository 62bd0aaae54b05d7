# SPDX-License-Identifier: Apache-2.0
"""A page for a browser, from a server on loopback that serves nothing else, and to nobody else.

Other accounts of this machine can reach its ports, and pages from elsewhere can have a browser ask
them: whoever looks needs a token, which is made anew each time. It comes in the address that is
told, becomes a cookie, and leaves the address again. A browser sends a host's cookies to all of
its ports, other accounts' among them: this one is no token, and belongs to a path that nobody
can guess.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socketserver
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from ...errors import InputError

#: A page that goes on to another at once, and is not in the browser's history.
_GO_ON = (
    '<!doctype html><meta name="referrer" content="no-referrer">'
    '<meta http-equiv="refresh" content="0; url={}">'
)
_COOKIE = "moe-viz"
_LOCKED = "This page needs the whole address that was printed, with its token."


class _Server(ThreadingHTTPServer):
    """Says nothing of its own, and asks no name server who this machine is."""

    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks its own name up
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves in the middle of an answer is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may say nothing
    page = b""
    token = ""  # of the address that is told
    kept = ""  # of the cookie
    base = "/"
    room = ""  # the page's path below the base
    hosts: tuple[str, ...] = ()

    def do_GET(self) -> None:
        # The host too: a page elsewhere must not read this one through a host name of its own.
        if self.headers.get("Host", "").lower() not in self.hosts:
            return self._answer(404, b"Not here.")
        path, _, query = self.path.partition("?")
        path = path.removeprefix(self.base.rstrip("/"))  # unless a proxy has cut the base off
        if path == "/":
            return self._door(parse_qs(query).get("token", [""])[0])
        if not _same(path, f"/{self.room}/"):
            return self._answer(404, b"Not here.")
        if _same(self._cookie(), self.kept):
            return self._answer(200, self.page)
        return self._answer(403, _LOCKED.encode())

    def _door(self, given: str) -> None:
        """To the page, for who has the token."""
        if not _same(given, self.token):
            return self._answer(403, _LOCKED.encode())
        # Not a redirection: on one that begins elsewhere a strict cookie would not be sent.
        path = f"{self.base}{self.room}/"
        cookie = f"{_COOKIE}={self.kept}; Path={path}; HttpOnly; SameSite=Strict"
        return self._answer(200, _GO_ON.format(escape(path)).encode(), cookie)

    def _cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        except CookieError:
            found = None
        return found.value if found else ""

    def _answer(self, status: int, body: bytes, cookie: str = "") -> None:
        self.send_response(status)
        kind = "text/html" if status == 200 else "text/plain"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the person who started this."""


def serve(
    page: str,
    said: Callable[[str], object],
    port: int = 0,
    browser: bool = True,
    seconds: float | None = None,
    base: str = "/",
    hosts: Sequence[str] = (),
) -> None:
    """Serve a page on 127.0.0.1 until Ctrl-C, or for some seconds; `said` is told its address.

    Behind a proxy, or a forwarded port, the page has another address: `base` is its path there, and
    `hosts` are the names (with the port, if the browser shows one) that it may be asked for by.

    Raises `InputError` for a port that is taken or impossible.
    """
    base = "/" + base.strip("/") + "/" if base.strip("/") else "/"
    handler = type("Handler", (_Page,), {
        "page": page.encode("utf-8", "replace"), "base": base, "room": secrets.token_urlsafe(16),
        "token": secrets.token_urlsafe(32), "kept": secrets.token_urlsafe(32),
    })  # fmt: skip
    try:
        server = _Server(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"Port {port} cannot be used here ({reason}). Choose another, or 0, which picks a free "
            "one."
        ) from error
    with server:
        number = server.server_address[1]
        own = [f"{name}:{number}" for name in ("127.0.0.1", "localhost")]
        handler.hosts = (*own, *(host.lower() for host in hosts))
        address = f"http://{(*hosts, own[0])[0]}{base}?token={handler.token}"
        said(address)
        timer = threading.Timer(seconds, server.shutdown) if seconds is not None else None
        if timer is not None:
            timer.start()
        try:
            with _leading_to(address) as file:
                if browser:
                    webbrowser.open(file.as_uri())
                server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            if timer is not None:
                timer.cancel()


def _same(given: str, secret: str) -> bool:
    """Whether somebody knows a secret, in a time that does not tell how much of it."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


@contextmanager
def _leading_to(address: str) -> Iterator[Path]:
    """A file that leads to an address, and that only this account can read.

    What a browser is started with stands in the list of processes, which everybody can read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "moe-viz.html"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(_GO_ON.format(escape(address)))
        yield path
