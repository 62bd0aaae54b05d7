# SPDX-License-Identifier: Apache-2.0
"""Each fault of the stand-in goes wrong in the way that its name says, and in no other."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import httpx
import pytest

from tests.hub.conftest import WEIGHTS, get, resolved
from tests.hub.faults import FAULTS
from tests.hub.files import BytesFile


def test_a_fault_meets_the_requests_it_is_meant_for(hub, client):
    url = resolved(hub, client)
    fault = hub.fault(503, match="model", after=1, times=2, retry_after=7)
    hub.fault(429, on="api", headers={"RateLimit": '"api";r=0;t=1'})
    config = f"{hub.endpoint}/org/name/resolve/main/config.json"
    assert client.get(config).status_code == client.head(url).status_code == 200
    assert [client.get(url).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert fault.hits == 2
    assert [client.get(f"{hub.endpoint}/api/models/org/name").status_code for _ in "ab"] == [
        429,
        200,
    ]
    with pytest.raises(TypeError):
        hub.fault("reset", no_such_option=1)


def received(
    url: str, client: httpx.Client, span: str = "1000-1999", pause: float = 0.0
) -> tuple[bytes, Exception | None]:
    """What arrives of a body after a pause, and what ends it."""
    parts = []
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={span}"}) as answer:
            time.sleep(pause)
            for part in answer.iter_raw():
                parts.append(part)
    except httpx.TransportError as error:
        return b"".join(parts), error
    return b"".join(parts), None


def test_reset_breaks_and_short_closes(hub, client):
    url = resolved(hub, client)
    hub.fault("reset", bytes=600)
    data, error = received(url, client)
    assert (data, type(error)) == (WEIGHTS[1000:1600], httpx.ReadError)
    hub.fault("short")
    data, error = received(url, client)
    assert (data, type(error)) == (WEIGHTS[1000:1500], httpx.RemoteProtocolError)
    assert hub.sent("model.safetensors") == [(1000, 1600), (1000, 1500)]


def test_what_was_sent_before_a_reset_arrives(hub, client):
    """Also what fills the buffers between a fast server and a slow client."""
    url = resolved(hub, client)
    hub.fault("reset", bytes=2_900_000)
    data, error = received(url, client, "0-", pause=0.3)
    assert (data == WEIGHTS[:2_900_000], type(error)) == (True, httpx.ReadError)


def test_stall_keeps_waiting(hub, client):
    url = resolved(hub, client)
    hub.fault("stall", seconds=60, bytes=300)
    client.timeout = httpx.Timeout(5, read=0.3)
    data, error = received(url, client)
    assert (data, type(error)) == (WEIGHTS[1000:1300], httpx.ReadTimeout)
    client.timeout = httpx.Timeout(5)
    hub.fault("stall", seconds=0.1)
    assert received(url, client) == (WEIGHTS[1000:2000], None)


ETAG = BytesFile(WEIGHTS, lfs=True).stored_etag


@pytest.mark.parametrize(
    ("kind", "status", "headers", "data"),
    [
        ("lie_short", 206, {"content-range": "bytes 1000-1999/3000000"}, WEIGHTS[1000:1500]),
        ("etag", 206, {"etag": '"another"'}, WEIGHTS[1000:2000]),
        ("range_wrong", 206, {"content-range": "bytes 999-1998/3000000"}, WEIGHTS[999:1999]),
        ("range_missing", 206, {"content-range": ""}, WEIGHTS[1000:2000]),
        ("total_wrong", 206, {"content-range": "bytes 1000-1999/3000001"}, WEIGHTS[1000:2000]),
        ("ignore_range", 200, {"content-range": ""}, WEIGHTS),
        ("429", 429, {}, b"<p>Sorry."),
        ("500", 500, {}, b"<p>Sorry."),
        ("502", 502, {}, b"<p>Sorry."),
        ("503", 503, {}, b"<p>Sorry."),
        ("504", 504, {}, b"<p>Sorry."),
    ],
)
def test_an_answer_is_wrong_in_one_way_and_once(hub, client, kind, status, headers, data):
    url = resolved(hub, client)
    hub.fault(kind)
    answer = get(client, url, "1000-1999")
    assert (answer.status_code, answer.content) == (status, data)
    assert {name: answer.headers.get(name, "") for name in headers} == headers
    if status < 300 and kind != "etag":
        assert answer.headers["etag"] == f'"{ETAG}"'
    after = get(client, url, "1000-1999")
    assert (after.status_code, after.content) == (206, WEIGHTS[1000:2000])


def test_content_change_is_another_content_of_the_same_size(hub, client):
    url = resolved(hub, client)
    etag = client.head(url).headers["etag"]
    hub.fault("content_change", times=None)
    first, again = get(client, url, "1000-1999"), get(client, url)
    assert first.headers["etag"] == again.headers["etag"] != etag
    assert first.content == again.content[1000:2000]
    assert all(a != b for a, b in zip(first.content, WEIGHTS[1000:], strict=False))
    assert len(again.content) == len(WEIGHTS)
    assert client.get(url, headers={"If-Match": etag}).status_code == 412


def test_corrupt_flips_one_bit(hub, client):
    url = resolved(hub, client)
    for options, place in (({}, 1500), ({"at": 1003}, 1003)):
        hub.fault("corrupt", **options)
        data = get(client, url, "1000-1999").content
        wrong = [1000 + n for n, byte in enumerate(data) if byte != WEIGHTS[1000 + n]]
        assert (wrong, len(data)) == ([place], 1000)


def test_expire_refuses_until_the_address_is_asked_for_anew(hub, client):
    url = resolved(hub, client)
    hub.fault("expire", after=1)
    assert [client.get(url).status_code for _ in range(3)] == [200, 403, 403]
    assert client.get(resolved(hub, client)).status_code == 200


def test_redirect_leads_to_a_third_host_that_serves_it(hub, client):
    url = resolved(hub, client)
    hub.fault("redirect", times=None)
    answer = client.get(url, headers={"Range": "bytes=0-9"}, follow_redirects=True)
    assert (answer.content, answer.url.host) == (WEIGHTS[:10], "127.0.0.1")
    assert [hop.status_code for hop in answer.history] == [302]


@pytest.mark.parametrize("chunked", [False, True])
def test_gzip_is_compressed_whoever_asks(hub, client, chunked):
    url = resolved(hub, client)
    hub.fault("gzip", chunked=chunked)
    headers = {"Range": "bytes=0-9", "Accept-Encoding": "identity"}
    with client.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert ("content-length" in answer.headers) is not chunked
        assert gzip.decompress(b"".join(answer.iter_raw())) == WEIGHTS[:10]
    assert hub.sent("model.safetensors") == []
    assert get(client, url, "0-9").content == WEIGHTS[:10]  # on the same connection


def test_every_fault_is_tested():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in FAULTS if f'"{kind}"' not in text] == []
