# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: whole ones come back whole, and broken ones are refused by the name of the file."""

from __future__ import annotations

import json
import math
import re
import shutil
import tracemalloc
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.checkpoint.layout import hugging_face, shapes
from moe_viz.config import MixtralConfig
from moe_viz.errors import CheckpointError, ConfigError, InputError, MoeVizError
from moe_viz.files import embedded_folder
from tests.conftest import random_model, small_config

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ROUTER = "model.layers.1.block_sparse_moe.gate.weight"

#: Words by which a message says what to do next.
ADVICE = re.compile(r"(?i)download|expected|correct|choose|convert|belong together")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small checkpoint in one file, with the embedded model's tokenizer."""
    folder = tmp_path_factory.mktemp("whole")
    model = random_model(small_config(vocab_size=8192, hidden_size=16, head_dim=8))
    save_checkpoint(model, folder, embedded_folder() / "tokenizer.model", torch.float32)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to break."""
    return shutil.copytree(whole, tmp_path / "copy")


def refused(kind: type[MoeVizError], source, *words: str, opening=open_checkpoint) -> None:
    """Opening is refused by a message with these words and with advice."""
    with pytest.raises(kind) as caught:
        opening(source)
    message = str(caught.value)
    assert all(word in message for word in words), message
    if kind is not ConfigError:  # those say what is expected, each in its own words
        assert ADVICE.search(message), message


# ---- What is whole ---------------------------------------------------------------------------


@pytest.fixture
def sharded(whole, tmp_path):
    """The same checkpoint as transformers itself writes it in several files."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.MixtralForCausalLM.from_pretrained(whole, dtype="float32")
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="200KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    return tmp_path / "sharded"


def test_shards_equal_the_single_file(whole, sharded):
    single: Any = open_checkpoint(whole)
    parts: Any = open_checkpoint(sharded)
    assert list(parts) == list(single)
    assert all(torch.equal(parts[name], single[name]) for name in single)
    assert {**vars(parts.config), "name": ""} == {**vars(single.config), "name": ""}
    assert parts.kinds == single.kinds == {"F32": 4 * sum(t.numel() for t in single.values())}
    assert parts.fingerprint() == single.fingerprint()


def test_the_canonical_names_are_the_model_s(whole):
    model: Any = mv.load(whole)
    assert set(open_checkpoint(whole)) == {name for name, _ in model.named_parameters()}


def test_fingerprints_tell_routers_apart_but_not_folders(whole, folder):
    before = open_checkpoint(folder).fingerprint()
    assert before == open_checkpoint(whole).fingerprint()
    change_weights(folder, lambda tensors: tensors[ROUTER].mul_(1.001))
    assert open_checkpoint(folder).fingerprint() != before


def test_a_missing_shard_is_named(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    refused(CheckpointError, sharded, str(sharded), shard.name, "Download")


def test_a_file_larger_than_memory_opens(tmp_path):
    """All 87 GiB of Mixtral 8x7B, as a file with nothing in it."""
    config = MixtralConfig.preset("mixtral-8x7b")
    header, end = {}, 0
    for name, shape in shapes(config):
        size = 2 * math.prod(shape)
        offsets = [end, end + size]
        header[hugging_face(name)] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        end += size
    raw = json.dumps(header).encode()
    with open(tmp_path / WEIGHTS, "wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end)
    (tmp_path / "config.json").write_text(json.dumps(config.to_hf()))
    checkpoint: Any = open_checkpoint(tmp_path)
    assert checkpoint.memory(torch.bfloat16) == 93_405_585_408
    assert checkpoint["layers.31.moe.experts.7.w2.weight"][4095, -1] == 0


def test_writing_to_a_loaded_model_changes_no_file(folder):
    before = (folder / WEIGHTS).read_bytes()
    model: Any = mv.load(folder)
    model.head.weight.fill_(1.0)
    assert (folder / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["a"].update(data_offsets=[0, 12]),
        lambda h: h["a"].update(data_offsets=[8, 0]),
        lambda h: h["a"].update(data_offsets=[0, 8, 9]),
        lambda h: h["a"].update(data_offsets=[0.0, 8.0]),
        lambda h: h["a"].update(shape=[-2]),
        lambda h: h["a"].update(shape="2"),
        lambda h: h["b"].update(data_offsets=[4, 12]),
        lambda h: h["b"].update(data_offsets=[0, 8]),
        lambda h: h["a"].pop("dtype"),
        lambda h: h.update(c=5),
        lambda h: h.update(c={"dtype": "F32", "shape": [0], "data_offsets": [2**63, 2**63]}),
    ],
)
def test_a_header_that_contradicts_itself(folder, change):
    header = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
    }
    change(header)
    raw = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(16))
    refused(CheckpointError, folder, str(folder / WEIGHTS), "not a whole safetensors file")


# ---- What is no checkpoint -------------------------------------------------------------------


@pytest.mark.parametrize("source", ["nowhere", "org/name", "x" * 5000, "~nobody-at-all/x", "a\0b"])
def test_what_is_not_there(source):
    refused(CheckpointError, source, source, "no such folder", "8x7m")


def test_a_file_is_no_folder(folder):
    refused(CheckpointError, folder / WEIGHTS, WEIGHTS, "single file", "config.json")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    refused(CheckpointError, tmp_path, str(tmp_path), "holiday.jpg", "config.json")


def test_a_folder_without_weights(folder):
    (folder / WEIGHTS).unlink()
    refused(CheckpointError, folder, str(folder), WEIGHTS, INDEX, "Download")


# ---- Damaged weights -------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, -1])
def test_truncated_weights(folder, kept):
    path = folder / WEIGHTS
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    refused(CheckpointError, folder, str(path), "cut short", "download it again")


@pytest.mark.parametrize("content", [b"\x80\x04N.", b"PK\x03\x04" * 99, b"<html>404</html>"])
def test_weights_of_another_kind(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    refused(CheckpointError, folder, str(folder / WEIGHTS), "not a whole safetensors file")


def change_weights(folder, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize("shape", [(7, 16), (16, 8), (8, 16, 1), (128,), ()])
def test_a_tensor_of_another_shape(folder, shape):
    change_weights(folder, lambda tensors: tensors.update({ROUTER: torch.zeros(shape)}))
    refused(CheckpointError, folder, WEIGHTS, ROUTER, str(shape), "(8, 16)")


def test_a_missing_tensor(folder):
    change_weights(folder, lambda tensors: tensors.pop(ROUTER))
    refused(CheckpointError, folder, str(folder), ROUTER, "missing", "(8, 16)")


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.float64, "F64"), (torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")],
)
def test_an_unsupported_dtype(folder, dtype, name):
    change_weights(folder, lambda tensors: tensors.update({ROUTER: tensors[ROUTER].to(dtype)}))
    refused(CheckpointError, folder, WEIGHTS, ROUTER, name, "BF16")


# ---- Indices that are not what they should be ------------------------------------------------


def shard_with(folder, index: object) -> None:
    """The checkpoint's single file becomes a shard, listed in this index."""
    (folder / WEIGHTS).rename(folder / "part.safetensors")
    text = index if isinstance(index, str) else json.dumps(index)
    (folder / INDEX).write_text(text, encoding="utf-8")


def test_any_index_that_names_the_shards_will_do(folder):
    shard_with(folder, {"weight_map": {"x": "part.safetensors"}})
    assert len(open_checkpoint(folder))


@pytest.mark.parametrize(
    "name", ["../whole.safetensors", "/etc/passwd", "..", ".", "", "sub/x.safetensors", "x.bin", 5]
)
def test_an_index_names_files_beside_it_and_no_others(folder, name):
    shutil.copy(folder / WEIGHTS, folder.parent / "whole.safetensors")  # where `..` would find it
    shard_with(folder, {"weight_map": {"x": name}})
    refused(CheckpointError, folder, INDEX, repr(name), "Download")


@pytest.mark.parametrize(
    "name", ["none.safetensors", "x" * 400 + ".safetensors", "\ud800\0.safetensors"]
)
def test_an_index_names_files_that_exist(folder, name):
    shard_with(folder, {"weight_map": {"x": "part.safetensors", "y": name}})
    refused(CheckpointError, folder, str(folder), "1 of 2 shards", repr(name))


@pytest.mark.parametrize(
    "index",
    ["", "{", "weights", "[" * 100_000, [], {}, {"weight_map": []}, {"weight_map": None},
     {"weight_map": {"x": ["part.safetensors"]}}, {"weight_map": {"x": 5, "y": "z"}}],
    ids=lambda index: str(index)[:32],
)  # fmt: skip
def test_an_index_that_is_none(folder, index):
    shard_with(folder, index)
    refused(CheckpointError, folder, INDEX, "weight_map", "Download it again")


# ---- Configurations and tokenizers -----------------------------------------------------------


def configure(folder, change: dict) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_key_value_heads": 3}, "kv_heads"),
        ({"num_attention_heads": 5}, "heads"),
        ({"num_attention_heads": 5, "head_dim": None}, "num_attention_heads"),
        ({"num_experts_per_tok": 9}, "experts_per_token"),
        ({"num_hidden_layers": 0}, "layers"),
        ({"model_type": "llama"}, "model_type"),
        ({"vocab_size": None}, "vocab_size"),
        ({"num_attention_heads": 0, "head_dim": None}, "head"),
        ({"rms_norm_eps": "tiny"}, "rms_norm_eps"),
        ({"rope_parameters": [1]}, "rope_parameters"),
    ],
)
def test_an_impossible_config(folder, change, named):
    configure(folder, change)
    refused(ConfigError, folder, str(folder / "config.json"), named)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "\x00", "[" * 100_000],
    ids=lambda content: repr(content)[:12],
)
def test_a_config_that_is_none(folder, content):
    (folder / "config.json").write_text(content)
    refused(ConfigError, folder, str(folder / "config.json"))


@pytest.mark.parametrize(
    "change", [{"num_hidden_layers": 20_000}, {"hidden_size": 10**12}, {"num_local_experts": 10**6}]
)
def test_a_config_that_promises_too_much_takes_no_memory(folder, change):
    configure(folder, change)
    tracemalloc.start()
    try:
        refused(CheckpointError, folder, str(folder), "config.json")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def takes_ids_alone(folder, capsys, *words):
    """It loads, says once what is wrong, and again where a text is given; ids are recorded."""
    capsys.readouterr()
    model = mv.load(folder)
    said = capsys.readouterr().err
    assert said.count("moe_viz:") == 1
    with pytest.raises(InputError, match="no tokenizer") as refusal:
        mv.record(model, "Good morning")
    for word in words:
        assert word in said
        assert word in str(refusal.value)
    assert mv.record(model, [[1, 5, 6]]).token_ids.tolist() == [1, 5, 6]
    assert "MoeVizError" not in said


def test_a_missing_tokenizer(folder, capsys):
    (folder / "tokenizer.model").unlink()
    takes_ids_alone(folder, capsys, str(folder), "tokenizer.json", "Download")


@pytest.mark.parametrize("kept", [0, 8, 1000, 0.5, -1])
def test_a_damaged_tokenizer(folder, kept, capsys):
    path = folder / "tokenizer.model"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    takes_ids_alone(folder, capsys, str(path), "Download tokenizer.model")


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"model": {"type": "BPE"}}', "\x00"])
def test_a_damaged_tokenizer_json(folder, text, capsys):
    (folder / "tokenizer.model").unlink()
    (folder / "tokenizer.json").write_text(text)
    takes_ids_alone(folder, capsys, str(folder / "tokenizer.json"), "Download it again")


def test_the_next_tokenizer_is_read_where_the_first_is_damaged(folder, capsys):
    (folder / "tokenizer.json").write_text("{")
    model = mv.load(folder)
    assert "tokenizer.model is read instead" in capsys.readouterr().err
    assert "".join(mv.record(model, "Good morning").tokens[1:]) == "Good␣morning"


def test_inspecting_needs_no_tokenizer(folder):
    (folder / "tokenizer.model").write_bytes(b"damaged")
    assert dict(mv.inspect(folder))["vocabulary"] == "8,192 tokens"


def test_a_tokenizer_of_another_model(folder):
    save_checkpoint(random_model(), folder, dtype=torch.float32)  # of 101 tokens, not 8192
    with pytest.raises(InputError, match="another model's tokenizer"):
        mv.record(mv.load(folder), "Good morning")
