# SPDX-License-Identifier: Apache-2.0
"""A streamed model gives the trace of a resident one, and reads what it needs, once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from typing import Any

import pytest
import torch

import moe_viz as mv
from moe_viz.checkpoint import mapping, open_checkpoint
from moe_viz.errors import CheckpointError, InputError, PlacementError
from moe_viz.placement import stream
from tests import writers
from tests.conftest import random_model, small_config

PROMPTS = [list(range(5, 60)), list(range(100, 117)), [7], list(range(30, 90))]


@pytest.fixture(scope="module", params=["8x7m", *writers.LAYOUTS])
def source(request, tmp_path_factory):
    if request.param == "8x7m":
        return "8x7m"
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    return writers.LAYOUTS[request.param](model, tmp_path_factory.mktemp("stream") / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    return writers.hugging_face_4(model, tmp_path_factory.mktemp("folder"))


def same(a: mv.Trace, b: mv.Trace) -> bool:
    arrays = ("router_logits", "experts", "gates", "loss")
    return all(
        (getattr(a, name) is None and getattr(b, name) is None)
        or torch.equal(
            torch.from_numpy(getattr(a, name)).nan_to_num(-1),
            torch.from_numpy(getattr(b, name)).nan_to_num(-1),
        )
        for name in arrays
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", [False, True])
def test_streamed_equals_resident_to_the_last_bit(source, dtype, loss):
    resident: Any = mv.load(source, dtype=dtype, placement="resident")
    streamed: Any = mv.load(source, dtype=dtype, placement="stream")
    for prompts in (PROMPTS, [[7]], [[7, 9, 11]]):  # with and without reading ahead
        a, b = (mv.record(model, prompts, loss=loss) for model in (resident, streamed))
        assert same(a, b)
    assert b.provenance.placement == "stream"
    ids = torch.tensor(PROMPTS[0])
    with torch.inference_mode():
        assert torch.equal(streamed(ids), resident(ids))


def test_a_packed_file_streams_as_it_is(tmp_path):
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    kinds = {"token_embd": "Q4_0", "ffn_gate_inp": "Q8_0", "ffn": "Q5_0", "attn": "Q8_0"}
    kinds = {"norm": "F32", **kinds}
    path = writers.write_gguf(model, tmp_path / "m.gguf", merged=True, kinds=kinds)
    a, b = (mv.record(mv.load(path, placement=p), PROMPTS) for p in ("resident", "stream"))
    assert same(a, b)
    assert b.provenance.quantisation == a.provenance.quantisation != "none"


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """How often each tensor of a checkpoint was read."""
    counted: Counter = Counter()
    read = mapping.Checkpoint.__getitem__

    def counting(self, name):
        counted[name] += 1
        return read(self, name)

    pick = mapping.Checkpoint.rows

    def counting_rows(self, name, rows):
        counted[name] += 1
        return pick(self, name, rows)

    monkeypatch.setattr(mapping.Checkpoint, "__getitem__", counting)
    monkeypatch.setattr(mapping.Checkpoint, "rows", counting_rows)
    return counted


def test_each_weight_is_read_once_and_what_is_not_needed_never(folder, reads):
    model = mv.load(folder, placement="stream")
    reads.clear()
    mv.record(model, PROMPTS)
    last = f"layers.{model.config.layers - 1}.moe.experts."
    assert set(reads.values()) == {1}
    streamed = {n for n in open_checkpoint(folder) if ".attention.w" in n or ".experts." in n}
    assert set(reads) == {"embedding.weight"} | {n for n in streamed if not n.startswith(last)}


def test_few_tokens_read_only_the_experts_they_go_to(folder, reads):
    model = mv.load(folder, placement="stream")
    reads.clear()
    trace = mv.record(model, [[7, 9]])
    used = {
        f"layers.{layer}.moe.experts.{e}.w1.weight"
        for layer in trace.layers[:-1]
        for e in trace.experts[layer].flatten()
    }
    assert {n for n in reads if n.endswith("w1.weight")} == used


def test_with_losses_the_last_experts_and_the_head_are_read_too(folder, reads):
    model = mv.load(folder, placement="stream")
    reads.clear()
    mv.record(model, PROMPTS, loss=True)
    mv.record(model, PROMPTS, loss=True)
    assert reads["head.weight"] == 1  # it stays
    assert reads["layers.2.moe.experts.0.w1.weight"] == 2


def test_never_more_than_three_modules_are_in_memory(folder, monkeypatch):
    alive: list[str] = []
    most = 0
    build = stream.built

    def tracked(weights, config, name, *placed):
        nonlocal most
        alive.append(name)  # from the moment it is begun
        most = max(most, len(alive))
        module = build(weights, config, name, *placed)
        weakref.finalize(module, alive.remove, name)
        return module

    monkeypatch.setattr(stream, "built", tracked)
    model = mv.load(folder, placement="stream")
    with model.router_hooks(lambda routing: time.sleep(0.05)):  # the reader may run ahead
        mv.record(model, PROMPTS)
    assert 1 < most <= 3
    assert not alive


def test_long_recordings_pass_through_an_expert_in_blocks(folder, monkeypatch):
    expected = mv.record(mv.load(folder), PROMPTS)
    monkeypatch.setattr(stream, "ROWS", 5)
    blocked = mv.record(mv.load(folder, placement="stream"), PROMPTS)
    difference = abs(blocked.router_logits - expected.router_logits).max()
    assert difference < 1e-5
    assert (blocked.experts == expected.experts)[expected.margins > 1e-4].all()


def test_an_error_while_reading_ahead_reaches_the_caller_and_ends_the_thread(folder, monkeypatch):
    model = mv.load(folder, placement="stream")
    read = mapping.Checkpoint.__getitem__

    def broken(self, name):
        if name == "layers.1.moe.experts.3.w2.weight":
            raise CheckpointError("the disk is gone")
        return read(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(mapping.Checkpoint, "__getitem__", broken)
        with pytest.raises(CheckpointError, match="the disk is gone"):
            mv.record(model, PROMPTS)
    assert not [t for t in threading.enumerate() if "moe_viz" in t.name]
    assert same(mv.record(model, PROMPTS), mv.record(mv.load(folder), PROMPTS))  # and works again


# ---- Cut off, and resumed --------------------------------------------------------------------


class Cut(Exception):
    """What ends a recording in the middle."""


def cut_off(model, layer: int, **options) -> None:
    """Record, and fail when this layer's router decides."""

    def hook(routing):
        if routing.layer == layer:
            raise Cut

    with model.router_hooks(hook), pytest.raises(Cut):
        mv.record(model, PROMPTS, **options)


@pytest.mark.parametrize("placement", ["resident", "stream"])
@pytest.mark.parametrize("loss", [False, True])
def test_a_recording_that_was_cut_off_goes_on(folder, tmp_path, placement, loss, reads):
    path = tmp_path / "half"
    cut_off(mv.load(folder, placement=placement), 2, resume=path, loss=loss)
    assert path.exists()
    model = mv.load(folder, placement=placement)
    reads.clear()
    seen = []
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        resumed = mv.record(model, PROMPTS, resume=path, loss=loss, out=tmp_path / "trace")
    assert seen == [2]  # not those before
    assert not any(n.startswith(("layers.0", "layers.1")) for n in reads)
    assert not path.exists()
    assert same(resumed, mv.record(model, PROMPTS, loss=loss))


def test_a_killed_process_s_recording_goes_on_in_another(folder, tmp_path):
    """SIGKILL, in the middle of a layer: nothing can be tidied up."""
    path = tmp_path / "half"
    program = (
        "import os, signal\nimport moe_viz as mv\n"
        f"model = mv.load({str(folder)!r}, placement='stream')\n"
        "def die(routing):\n"
        "    if routing.layer == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"with model.router_hooks(die): mv.record(model, {PROMPTS!r}, resume={str(path)!r})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    seen, model = [], mv.load(folder, placement="stream")
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        resumed = mv.record(model, PROMPTS, resume=path)
    assert seen == [2]
    assert same(resumed, mv.record(model, PROMPTS))


def test_several_batches_resume_in_the_right_one(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", 64)
    model, path = mv.load(folder), tmp_path / "half"
    calls = 0

    def hook(routing):
        nonlocal calls
        calls += 1
        if calls == 5:  # the second batch's second layer
            raise Cut

    with model.router_hooks(hook), pytest.raises(Cut):
        mv.record(model, PROMPTS, resume=path)
    assert same(mv.record(model, PROMPTS, resume=path), mv.record(model, PROMPTS))


def test_another_recording_s_file_is_refused_and_kept(folder, tmp_path):
    path, model = tmp_path / "half", mv.load(folder)
    cut_off(model, 1, resume=path)
    before = path.read_bytes()
    others: tuple[dict[str, Any], ...] = ({"texts": PROMPTS[:2]}, {"texts": PROMPTS, "loss": True})
    for other in others:
        with pytest.raises(InputError, match="another recording"):
            mv.record(model, resume=path, **other)
    with pytest.raises(InputError, match="another recording"):
        mv.record(mv.load(folder, dtype="bfloat16"), PROMPTS, resume=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"notes", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_recording_is_refused_and_kept(folder, tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt.*another path"):
        mv.record(mv.load(folder), PROMPTS, resume=path)
    assert path.read_bytes() == content


# ---- Choosing ---------------------------------------------------------------------------------


def test_auto_streams_what_does_not_fit_and_says_why(folder, monkeypatch, capsys):
    assert mv.load(folder).provenance.placement == "resident"
    monkeypatch.setattr("moe_viz.placement.memory.available_memory", lambda: 1_000_000)
    assert mv.load(folder).provenance.placement == "stream"
    assert "GiB free; so placement='stream'" in capsys.readouterr().err
    with pytest.raises(PlacementError, match="placement='stream'"):
        mv.load(folder, placement="resident")


@pytest.mark.parametrize("placement", ["auto", "stream"])
def test_too_little_memory_for_a_few_experts_is_said_before_anything_is_read(
    folder, monkeypatch, placement
):
    monkeypatch.setattr("moe_viz.placement.memory.available_memory", lambda: 200_000)
    with pytest.raises(PlacementError, match="Even streamed"):
        mv.load(folder, placement=placement)


def test_a_streamed_model_does_not_generate(folder):
    with pytest.raises(PlacementError, match="GB of weights"):
        mv.generate(mv.load(folder, placement="stream"), "Good morning")


def test_plain_forward_hooks_work_on_streamed_modules(folder):
    model: Any = mv.load(folder, placement="stream")
    seen: list[Any] = []
    for layer in model.layers:
        layer.moe.router.register_forward_hook(lambda module, args, out: seen.append(out.shape))
        layer.attention.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    mv.record(model, [[5, 6, 7]])
    assert seen == [(3, 64), (3, 8)] * 3
