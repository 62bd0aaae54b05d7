# SPDX-License-Identifier: Apache-2.0
"""What lies in a folder is read in whatever form it came, or called by its name and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.errors import CheckpointError, ConfigError, MoeVizError
from tests import writers
from tests.conftest import random_model, small_config
from tests.hub.files import BytesFile, PathFile, Repo
from tests.hub.server import Hub

from .test_hub import connected  # noqa: F401

WEIGHTS = "model.safetensors"
CONFIG = small_config(vocab_size=8192, layers=2, experts=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save_checkpoint(random_model(CONFIG), folder, writers.TOKENIZER, dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return writers.gguf_merged(random_model(CONFIG), tmp_path_factory.mktemp("packed"))


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def same(found: Path | str, whole: Path) -> bool:
    a, b = open_checkpoint(found), open_checkpoint(whole)
    return all(torch.equal(a[name], b[name]) for name in b)  # type: ignore[arg-type]


def refused(source: Path | str, *words: str, kind: type[MoeVizError] = CheckpointError) -> None:
    with pytest.raises(kind) as caught:
        open_checkpoint(source)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def split(folder: Path, form: str, index: bool = True) -> None:
    """The weights in two files of this form; `form` is a stem and an ending."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    stem, ending = form.split(".")
    names, listed = sorted(tensors), {}
    for n in range(2):
        part = folder / f"{stem}-{n + 1:05}-of-00002.{ending}"
        half = {k: tensors[k] for k in names[n::2]}
        save_file(half, part) if ending == "safetensors" else torch.save(half, part)
        listed |= dict.fromkeys(half, part.name)
    if index:
        (folder / f"{form}.index.json").write_text(json.dumps({"weight_map": listed}))


# ---- Pickles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("form", ["pytorch_model.bin", "model.safetensors"])
def test_shards_are_read_with_and_without_their_index(form, index, folder, whole):
    split(folder, form, index)
    assert same(folder, whole)
    next(folder.glob("*-00002-of-00002.*")).unlink()
    refused(folder, "00001-of-00002" if not index else "1 of 2 shards", "Download")


@pytest.mark.parametrize("legacy", [False, True])
def test_one_bin_file_is_read_also_as_torch_wrote_it_before_2020(legacy, folder, whole):
    tensors = {k: torch.nn.Parameter(v) for k, v in load_file(folder / WEIGHTS).items()}
    (folder / WEIGHTS).unlink()
    form = not legacy
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=form)
    assert same(folder, whole)
    assert open_checkpoint(folder).fingerprint() == open_checkpoint(whole).fingerprint()


@pytest.mark.parametrize("ending", ["pth", "pt"])
def test_mistrals_pickles_are_read(ending, tmp_path, whole):
    writers.mistral_stacked(random_model(CONFIG), tmp_path)
    for part in tmp_path.glob("consolidated.*"):
        part.rename(part.with_suffix(f".{ending}"))
    assert same(tmp_path, whole)


class Harm:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_would_run_something_is_refused(folder, capsys):
    (folder / WEIGHTS).unlink()
    torch.save({"x": Harm()}, folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin", "nothing but tensors")
    assert "run" not in capsys.readouterr().out


def test_safetensors_come_before_pickles(folder, whole):
    (folder / "pytorch_model.bin").write_bytes(b"not this one")
    assert same(folder, whole)


# ---- GGUF --------------------------------------------------------------------------------------


def test_a_gguf_beside_a_bare_config_is_opened(packed, whole, tmp_path):
    shutil.copy(packed, tmp_path / "tiny.Q8_0.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "mixtral"}')
    assert same(tmp_path, whole)


def test_endings_are_read_in_any_case(packed, folder, whole, tmp_path):
    shutil.copy(packed, tmp_path / "MODEL.GGUF")
    assert same(tmp_path / "MODEL.GGUF", whole)
    (folder / WEIGHTS).rename(folder / "Model.SafeTensors")
    assert same(folder, whole)


def test_several_gguf_files_are_listed(packed, tmp_path):
    for name in ("b.Q5_K_M.gguf", "a.Q4_K_M.gguf", "mmproj-a.gguf"):
        shutil.copy(packed, tmp_path / name)
    refused(tmp_path, "2 GGUF files: a.Q4_K_M.gguf, b.Q5_K_M.gguf", f"{tmp_path}/a.Q4_K_M.gguf")
    (tmp_path / "a.Q4_K_M.gguf").unlink()
    assert open_checkpoint(tmp_path)


def test_a_repository_of_gguf_files_opens_the_one_or_lists_them(packed, connected):  # noqa: F811
    file, config = PathFile(packed, lfs=True), BytesFile(b'{"model_type": "mixtral"}', lfs=False)
    one = Repo("org/one", {"tiny.gguf": file, "config.json": config})
    inner = Repo("org/inner", {"Q8_0/tiny-00001-of-00001.gguf": file, "README.md": config})
    names = ["Q4/a-00001-of-00002.gguf", "Q4/a-00002-of-00002.gguf", "Q8/a.gguf"]
    many = Repo("org/many", dict.fromkeys(names, file))
    with Hub([one, inner, many]) as hub:
        connected(hub)
        assert open_checkpoint("org/one").config.name == "org/one"
        assert open_checkpoint("org/inner").config.name == "org/inner"
        refused("org/many", "2 GGUF files: Q4/a-00001-of-00002.gguf, Q8/a.gguf", "'org/many/Q4/a-")


@pytest.mark.parametrize(
    "number", [n for n in gguf.GGMLQuantizationType if n.name[:2] in ("IQ", "MX", "TQ")]
)
def test_types_that_are_not_read_are_called_by_their_names(number, tmp_path):
    from moe_viz.checkpoint.gguf.header import _TENSOR_TYPES

    if number in _TENSOR_TYPES:
        return
    _, size = gguf.GGML_QUANT_SIZES[number]
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    data = np.zeros((2, size), np.uint8)
    writer.add_tensor("blk.0.ffn_up_exps.weight", data, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused(tmp_path / "m.gguf", f"packed as {number.name},", "Q4_K_M")


# ---- Quantised in other ways -------------------------------------------------------------------


def configure(folder: Path, **change: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"quant_method": "awq", "bits": 4, "version": "gemm"}, "AWQ (4 bits)"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "GPTQ (4 bits)"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes (4 bits)"),
        ({"load_in_8bit": True}, "bitsandbytes (8 bits)"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {
            "group_0": {"weights": {"num_bits": 4, "type": "int"}}}},
         "compressed-tensors (4 bits, pack-quantized)"),
        ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24"},
          "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}},
         "compressed-tensors"),
        ({"quant_method": "fp8", "fmt": "e5m2"}, "FP8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "ModelOpt (NVFP4)"),
        ({"quant_method": "mxfp4"}, "MXFP4"),
        ({"quant_method": "brand-new"}, "brand-new"),
    ],
)  # fmt: skip
def test_a_method_is_called_by_its_name_with_what_to_do(said, name, folder):
    configure(folder, quantization_config=said)
    refused(folder, "config.json", f"quantised with {name}", "GGUF", "bf16")


def test_methods_that_are_named_elsewhere(folder):
    configure(folder, quantization={"group_size": 64, "bits": 4})
    refused(folder, "MLX (4 bits)")
    configure(folder, quantization=None)
    (folder / "quantize_config.json").write_text('{"bits": 4, "group_size": 128}')
    refused(folder, "quantize_config.json", "GPTQ (4 bits)")
    (folder / "quantize_config.json").unlink()
    tensors = load_file(folder / WEIGHTS)
    tensors["model.layers.0.self_attn.q_proj.qweight"] = torch.zeros(2, 2, dtype=torch.int32)
    save_file(tensors, folder / WEIGHTS)
    refused(folder, "GPTQ or AWQ", "GGUF")


def test_null_is_no_method(folder, whole):
    configure(folder, quantization_config=None)
    assert same(folder, whole)


# ---- What is no checkpoint ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.model", "config.json"])
def test_a_git_lfs_pointer_is_called_that(name, folder):
    oid = "oid sha256:" + "0" * 64
    (folder / name).write_text(f"version https://git-lfs.github.com/spec/v1\n{oid}\nsize 999\n")
    refused(folder, str(folder / name), "git-lfs pointer", "git lfs pull")


def test_a_git_lfs_pointer_in_the_place_of_a_gguf(tmp_path):
    (tmp_path / "m.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(tmp_path, "git-lfs pointer")


def test_an_adapter_names_its_base(tmp_path):
    said = {"peft_type": "LORA", "base_model_name_or_path": "mistralai/Mixtral-8x7B-v0.1"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    refused(tmp_path, "is an adapter", "mv.load('mistralai/Mixtral-8x7B-v0.1', adapter=")


def test_a_refusal_lists_what_is_there(folder):
    (folder / WEIGHTS).rename(folder / "tf_model.h5")
    refused(folder, "config.json, tf_model.h5, tokenizer.model", "model.safetensors")
    (folder / "config.json").unlink()
    refused(folder, "tf_model.h5, tokenizer.model")


def test_weights_without_a_config_say_so(folder):
    (folder / "config.json").unlink()
    refused(folder, "model.safetensors has no config.json")


# ---- Configurations ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_byte_order_mark_is_not_in_the_way(name, folder, whole):
    split(folder, WEIGHTS)
    (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert same(folder, whole)


@pytest.mark.parametrize(
    "change",
    [
        {"sliding_window": 256},
        {"sliding_window": 10**6},
        {"sliding_window": 8, "use_sliding_window": False},
    ],
)
def test_a_window_as_long_as_the_context_or_switched_off_is_none(change, folder, whole):
    configure(folder, **change)
    assert open_checkpoint(folder).config.context == 256
    assert same(folder, whole)


def test_a_shorter_window_is_another_model(folder):
    configure(folder, sliding_window=255)
    refused(folder, "sliding_window is 255", kind=ConfigError)
    raw = {"dim": 8, "moe": {}, "sliding_window": 5}
    with pytest.raises(ConfigError, match="sliding_window"):
        MixtralConfig.from_mistral(raw)


def test_the_current_folder_has_a_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert open_checkpoint(".").config.name == "copy"
