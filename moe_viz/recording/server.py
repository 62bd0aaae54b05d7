# SPDX-License-Identifier: Apache-2.0
"""Asking a running server for the routing of texts: vLLM, through the interface that OpenAI's has.

In: an address and texts. Out: a `Trace` of choices. A text is sent to be continued by one token,
since a server runs prompts only to write; that token is not in the trace, and neither are logits.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError
from ..tokenization import Tokenizer
from ..trace import Trace
from .given import Texts, prompts_in
from .routes import import_routes

#: Seconds that a server may take for one text, and bytes that its answer may have.
PATIENCE, LARGEST = 600.0, 2**30


def record_from(
    server: str,
    texts: Texts,
    experts: int,
    labels: Sequence[str] | None = None,
    model: str | None = None,
    tokenizer: Tokenizer | None = None,
    layers: Sequence[int] | None = None,
) -> Trace:
    """Which experts a running vLLM sends each token of these texts to.

    `server` is its address, `http://127.0.0.1:8000`, started with --enable-return-routed-experts;
    `model` the name it serves (default: the first that it names), `experts` how many a layer has.
    A key comes from the environment: OPENAI_API_KEY. Texts are sent as they are, one at a time.

    Raises `InputError` where the server cannot be reached, refuses, or hands no routing out.
    """
    if urlsplit(server).scheme not in ("http", "https"):
        raise InputError(f"A server's address begins with http:// or https://; found {server!r}.")
    base = server.rstrip("/").removesuffix("/v1")
    given = prompts_in(texts)
    if not all(isinstance(one.content, str | list) for one in given):
        raise InputError("A server is asked with texts or token ids; render chats first.")
    named = model or _first_model(base)
    said = [
        _asked(
            f"{base}/v1/completions",
            {
                "model": named, "prompt": one.content, "max_tokens": 1, "temperature": 0,
                "return_token_ids": True,
            },
        )
        for one in given
    ]  # fmt: skip
    names = [one.label for one in given] if labels is None else labels
    trace = import_routes(
        said, experts, layers=layers, tokenizer=tokenizer, labels=names, model=named
    )
    return trace


def _first_model(base: str) -> str:
    said = _asked(f"{base}/v1/models", None)
    try:
        return str(said["data"][0]["id"])
    except (LookupError, TypeError) as error:
        raise InputError(f"{base}: names no model. Say which with model=.") from error


def _asked(address: str, body: dict[str, Any] | None) -> Any:
    """The JSON that a server answers."""
    headers = {"Accept": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(address, data, headers)
    try:
        with _OPENER.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read(LARGEST))
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode("utf-8", "replace")
        raise InputError(f"{address}: answered with {error.code}: {said:.300}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{address}: no answer that could be read ({reason!s:.200}). Is it the address of a "
            "vLLM server?"
        ) from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """A key goes to the server that was named, and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: a redirection is an error."""
        return None


_OPENER = urllib.request.build_opener(_Stay)
