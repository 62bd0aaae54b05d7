# SPDX-License-Identifier: Apache-2.0
"""Where weights lie makes no difference on an accelerator either, and they travel no more than so.

With fewer than `ENOUGH_TOKENS` tokens a sweep reads nothing ahead, in this thread, where copies can
be counted.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.errors import PlacementError
from moe_viz.placement.offload import OffloadedMixtral
from moe_viz.placement.ondemand import expert_name
from tests import writers
from tests.conftest import random_model, small_config

from .agreement import assert_same_trace, exact
from .copies import WatchCopies

CONFIG = small_config(vocab_size=8192, hidden_size=64, expert_size=96)
SHORT = [[5, 9, 7, 1000], [8, 8000], list(range(40, 60))]
LONG = [list(range(100, 190)), [7], list(range(3000, 3050))]
L, E = CONFIG.layers, CONFIG.experts
IDS, INDEX, ATTENTION, EXPERT = 1, 4, 4, 3  # tensors that are sent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("placements")
    save_checkpoint(random_model(CONFIG), folder, writers.TOKENIZER, dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    kinds = {"norm": "F32", "ffn_gate_inp": "F32", "ffn": "Q5_0", "attn": "Q8_0", "embd": "Q4_0"}
    path = tmp_path_factory.mktemp("packed") / "m.gguf"
    return writers.write_gguf(random_model(CONFIG), path, merged=False, kinds=kinds)


@pytest.mark.parametrize("placement", ["resident", "offload", "stream"])
@pytest.mark.parametrize("prompts", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("loss", [False, True])
@pytest.mark.parametrize("form", ["folder", "packed"])
def test_a_recording_equals_the_cpu_s(placement, prompts, loss, form, device, request):
    source = request.getfixturevalue(form)
    model = mv.load(source, device=device, placement=placement)
    assert model.provenance.placement == placement
    found = mv.record(model, prompts, loss=loss)
    expected = mv.record(mv.load(source, device="cpu"), prompts, loss=loss)
    assert_same_trace(found, expected, exact(device))


@pytest.mark.parametrize("experts", [1, 3, 1000])
def test_an_offloaded_model_writes_what_the_cpu_writes(experts, folder, device):
    checkpoint = open_checkpoint(folder)
    room = experts * checkpoint.memory(torch.float32, expert_name(0, 0))
    model, resident = (
        OffloadedMixtral(checkpoint, device, torch.float32, room),
        mv.load(folder, device="cpu"),
    )
    model.tokenizer = resident.tokenizer
    found, expected = (mv.generate(m, SHORT[0], 12) for m in (model, resident))
    assert found.token_ids == expected.token_ids
    assert_same_trace(found.trace, expected.trace, exact(device))


def test_auto_offloads_what_an_accelerator_cannot_hold(folder, device, monkeypatch, capsys):
    needed = open_checkpoint(folder).memory(torch.float32)
    monkeypatch.setattr("moe_viz.placement.loading.RESERVE", 0)
    monkeypatch.setattr("moe_viz.placement.loading.free_memory", lambda device: 0.8 * needed)
    assert mv.load(folder, device=device).provenance.placement == "offload"
    assert "so placement='offload'" in capsys.readouterr().err
    # Nor the host: each byte would come from the disk again and again.
    monkeypatch.setattr("moe_viz.placement.loading.available_memory", lambda: 1000)
    assert mv.load(folder, device=device).provenance.placement == "stream"


# ---- Several devices ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "packed"])
@pytest.mark.parametrize("order", ["cpu,{}", "{},cpu"])
def test_layers_spread_over_two_devices_give_the_cpu_s_results(
    form, order, device, request, monkeypatch
):
    source = request.getfixturevalue(form)
    monkeypatch.setattr("moe_viz.placement.loading.free_memory", lambda device: 2e10)
    model: Any = mv.load(source, device=order.format(device))
    cpu = mv.load(source, device="cpu")
    assert set(map(str, model.places)) == {"cpu", str(device)}
    for loss in (False, True):
        found, expected = (mv.record(m, LONG, loss=loss) for m in (model, cpu))
        assert_same_trace(found, expected, exact(device))
    assert set(found.provenance.device.split(", ")) == {"cpu", str(device)}
    written, expected = (mv.generate(m, SHORT[0], 12) for m in (model, cpu))
    assert written.token_ids == expected.token_ids
    assert_same_trace(written.trace, expected.trace, exact(device))


def test_a_spread_recording_resumes(folder, device, tmp_path, monkeypatch):
    monkeypatch.setattr("moe_viz.placement.loading.free_memory", lambda device: 2e10)
    model = mv.load(folder, device=f"cpu,{device}")
    path = tmp_path / "half"

    def cut(routing):
        if routing.layer == 2:
            raise KeyboardInterrupt

    with model.router_hooks(cut), pytest.raises(KeyboardInterrupt):
        mv.record(model, LONG, resume=path)
    resumed = mv.record(model, LONG, resume=path)
    assert_same_trace(resumed, mv.record(mv.load(folder, device="cpu"), LONG), exact(device))


def test_too_little_room_on_all_of_them_is_refused(folder, device, monkeypatch):
    needed = open_checkpoint(folder).memory(torch.float32)
    monkeypatch.setattr("moe_viz.placement.loading.RESERVE", 0)
    monkeypatch.setattr("moe_viz.placement.loading.free_memory", lambda device: 0.25 * needed)
    with pytest.raises(PlacementError, match=r"have .* for them"):
        mv.load(folder, device=f"cpu,{device}")
    with pytest.raises(PlacementError, match="takes one device"):
        mv.load(folder, device=f"cpu,{device}", placement="stream")
    with pytest.raises(PlacementError, match="twice"):
        mv.load(folder, device="cpu,cpu")


# ---- Copies ------------------------------------------------------------------------------------


def count(run) -> tuple[int, int]:
    with torch.inference_mode(), WatchCopies() as copies:
        run()
    return copies.to_device, copies.to_host


def test_a_sweep_sends_each_module_once(folder, device):
    model = mv.load(folder, device=device, placement="stream")
    trace = mv.record(model, SHORT)
    used = sum(len(set(trace.experts[n].flatten().tolist())) for n in range(L - 1))
    there, back = count(lambda: mv.record(model, SHORT))
    # One copy is the embedding's rows; ids stay on the host for it, where they pick the rows.
    rows, kept = 1, 3
    assert there == IDS + rows + INDEX + L * ATTENTION + used * EXPERT
    # Dispatch, whether the last layer's numbers are finite, the ids again, logits, experts, gates.
    assert back == L - 1 + 1 + 1 + kept


def test_offloaded_experts_are_sent_once_where_there_is_room(folder, device):
    model: Any = mv.load(folder, device=device, placement="offload")
    for _ in range(2):
        mv.record(model, LONG)  # now all that these tokens need is there
    there, back = count(lambda: mv.record(model, LONG))
    assert there == IDS + INDEX
    # One look for the dispatch of each layer, or whether the last's numbers are finite; one for
    # what to bring, in all of them.
    assert back == L + L + 3
    assert model.experts.misses <= L * E


def test_what_is_sent_is_what_is_stored(folder, device):
    model: Any = mv.load(folder, device=device, placement="offload")
    module = model.experts.take(expert_name(1, 2))
    stored = load_file(folder / "model.safetensors")
    for name, weight in module.named_parameters():
        assert weight.device == device
        key = f"model.layers.1.block_sparse_moe.experts.2.{name}"
        assert torch.equal(weight.cpu(), stored[key])
