# SPDX-License-Identifier: Apache-2.0
"""FP8 checkpoints are read as number times scale, to the last bit, or refused with the shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.checkpoint.layout import hugging_face
from moe_viz.errors import CheckpointError
from tests import writers
from tests.conftest import random_model, small_config

WEIGHTS = "model.safetensors"
BLOCK = (32, 16)
ROWS = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
COMPRESSED = {"format": "naive-quantized", "config_groups": {"group_0": {"weights": ROWS}}}

#: The ways to keep scales that are met: DeepSeek's and transformers' blocks, vLLM's, Mistral's.
WAYS: dict[str, dict[str, Any]] = {
    "blocks": {"quant_method": "fp8", "weight_block_size": list(BLOCK), "fmt": "e4m3"},
    "tensors": {"quant_method": "fp8", "activation_scheme": "static"},
    "rows": {"quant_method": "compressed-tensors", **COMPRESSED},
}


def scales(weight: Tensor, way: str) -> Tensor:
    """A scale for each block, row or tensor, so that its largest number becomes 448."""
    height, width = weight.shape
    tall, wide = {"blocks": BLOCK, "rows": (1, width), "tensors": (height, width)}[way]
    found = torch.tensor([
        [weight[r : r + tall, c : c + wide].abs().max().item() / 448 for c in range(0, width, wide)]
        for r in range(0, height, tall)
    ])  # fmt: skip
    return found[0, 0] if way == "tensors" else found


def spread(scale: Tensor, shape: torch.Size, way: str) -> Tensor:
    """One number for each of a matrix's, spelled out place by place."""
    tall, wide = {"blocks": BLOCK, "rows": (1, shape[1]), "tensors": tuple(shape)}[way]
    grid = scale.reshape(-(-shape[0] // tall), -(-shape[1] // wide)).tolist()
    return torch.tensor(
        [[grid[r // tall][c // wide] for c in range(shape[1])] for r in range(shape[0])]
    )


def quantised(folder: Path, way: str, suffix: str = "weight_scale") -> dict[str, Tensor]:
    """Quantise attention and experts in a folder; what each tensor means, in float32."""
    tensors, meant = dict[str, Tensor](), dict[str, Tensor]()
    for key, weight in load_file(folder / WEIGHTS).items():
        tensors[key] = meant[key] = weight
        if "self_attn" in key or ".experts." in key:
            scale = scales(weight, way)
            across = spread(scale, weight.shape, way)
            tensors[key] = (weight / across).to(torch.float8_e4m3fn)
            tensors[key.replace("weight", suffix)] = scale
            meant[key] = tensors[key].float() * across
            if way == "tensors":
                tensors[key.replace("weight", "input_scale")] = torch.tensor(0.5)
    save_file(tensors, folder / WEIGHTS)
    configure(folder, way)
    return meant


def configure(folder: Path, way: str) -> None:
    path = folder / "config.json"
    said = {**json.loads(path.read_text()), "quantization_config": WAYS.get(way)}
    path.write_text(json.dumps(said))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Widths that are not whole numbers of blocks."""
    model = random_model(small_config(vocab_size=8192, layers=2, experts=4))
    save_checkpoint(model, tmp_path / "m", writers.TOKENIZER, dtype=torch.float32)
    return tmp_path / "m"


@pytest.mark.parametrize("way", WAYS)
def test_every_number_is_multiplied_by_its_own_scale(way, folder):
    meant = quantised(folder, way, "weight_scale_inv" if way == "blocks" else "weight_scale")
    opened = open_checkpoint(folder)
    for name in opened:
        assert torch.equal(opened[name], meant[hugging_face(name)]), name  # type: ignore[arg-type]


def test_all_experts_in_one_tensor_have_blocks_of_their_own(folder):
    """As transformers 5 names them, a row of blocks never reaching into the next expert."""
    tensors, meant = load_file(folder / WEIGHTS), {}
    fused = {
        k.replace(".block_sparse_moe.", ".mlp."): v
        for k, v in tensors.items()
        if ".experts." not in k
    }
    for n in range(2):
        old, new = (f"model.layers.{n}.{room}.experts" for room in ("block_sparse_moe", "mlp"))
        pairs = [torch.cat([tensors[f"{old}.{e}.w{m}.weight"] for m in (1, 3)]) for e in range(4)]
        downs = [tensors[f"{old}.{e}.w2.weight"] for e in range(4)]
        for name, experts in (("gate_up_proj", pairs), ("down_proj", downs)):
            each = [scales(expert, "blocks") for expert in experts]
            across = torch.stack([spread(s, experts[0].shape, "blocks") for s in each])
            fused[f"{new}.{name}_scale_inv"] = torch.stack(each)
            fused[f"{new}.{name}"] = (torch.stack(experts) / across).to(torch.float8_e4m3fn)
            exact = fused[f"{new}.{name}"].float() * across
            for e in range(4):
                stem = f"layers.{n}.moe.experts.{e}"
                if name == "down_proj":
                    meant[f"{stem}.w2.weight"] = exact[e]
                else:
                    meant[f"{stem}.w1.weight"], meant[f"{stem}.w3.weight"] = exact[e].chunk(2)
    save_file({k: v.contiguous() for k, v in fused.items()}, folder / WEIGHTS)
    configure(folder, "blocks")
    opened = open_checkpoint(folder)
    for name, weight in meant.items():
        assert torch.equal(opened[name], weight), name  # type: ignore[arg-type]


def test_a_trace_from_fp8_is_that_of_the_numbers_it_means_and_says_so(folder, tmp_path):
    meant = quantised(folder, "rows")
    stamped = mv.load(folder, placement="stream")
    trace = mv.record(stamped, "Good morning.")
    save_file({k: v.contiguous() for k, v in meant.items()}, folder / WEIGHTS)
    configure(folder, "none")
    plain = mv.record(mv.load(folder), "Good morning.")
    assert abs(trace.router_logits - plain.router_logits).max() < 1e-5
    assert stamped.provenance.quantisation == "F8_E4M3"
    assert stamped.provenance.fingerprint == mv.load(folder).provenance.fingerprint


def change(folder: Path, edit) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


KEY = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop(KEY + "_scale"), "with 0 scales"),
        (lambda t: t.update({KEY + "_scale": torch.ones(5)}), r"scales of shape \(5,\)"),
        (lambda t: t.update({KEY + "_scale": torch.ones(2, 3)}), "no weight_block_size"),
        (lambda t: t.update({KEY + "_scale": torch.ones(1, dtype=torch.int32)}), "I32"),
        (lambda t: t.update({KEY + "_scale_inv": torch.ones(1)}), "with 2 scales"),
    ],
)
def test_scales_that_are_not_understood_are_refused(edit, said, folder):
    quantised(folder, "rows")
    change(folder, edit)
    with pytest.raises(CheckpointError, match=said) as caught:
        mv.load(folder)
    assert WEIGHTS in str(caught.value)


def test_a_config_that_says_fp8_of_plain_weights_is_refused(folder):
    configure(folder, "blocks")
    with pytest.raises(CheckpointError, match="none of them is"):
        mv.load(folder)
