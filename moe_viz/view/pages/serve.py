"""A page for a browser on this machine, from a server on loopback that serves nothing else."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    page = b""
    hosts: tuple[str, ...] = ()

    def do_GET(self) -> None:
        # The host too: a page elsewhere must not read this one through a host name of its own.
        known = self.headers.get("Host") in self.hosts
        found = known and self.path.split("?")[0] in ("/", "/index.html")
        body = self.page if found else b"Not here."
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
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
) -> None:
    """Serve a page on 127.0.0.1 until Ctrl-C, or for some seconds; `said` is told its address."""
    handler = type("Handler", (_Page,), {"page": page.encode("utf-8", "replace")})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        number = server.server_address[1]
        handler.hosts = (f"127.0.0.1:{number}", f"localhost:{number}")
        address = f"http://127.0.0.1:{number}/"
        said(address)
        timer = threading.Timer(seconds, server.shutdown) if seconds is not None else None
        if timer is not None:
            timer.start()
        if browser:
            webbrowser.open(address)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            if timer is not None:
                timer.cancel()
