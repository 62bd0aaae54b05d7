# SPDX-License-Identifier: Apache-2.0
"""What is read from the Hub gives the trace of the same files on disk, or an error that helps.

The Hub is `tests/hub`'s stand-in on loopback. Nothing here reaches a network.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.checkpoint.hub import bytecache
from moe_viz.checkpoint.hub import file as hubfile
from moe_viz.errors import CheckpointError, OutputError
from tests import writers
from tests.conftest import random_model, small_config
from tests.hub.files import BytesFile, PathFile, Repo
from tests.hub.server import Hub

from .test_stream import PROMPTS, same

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The same model in every layout that can be read in parts."""
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    base = tmp_path_factory.mktemp("hub")
    layouts = {k: write for k, write in writers.LAYOUTS.items() if write != writers.mistral_stacked}
    made = {}
    for n, (name, write) in enumerate(layouts.items()):
        path = write(model, base / str(n))
        made[name] = path if path.is_dir() else path.parent
    return made


def repo(folder: Path, name: str = "org/name", **options) -> Repo:
    """A repository with the files of a folder; weights and vocabulary lie on the CDN."""
    large = (".safetensors", ".gguf", ".model")
    files = {p.name: PathFile(p, lfs=p.name.endswith(large)) for p in folder.glob("*.*")}
    return Repo(name, files, **options)


@pytest.fixture
def connected(monkeypatch, tmp_path):
    """Point huggingface_hub at a stand-in, with nothing of this machine's own settings."""

    def connect(hub: Hub) -> None:
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)

    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hubfile, "FIRST_WAIT", 0.01)
    return connect


@pytest.fixture
def hub(folders, connected) -> Iterator[Hub]:
    with Hub([repo(folders["Hugging Face"])]) as hub:
        connected(hub)
        yield hub


@pytest.fixture(scope="module")
def expected(folders) -> mv.Trace:
    return mv.record(mv.load(folders["Hugging Face"]), PROMPTS)


# ---- The same as on disk -----------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["stream", "resident"])
def test_every_layout_gives_the_same_trace_as_on_disk(folders, connected, placement):
    for layout, folder in folders.items():
        with Hub([repo(folder)], resolve_cache=True) as hub:
            connected(hub)
            packed = list(folder.glob("*.gguf"))
            source = "org/name" + (f"/{packed[0].name}" if packed else "")
            remote = mv.load(source, placement=placement)
            there = mv.load(packed[0] if packed else folder, placement=placement)
            assert same(mv.record(remote, PROMPTS, loss=True), mv.record(there, PROMPTS, loss=True))
            assert remote.provenance.fingerprint == there.provenance.fingerprint, layout
            assert remote.provenance.revision == f"org/name@{hub.repos['org/name'].refs['main']}"


def test_a_lone_gguf_file_needs_no_name(folders, connected, expected):
    with Hub([repo(folders["GGUF, merged experts"])]) as hub:
        connected(hub)
        trace = mv.record(mv.load("org/name", placement="stream"), PROMPTS)
    assert abs(trace.router_logits - expected.router_logits).max() < 1e-5


def test_what_is_on_this_disk_goes_before(folders, hub, tmp_path, monkeypatch):
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to(folders["Hugging Face"])
    monkeypatch.chdir(tmp_path)
    assert open_checkpoint("org/name").revision == ""
    assert not hub.log


def test_a_commit_is_held_although_the_branch_moves_on(hub, expected, monkeypatch):
    model = mv.load("org/name", placement="stream")
    hub.push("org/name", {"config.json": BytesFile(b"{}", lfs=False), WEIGHTS: None})
    assert same(mv.record(model, PROMPTS), expected)
    first = model.provenance.revision.split("@")[1]
    again = mv.load(f"org/name@{first}", placement="stream")
    assert again.provenance.revision == model.provenance.revision
    with pytest.raises(CheckpointError, match=r"no weights beside config\.json"):
        mv.load("org/name")


def test_the_revision_survives_saving(hub, tmp_path):
    trace = mv.record(mv.load("org/name", placement="stream"), PROMPTS)
    loaded = mv.Trace.load(trace.save(tmp_path / "t.safetensors"))
    assert loaded.provenance.revision == trace.provenance.revision != ""


# ---- Which bytes -------------------------------------------------------------------------------


def test_a_sweep_fetches_each_byte_once_and_none_that_it_does_not_need(folders, hub):
    model = mv.load("org/name", placement="stream")
    before = len(hub.sent(WEIGHTS))
    mv.record(model, PROMPTS)
    first = sorted(hub.sent(WEIGHTS)[before:])
    assert all(a[1] <= b[0] for a, b in pairwise(first))
    checkpoint = open_checkpoint(folders["Hugging Face"])
    read = [(h.start, h.start + h.size) for h in checkpoint.headers]
    names = list(checkpoint)  # in the order of the headers
    last = f"layers.{checkpoint.config.layers - 1}.moe.experts."
    for name, (start, stop) in zip(names, read, strict=True):
        fetched = sum(max(0, min(stop, b) - max(start, a)) for a, b in first)
        if name.startswith(last) or name == "head.weight":
            assert fetched == 0, name
        elif ".attention.w" in name or ".experts." in name:
            assert fetched == stop - start, name
    before = len(hub.sent(WEIGHTS))
    mv.record(model, PROMPTS)
    assert sorted(hub.sent(WEIGHTS)[before:]) == first  # and all of them once more


def test_of_the_embedding_only_rows_in_use_are_fetched(hub, monkeypatch):
    monkeypatch.setattr("moe_viz.checkpoint.stored.GAP", 0)
    model: Any = mv.load("org/name", placement="stream")
    header = model._checkpoint._store.headers["model.embed_tokens.weight"]
    before = len(hub.sent(WEIGHTS))
    mv.record(model, [[7, 8, 9, 4000, 7], [6, 4001]])
    rows = [
        (a, b)
        for a, b in hub.sent(WEIGHTS)[before:]
        if header.start <= a < header.start + header.size
    ]
    row = header.size // header.shape[0]
    wanted = [(6, 10), (4000, 4002)]
    assert sorted(rows) == [(header.start + a * row, header.start + b * row) for a, b in wanted]


def test_rows_that_lie_close_together_come_in_one_answer(hub):
    checkpoint = open_checkpoint("org/name")
    whole: Any = checkpoint["embedding.weight"]
    before = len(hub.sent(WEIGHTS))
    rows = torch.tensor([3, 9, 11, 4000, 8000, 8191])
    fetched: Any = checkpoint.rows("embedding.weight", rows)
    assert torch.equal(fetched, whole[rows])
    assert len(hub.sent(WEIGHTS)) - before == 3  # GAP is 256 rows here


def test_inspecting_fetches_headers_and_routers_only(hub):
    found = dict(mv.inspect("org/name"))
    assert found["model"] == "org/name"
    assert found["read from"].startswith("org/name@")
    fetched = sum(b - a for a, b in hub.sent(WEIGHTS))
    assert fetched < 2**19
    assert not [r for r in hub.log if r.server == "cdn" and r.status == 200]


def test_large_ranges_come_over_several_connections_and_fit_together(hub, expected, monkeypatch):
    monkeypatch.setattr(hubfile, "PART", 1000)
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)


# ---- The token ---------------------------------------------------------------------------------


def test_the_token_goes_to_the_hub_and_never_on(folders, connected, expected, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_in")
    with Hub([repo(folders["Hugging Face"], gated=True, tokens=["hf_in"])]) as hub:
        connected(hub)
        hub.fault("redirect", WEIGHTS, times=3)  # to a third host
        assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)
        asked = {s: [r for r in hub.log if r.server == s] for s in ("hub", "cdn")}
    assert all(r.headers.get("authorization") == "Bearer hf_in" for r in asked["hub"])
    assert asked["cdn"]
    assert not [r for r in asked["cdn"] if "authorization" in r.headers]


# ---- What mends itself -------------------------------------------------------------------------

MENDED = {
    "reset": {"bytes": 300},
    "short": {},
    "lie_short": {},
    "stall": {"seconds": 1.5, "bytes": 10},
    "429": {"retry_after": 0},
    "500": {},
    "502": {},
    "503": {"retry_after": 0.2},
    "504": {},
    "expire": {},
    "redirect": {},
    "ignore_range": {},
}


@pytest.mark.parametrize("kind", MENDED)
@pytest.mark.parametrize("after", [0, 7])
def test_a_fault_that_passes_leaves_no_mark(kind, after, hub, expected, monkeypatch):
    monkeypatch.setattr(hubfile, "TIMEOUT", 0.5)
    model = mv.load("org/name", placement="stream")
    fault = hub.fault(kind, WEIGHTS, times=3, after=after, **MENDED[kind])
    assert same(mv.record(model, PROMPTS), expected)
    assert fault.hits == 3


def test_what_came_before_a_break_is_not_fetched_again(hub, expected):
    model = mv.load("org/name", placement="stream")
    before = len(hub.sent(WEIGHTS))
    hub.fault("short", WEIGHTS, times=5, bytes=1000)
    assert same(mv.record(model, PROMPTS), expected)
    sent = sorted(hub.sent(WEIGHTS)[before:])
    assert all(a[1] <= b[0] for a, b in pairwise(sent))


def test_a_server_may_ask_us_to_wait(hub, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(hubfile.time, "sleep", waits.append)
    checkpoint = open_checkpoint("org/name")
    hub.fault("503", WEIGHTS, retry_after=7)
    checkpoint["head.weight"]
    assert waits == [7.0]


def test_the_hub_itself_may_stumble(hub, expected, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.fault("503", WEIGHTS, on="resolve", times=2)
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)


# ---- What does not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("etag", "changed while it was read: its ETag is"),
        ("content_change", "changed while it was read: its ETag is"),
        ("total_wrong", "changed while it was read: an answer has Content-Range"),
        ("range_missing", "Content-Range None"),
        ("range_wrong", "cannot be relied upon"),
        ("gzip", "encodes the bytes"),
    ],
)
@pytest.mark.parametrize("after", [0, 7])
def test_a_wrong_answer_is_an_error_and_never_a_trace(kind, said, after, hub):
    model = mv.load("org/name", placement="stream")
    hub.fault(kind, WEIGHTS, times=None, after=after)
    with pytest.raises(CheckpointError, match=said) as caught:
        mv.record(model, PROMPTS)
    assert WEIGHTS in str(caught.value)


@pytest.mark.parametrize("kind", ["reset", "500", "429", "expire"])
def test_what_stays_broken_is_given_up_and_said(kind, hub, monkeypatch):
    monkeypatch.setattr(hubfile, "FIRST_WAIT", 0.0)
    model = mv.load("org/name", placement="stream")
    hub.fault(kind, WEIGHTS, times=None)
    with pytest.raises(CheckpointError, match="could not be read in 6 tries"):
        mv.record(model, PROMPTS)


def test_a_file_that_the_hub_says_has_changed(hub):
    """Not what a Hub does within a commit; but then the old and the new must not be mixed."""
    model = mv.load("org/name", placement="stream")
    files = hub.repos["org/name"].commits[hub.repos["org/name"].refs["main"]]
    files[WEIGHTS] = BytesFile(files[WEIGHTS].read(0, files[WEIGHTS].size), lfs=True, etag="0" * 64)
    hub.fault("expire", WEIGHTS)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        mv.record(model, PROMPTS)


def test_a_cut_sweep_goes_on_where_the_network_failed(hub, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(hubfile, "FIRST_WAIT", 0.0)
    model = mv.load("org/name", placement="stream")
    fault = hub.fault("500", WEIGHTS, times=None, after=60)
    unfinished = tmp_path / "half.safetensors"
    with pytest.raises(CheckpointError, match="resume="):
        mv.record(model, PROMPTS, resume=unfinished)
    assert unfinished.exists()
    fault.times = fault.hits  # the network is back
    again: Any = mv.load("org/name", placement="stream")
    before = sum(b - a for a, b in hub.sent(WEIGHTS))
    assert same(mv.record(again, PROMPTS, resume=unfinished), expected)
    rest = sum(b - a for a, b in hub.sent(WEIGHTS)) - before
    assert 0 < rest < again.sweep_bytes


@pytest.mark.parametrize("name", ["config.json", "tokenizer.model"])
def test_a_small_file_is_held_against_its_checksum(name, hub):
    hub.fault("corrupt", name, times=None)
    with pytest.raises(CheckpointError, match=f"{name}: does not have the checksum"):
        mv.load("org/name")


def test_a_pickle_cannot_be_read_in_parts(connected):
    files = {"params.json": b'{"dim": 64}', "consolidated.00.pt": b"PK", "tokenizer.model": b""}
    from moe_viz.config import MixtralConfig

    small = {n: BytesFile(d, lfs=False) for n, d in files.items()}
    c = MixtralConfig.preset("8x7m")
    params = (
        f'{{"dim": 256, "n_layers": {c.layers}, "head_dim": 64, "hidden_dim": 512, "n_heads": 4, '
        '"n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": 8192, '
        '"moe": {"num_experts": 8, "num_experts_per_tok": 2}}'
    )
    small["params.json"] = BytesFile(params.encode(), lfs=False)
    with Hub([Repo("org/name", small)]) as hub:
        connected(hub)
        with pytest.raises(CheckpointError, match=r"\.pt file cannot be read in parts"):
            mv.load("org/name")


# ---- Who may read ------------------------------------------------------------------------------


@pytest.fixture
def guarded(folders, connected) -> Iterator[Hub]:
    folder = folders["Hugging Face"]
    gated = repo(folder, "org/gated", gated=True, tokens=["hf_in"])
    private = repo(folder, "org/private", private=True, tokens=["hf_in"])
    with Hub([repo(folder), gated, private], tokens=["hf_out"]) as hub:
        connected(hub)
        yield hub


@pytest.mark.parametrize(
    ("source", "token", "said"),
    [
        ("org/gated", "", "is gated: its owner asks"),
        ("org/gated", "hf_out", "Accept the terms on its page"),
        ("org/gated", "hf_wrong", "HF_TOKEN"),
        ("org/private", "", "no such repository, or hides it from you"),
        ("org/nothing", "", "no such repository"),
        ("org/name@nowhere", "", "no such revision"),
        ("org/name/model.Q9.gguf", "", "no such file in the repository"),
    ],
)
def test_what_cannot_be_had_is_explained(source, token, said, guarded, monkeypatch):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(CheckpointError, match=said) as caught:
        mv.load(source)
    assert str(caught.value).startswith("org/")


def test_no_network(connected, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="the Hub cannot be reached"):
        mv.load("org/name")


def test_offline_is_respected(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True, raising=False)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        mv.load("org/name")
    assert not hub.log


# ---- Kept on disk ------------------------------------------------------------------------------


def fetched(hub: Hub) -> int:
    return sum(b - a for a, b in hub.sent(WEIGHTS))


def test_a_second_time_comes_from_the_cache(hub, expected):
    assert same(mv.record(mv.load("org/name", placement="stream", cache_gb=1), PROMPTS), expected)
    first = fetched(hub)
    assert same(mv.record(mv.load("org/name", placement="stream", cache_gb=1), PROMPTS), expected)
    assert fetched(hub) == first
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)
    assert fetched(hub) == 2 * first  # without it, all of it again


def test_a_damaged_range_in_the_cache_is_fetched_again(hub, expected):
    mv.record(mv.load("org/name", placement="stream", cache_gb=1), PROMPTS)
    for n, path in enumerate(sorted(bytecache.cache_folder().iterdir())):
        data = bytearray(path.read_bytes())
        if n % 3 == 0:
            data[len(data) // 2] ^= 1
        path.write_bytes(data[:-2] if n % 3 == 1 else data)
    assert same(mv.record(mv.load("org/name", placement="stream", cache_gb=1), PROMPTS), expected)


def test_the_cache_stays_within_its_bounds_and_helps_all_the_same(hub, expected):
    mv.record(mv.load("org/name", placement="stream"), PROMPTS)
    needed = last = fetched(hub)
    for _ in range(3):
        before = fetched(hub)
        model = mv.load("org/name", placement="stream", cache_gb=needed / 2e9)
        assert same(mv.record(model, PROMPTS), expected)
        last = fetched(hub) - before
        kept = sum(p.stat().st_size for p in bytecache.cache_folder().iterdir())
        assert needed / 4 < kept <= needed / 2
    assert last < 0.7 * needed  # what was kept first is not thrown out by what follows


def test_other_checkpoints_make_room(tmp_path):
    cache = bytecache.ByteCache(1e-5, tmp_path)  # 10 kB
    cache.claim("old")
    for n in range(3):
        cache.put("old", n * 3000, torch.zeros(3000, dtype=torch.uint8))
    again = bytecache.ByteCache(1e-5, tmp_path)
    again.claim("new")
    again.put("new", 0, torch.ones(3000, dtype=torch.uint8))
    again.put("new", 3000, torch.ones(3000, dtype=torch.uint8))
    assert again.get("old", 0, 3000) is None
    assert again.get("old", 6000, 9000) is not None
    kept = again.get("new", 3000, 6000)
    assert kept is not None
    assert kept.sum() == 3000


def test_more_than_the_disk_has_is_refused_before_work_begins(hub):
    with pytest.raises(OutputError, match="cache_gb=1e\\+09 asks for"):
        mv.load("org/name", cache_gb=1e9)
    assert not hub.log


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(hub, expected, monkeypatch, capsys):
    model = mv.load("org/name", placement="stream", cache_gb=1)

    def full(path, **_):
        raise OutputError("no space left on device")

    monkeypatch.setattr(bytecache, "atomic_path", full)
    assert same(mv.record(model, PROMPTS), expected)
    assert capsys.readouterr().err.count("the cache keeps nothing more") == 1


def test_connections_are_used_again(hub, monkeypatch):
    """A new one for each range would cost a handshake each, far away more than the bytes."""
    opened = []
    create = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda *a, **k: opened.append(a[0]) or create(*a, **k)
    )
    close_session()
    mv.record(mv.load("org/name", placement="stream"), PROMPTS)
    assert len(hub.sent(WEIGHTS)) > 60
    assert len(opened) <= 2 * 8  # two servers, at most as many at once as headers are read


def test_what_looks_like_a_path_is_not_asked_for(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    before = len(hub.log)
    for source in ("org/name", "org/name/model.gguf", "./org/name", "~/name", "a/b/c", "C:/name"):
        with pytest.raises(CheckpointError, match="there is no such folder or file"):
            mv.load(source)
    assert len(hub.log) == before
    assert mv.load("org/name@main", placement="stream").provenance.revision.startswith("org/name@")
