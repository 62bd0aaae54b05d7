# SPDX-License-Identifier: Apache-2.0
"""What lies in Hugging Face's cache is read from there, of one commit, online and offline.

The cache is filled by huggingface_hub itself, from `tests/hub`'s stand-in on loopback.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.errors import CheckpointError
from tests import writers
from tests.conftest import random_model, small_config
from tests.hub.files import BytesFile
from tests.hub.server import Hub

from .test_hub import connected, repo  # noqa: F401
from .test_stream import PROMPTS, same

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    model = random_model(small_config(vocab_size=8192, layers=2, experts=4))
    save_checkpoint(model, folder, writers.TOKENIZER)
    return folder


@pytest.fixture(scope="module")
def expected(folder) -> mv.Trace:
    return mv.record(mv.load(folder), PROMPTS)


@pytest.fixture
def hub(folder, connected) -> Iterator[Hub]:  # noqa: F811
    with Hub([repo(folder)]) as hub:
        connected(hub)
        yield hub


def fill(hub: Hub, tmp_path: Path, *endings: str, revision: str = "main") -> Path:
    """The snapshot's folder, after files with these endings were downloaded."""
    there = hub.repos["org/name"]
    names = [n for n in there.commits[there.refs[revision]] if n.endswith(endings or ("",))]
    cache = tmp_path / "hub"
    paths = [hf_hub_download("org/name", n, cache_dir=cache, revision=revision) for n in names]
    return Path(paths[0]).parent


@pytest.fixture
def offline(monkeypatch) -> Any:
    """Set HF_HUB_OFFLINE, or let the Hub be out of reach."""

    def switch(how: str) -> None:
        if how == "HF_HUB_OFFLINE":
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
        else:
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")

    return switch


# ---- Online ------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["resident", "stream"])
def test_a_full_cache_sends_no_byte_of_the_files(placement, hub, expected, tmp_path):
    fill(hub, tmp_path)
    before = len(hub.log)
    model = mv.load("org/name", placement=placement)
    assert same(mv.record(model, PROMPTS), expected)
    assert [r.file for r in hub.log[before:] if r.file] == []
    assert model.provenance.revision == f"org/name@{hub.repos['org/name'].refs['main']}"
    assert model.config.name == "org/name"


def test_what_the_cache_lacks_is_streamed(hub, expected, tmp_path):
    fill(hub, tmp_path, ".json", ".model")
    before = len(hub.log)
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)
    assert {r.file for r in hub.log[before:] if r.file} == {WEIGHTS}


def test_the_file_that_is_mapped_is_the_caches(hub, tmp_path):
    snapshot = fill(hub, tmp_path)
    header = open_checkpoint("org/name").headers[0]
    assert header.file == snapshot / WEIGHTS


def test_files_of_another_commit_are_never_mixed_in(hub, expected, tmp_path):
    """The branch has moved on since the download; its weights are other ones."""
    fill(hub, tmp_path)
    files = hub.repos["org/name"].commits[hub.repos["org/name"].refs["main"]]
    changed = bytearray(files[WEIGHTS].read(0, files[WEIGHTS].size))
    changed[-100] ^= 64
    second = hub.push("org/name", {WEIGHTS: BytesFile(changed, lfs=True)})
    before = len(hub.log)
    model = mv.load("org/name", placement="stream")
    assert model.provenance.revision == f"org/name@{second}"
    mv.record(model, PROMPTS)
    fetched = {r.file for r in hub.log[before:] if r.file}
    assert fetched == {WEIGHTS}  # the others have the same checksums, and come from the cache
    assert hub.sent(WEIGHTS)


def test_a_readme_that_changed_makes_nobody_fetch_weights(hub, expected, tmp_path):
    fill(hub, tmp_path)
    hub.push("org/name", {"README.md": BytesFile(b"# Mended\n", lfs=False)})
    before = len(hub.log)
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)
    assert [r.file for r in hub.log[before:] if r.file] == []


def test_a_file_that_is_cut_short_in_the_cache_is_streamed(hub, expected, tmp_path):
    blob = (fill(hub, tmp_path) / WEIGHTS).resolve()
    blob.write_bytes(blob.read_bytes()[:-1])
    assert same(mv.record(mv.load("org/name", placement="stream"), PROMPTS), expected)


# ---- Offline -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "no answer"])
def test_without_a_network_the_cache_is_enough(how, hub, expected, tmp_path, offline, capsys):
    fill(hub, tmp_path)
    first = hub.repos["org/name"].refs["main"]
    hub.push("org/name", {"config.json": BytesFile(b"{}", lfs=False)})  # which nobody can know
    before = len(hub.log)
    offline(how)
    model = mv.load("org/name")
    assert same(mv.record(model, PROMPTS), expected)
    assert model.provenance.revision == f"org/name@{first}"
    assert len(hub.log) == before
    said = capsys.readouterr().err
    assert (f"commit {first[:12]}" in said) == (how == "no answer")


def test_a_branch_is_what_it_was_when_it_was_fetched(hub, tmp_path, offline):
    first = hub.repos["org/name"].refs["main"]
    fill(hub, tmp_path)
    second = hub.push("org/name", {"README.md": BytesFile(b"two", lfs=False)}, branch="main")
    hub.repos["org/name"].refs["v2"] = second
    fill(hub, tmp_path, revision="v2")
    offline("HF_HUB_OFFLINE")
    for source, commit, title in (
        ("org/name", first, "org/name"),
        ("org/name@v2", second, "org/name@v2"),
        (f"org/name@{second}", second, "org/name@v2"),
        (f"org/name@{first[:10]}", first, "org/name"),
    ):
        opened = open_checkpoint(source)
        assert (opened.revision, opened.config.name) == (f"org/name@{commit}", title)


def test_what_the_cache_lacks_is_said_with_what_it_has(hub, tmp_path, offline):
    snapshot = fill(hub, tmp_path, ".json")
    offline("HF_HUB_OFFLINE")
    with pytest.raises(CheckpointError, match="hf download org/name") as caught:
        open_checkpoint("org/name")
    assert "config.json" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"HF_HUB_OFFLINE.* at main, "):
        open_checkpoint("org/name@other")
    with pytest.raises(CheckpointError, match="it is not in Hugging Face's cache"):
        open_checkpoint("org/nothing")
    assert snapshot.is_dir()


# ---- A folder of the cache is named ------------------------------------------------------------


def test_a_snapshot_and_a_root_are_called_by_the_repositorys_name(hub, expected, tmp_path):
    snapshot = fill(hub, tmp_path)
    root, before = snapshot.parents[1], len(hub.log)
    for source in (snapshot, str(snapshot) + "/", root):
        model = mv.load(source)
        assert model.provenance.model == "org/name"
        assert model.provenance.revision == f"org/name@{snapshot.name}"
        assert same(mv.record(model, PROMPTS), expected)
    assert len(hub.log) == before


def test_a_root_without_main_asks_which_commit(hub, tmp_path):
    root = fill(hub, tmp_path).parents[1]
    shutil.rmtree(root / "refs")
    assert open_checkpoint(root).config.name == "org/name"  # there is only one
    (root / "snapshots" / ("0" * 40)).mkdir()
    with pytest.raises(CheckpointError, match="2 of them"):
        open_checkpoint(root)


def test_hf_home_says_where_the_cache_is(hub, expected, tmp_path):
    """In a process of its own: huggingface_hub reads its settings once."""
    import os
    import subprocess
    import sys

    snapshot = fill(hub, tmp_path)
    home = tmp_path / "home"
    shutil.copytree(snapshot.parents[2], home / "hub", symlinks=True)
    program = (
        "from moe_viz.checkpoint import open_checkpoint as o; print(o('org/name').headers[0].file)"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE"))}
    env = {**kept, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.stdout.startswith(str(home)), run.stderr
