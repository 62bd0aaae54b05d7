# SPDX-License-Identifier: Apache-2.0
"""An adapter merged at load gives the weights that peft's merge gives, or is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.checkpoint.layout import hugging_face, shapes
from moe_viz.errors import CheckpointError
from tests import writers
from tests.conftest import random_model, small_config

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

CONFIG = small_config(vocab_size=8192, layers=2, experts=4)
ATTENTION, EXPERTS = ["q_proj", "k_proj", "v_proj", "o_proj"], ["w1", "w2", "w3"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(random_model(CONFIG), folder, writers.TOKENIZER, dtype=torch.float32)
    return folder


class Linears(nn.Module):
    """A tree of linear layers with the names that transformers 4 gives a Mixtral's."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        for key, weight in load_file(base / "model.safetensors").items():
            if "norm" in key:
                continue
            *path, last = key.removesuffix(".weight").split(".")
            at: nn.Module = self
            for part in path:
                if not hasattr(at, part):
                    at.add_module(part, nn.Module())
                at = getattr(at, part)
            rows, columns = weight.shape
            embeds = last == "embed_tokens"
            layer = nn.Embedding(rows, columns) if embeds else nn.Linear(columns, rows, bias=False)
            layer.weight = nn.Parameter(weight)
            at.add_module(last, layer)

    def forward(self, x):
        return x


def trained(model: Any, folder: Path, scale: float = 0.1) -> dict[str, torch.Tensor]:
    """Give an adapter numbers, save it, and merge it as peft does."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    return model.merge_and_unload().state_dict()


def ours(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    opened = open_checkpoint(base, adapter=adapter)
    return {hugging_face(name): opened[name] for name in opened}  # type: ignore[misc]


def compare(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], changed: str):
    """Equal to float32's last digits, and the base where the adapter says nothing."""
    seen = 0
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-6, atol=1e-6, msg=name)
        seen += changed in name
    assert seen


FOUR = {
    "attention": {"target_modules": ATTENTION},
    "experts": {"target_modules": EXPERTS},
    "router and head": {"target_modules": ["gate", "lm_head"]},
    "rslora": {"target_modules": ATTENTION, "use_rslora": True, "lora_alpha": 3},
    "patterns": {
        "target_modules": [*ATTENTION, *EXPERTS],
        "rank_pattern": {"q_proj": 3, r"layers\.1\.block_sparse_moe\.experts\.\d+\.w2": 5},
        "alpha_pattern": {"w1": 64},
    },
    "embedding": {"target_modules": ["embed_tokens"]},
    "a layer alone": {"target_modules": ["q_proj", "w1"], "layers_to_transform": [1]},
    "a module saved whole": {"target_modules": ["v_proj"], "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("what", FOUR)
def test_names_of_transformers_4_merge_as_in_peft(what, base, tmp_path):
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, **FOUR[what]})
    expected = trained(peft.get_peft_model(Linears(base), config), tmp_path)
    compare(ours(base, tmp_path), expected, "layers.1")
    assert any(
        not torch.equal(load_file(base / "model.safetensors")[k], v) for k, v in expected.items()
    )


FIVE = {
    "attention": {"target_modules": ATTENTION},
    "experts in one parameter": {
        "target_modules": [],
        "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    },
    "one of the two": {"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]},
    "router": {"target_modules": ["o_proj"], "target_parameters": ["mlp.gate.weight"]},
    "rslora and patterns": {
        "target_modules": ["q_proj"],
        "target_parameters": ["mlp.experts.gate_up_proj"],
        "use_rslora": True,
        "rank_pattern": {"gate_up_proj": 6},
        "alpha_pattern": {"gate_up_proj": 5},
    },
}


@pytest.mark.parametrize("what", FIVE)
def test_names_of_transformers_5_merge_as_in_peft(what, base, tmp_path):
    theirs = transformers.MixtralForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, **FIVE[what]})
    before = {key: weight.clone() for key, weight in theirs.state_dict().items()}
    merged = trained(peft.get_peft_model(theirs, config), tmp_path)
    assert any(not torch.equal(before[key], weight) for key, weight in merged.items())
    compare(ours(base, tmp_path), as_four(merged), "layers.1")


def test_an_adapter_of_transformers_4_is_what_peft_makes_of_it_under_5(base, tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=[*ATTENTION, *EXPERTS, "gate"])
    trained(peft.get_peft_model(Linears(base), config), tmp_path)
    theirs = transformers.MixtralForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(theirs, tmp_path).merge_and_unload().state_dict()
    compare(ours(base, tmp_path), as_four(merged), "layers.1")


def as_four(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """transformers 5's tensors under the names that transformers 4 gave them."""
    made = {}
    for name, weight in tensors.items():
        stem = name.replace(".mlp.", ".block_sparse_moe.").rpartition(".experts.")[0]
        for e in range(CONFIG.experts):
            place, F = f"{stem}.experts.{e}", CONFIG.expert_size
            if name.endswith("gate_up_proj"):
                made |= {f"{place}.w1.weight": weight[e, :F], f"{place}.w3.weight": weight[e, F:]}
            elif name.endswith("down_proj"):
                made[f"{place}.w2.weight"] = weight[e]
        if not name.endswith("_proj"):
            made[name.replace(".mlp.", ".block_sparse_moe.")] = weight
    assert made.keys() == {hugging_face(name) for name, _ in shapes(CONFIG)}
    return made


# ---- A model with an adapter -------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "my-lora"
    modules = [*ATTENTION, *EXPERTS, "embed_tokens"]
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=modules)
    trained(peft.get_peft_model(Linears(base), config), folder, scale=0.3)
    return folder


@pytest.fixture
def copy(adapter, tmp_path) -> Path:
    return shutil.copytree(adapter, tmp_path / "copy")


def test_every_placement_and_layout_runs_the_merged_model(base, adapter, tmp_path):
    """The oracle is the same checkpoint with the merged weights written into it."""
    merged = tmp_path / "merged"
    shutil.copytree(base, merged)
    save_file(
        {k: v.contiguous() for k, v in ours(base, adapter).items()}, merged / "model.safetensors"
    )
    texts = ["Good morning.", "def f(x):"]
    expected = mv.record(mv.load(merged), texts)
    assert abs(expected.router_logits - mv.record(mv.load(base), texts).router_logits).max() > 0.1
    sources = [base, writers.mistral(random_model(CONFIG), tmp_path / "mistral"),
               writers.gguf_merged(random_model(CONFIG), tmp_path / "gguf")]  # fmt: skip
    for source, placement in zip(sources, ("stream", "resident", "stream"), strict=True):
        found = mv.record(mv.load(source, adapter=adapter, placement=placement), texts)
        assert abs(found.router_logits - expected.router_logits).max() < 1e-4


def test_the_adapter_is_stamped_and_makes_another_model(base, adapter, copy):
    plain, changed = mv.load(base), mv.load(base, adapter=adapter)
    assert changed.provenance.model == f"{base.name} + my-lora"
    assert "my-lora" in mv.record(changed, "Hello").provenance.title
    tensors = load_file(copy / "adapter_model.safetensors")
    key = next(k for k in tensors if "q_proj.lora_B" in k)
    save_file({**tensors, key: tensors[key] * 2}, copy / "adapter_model.safetensors")
    again = mv.load(base, adapter=copy)
    prints = {m.provenance.fingerprint for m in (plain, changed, again)}
    assert len(prints) == 3


def configure(folder: Path, **change: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
        ({"r": 8}, "has shape"),
        ({"r": "many"}, "r is 'many'"),
        ({"trainable_token_indices": [5]}, "trainable_token_indices"),
        ({"r": 4.5}, r"r is 4\.5; expected a whole number below 1,000,000"),
        ({"r": 10**400}, "r is 1000"),
        ({"r": True}, "r is True"),
        ({"lora_alpha": -(10**400)}, "lora_alpha is -1000.*; expected a number below 1,000,000"),
        ({"lora_alpha": 1e308}, r"lora_alpha is 1e\+308"),
        ({"rank_pattern": {"(a|a)*b": 4}}, r"'\(a\|a\)\*b' could take very long to match"),
        ({"rank_pattern": {".*.*.*.*x": 4}}, "could take very long"),
        ({"alpha_pattern": {"a?" * 30: 4}}, "could take very long"),
        ({"alpha_pattern": {"(a|a)" * 30: 4}}, "could take very long"),
        ({"rank_pattern": {"x" * 1001: 4}}, "could take very long"),
    ],
)
def test_what_is_not_plain_lora_is_refused_by_name(change, said, base, copy):
    configure(copy, **change)
    with pytest.raises(CheckpointError, match=said) as caught:
        mv.load(base, adapter=copy)
    assert str(copy) in str(caught.value)


def test_two_tensors_for_one_module_are_refused(base, copy):
    tensors = load_file(copy / "adapter_model.safetensors")
    key = next(k for k in tensors if "q_proj.lora_A" in k)
    again = key.replace("lora_A.weight", "lora_A.default.weight")
    save_file({**tensors, again: tensors[key] * 2}, copy / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"change the same weights.*one adapter in one fold"):
        open_checkpoint(base, adapter=copy)


def test_weights_that_an_adapter_brings_whole_are_held_against_its_file(base, tmp_path):
    config = peft.LoraConfig(r=4, target_modules=["v_proj"], modules_to_save=["lm_head"])
    trained(peft.get_peft_model(Linears(base), config), tmp_path)
    model = mv.load(base, adapter=tmp_path)
    mv.record(model, [[5, 6]])
    file = tmp_path / "adapter_model.safetensors"
    with open(file, "r+b") as written:
        written.write(bytes(file.stat().st_size))
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors: .*written to"):
        mv.record(model, [[5, 6]])


def test_packed_weights_are_refused(adapter, tmp_path):
    model = random_model(
        small_config(vocab_size=8192, layers=2, experts=4, hidden_size=64, expert_size=64)
    )
    path = writers.write_gguf(model, tmp_path / "q.gguf", merged=True, kinds={"attn_q": "Q8_0"})
    folder = tmp_path / "a"
    save_checkpoint(model, tmp_path / "b", writers.TOKENIZER, dtype=torch.float32)
    config = peft.LoraConfig(r=4, target_modules=["q_proj"])
    trained(peft.get_peft_model(Linears(tmp_path / "b"), config), folder)
    with pytest.raises(CheckpointError, match=r"packed as Q8_0.*bf16"):
        mv.load(path, adapter=folder)


def test_an_adapter_of_another_model_is_refused(adapter, tmp_path):
    save_checkpoint(random_model(small_config(vocab_size=8192, hidden_size=32)), tmp_path)
    with pytest.raises(CheckpointError, match="Does the adapter belong to"):
        open_checkpoint(tmp_path, adapter=adapter)


def test_tensors_that_are_no_lora_are_refused(base, copy):
    tensors = load_file(copy / "adapter_model.safetensors")
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = torch.ones(
        64
    )
    save_file(tensors, copy / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="lora_magnitude_vector"):
        open_checkpoint(base, adapter=copy)


def test_a_folder_that_is_no_adapter_and_an_adapter_that_is_no_model(base, adapter):
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        mv.load(base, adapter=base)
    with pytest.raises(CheckpointError, match="is an adapter"):
        mv.load(adapter)
