# SPDX-License-Identifier: Apache-2.0
"""An offloaded model gives what a resident one gives, within the room that it has."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.errors import PlacementError
from moe_viz.placement import offload
from moe_viz.placement.offload import OffloadedMixtral
from moe_viz.placement.ondemand import expert_name
from moe_viz.routing import Routing
from tests import writers
from tests.conftest import random_model, small_config

from .test_stream import PROMPTS, same

CPU = torch.device("cpu")
CONFIG = small_config(vocab_size=8192, hidden_size=64, expert_size=96)


@pytest.fixture(scope="module", params=["8x7m", *writers.LAYOUTS])
def source(request, tmp_path_factory):
    if request.param == "8x7m":
        return "8x7m"
    folder = tmp_path_factory.mktemp("offload") / "model"
    return writers.LAYOUTS[request.param](random_model(CONFIG), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return writers.hugging_face_4(random_model(CONFIG), tmp_path_factory.mktemp("folder"))


def expert_bytes(source, dtype=torch.float32) -> int:
    return open_checkpoint(source).memory(dtype, expert_name(0, 0))


def offloaded(source, experts: float, dtype=torch.float32) -> OffloadedMixtral:
    """A model with room for so many experts on the device."""
    checkpoint = open_checkpoint(source)
    model = OffloadedMixtral(checkpoint, CPU, dtype, experts * expert_bytes(source, dtype))
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_offloaded_equals_resident_to_the_last_bit(source, dtype):
    resident = mv.load(source, dtype=dtype, placement="resident")
    model = mv.load(source, dtype=dtype, placement="offload")
    assert model.provenance == replace(resident.provenance, placement="offload")
    recorded = [mv.record(m, PROMPTS, loss=True) for m in (model, resident)]
    assert same(*recorded)
    written = [mv.generate(m, "The file", 12, ignore_eos=True) for m in (model, resident)]
    assert written[0].text == written[1].text
    assert same(written[0].trace, written[1].trace)


@pytest.mark.parametrize("experts", [1, 2.5, 5, 100])
def test_no_result_depends_on_how_many_experts_there_is_room_for(folder, experts):
    resident, model = mv.load(folder), offloaded(folder, experts)
    assert same(mv.record(model, PROMPTS), mv.record(resident, PROMPTS))
    written = [mv.generate(m, [5, 9, 7], 12) for m in (model, resident)]
    assert written[0].token_ids == written[1].token_ids
    assert same(written[0].trace, written[1].trace)


def test_a_packed_file_stays_packed_on_its_way(tmp_path):
    path = writers.write_gguf(
        random_model(CONFIG), tmp_path / "m.gguf", merged=True,
        kinds={"norm": "F32", "ffn_gate_inp": "F32", "ffn": "Q5_0", "attn": "Q8_0"},
    )  # fmt: skip
    model = offloaded(path, 3)
    assert same(mv.record(model, PROMPTS), mv.record(mv.load(path), PROMPTS))
    module = model.experts.take(expert_name(0, 0))
    assert {b.dtype for b in module.buffers()} == {torch.uint8}


@pytest.mark.parametrize("experts", [1, 3, 8])
def test_no_more_is_held_than_there_is_room_for(folder, experts, monkeypatch):
    alive: list[int] = []
    most = 0
    build = offload.built

    def tracked(*args):
        nonlocal most
        module = build(*args)
        alive.append(sum(p.nbytes for p in module.parameters()))
        most = max(most, sum(alive))
        weakref.finalize(module, alive.remove, alive[-1])
        return module

    monkeypatch.setattr(offload, "built", tracked)
    model = offloaded(folder, experts)
    mv.record(model, PROMPTS)
    mv.generate(model, [5, 9, 7], 8)
    assert most <= (experts + 1) * expert_bytes(folder)  # and the one that computes


def test_with_room_for_all_each_expert_comes_once(folder, monkeypatch):
    came: list[str] = []
    build = offload.built
    monkeypatch.setattr(
        offload, "built", lambda w, c, name, *rest: came.append(name) or build(w, c, name, *rest)
    )
    model = offloaded(folder, 1000)
    for _ in range(3):
        mv.record(model, PROMPTS)
        mv.generate(model, [5, 9, 7], 8)
    assert len(came) == len(set(came)) <= CONFIG.layers * CONFIG.experts


def test_an_expert_is_on_its_way_before_a_decision_names_it(monkeypatch):
    """The next router's opinion of this layer's hidden states is better than none."""
    missed = []
    for guess in (OffloadedMixtral._guess, lambda self, layer: []):
        monkeypatch.setattr(OffloadedMixtral, "_guess", guess)
        model = offloaded("8x7m", 16)  # a third of the experts
        mv.generate(model, [5, 90, 700, 40], 60, ignore_eos=True)
        missed.append(model.experts.misses / (model.experts.hits + model.experts.misses))
    assert missed[0] < 0.75 * missed[1]


def test_experts_come_by_the_decision_after_all_hooks(folder, monkeypatch):
    came: list[str] = []
    build = offload.built
    monkeypatch.setattr(
        offload, "built", lambda w, c, name, *rest: came.append(name) or build(w, c, name, *rest)
    )
    monkeypatch.setattr(OffloadedMixtral, "_guess", lambda self, layer: [])

    def only_two(routing: Routing) -> Routing:
        return routing.with_experts(torch.tensor([[2, 1]]).expand(len(routing.tokens), 2).clone())

    model, resident = offloaded(folder, 3), mv.load(folder)
    with model.router_hooks(only_two), resident.router_hooks(only_two):
        assert same(mv.record(model, PROMPTS), mv.record(resident, PROMPTS))
    assert {name.rsplit(".", 1)[1] for name in came} == {"1", "2"}


def test_a_hook_on_a_router_module_works_too(folder):
    seen = []
    model = offloaded(folder, 2)
    router = model.layers[1].get_submodule("moe.router")
    handle = router.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    mv.record(model, PROMPTS)
    handle.remove()
    assert seen == [(sum(map(len, PROMPTS)), CONFIG.experts)]


def test_less_room_than_one_expert_is_refused(folder):
    with pytest.raises(PlacementError, match="one expert takes"):
        offloaded(folder, 0.9)
