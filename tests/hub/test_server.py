# SPDX-License-Identifier: Apache-2.0
"""The stand-in behaves as the Hub does: huggingface_hub itself gets along with it, and its errors.

Then, with a plain HTTP client: ranges, signatures, and what is recorded.
"""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, errors

from tests.hub.conftest import CONFIG, WEIGHTS, get, make_hub, resolved
from tests.hub.files import BytesFile, PathFile, Repo
from tests.hub.process import forget, serve_in_process
from tests.hub.server import Hub

GIT_HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"  # echo hello | git hash-object --stdin


def test_model_info_tells_sizes_and_checksums(hub):
    info = HfApi(hub.endpoint, token=False).model_info("org/name", files_metadata=True)
    files: Any = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    weights, config = files["model.safetensors"], files["config.json"]
    assert (info.id, info.private, info.gated) == ("org/name", False, False)
    assert info.sha == hub.repos["org/name"].refs["main"]
    assert weights.lfs["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert weights.size == weights.lfs["size"] == len(WEIGHTS)
    assert (config.size, config.blob_id, config.lfs) == (len(CONFIG), GIT_HELLO, None)
    assert "with space/ä.txt" in files


@pytest.mark.parametrize("resolve_cache", [False, True])
def test_files_are_downloaded_and_cached(tmp_path, resolve_cache):
    with make_hub(resolve_cache=resolve_cache) as hub:
        api = HfApi(hub.endpoint, token=False)
        for path, data in (("model.safetensors", WEIGHTS), ("config.json", CONFIG)):
            here = Path()
            for _ in range(2):
                here = Path(api.hf_hub_download("org/name", path, cache_dir=tmp_path))
                assert here.read_bytes() == data
            assert here.resolve().name == hub.repos["org/name"].commits[here.parts[-2]][path].etag
            assert hub.sent(path) == [(0, len(data))]
        empty = api.hf_hub_download("org/name", "with space/ä.txt", cache_dir=tmp_path)
        assert Path(empty).read_bytes() == b""


def test_a_push_moves_the_branch_and_leaves_old_commits(hub, tmp_path):
    api = HfApi(hub.endpoint, token=False)
    old = api.model_info("org/name").sha
    changed = {"config.json": BytesFile(b"new", lfs=False), "model.safetensors": None}
    new = hub.push("org/name", changed)
    info = api.model_info("org/name", revision="main")
    assert (info.sha, new == old) == (new, False)
    assert [s.rfilename for s in info.siblings or ()] == ["config.json", "with space/ä.txt"]
    for revision, data in ((old, CONFIG), ("main", b"new")):
        path = api.hf_hub_download("org/name", "config.json", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_bytes() == data


@pytest.mark.parametrize(
    ("repo", "revision", "path", "token", "error", "status"),
    [
        ("org/gated", "main", "config.json", False, errors.GatedRepoError, 401),
        ("org/gated", "main", "config.json", "hf_out", errors.GatedRepoError, 403),
        ("org/private", "main", "config.json", "hf_out", errors.RepositoryNotFoundError, 404),
        ("org/absent", "main", "config.json", False, errors.RepositoryNotFoundError, 401),
        ("org/absent", "main", "config.json", "hf_out", errors.RepositoryNotFoundError, 404),
        ("org/name", "v9", "config.json", False, errors.RevisionNotFoundError, 404),
        ("org/name", "main", "absent", False, errors.RemoteEntryNotFoundError, 404),
        ("org/name", "main", "config.json", "hf_forged", errors.HfHubHTTPError, 401),
    ],
)
def test_errors_are_the_hubs(hub, tmp_path, repo, revision, path, token, error, status):
    api = HfApi(hub.endpoint, token=token)
    with pytest.raises(error) as raised:
        api.hf_hub_download(repo, path, revision=revision, cache_dir=tmp_path)
    assert raised.type is error
    assert raised.value.response.status_code == status
    if repo != "org/gated" and path != "absent":
        with pytest.raises(error):
            api.model_info(repo, revision=revision)


def test_a_token_opens_what_is_closed_and_never_reaches_the_cdn(hub, tmp_path):
    api = HfApi(hub.endpoint, token="hf_in")
    for repo in ("org/gated", "org/private"):
        path = api.hf_hub_download(repo, "model.safetensors", cache_dir=tmp_path)
        assert Path(path).read_bytes() == WEIGHTS
    tokens = {(record.server, record.headers.get("authorization")) for record in hub.log}
    assert tokens == {("hub", "Bearer hf_in"), ("cdn", None)}


def test_huggingface_hub_resumes_where_a_connection_ended(hub, tmp_path):
    hub.fault("short", bytes=1_000_000)
    api = HfApi(hub.endpoint, token=False)
    path = api.hf_hub_download("org/name", "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    first, last = hub.sent("model.safetensors")
    # It takes 10 MiB at once: what it has of less is lost, and asked for again.
    assert (first, last[1]) == ((0, 1_000_000), len(WEIGHTS))


# Ranges, signatures, the record


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("5-1048999", 5, 1_049_000),
        ("2999990-9999999", 2_999_990, 3_000_000),
        ("2999990-", 2_999_990, 3_000_000),
        ("-7", 2_999_993, 3_000_000),
    ],
)
@pytest.mark.parametrize("lfs", [False, True])
def test_ranges(client, lfs, span, start, stop):
    with Hub([Repo("org/name", {"file": BytesFile(WEIGHTS, lfs=lfs)})]) as hub:
        url = f"{hub.endpoint}/org/name/resolve/main/file"
        answer = get(client, resolved(hub, client, "file") if lfs else url, span)
        assert answer.status_code == 206
        assert answer.content == WEIGHTS[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/3000000"
        record = hub.log[-1]
        assert (record.range, record.status, record.bytes_sent) == (
            (start, stop),
            206,
            stop - start,
        )
        assert hub.sent("file") == [(start, stop)]


def test_a_range_outside_is_refused_and_several_are_not_understood(hub, client):
    url = resolved(hub, client)
    outside = get(client, url, "3000000-3000001")
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */3000000")
    assert get(client, url, "0-1,5-6").status_code == 200
    assert get(client, url, "6-5").status_code == 200


def test_conditions_hold_for_the_content_that_they_name(hub, client):
    url = resolved(hub, client)
    headers = {"Range": "bytes=0-9"}
    etag = client.head(url).headers["etag"]
    for name, other in (("If-Range", 200), ("If-Match", 412)):
        assert client.get(url, headers={**headers, name: etag}).status_code == 206
        assert client.get(url, headers={**headers, name: '"x"'}).status_code == other


def test_an_address_of_the_cdn_holds_as_it_was_signed_and_for_a_while(hub, client):
    url = resolved(hub, client)
    for part, forged in (("Signature=", "Signature=0"), ("model", "m0del"), ("Expires=", "x=")):
        answer = client.get(url.replace(part, forged))
        assert answer.status_code == 403
        assert answer.content.startswith(b"<?xml")
    hub.signer.lifetime = -1.0
    assert b"expired" in client.get(resolved(hub, client)).content
    assert client.get(url).status_code == 200
    hub.expire()
    assert client.get(url).status_code == 403


def test_a_file_on_disk_is_read_where_it_is_asked(tmp_path, client):
    (tmp_path / "weights").write_bytes(WEIGHTS)
    file = PathFile(tmp_path / "weights", lfs=True)
    assert file.etag == hashlib.sha256(WEIGHTS).hexdigest()
    with Hub([Repo("org/name", {"file": file})]) as hub:
        answer = get(client, resolved(hub, client, "file"), "10-2000000")
        assert answer.content == WEIGHTS[10:2000001]


def address(hub: Hub) -> tuple[str, int]:
    host, _, port = hub.endpoint.removeprefix("http://").partition(":")
    return host, int(port)


def test_connections_are_kept_and_end_with_the_server(client):
    with make_hub() as hub, socket.create_connection(address(hub)) as connection:
        for _ in range(2):
            connection.sendall(b"HEAD /org/name/resolve/main/config.json HTTP/1.1\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        hub.__exit__()
        assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address(hub))


def test_the_rate_is_kept_over_all_that_is_sent(hub, client):
    url = resolved(hub, client)
    hub.rate = 10e6
    started = time.monotonic()
    assert client.get(url).content == WEIGHTS
    assert 0.2 < time.monotonic() - started < 2


def test_a_hub_in_a_process_of_its_own_can_be_asked(client):
    with serve_in_process(make_hub) as hub:
        url = resolved(hub, client)
        assert get(client, url, "0-99").content == WEIGHTS[:100]
        assert (hub.totals().requests, hub.totals().by_file) == (2, {"model.safetensors": 100})
        hub.ask(forget)
        assert hub.totals().requests == 0
        with pytest.raises(KeyError):
            hub.ask(Hub.fault, "no such")
    with pytest.raises(httpx.ConnectError):
        client.get(url)
