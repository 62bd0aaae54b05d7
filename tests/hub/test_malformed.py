# SPDX-License-Identifier: Apache-2.0
"""What answers in the Hub's place, and not as it does: login pages, other JSON, false names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import close_session

import moe_viz as mv
from moe_viz.errors import CheckpointError

SHA = "a" * 40
FILES = [{"rfilename": "config.json", "size": 5}]


def about(**change: Any) -> bytes:
    return json.dumps({"id": "org/name", "sha": SHA, "siblings": FILES} | change).encode()


ANSWERS = {
    "a login page": b"<html>Please log in</html>",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"5",
    "a file without a name": about(siblings=[{"size": 5}]),
    "files that are none": about(siblings=[5]),
    "files that are a text": about(siblings="config.json"),
    "a file of a name that is none": about(siblings=[{"rfilename": 7, "size": 5}]),
    "a size that is none": about(siblings=[{"rfilename": "config.json", "size": "x"}]),
    "a size below nothing": about(siblings=[{"rfilename": "config.json", "size": -1}]),
    "no commit": about(sha=None),
    "a commit that leads out of the cache": about(sha="../../../../usr/share"),
    "a commit that is a number": about(sha=5),
    "a short commit": about(sha="a" * 39),
    "a commit in capitals": about(sha="A" * 40),
    "lists in lists": b'{"id":"o/n","siblings":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"id": "\xff\xfe"}',
}


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that says this, whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_answer_of_the_hub_s_is_one_message(body, monkeypatch, tmp_path):
    with answering(body) as endpoint:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        close_session()
        with pytest.raises(CheckpointError, match=r"org/name: what answered is not the Hub.*login"):
            mv.load("org/name")
        close_session()
