# SPDX-License-Identifier: Apache-2.0
"""NaN and infinity stop the work where they are made, and the error says where they come from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import HookError, NumberError
from tests import writers
from tests.conftest import random_model, small_config

CONFIG = small_config(vocab_size=8192, hidden_size=64, expert_size=96)
PROMPTS = [list(range(5, 60)), [7], list(range(30, 90))]

#: A tensor with one NaN in it; its name in a Hugging Face file; the layer whose router notices.
TENSORS = {
    "layers.1.attention.wo": ("model.layers.1.self_attn.o_proj.weight", 1),
    "layers.0.moe.experts.0.w2": ("model.layers.0.block_sparse_moe.experts.0.w2.weight", 1),
    "layers.2.moe_norm": ("model.layers.2.post_attention_layernorm.weight", 2),
    "layers.0.moe.router": ("model.layers.0.block_sparse_moe.gate.weight", 0),
    "layers.0.attention.wk": ("model.layers.0.self_attn.k_proj.weight", 0),
}
AFTER = {
    "layers.2.moe.experts.1.w1": "model.layers.2.block_sparse_moe.experts.1.w1.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
}


def broken(folder, name: str, value: float = float("nan"), write=writers.hugging_face_4):
    model = random_model(CONFIG)
    weight = model.get_parameter(f"{name}.weight")
    with torch.no_grad():
        weight.view(-1)[5] = value
    return write(model, folder / "model")


@pytest.mark.parametrize("placement", ["resident", "stream", "offload"])
@pytest.mark.parametrize("name", TENSORS)
def test_a_nan_in_a_weight_is_found_by_its_name_in_the_file(tmp_path, placement, name):
    stored, layer = TENSORS[name]
    model = mv.load(broken(tmp_path, name), placement=placement)
    said = (
        rf"model, layer {layer}: the router's logits are NaN, first at token \d+ .*, position \d+ "
        rf"of prompt \d \(.* of 116 tokens\)\. .*1 NaN and 0 infinite among .* of {stored} "
        rf"\(model\.safetensors\)"
    )
    with pytest.raises(NumberError, match=said):
        mv.record(model, PROMPTS)
    with pytest.raises(NumberError, match=f"layer {layer}: .* of {stored}"):
        mv.effects(model, PROMPTS, {"top-1": {"top_k": 1}})
    if placement != "stream":
        with pytest.raises(NumberError, match=f"layer {layer}: .* of {stored}"):
            mv.generate(model, PROMPTS[0], 2)


@pytest.mark.parametrize("placement", ["resident", "stream"])
@pytest.mark.parametrize("name", AFTER)
def test_a_nan_after_the_last_router_spoils_losses_and_logits_but_no_routing(
    tmp_path, placement, name
):
    model = mv.load(broken(tmp_path, name), placement=placement)
    assert np.isfinite(mv.record(model, PROMPTS).router_logits).all()
    said = rf"after its last layer \(2\): the losses .* 1 NaN .* of {AFTER[name]} "
    with pytest.raises(NumberError, match=said):
        mv.record(model, PROMPTS, loss=True)
    with pytest.raises(NumberError, match=f"the output logits are NaN .* of {AFTER[name]}"):
        model(torch.tensor(PROMPTS[0]))
    if placement == "resident":
        with pytest.raises(NumberError, match="the output logits are NaN"):
            mv.generate(model, PROMPTS[0], 2, temperature=1.0)


def test_a_packed_file_names_its_tensor_too(tmp_path):
    folder = broken(tmp_path, "layers.1.moe.experts.3.w1", write=writers.gguf_merged)
    for placement in ("resident", "stream"):
        model = mv.load(folder, placement=placement)
        with pytest.raises(NumberError, match=r"layer 2: .* of blk\.1\.ffn_gate_exps\.weight"):
            mv.record(model, PROMPTS)


def test_an_embedding_row_that_no_text_uses_harms_nobody(tmp_path):
    model = random_model(CONFIG)
    with torch.no_grad():
        model.embedding.weight[4000] = torch.nan
    model = mv.load(writers.hugging_face_4(model, tmp_path / "model"))
    assert np.isfinite(mv.record(model, PROMPTS).router_logits).all()
    said = r"layer 0: .* of prompt 1 .* 64 NaN .* model\.embed_tokens\.weight"
    with pytest.raises(NumberError, match=said):
        mv.record(model, [[5, 6], [5, 6, 4000]])


def overflowing():
    """Finite in float32, and beyond float16 after the first layer."""
    model = random_model(CONFIG)
    with torch.no_grad():
        for e in range(CONFIG.experts):
            for matrix in ("w1", "w3"):
                model.get_parameter(f"layers.0.moe.experts.{e}.{matrix}.weight").mul_(100)
            model.get_parameter(f"layers.0.moe.experts.{e}.w2.weight").mul_(1000)
    return model


def test_what_grows_beyond_float16_names_the_dtype_that_holds_it(tmp_path):
    folder = writers.hugging_face_4(overflowing(), tmp_path / "model")
    assert np.isfinite(mv.record(mv.load(folder), PROMPTS).router_logits).all()
    said = r"layer 1: .* No weight that led here is, .* float16 holds \(65,504\).*dtype='float32'"
    with pytest.raises(NumberError, match=said):
        mv.record(mv.load(folder, dtype="float16"), PROMPTS)
    folder = broken(tmp_path / "other", "layers.1.attention.wo", 1e6)
    said = r"float16, .* 65,504, 1 of [\d,]+ numbers of .*o_proj.* are infinite.*dtype='float32'"
    with pytest.raises(NumberError, match=said):
        mv.record(mv.load(folder, dtype="float16"), PROMPTS)


def test_an_infinite_logit_that_is_not_chosen_is_found_as_well():
    model = random_model(CONFIG)
    with torch.no_grad():
        model.get_parameter("layers.1.moe.router.weight")[3] = -torch.inf
        model.embedding.weight.abs_()
    with pytest.raises(NumberError, match="layer 1: the router's logits are"):
        mv.record(model, PROMPTS)


def test_a_change_of_routing_is_not_blamed_for_the_model_s_nan(tmp_path):
    model = mv.load(broken(tmp_path, "layers.1.attention.wo"))
    with mv.intervene(model, ablate=[(1, 0)]), pytest.raises(NumberError, match="layer 1"):
        mv.record(model, PROMPTS)


def test_a_hook_that_makes_nan_is_blamed_for_it():
    model = random_model(CONFIG)

    def hook(routing):
        return routing.with_experts(routing.experts).__class__(
            **{**routing.__dict__, "gates": routing.gates * torch.nan}
        )

    with model.router_hooks(hook), pytest.raises(HookError, match="gates must be finite"):
        mv.record(model, PROMPTS)


def test_only_first_tokens_have_no_loss_and_an_ablated_score_is_no_fault():
    model = random_model(CONFIG)
    with mv.intervene(model, ablate=[(0, 1), (1, 2)]):
        trace = mv.record(model, PROMPTS, loss=True)
    starts = [prompt.start for prompt in trace.prompts]
    assert trace.loss is not None
    assert np.flatnonzero(np.isnan(trace.loss)).tolist() == starts


def waits(monkeypatch, run) -> int:
    """How often `run` waits for numbers from the device."""
    count = itertools.count()
    with monkeypatch.context() as patch:
        for name in ("cpu", "item", "__bool__", "tolist", "__float__", "__int__"):
            inner = getattr(torch.Tensor, name)

            def counted(self, *args, name=name, inner=inner, **options):
                if name == "cpu" or self.device.type != "cpu":
                    next(count)
                return inner(self, *args, **options)

            patch.setattr(torch.Tensor, name, counted)
        run()
    return next(count)


@pytest.mark.parametrize("tokens", [1, 40])
def test_the_check_rides_with_the_copy_that_each_layer_makes_anyway(monkeypatch, tokens):
    models = [random_model(small_config(layers=layers)) for layers in (3, 9)]
    ids = torch.arange(tokens)
    few, many = (
        waits(monkeypatch, lambda model=model: model(ids, logits="none")) for model in models
    )
    assert many - few == 6  # one for each layer
    whole = waits(monkeypatch, lambda: models[0](ids))
    assert whole == few + 1  # and one for the head
