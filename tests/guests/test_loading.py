# SPDX-License-Identifier: Apache-2.0
"""Guests from folders, from the Hub's stand-in and from models in memory; and what is refused."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import close_session
from safetensors.torch import save_file

import moe_viz as mv
from moe_viz.errors import CheckpointError, InputError, PlacementError, TokenizerError
from moe_viz.files import embedded_folder
from moe_viz.guests import loading
from moe_viz.guests.guest import Guest
from moe_viz.guests.source import configuration
from tests.hub.files import PathFile, Repo
from tests.hub.server import Hub

TEXTS = ["Good morning.", "def f(x):\n    return x + 1\n", "naïve 中 🙂"]
SIZES: dict[str, Any] = {
    "vocab_size": 8192, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 8, "num_experts_per_tok": 3,
    "max_position_embeddings": 512, "eos_token_id": 2, "bos_token_id": 1,
}  # fmt: skip


def model(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    made: Any = transformers.OlmoeForCausalLM(transformers.OlmoeConfig(**SIZES))
    for name, weight in made.named_parameters():
        if "gate.weight" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return made.to(dtype)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guests") / "tiny-olmoe"
    model().save_pretrained(folder, max_shard_size="400KB")
    shutil.copy(embedded_folder() / "tokenizer.model", folder)
    said = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
            "unk_token": "<unk>", "add_bos_token": True}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "tiny-olmoe"))


def same(found: mv.Trace, expected: mv.Trace) -> None:
    assert np.array_equal(found.router_logits, expected.router_logits)
    assert np.array_equal(found.experts, expected.experts)
    assert list(found.tokens) == list(expected.tokens)


def test_a_folder_of_another_family_is_a_guest(folder):
    assert len(list(folder.glob("*.safetensors"))) > 2
    found = mv.load(folder)
    assert isinstance(found, Guest)
    assert found.provenance.title == "tiny-olmoe · float32"
    assert set(found.provenance.versions) == {"torch", "transformers"}
    assert found.tokenizer is not None
    assert found.ends == {2}
    direct = mv.guest(model(), found.tokenizer, name="tiny-olmoe")
    same(mv.record(found, TEXTS), mv.record(direct, TEXTS))
    assert found.provenance.fingerprint == direct.provenance.fingerprint
    out = mv.generate(found, TEXTS[0], max_new_tokens=4, ignore_eos=True)
    assert out.trace.generated.sum() == 4
    assert repr(found) == "<Guest tiny-olmoe (olmoe): 3 of 3 layers with 8 experts, 3 a token>"


def test_weights_are_told_apart(whole):
    prints = set()
    for seed in (0, 1):
        made = model()
        with torch.no_grad():
            made.model.layers[1].mlp.experts.down_proj.add_(seed)
        prints.add(mv.guest(made).provenance.fingerprint)
    assert len(prints) == 2


def test_pickled_weights_are_looked_at_first(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    torch.save(model().state_dict(), folder / "pytorch_model.bin")
    expected = mv.record(mv.guest(model()), [[5, 6, 7]])
    found = mv.record(mv.load(folder), [[5, 6, 7]])
    assert np.array_equal(found.router_logits, expected.router_logits)

    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"model.norm.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="is no tensor"):
        mv.load(folder)


def test_a_name_on_the_hub_is_downloaded_whole_and_says_so(whole, monkeypatch, tmp_path, capsys):
    large = (".safetensors", ".model")
    files = {p.name: PathFile(p, lfs=p.name.endswith(large)) for p in whole.glob("*.*")}
    with Hub([Repo("org/tiny", files)]) as hub:
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        close_session()
        found = mv.load("org/tiny")
        said = capsys.readouterr().err
        again = mv.load("org/tiny")
        close_session()
    assert "GB are to be downloaded into" in said
    assert "are free." in said
    assert found.provenance.model == "org/tiny"
    assert found.provenance.revision.startswith("org/tiny@")
    same(mv.record(found, TEXTS), mv.record(mv.load(whole), TEXTS))
    same(mv.record(again, TEXTS), mv.record(found, TEXTS))
    assert "downloaded" not in capsys.readouterr().err


def configure(folder: Path, **change: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize(("change", "said"), [
    ({"model_type": "llama"}, "'llama' is no mixture of experts that can be recorded: dense"),
    ({"model_type": "doge"}, "'doge' is no mixture of experts that can be recorded"),
    ({"model_type": "mine", "auto_map": {"AutoModel": "mine.Mine"}}, "code of its own"),
    ({"model_type": None}, "no mixture"),
    ({"num_experts": 16}, "transformers .* cannot load it"),
])  # fmt: skip
def test_what_cannot_be_a_guest_is_refused_by_name(folder, change, said):
    configure(folder, **change)
    with pytest.raises(CheckpointError, match=said) as caught:
        mv.load(folder)
    assert str(folder) in str(caught.value)


def test_placements_of_a_guest(folder, monkeypatch):
    with pytest.raises(PlacementError, match="'auto', 'resident' or 'offload' for a guest"):
        mv.load(folder, placement="stream")
    monkeypatch.setattr(loading, "free_memory", lambda device: 1e6)
    with pytest.raises(PlacementError, match=r"tiny-olmoe takes 0\.0 GiB in float32.*offload"):
        mv.load(folder)
    with pytest.raises(CheckpointError, match="adapters are merged into Mixtral only"):
        mv.load(folder, adapter=folder)


def test_a_half_precision_guest_says_so_and_its_choices_are_explained(folder):
    found = mv.load(folder, dtype="bfloat16")
    trace = mv.record(found, TEXTS)
    assert trace.provenance.title == "tiny-olmoe · bfloat16"
    assert trace.rule.choice == "scores"
    low = trace.router_logits.astype(np.float32).view(np.uint32) & 0xFFFF
    assert not low.any()  # rounded to bfloat16, as the router computed them


def test_a_tokenizer_of_transformers_is_taken(folder):
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    found = mv.guest(model(), fast)
    assert found.tokenizer is not None
    for text in TEXTS:
        assert found.tokenizer.encode(text).ids == fast(text)["input_ids"]
    same(mv.record(found, TEXTS), mv.record(mv.load(folder), TEXTS))
    for wrong in ("tokenizer", 5):
        with pytest.raises(TokenizerError, match="takes a fast tokenizer"):
            mv.guest(model(), wrong)


def test_without_a_tokenizer_ids_are_taken(folder, capsys):
    (folder / "tokenizer.model").unlink()
    found = mv.load(folder)
    assert "takes token ids only" in capsys.readouterr().err
    assert mv.record(found, [[5, 6]]).expert_count == 8
    with pytest.raises(InputError, match="has no tokenizer"):
        mv.record(found, "text")


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="takes a model of transformers"):
        mv.guest(torch.nn.Linear(3, 3))
    dense = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=4,
    ))  # fmt: skip
    with pytest.raises(CheckpointError, match="llama: is no mixture of experts"):
        mv.guest(dense)


def test_what_is_in_a_guest_s_folder_is_said_before_it_is_loaded(folder, capsys):
    from typer.testing import CliRunner

    from moe_viz.cli.program import app

    found = dict(mv.inspect(folder))
    books = mv.ledger(folder)
    assert found["family"].startswith("olmoe, run by transformers ")
    assert found["parameters"] == f"{books.total:,}; a token uses {books.active:,} of them"
    assert found["stored as"] == "F32 100.0%"
    assert found["layers"] == "3, 3 of them with experts"
    assert found["in memory"].endswith("fits here now: float32 and bfloat16")
    for command in (["inspect"], ["ledger"], ["doctor"]):
        result = CliRunner().invoke(app, [*command, str(folder)])
        assert result.exit_code == 0, result.output
        assert f"{books.total:,}" in result.output
        result = CliRunner().invoke(app, [*command, str(folder), "--json"])
        assert result.exit_code == 0, result.output
        json.loads(result.output)


def test_weights_on_the_disk_give_the_same_recording(folder, tmp_path):
    """As accelerate leaves there what does not fit: layers come from files when they run."""
    where = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu",
             "lm_head": "cpu", "model.layers.0": "disk", "model.layers.1": "cpu",
             "model.layers.2": "disk"}  # fmt: skip
    loaded: Any = transformers.AutoModelForCausalLM
    hf = loaded.from_pretrained(
        folder, dtype="float32", device_map=where, offload_folder=tmp_path / "disk"
    )
    assert hf.model.layers[2].mlp.experts.down_proj.device.type == "meta"
    found, here = mv.guest(hf), mv.load(folder)
    assert found.provenance.placement == "offload"
    ids = [[5, 6, 7, 8, 9], [10, 11]]
    changes: tuple[dict[str, Any], ...] = ({}, {"ablate": [(2, 0)]})
    for change in changes:
        with contextlib.ExitStack() as stack:
            for model in (found, here) if change else ():
                stack.enter_context(mv.intervene(model, **change))
            a, b = (mv.record(model, ids, loss=True) for model in (found, here))
        for name in ("router_logits", "experts", "gates", "loss"):
            assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name
    written = [mv.generate(model, ids[0], max_new_tokens=3, ignore_eos=True).token_ids
               for model in (found, here)]  # fmt: skip
    assert written[0] == written[1]


#: What four bits stand for in MXFP4 (OCP Microscaling Formats, version 1.0, 5.3.3).
FP4 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
FP4 += [-x for x in FP4]


def packed(rng: np.random.Generator, *shape: int) -> tuple[Any, Any, Any]:
    """Blocks of 32 numbers in 16 bytes, a scale for each, and what they stand for."""
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // 32, 16), dtype=np.uint8)
    scales = rng.integers(120, 124, blocks.shape[:-1], dtype=np.uint8)
    low, high = (np.array(FP4)[part] for part in (blocks & 15, blocks >> 4))
    values = np.stack([low, high], -1).reshape(*blocks.shape[:-1], 32)
    values = values * 2.0 ** (scales[..., None].astype(int) - 127)
    numbers = (blocks, scales, values.reshape(shape).astype(np.float32))
    return tuple(torch.from_numpy(x) for x in numbers)  # type: ignore[return-value]


def test_gpt_oss_as_it_is_published_is_unpacked(tmp_path):
    """In MXFP4, whose kernels would go past the experts."""
    sizes: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 8,
        "num_experts_per_tok": 4, "layer_types": ["sliding_attention", "full_attention"],
        "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(0)
    hf: Any = transformers.GptOssForCausalLM(transformers.GptOssConfig(**sizes)).bfloat16().float()
    state, rng = dict(hf.state_dict()), np.random.default_rng(0)
    for n in range(2):
        for name, shape in (("gate_up_proj", (8, 64, 64)), ("down_proj", (8, 64, 32))):
            key = f"model.layers.{n}.mlp.experts.{name}"
            blocks, scales, values = packed(rng, *shape)  # experts, out, in
            getattr(hf.model.layers[n].mlp.experts, name).data = values.transpose(1, 2).contiguous()
            del state[key]
            state |= {f"{key}_blocks": blocks, f"{key}_scales": scales}
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "model.safetensors",
              {"format": "pt"})  # fmt: skip
    said = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn",
            "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}  # fmt: skip
    hf.config.save_pretrained(tmp_path)
    configure(tmp_path, quantization_config=said)
    assert "U8" in dict(mv.inspect(tmp_path))["stored as"]
    # On a CPU transformers unpacks by itself; where there are kernels it must be told to.
    assert loading._unpacked(configuration(tmp_path))["quantization_config"].dequantize
    ids = [[5, 6, 7, 8, 9, 10]]
    found, expected = mv.record(mv.load(tmp_path), ids), mv.record(mv.guest(hf), ids)
    assert np.array_equal(found.experts, expected.experts)
    np.testing.assert_allclose(found.router_logits, expected.router_logits, atol=2e-2)
