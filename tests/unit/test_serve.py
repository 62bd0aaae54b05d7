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


def entered(visitor: Visitor, base: str = "/", path: str = "/", host: str = "") -> tuple[str, str]:
    """The page's path and the cookie that somebody with the token is given."""
    answer, body = visitor.get(f"{path}?token={visitor.token}", host=host)
    assert answer.status == 200
    assert PAGE not in body
    assert visitor.token not in body
    room = re.findall('content="0; url=([^"]*)"', body)[0]
    assert re.fullmatch(re.escape(base) + r"[\w-]{20,}/", room)
    name, rest = str(answer.headers["Set-Cookie"]).split("=", 1)
    value, rest = rest.split("; ", 1)
    assert rest == f"Path={room}; HttpOnly; SameSite=Strict"
    # Another account's server on another port may be sent a cookie: this must open nothing else.
    assert len(value) >= 40
    assert value not in visitor.token + room
    return room, f"{name}={value}"


def test_the_token_becomes_a_cookie_and_leaves_the_address():
    def visit(visitor: Visitor) -> None:
        assert len(visitor.token) >= 40
        room, cookie = entered(visitor)
        assert entered(visitor) == (room, cookie)  # the address may be opened again
        answer, body = visitor.get(room, cookie=f"other=1; {cookie}")
        assert (answer.status, body) == (200, PAGE)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"

    visited(visit)


def test_nobody_else_is_shown_the_page():
    def visit(visitor: Visitor) -> None:
        wrong = visitor.token[:-1] + "!"
        room, cookie = entered(visitor)
        name, value = cookie.split("=", 1)
        for path, given in (("/", ""), ("/?token=", ""), (f"/?token={wrong}", ""),
                            ("/", cookie), (f"/?token={value}", cookie),
                            (room, ""), (room, f"{cookie[:-1]}!"), (room, f"{name}="),
                            (room, "=;;\x80"), (room, f"{name}x={value}"),
                            (room, f"{name}={visitor.token}"),
                            (f"{room}?token={visitor.token}", ""),
                            ("/?token=%FF%00", "")):  # fmt: skip
            answer, body = visitor.get(path, given)
            assert answer.status == 403
            assert "whole address that was printed" in body
        for path, host in ((f"/other?token={visitor.token}", ""), ("/../", ""), ("/index.html", ""),
                           (f"{room}x", ""), (room[:-1], ""), ("http://[", ""), ("*", ""),
                           (f"/?token={visitor.token}", "evil.example"),
                           (f"/?token={visitor.token}", "127.0.0.1")):  # fmt: skip
            answer, body = visitor.get(path, cookie, host=host)
            assert (answer.status, body) == (404, "Not here.")

    visited(visit)


def test_two_servers_have_different_rooms_and_cookies():
    given: list[tuple[str, str]] = []
    for _ in range(2):
        visited(lambda visitor: given.append(entered(visitor)))
    assert given[0][0] != given[1][0]
    assert given[0][1] != given[1][1]


@pytest.mark.parametrize("base", ["/user/me/proxy/8899/", "user/me/proxy/8899"])
def test_behind_a_proxy_it_has_another_address(base):
    def visit(visitor: Visitor) -> None:
        assert visitor.address.hostname == "hub.example.org"
        base = "/user/me/proxy/8899/"
        assert visitor.address.path == base
        for path in ("/", base):  # the proxy cuts the base off, or does not
            room, cookie = entered(visitor, base, path, host="hub.example.org")
        for path in (room, room.removeprefix(base[:-1])):
            assert visitor.get(path, cookie, host="HUB.example.org")[1] == PAGE
            assert visitor.get(path, cookie, host="another.example.org")[0].status == 404

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
