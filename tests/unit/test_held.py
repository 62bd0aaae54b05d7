# SPDX-License-Identifier: Apache-2.0
"""Files that change while they are mapped: an error says so; no other numbers, no SIGBUS."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import CheckpointError, TraceError
from moe_viz.trace import checksums
from tests.conftest import random_model
from tests.writers import gguf_split, hugging_face_4, mistral_stacked

trace_module = importlib.import_module("moe_viz.trace.trace")
ROOT = Path(__file__).parents[2]
IDS = list(range(1, 90))
ARRAYS = ("router_logits", "experts", "gates", "token_ids", "spans", "special", "generated", "loss")


def cut_short(path: Path) -> None:
    os.truncate(path, 4096)


def overwritten(path: Path) -> None:
    with open(path, "r+b") as file:  # the same file, not another of the same name
        file.write(bytes(path.stat().st_size))


CHANGES = {cut_short: "bytes and now has 4,096", overwritten: "it has been written to"}
USES = {
    "record": lambda model: mv.record(model, [IDS]),
    "generate": lambda model: mv.generate(model, IDS[:5], max_new_tokens=2),
    "forward": lambda model: model(torch.tensor(IDS)),
}


def weights_change(written: str, folder: str) -> None:
    """Load a checkpoint in every way, have its file change, and say what each use of it says."""
    for placement in ("resident", "stream", "offload"):
        for change in CHANGES:
            copied = Path(folder) / f"{placement} {change.__name__}"
            shutil.copytree(written, copied)
            model = mv.load(copied, placement=placement)
            USES["record"](model)
            files = [p for p in copied.iterdir() if p.suffix in (".safetensors", ".pt", ".gguf")]
            change(max(files))
            for use, work in USES.items():
                if (placement, use) == ("stream", "generate"):
                    continue  # not offered
                try:
                    work(model)
                    print(f"{copied.name} {use}: nothing")
                except CheckpointError as error:
                    print(f"{copied.name} {use}: {error}")


@pytest.mark.parametrize("write", [hugging_face_4, mistral_stacked, gguf_split])
def test_weights_that_change_while_they_are_in_use_are_an_error(write, tmp_path):
    """In a process of its own, which reading on would end."""
    write(random_model(), tmp_path / "written")
    program = "import sys; from tests.unit.test_held import *; weights_change(*sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "written"), str(tmp_path / "used")],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    lines = ended.stdout.splitlines()
    assert len(lines) == 2 * (3 + 2 + 3)
    for line in lines:
        (said,) = (said for change, said in CHANGES.items() if change.__name__ in line)
        assert "has changed while it was in use" in line
        assert said in line


def test_weights_that_change_between_two_layers_end_the_pass(tmp_path):
    folder = hugging_face_4(random_model(), tmp_path)
    model, seen = mv.load(folder), list[int]()

    def change(routing) -> None:
        seen.append(routing.layer)
        if routing.layer == 1:
            overwritten(folder / "model.safetensors")

    with model.router_hooks(change), pytest.raises(CheckpointError, match="it has been written to"):
        mv.record(model, [IDS])
    assert seen == [0, 1]  # no layer ran on other weights


def test_weights_that_were_copied_need_their_file_no_more(tmp_path):
    folder = hugging_face_4(random_model(), tmp_path)
    model = mv.load(folder, dtype="bfloat16")
    before = mv.record(model, [IDS])
    cut_short(folder / "model.safetensors")
    assert np.array_equal(mv.record(model, [IDS]).router_logits, before.router_logits)


def test_weights_that_are_replaced_are_no_matter(tmp_path):
    folder = hugging_face_4(random_model(), tmp_path)
    model = mv.load(folder)
    before = mv.record(model, [IDS])
    hugging_face_4(random_model(seed=1), tmp_path / "other")
    os.replace(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    assert np.array_equal(mv.record(model, [IDS]).router_logits, before.router_logits)


@pytest.fixture
def saved(tmp_path) -> Path:
    trace = mv.record(random_model(), [IDS, IDS[:7]], loss=True)
    return trace.save(tmp_path / "trace.safetensors")


@pytest.mark.parametrize("change", CHANGES)
def test_no_array_of_a_trace_whose_file_changed_is_handed_out(change, saved):
    trace = mv.Trace.load(saved)
    part = trace.select(prompt=1)  # arrays of its own
    before = {name: np.array(getattr(part, name)) for name in ARRAYS}
    change(saved)
    for name in ARRAYS:
        with pytest.raises(TraceError, match=r"trace\.safetensors: has changed .*copy=True"):
            getattr(trace, name)
        assert np.array_equal(getattr(part, name), before[name], equal_nan=True)
    for use in (
        lambda: trace.margins,
        lambda: trace.select(prompt=0),
        lambda: mv.Trace.join([trace, trace]),
        lambda: mv.explore(trace).to_html(),
        lambda: mv.analysis.load(trace),
        lambda: trace.save(saved.with_name("again")),
        lambda: trace.table(),
        lambda: pickle.dumps(trace),
        lambda: copy.copy(trace),
    ):
        with pytest.raises(TraceError, match=CHANGES[change]):
            use()
    assert not saved.with_name("again").exists()


def test_a_trace_that_was_copied_needs_its_file_no_more(saved):
    mapped = mv.Trace.load(saved)
    expected = {name: np.array(getattr(mapped, name)) for name in ARRAYS}
    copies = [mv.Trace.load(saved, copy=True), pickle.loads(pickle.dumps(mapped))]
    overwritten(saved)
    for trace in copies:
        for name in ARRAYS:
            assert np.array_equal(getattr(trace, name), expected[name], equal_nan=True), name


def test_a_copy_is_held_against_its_checksums_whole(saved, monkeypatch):
    """Of what is mapped, parts are looked at; what is copied is read anyway."""
    trace = mv.Trace.load(saved, copy=True)
    logits = trace.router_logits.tobytes()
    for name, value in {"SMALL": 0, "PAGE": 4, "PAGES": 2}.items():
        monkeypatch.setattr(checksums, name, value)
    trace.save(saved)  # looked at in two places, the first four bytes and the last
    data = bytearray(saved.read_bytes())
    data[data.index(logits) + len(logits) // 2] ^= 1
    saved.write_bytes(data)
    mv.Trace.load(saved)
    for whole in ({"copy": True}, {"whole": True}):
        with pytest.raises(TraceError, match="router_logits are not what was written"):
            mv.Trace.load(saved, **whole)


@pytest.mark.parametrize("copied", [False, True])
def test_a_file_that_changes_while_it_is_opened_is_an_error(saved, monkeypatch, copied):
    real = trace_module.unpack

    def meanwhile(*parts):
        found = real(*parts)
        overwritten(saved)
        return found

    monkeypatch.setattr(trace_module, "unpack", meanwhile)
    with pytest.raises(TraceError, match="has been written to"):
        mv.Trace.load(saved, copy=copied)


def test_a_trace_whose_file_is_replaced_or_removed_is_what_it_was(saved):
    trace = mv.Trace.load(saved)
    logits = np.array(trace.router_logits)
    mv.record(random_model(seed=1), [IDS]).save(saved)
    assert np.array_equal(trace.router_logits, logits)
    saved.unlink()
    assert np.array_equal(trace.router_logits, logits)


def test_a_trace_is_saved_over_itself(saved):
    trace = mv.Trace.load(saved)
    trace.save(saved)
    assert np.array_equal(trace.router_logits, mv.Trace.load(saved).router_logits)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_files_are_closed_with_what_used_them(saved):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert mv.Trace.load(saved).router_logits.size
    assert len(os.listdir("/proc/self/fd")) <= before
