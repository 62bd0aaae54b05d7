# SPDX-License-Identifier: Apache-2.0
"""Mistral's files and transformers 5's: damaged and hostile ones are refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.errors import CheckpointError, ConfigError
from tests import writers
from tests.conftest import random_model
from tests.unit.damage import complaint, config_of, same
from tests.unit.test_checkpoint import configure, refused


@pytest.fixture(scope="module")
def model():
    return random_model(config_of())


# ---- Mistral's files --------------------------------------------------------------------------


@pytest.fixture
def mistral(model, tmp_path):
    """Mistral's later form: params.json and safetensors."""
    return writers.mistral(model, tmp_path / "mistral")


@pytest.fixture
def first(model, tmp_path):
    """Mistral's first form: params.json and three pickles."""
    return writers.mistral_stacked(model, tmp_path / "first")


def parameters(folder: Path, **changes) -> None:
    path = folder / "params.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def pickled(folder: Path, change: Callable[[dict], Any]) -> Path:
    """Change the second of the pickles."""
    path = folder / "consolidated.01.pt"
    tensors = torch.load(path, weights_only=True)
    replaced = change(tensors)
    torch.save(tensors if replaced is None else replaced, path)
    return path


def archive(path: Path, content: bytes) -> Path:
    """A file of torch's format with this pickle in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in {"data.pkl": content, "version": b"3\n", "byteorder": b"little"}.items():
            file.writestr(f"archive/{name}", data)
    return path


def test_mistral_s_parameters_without_a_base_mean_a_million(mistral):
    parameters(mistral, rope_theta=...)
    assert open_checkpoint(mistral).config.rope_theta == 1e6


@pytest.mark.parametrize("moe", [..., None, [], "8x7b"])
def test_mistral_s_parameters_of_a_dense_model_are_refused(moe, mistral):
    parameters(mistral, moe=moe)
    refused(ConfigError, mistral, "params.json", "moe", "dense")


@pytest.mark.parametrize(
    "change",
    [{"dim": ...}, {"dim": "many"}, {"n_layers": 0}, {"max_seq_len": None}, {"rope_theta": "x"},
     {"moe": {"num_experts": 8}}, {"moe": {"num_experts": 2, "num_experts_per_tok": 3}}],
    ids=str,
)  # fmt: skip
def test_mistral_s_impossible_parameters_are_refused(change, mistral):
    parameters(mistral, **change)
    refused(ConfigError, mistral, str(mistral / "params.json"))


def test_mistral_s_parameters_with_a_window_are_refused(mistral):
    parameters(mistral, sliding_window=128)
    refused(ConfigError, mistral, str(mistral / "params.json"), "sliding_window")


def test_fewer_experts_than_mistral_s_parameters_say_are_refused(mistral, first):
    for folder, name in ((mistral, "feed_forward.gate"), (first, "block_sparse_moe")):
        parameters(folder, moe={"num_experts": 16, "num_experts_per_tok": 2})
        refused(CheckpointError, folder, name, "params.json", "belong together")


@pytest.mark.parametrize("number", range(3))
def test_a_missing_pickle_is_refused(number, first):
    (first / f"consolidated.{number:02}.pt").unlink()
    refused(CheckpointError, first, str(first))


def test_mistral_s_folder_without_weights_is_refused(mistral):
    (mistral / "consolidated.safetensors").unlink()
    refused(CheckpointError, mistral, str(mistral), "consolidated", "params.json")


def test_a_tensor_in_two_pickles_is_refused(first):
    path = pickled(first, lambda t: t.update({"norm.weight": torch.ones(64)}))
    other = torch.load(first / "consolidated.02.pt", weights_only=True)
    torch.save({**other, "norm.weight": torch.ones(64)}, first / "consolidated.02.pt")
    refused(CheckpointError, first, "consolidated.0", path.suffix, "norm.weight", "merged")


def test_a_tensor_in_two_safetensors_files_is_refused(mistral):
    save_file({"norm.weight": torch.zeros(64)}, mistral / "consolidated.01.safetensors")
    refused(CheckpointError, mistral, "consolidated", "norm.weight")


def test_a_tensor_in_two_of_hugging_face_s_shards_is_refused(model, tmp_path):
    folder = writers.hugging_face_4(model, tmp_path / "hf")
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    save_file({"model.norm.weight": torch.zeros(64)}, folder / "b.safetensors")
    index = {"model.norm.weight": "a.safetensors", "x": "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    refused(CheckpointError, folder, ".safetensors", "model.norm.weight")


class Evil:
    """Unpickling it runs a command."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch {self.sentinel}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("how", ["value", "whole", "bare"])
def test_a_pickle_never_runs_anything(how, protocol, first, tmp_path):
    evil, path = Evil(tmp_path / "sentinel"), first / "consolidated.01.pt"
    content = {**torch.load(path, weights_only=True), "extra": evil} if how == "value" else evil
    if how == "bare":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol)
    refused(CheckpointError, first, str(path))
    assert not evil.sentinel.exists()
    if how == "bare":  # and it is evil
        pickle.loads(path.read_bytes())
        assert evil.sentinel.exists()


@pytest.mark.parametrize(
    "content",
    [[1, 2], [torch.zeros(2)], torch.zeros(2), "weights", None, 5, {5: torch.zeros(2)},
     {"norm.weight": 1.0}, {"model": {"norm.weight": torch.zeros(64)}}, {"norm.weight": None}],
    ids=lambda content: repr(content)[:24],
)  # fmt: skip
def test_a_pickle_of_something_else_is_refused(content, first):
    path = pickled(first, lambda t: content)
    if content is None:
        torch.save(None, path)
    refused(CheckpointError, first, str(path))


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(64, dtype=torch.float64),
        torch.zeros(64, dtype=torch.int8),
        torch.zeros(64, dtype=torch.complex64),
        torch.zeros(64).to_sparse(),
        torch.zeros(64, device="meta"),
    ],
    ids=["float64", "int8", "complex", "sparse", "meta"],
)
def test_a_pickled_tensor_that_is_no_plain_number_is_refused(value, first):
    found = {path: torch.load(path, weights_only=True) for path in first.glob("*.pt")}
    path = next(path for path, tensors in found.items() if "norm.weight" in tensors)
    torch.save({**found[path], "norm.weight": value}, path)
    refused(CheckpointError, first, str(path), "norm.weight")


def test_pickled_parameters_are_tensors_too(first, model):
    for path in first.glob("*.pt"):
        tensors = torch.load(path, weights_only=True)
        torch.save({k: torch.nn.Parameter(v) for k, v in tensors.items()}, path)
    checkpoint = open_checkpoint(first)
    assert same(checkpoint, dict(model.named_parameters()))
    assert checkpoint.fingerprint()
    loaded: Any = mv.load(first)
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("kept", [0, 1, 4, 30, 100, 1000, 0.5, -100, -1])
def test_a_pickle_cut_short_is_refused(kept, first):
    path = first / "consolidated.01.pt"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    refused(CheckpointError, first, str(path), "download it again")


PICKLES = {
    "empty": b"", "stop": b".", "no stop": b"\x80\x02}", "pop of nothing": b"\x80\x020.",
    "unknown code": b"\x80\x02\xff.", "memo of nothing": b"\x80\x02h\x05.",
    "item of nothing": b"\x80\x02s.", "items of a number": b"\x80\x02K\x01(K\x01K\x02u.",
    "tuple of nothing": b"\x80\x02\x87.", "mark of nothing": b"\x80\x02t.",
    "persistent number": b"\x80\x02K\x01Q.", "persistent tuple": b"\x80\x02K\x01K\x02\x86Q.",
    "persistent storage": b"\x80\x02(X\x07\0\0\0storageK\x01K\x02K\x03K\x04tQ.",
    "global of nothing": b"\x80\x02cnowhere\nnothing\n.",
    "bad string": b"\x80\x02X\x02\0\0\0\xff\xff.",
    "key that is a list": b"\x80\x02}]K\x01s.", "call of a number": b"\x80\x02K\x01)R.",
    "long": b"\x80\x02\x8a\xff.",
    "rebuild": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "ordered": b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
}  # fmt: skip


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES)
def test_a_hostile_pickle_is_refused(content, first):
    path = archive(first / "consolidated.01.pt", content)
    refused(CheckpointError, first, str(path))


def test_bytes_flipped_in_a_pickle_give_an_error_or_the_same_shapes(first):
    path = first / "consolidated.01.pt"
    data = path.read_bytes()
    shapes = {n: tuple(t.shape) for n, t in open_checkpoint(first).items()}
    with zipfile.ZipFile(path) as file:
        (name,) = (n for n in file.namelist() if n.endswith("data.pkl"))
        content = file.read(name)
    start, rng, complaints = data.index(content), random.Random(3), set()

    def opening(folder):
        checkpoint = open_checkpoint(folder)
        checkpoint.fingerprint()
        return checkpoint

    for _ in range(120):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 3))):
            damaged[rng.randrange(len(content))] = rng.randrange(256)
        with open(path, "r+b") as file:
            file.seek(start)
            file.write(damaged)
        complaints.add(complaint(first, shapes, opening))
    assert complaints <= {""}, "\n".join(sorted(complaints))


def test_a_broken_link_to_weights_is_refused(mistral):
    """As in a cache of downloads whose files are gone."""
    path = mistral / "consolidated.safetensors"
    path.unlink()
    path.symlink_to(mistral / "gone")
    refused(CheckpointError, mistral, str(mistral))


def test_a_broken_link_to_pickles_is_refused(first):
    path = first / "consolidated.01.pt"
    path.unlink()
    path.symlink_to(first / "gone")
    refused(CheckpointError, first, str(path))


# ---- Hugging Face's, mixed and merged ---------------------------------------------------------


@pytest.fixture
def four(tmp_path):
    return writers.hugging_face_4(random_model(config_of(layers=2)), tmp_path / "four")


def merge(folder: Path, layers=(0, 1)) -> Path:
    """These layers' names and experts as transformers 5 has them."""
    tensors = load_file(folder / "model.safetensors")
    for n in layers:
        old, new = f"model.layers.{n}.block_sparse_moe", f"model.layers.{n}.mlp"
        w1, w2, w3 = (
            torch.stack([tensors.pop(f"{old}.experts.{e}.{w}.weight") for e in range(8)])
            for w in ("w1", "w2", "w3")
        )
        tensors[f"{new}.experts.gate_up_proj"] = torch.cat((w1, w3), dim=1)
        tensors[f"{new}.experts.down_proj"] = w2
        tensors[f"{new}.gate.weight"] = tensors.pop(f"{old}.gate.weight")
    save_file(tensors, folder / "model.safetensors")
    return folder


def change_weights(folder: Path, change: Callable[[dict], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")


def test_merged_experts_are_the_same_model(four, tmp_path):
    merged = merge(shutil.copytree(four, tmp_path / "five"))
    assert same(open_checkpoint(merged), open_checkpoint(four))


@pytest.mark.parametrize("name", ["gate_up_proj", "down_proj"])
def test_merged_experts_the_wrong_way_round_are_refused(name, four):
    key = f"model.layers.1.mlp.experts.{name}"
    change_weights(merge(four), lambda t: t.update({key: t[key].transpose(1, 2)}))
    refused(CheckpointError, four, "model.safetensors", key, "belong together")


@pytest.mark.parametrize("layer", [0, 1])
def test_two_layouts_in_one_file_are_refused(layer, four):
    merge(four, layers=[layer])
    refused(CheckpointError, four, str(four), "missing", "belong together")


def test_both_layouts_at_once_are_refused(four, tmp_path):
    both = load_file(merge(shutil.copytree(four, tmp_path / "five")) / "model.safetensors")
    change_weights(four, lambda t: t.update({**both, **t}))
    refused(CheckpointError, four, str(four), "mlp.", "another model")


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("experts", [4, 16])
def test_another_number_of_experts_than_the_config_says_is_refused(merged, experts, four):
    if merged:
        merge(four)
    configure(four, {"num_local_experts": experts})
    refused(CheckpointError, four, "config.json", "gate", "belong together")


@pytest.mark.parametrize("merged", [True, False])
def test_fewer_experts_than_the_router_has_are_refused(merged, four):
    def change(tensors):
        if merged:
            for name in ("gate_up_proj", "down_proj"):
                key = f"model.layers.1.mlp.experts.{name}"
                tensors[key] = tensors[key][:4]
        else:
            for key in [k for k in tensors if re.search(r"layers\.1\..*experts\.[4-7]\.", k)]:
                del tensors[key]

    change_weights(merge(four) if merged else four, change)
    refused(CheckpointError, four, "model.layers.1.", "experts", "belong together")


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.2.input_layernorm.weight",
        "model.layers.0.mlp.shared_expert.gate_proj.weight",
        "model.layers.0.block_sparse_moe.experts.8.w1.weight",
        "model.layers.0.self_attn.q_norm.weight",
    ],
)
def test_a_tensor_that_no_mixtral_has_is_refused(name, four):
    change_weights(four, lambda t: t.update({name: torch.zeros(64)}))
    refused(CheckpointError, four, str(four), name, "another model")


def test_rope_s_frequencies_are_no_stranger(four):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    change_weights(four, lambda t: t.update({name: torch.zeros(8)}))
    assert name not in open_checkpoint(four)


def test_a_dense_model_s_tensors_are_called_so(four):
    dense = {"model.layers.0.mlp.gate_proj.weight": torch.zeros(2, 2)}
    save_file(dense, four / "model.safetensors")
    refused(CheckpointError, four, str(four), "dense", "expected one of")


@pytest.mark.parametrize("layout", ["Mistral", "Mistral, stacked experts"])
def test_a_folder_with_both_forms_is_hugging_face_s(layout, model, tmp_path):
    folder = writers.LAYOUTS[layout](model, tmp_path / "both")
    parameters(folder, n_layers=7)  # nobody looks
    writers.hugging_face_4(model, folder)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.layout == "Hugging Face"
    assert same(checkpoint, dict(model.named_parameters()))


def test_mistral_s_weights_may_lie_beside_a_hugging_face_config(model, tmp_path):
    folder = writers.hugging_face_4(model, writers.mistral(model, tmp_path / "both"))
    (folder / "model.safetensors").unlink()
    (folder / "params.json").unlink()
    assert same(open_checkpoint(folder), dict(model.named_parameters()))


def test_the_writers_of_this_file_write_what_they_should(first):
    """A whole archive made by hand is one, so that those above fail for their pickles alone."""
    path = archive(first / "consolidated.09.pt", pickle.dumps({}, protocol=2))
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=True) == {}
    open_checkpoint(first)
