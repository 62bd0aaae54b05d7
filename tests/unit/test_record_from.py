# SPDX-License-Identifier: Apache-2.0
"""A stand-in for vLLM on loopback, which answers as its documentation says."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import moe_viz as mv
from moe_viz.cli.program import app
from moe_viz.errors import InputError

L, K, E = 4, 2, 16
Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


def routes(ids: list[int]) -> np.ndarray:
    """What this model does: a token's number says where it goes. (T, L, K)"""
    n = np.array(ids)[:, None, None]
    return (n + 3 * np.arange(L)[:, None] + np.arange(K)) % E


def vllm(path: str, asked: dict[str, Any]) -> tuple[int, Any]:
    if path == "/v1/models":
        return 200, {"object": "list", "data": [{"id": "org/mixture", "object": "model"}]}
    if asked.get("model") != "org/mixture":
        return 404, {"error": {"message": f"The model `{asked.get('model')}` does not exist."}}
    prompt = asked["prompt"]
    ids = prompt if isinstance(prompt, list) else list(prompt.encode())
    file = io.BytesIO()
    np.save(file, routes(ids).astype(np.uint8))
    return 200, {"choices": [{
        "index": 0, "text": "!", "finish_reason": "length",
        "routed_experts": base64.b64encode(file.getvalue()).decode(),
        "prompt_token_ids": ids if asked.get("return_token_ids") else None,
        "token_ids": [33] if asked.get("return_token_ids") else None,
    }]}  # fmt: skip


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[tuple[str, dict[str, Any], str | None]]]]:
    """A server, and what it was asked: path, body, authorization."""
    seen: list[tuple[str, dict[str, Any], str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            asked = json.loads(self.rfile.read(length) or b"{}")
            seen.append((self.path, asked, self.headers.get("Authorization")))
            status, said = answer(self.path, asked)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            if status == 307:
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def test_texts_are_sent_one_at_a_time_and_their_choices_come_back(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    texts = {"en": "Good morning.", "ids": [7, 8, 9]}
    with serving(vllm) as (address, seen):
        trace = mv.record_from(f"{address}/v1/", texts, experts=E)
    for n, ids in enumerate((list(b"Good morning."), [7, 8, 9])):
        part = trace.select(prompt=n)
        assert part.token_ids.tolist() == ids
        assert np.array_equal(part.experts, routes(ids).transpose(1, 0, 2))
    assert (trace.labels, trace.provenance.model) == (("en", "ids"), "org/mixture")
    assert [path for path, *_ in seen] == ["/v1/models", "/v1/completions", "/v1/completions"]
    assert {key for *_, key in seen} == {"Bearer secret"}
    assert seen[1][1]["max_tokens"] == 1
    assert not trace.generated.any()


def test_the_command_asks_a_server(tmp_path):
    out = tmp_path / "t.safetensors"
    with serving(vllm) as (address, _):
        command = ["record", "Hi", "--server", address, "-o", str(out)]
        result = CliRunner().invoke(app, [*command, "--experts", str(E)])
        assert result.exit_code == 0, result.output
        assert mv.Trace.load(out).expert_count == E
        with pytest.raises(InputError, match="--server needs --experts"):
            CliRunner().invoke(app, command, catch_exceptions=False)


REFUSALS: dict[str, tuple[Answer, str]] = {
    "another model": (
        lambda p, a: (404, {"error": "no such model"}),
        "answered with 404: .*no such",
    ),
    "no JSON": (lambda p, a: (200, b"<html>"), "no answer that could be read"),
    "no model": (lambda p, a: (200, {"data": []}), "names no model"),
    "no routing": (
        lambda p, a: (200, {"data": [{"id": "m"}], "choices": [{"routed_experts": None}]}),
        "start vLLM with --enable-return-routed-experts",
    ),
}


@pytest.mark.parametrize(("answer", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_a_server_does_not_do_is_said(answer, said):
    with serving(answer) as (address, _), pytest.raises(InputError, match=said):
        mv.record_from(address, "Hi", experts=E)


def test_a_key_follows_no_redirection(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with serving(vllm) as (other, seen), \
         serving(lambda p, a: (307, f"{other}{p}".encode())) as (address, _), \
         pytest.raises(InputError, match="answered with 307"):  # fmt: skip
        mv.record_from(address, "Hi", experts=E)
    assert seen == []


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "file:///etc/passwd", "", "ftp://x"])
def test_an_address_is_one_of_the_web(address):
    with pytest.raises(InputError, match="begins with http"):
        mv.record_from(address, "Hi", experts=E)


def test_nobody_there_and_chats():
    with pytest.raises(InputError, match="no answer that could be read"):
        mv.record_from("http://127.0.0.1:9", "Hi", experts=E, model="m")
    with pytest.raises(InputError, match="render chats first"):
        mv.record_from("http://127.0.0.1:9", [{"role": "user", "content": "Hi"}], experts=E)
