# SPDX-License-Identifier: Apache-2.0
"""The loopback server: one page, for whoever has the token, under the names that it may have."""

from __future__ import annotations

import re
import socket
import stat
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from moe_viz.errors import InputError
from moe_viz.view.pages import serve as module
from moe_viz.view.pages.serve import serve

PAGE = "<!doctype html><p>the page: größe"


class Visitor:
    """Somebody who asks a server for things."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.address = urlsplit(address)
        self.token = self.address.query.removeprefix("token=")
        self.port = port or int(str(self.address.port))

    def get(self, path: str, cookie: str = "", host: str = "") -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Host": host or f"127.0.0.1:{self.port}"} | (
            {"Cookie": cookie} if cookie else {}
        )
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer, body


def visited(visit: Callable[[Visitor], None], **options) -> None:
    """Serve the page while somebody visits it."""
    wrong: list[BaseException] = []
    threads = []

    def look(address: str) -> None:
        def run() -> None:
            try:
                visit(Visitor(address, options.get("port", 0)))
            except BaseException as error:
                wrong.append(error)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        stop = threading.Thread(target=lambda: (threads[0].join(), ended.set()))
        stop.start()

    ended = threading.Event()
    real = module._Server.serve_forever

    def until_ended(self, poll_interval: float = 0.05) -> None:
        threading.Thread(target=lambda: (ended.wait(60), self.shutdown())).start()
        real(self, poll_interval)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Server, "serve_forever", until_ended)
        serve(PAGE, look, **{"browser": False, **options})
    if wrong:
        raise wrong[0]


def test_the_token_becomes_a_cookie_and_leaves_the_address():
    def visit(visitor: Visitor) -> None:
        assert len(visitor.token) >= 40
        answer, body = visitor.get(f"/?token={visitor.token}")
        assert answer.status == 200
        assert 'content="0; url=/"' in body
        assert PAGE not in body
        assert visitor.token not in body
        said = str(answer.headers["Set-Cookie"])
        name, rest = said.split("=", 1)
        assert name == f"moe-viz-{visitor.port}"
        assert rest == f"{visitor.token}; Path=/; HttpOnly; SameSite=Strict"
        answer, body = visitor.get("/", cookie=f"other=1; {name}={visitor.token}")
        assert (answer.status, body) == (200, PAGE)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"

    visited(visit)


def test_nobody_else_is_shown_the_page():
    def visit(visitor: Visitor) -> None:
        name, wrong = f"moe-viz-{visitor.port}", visitor.token[:-1] + "!"
        for path, cookie in (("/", ""), ("/?token=", ""), (f"/?token={wrong}", ""),
                             ("/", f"{name}={wrong}"), ("/", f"{name}="), ("/", "=;;\x80"),
                             ("/", f"moe-viz-1={visitor.token}"),
                             ("/?token=%FF%00", "")):  # fmt: skip
            answer, body = visitor.get(path, cookie)
            assert answer.status == 403
            assert "whole address that was printed" in body
        for path, host in ((f"/other?token={visitor.token}", ""), ("/../", ""),
                           (f"/?token={visitor.token}", "evil.example"),
                           (f"/?token={visitor.token}", "127.0.0.1")):  # fmt: skip
            answer, body = visitor.get(path, host=host)
            assert (answer.status, body) == (404, "Not here.")

    visited(visit)


@pytest.mark.parametrize("base", ["/user/me/proxy/8899/", "user/me/proxy/8899"])
def test_behind_a_proxy_it_has_another_address(base):
    def visit(visitor: Visitor) -> None:
        assert visitor.address.hostname == "hub.example.org"
        assert visitor.address.path == "/user/me/proxy/8899/"
        for path in ("/", "/user/me/proxy/8899/"):  # the proxy cuts the base off, or does not
            answer, body = visitor.get(f"{path}?token={visitor.token}", host="hub.example.org")
            assert answer.status == 200
            assert 'content="0; url=/user/me/proxy/8899/"' in body
            assert "Path=/user/me/proxy/8899/;" in str(answer.headers["Set-Cookie"])
        cookie = f"moe-viz-{visitor.port}={visitor.token}"
        assert visitor.get("/", cookie, host="HUB.example.org")[1] == PAGE
        assert visitor.get("/", cookie, host="another.example.org")[0].status == 404

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    visited(visit, port=port, base=base, hosts=["hub.example.org"])


def test_a_browser_is_started_with_a_file_that_only_we_can_read(monkeypatch):
    opened: list[tuple[str, int, str]] = []

    def open_(address: str) -> None:
        path = Path(unquote(urlsplit(address).path))
        opened.append((address, stat.S_IMODE(path.stat().st_mode), path.read_text()))

    monkeypatch.setattr("webbrowser.open", open_)
    told = []

    def visit(visitor: Visitor) -> None:
        told.append(visitor.address.geturl())

    visited(visit, browser=True)
    ((address, mode, text),) = opened
    assert address.startswith("file://")
    assert "token" not in address
    assert mode == 0o600
    assert re.findall('url=([^"]*)"', text) == told
    assert not Path(unquote(urlsplit(address).path)).exists()  # when the server has ended


@pytest.mark.parametrize("port", [-1, 70_000, 2**40])
def test_an_impossible_port_is_one_message(port):
    with pytest.raises(InputError, match=rf"Port {port} cannot be used here"):
        serve(PAGE, print, port, browser=False)


def test_a_taken_port_is_one_message():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"Port {port} cannot be used here \(Address already"):
            serve(PAGE, print, port, browser=False)


def test_no_name_server_is_asked_and_a_browser_that_resets_is_no_error(monkeypatch, capfd):
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("looked a name up"))

    def visit(visitor: Visitor) -> None:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", visitor.port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                rude.sendall(b"GET / HT")
        assert visitor.get("/")[0].status == 403  # it goes on

    visited(visit)
    assert capfd.readouterr().err == ""
