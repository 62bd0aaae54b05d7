# SPDX-License-Identifier: Apache-2.0
"""A file to resume from belongs to one recording: model, dtype, ids, lengths, loss, changes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.recording import recording, unfinished
from tests.conftest import random_model, small_config

PROMPTS = [[5, 6, 7], [8], [5, 9]]


class Cut(Exception):
    """What ends a recording in the middle."""


def cut_off(model, path, texts=PROMPTS, **options) -> None:
    def hook(routing):
        if routing.layer == 2:
            raise Cut

    with model.router_hooks(hook), pytest.raises(Cut):
        mv.record(model, texts, resume=path, **options)


def layers_run(model, path, texts=PROMPTS, **options) -> tuple[list[int], mv.Trace]:
    seen: list[int] = []
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        out = path.with_name("trace.safetensors")
        trace = mv.record(model, texts, resume=path, out=out, **options)
    return seen, trace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "half"


OTHERS = {
    "the same ids in prompts of other lengths": [[5, 6], [7, 8], [5, 9]],
    "one prompt fewer, the same ids": [[5, 6, 7, 8], [5, 9]],
    "one id another": [[5, 6, 7], [8], [5, 10]],
    "one id more": [[5, 6, 7], [8], [5, 9, 9]],
}


@pytest.mark.parametrize("texts", OTHERS.values(), ids=OTHERS.keys())
def test_other_ids_or_lengths_are_another_recording(model, path, texts):
    cut_off(model, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, texts, resume=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("asked", [False, True])
def test_with_and_without_loss_are_two_recordings(model, path, asked):
    cut_off(model, path, loss=asked)
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, PROMPTS, resume=path, loss=not asked)
    seen, trace = layers_run(model, path, loss=asked)
    assert seen == [2]
    assert (trace.loss is not None) == asked


def test_a_single_prompt_with_loss_is_not_two_prompts_without(model, path):
    """True and a length of 1 look alike."""
    cut_off(model, path, [[5], [6]])
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, [[5, 6]], resume=path, loss=True)


RUNS = {
    "fingerprint": "0123", "weights": "random weights, seed 9",
    "quantisation": "Q4_K", "interventions": ("top-1",),
}  # fmt: skip
NO_MATTER = {"device": "cuda:3", "placement": "stream", "date": "2020", "versions": {"torch": "1"}}


@pytest.mark.parametrize(("field", "value"), RUNS.items(), ids=RUNS.keys())
def test_another_run_is_another_recording(path, field, value):
    model = random_model()
    cut_off(model, path)
    model.origin = replace(model.origin, **{field: value})
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, PROMPTS, resume=path)


def test_another_dtype_is_another_recording(path):
    model = random_model()
    cut_off(model, path)
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model.to(torch.bfloat16), PROMPTS, resume=path)


@pytest.mark.parametrize(("field", "value"), NO_MATTER.items(), ids=NO_MATTER.keys())
def test_where_and_when_it_goes_on_makes_no_difference(path, field, value):
    model = random_model()
    cut_off(model, path)
    model.origin = replace(model.origin, **{field: value})
    assert layers_run(model, path)[0] == [2]


def test_other_weights_of_the_same_shape_are_another_recording(model, path):
    cut_off(model, path)
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(random_model(seed=1), PROMPTS, resume=path)


def test_an_intervention_is_another_recording(model, path):
    cut_off(model, path)
    with mv.intervene(model, top_k=1), pytest.raises(InputError, match="another recording"):
        mv.record(model, PROMPTS, resume=path)


def test_labels_are_the_caller_s_each_time(model, path):
    cut_off(model, path, labels=["a", "b", "a"])
    seen, trace = layers_run(model, path, labels=["x", "y", "z"])
    assert seen == [2]
    assert trace.labels == ("x", "y", "z")
    assert not path.exists()


@pytest.mark.parametrize("change", [{}, {"top_k": 4}, {"ablate": [(0, 1)], "instead": "nothing"}])
def test_what_goes_on_ends_where_the_whole_does(model, path, change):
    with mv.intervene(model, **change):
        whole = mv.record(model, PROMPTS, loss=True)
        cut_off(model, path, loss=True)
        resumed = layers_run(model, path, loss=True)[1]
    for name in ("router_logits", "experts", "gates", "loss", "token_ids", "spans"):
        assert np.array_equal(getattr(whole, name), getattr(resumed, name), equal_nan=True), name
    assert resumed.prompts == whole.prompts
    assert resumed.provenance.interventions == whole.provenance.interventions


# ---- Done, and not yet saved


@pytest.mark.parametrize("loss", [False, True])
def test_what_is_done_is_kept_until_it_is_saved(model, path, loss):
    whole = mv.record(model, PROMPTS, loss=loss, resume=path)
    seen: list[int] = []
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        again = mv.record(model, PROMPTS, loss=loss, resume=path)
    assert seen == []  # nothing is computed twice
    assert_same(again, whole)
    again.select(prompt=0).save(path.with_name("part"))
    assert path.exists()  # a part is not the recording
    again.save(path.with_name("whole"))
    assert not path.exists()
    assert_same(mv.Trace.load(path.with_name("whole")), whole)


def test_with_out_it_is_saved_before_the_file_is_removed(model, path, monkeypatch):
    out, there = path.with_name("out.safetensors"), []
    unlink = Path.unlink

    def watched(self, *args, **options):
        if self == path:
            there.append(mv.Trace.load(out))
        unlink(self, *args, **options)

    monkeypatch.setattr(Path, "unlink", watched)
    whole = mv.record(model, PROMPTS, resume=path, out=out)
    assert not path.exists()
    assert_same(there[0], whole)


def test_one_file_is_not_both(model, path):
    with pytest.raises(InputError, match="name the same file"):
        mv.record(model, PROMPTS, resume=path, out=path.parent / "." / path.name)
    assert not path.exists()


# ---- Cut off at any point


def snapshots(model, path, monkeypatch, loss) -> tuple[mv.Trace, list[bytes]]:
    """The undisturbed trace, and the file after each step of the recording."""
    found: list[bytes] = []
    add = unfinished.Unfinished.add

    def kept(self, *args):
        add(self, *args)
        found.append(path.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(unfinished.Unfinished, "add", kept)
        out = path.with_name("trace.safetensors")
        return mv.record(model, PROMPTS, loss=loss, resume=path, out=out), found


def assert_same(a: mv.Trace, b: mv.Trace) -> None:
    for name in ("router_logits", "experts", "gates", "loss", "token_ids", "spans"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        assert x is None or np.array_equal(x, y, equal_nan=True), name


@pytest.mark.parametrize("loss", [False, True])
@pytest.mark.parametrize("k", [None, 4])
def test_after_every_step_it_goes_on_from_there(model, path, monkeypatch, loss, k):
    """Also after the last layer, whose losses are still to come, and after everything."""
    monkeypatch.setattr(recording, "BATCH_TOKENS", 4)
    with mv.intervene(model, **({} if k is None else {"top_k": k})):
        whole, files = snapshots(model, path, monkeypatch, loss)
        assert not path.exists()
        L, before = model.config.layers, 2 * model.config.layers
        assert len(files) == 2 * (L + 1 if loss else L)
        for data in files:
            path.write_bytes(data)
            seen, resumed = layers_run(model, path, loss=loss)
            assert_same(resumed, whole)
            assert len(seen) in (before, before - 1)
            before = len(seen)
            assert not path.exists()
        assert before == 0  # nothing was left to run, only to hand over


@pytest.mark.parametrize("loss", [False, True])
def test_a_write_cut_off_at_any_byte_goes_on_from_the_one_before(model, path, monkeypatch, loss):
    monkeypatch.setattr(recording, "BATCH_TOKENS", 4)
    whole, files = snapshots(model, path, monkeypatch, loss)
    rng = np.random.default_rng(0)
    for before, after in zip([b"", *files], files, strict=False):
        changed = [n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        inside = rng.choice([*changed, *range(len(before), len(after))], 3).tolist()
        for cut in inside:
            # Written up to here; what lay behind is still the earlier file.
            path.write_bytes(after[:cut] + before[cut:])
            assert_same(layers_run(model, path, loss=loss)[1], whole)
            path.write_bytes(after[:cut])
            assert_same(layers_run(model, path, loss=loss)[1], whole)
        broken = bytearray(after)
        broken[int(rng.choice(inside))] ^= 255  # written in another order, as a power cut may
        path.write_bytes(bytes(broken))
        try:
            assert_same(layers_run(model, path, loss=loss)[1], whole)
        except InputError:
            assert not after.startswith(bytes(broken[:128]))  # its header is not ours any more
            path.unlink()


def test_what_is_written_grows_with_the_tokens_and_not_with_their_square(path, monkeypatch):
    model, written = random_model(small_config(vocab_size=101)), [0]
    monkeypatch.setattr(recording, "BATCH_TOKENS", 10)

    class Counted:
        def __init__(self, *args):
            self.file = open(*args)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            written[0] += self.file.write(data)

    monkeypatch.setattr(unfinished, "open", Counted, raising=False)
    cost = []
    for batches in (5, 10, 20):
        written[0] = 0
        texts = [list(range(10))] * batches
        mv.record(model, texts, loss=True, resume=path, out=path.with_name("trace"))
        cost.append(written[0])
    assert cost[1] / cost[0] == pytest.approx(2, rel=0.02)
    assert cost[2] / cost[1] == pytest.approx(2, rel=0.02)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_what_is_killed_at_random_moments_is_resumed_and_right():
    tool = Path(__file__).parents[2] / "tools/kill.py"
    run = subprocess.run(
        [sys.executable, tool, "--kills", "5", "--seed", "7"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("0 wrong, 0 not resumable, 0 temporary files left") == 5
