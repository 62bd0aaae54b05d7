# SPDX-License-Identifier: Apache-2.0
"""Configurations: read from every spelling, and impossible ones refused by name."""

from __future__ import annotations

import json

import pytest

from moe_viz.config import PRESETS, MixtralConfig
from moe_viz.errors import ConfigError
from moe_viz.files import embedded_folder

MISTRAL_PARAMS = {  # the fields of the params.json that came with Mixtral 8x7B
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-05,
    "vocab_size": 32000,
    "moe": {"num_experts_per_tok": 2, "num_experts": 8},
}


def same_shape(a: MixtralConfig, b: MixtralConfig) -> bool:
    return {**vars(a), "name": ""} == {**vars(b), "name": ""}


def test_transformers_default_configuration_is_mixtral_8x7b(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.MixtralConfig(
        max_position_embeddings=32768, rope_theta=1e6, rope_parameters={"rope_theta": 1e6}
    ).save_pretrained(tmp_path)
    config = MixtralConfig.from_file(tmp_path / "config.json")
    assert same_shape(config, PRESETS["mixtral-8x7b"])


def test_the_theta_that_transformers_5_writes_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.MixtralConfig(
        rope_theta=12345.0, rope_parameters={"rope_type": "default", "rope_theta": 12345.0}
    ).save_pretrained(tmp_path)
    assert MixtralConfig.from_file(tmp_path / "config.json").rope_theta == 12345.0


def test_version_4_spelling_is_read(tmp_path):
    raw = {**PRESETS["mixtral-8x7b"].to_hf(), "sliding_window": 4096}  # wrong in early files
    del raw["head_dim"]  # absent from Mixtral's own file
    (tmp_path / "config.json").write_text(json.dumps(raw))
    config = MixtralConfig.from_file(tmp_path / "config.json")
    assert same_shape(config, PRESETS["mixtral-8x7b"])


def test_mistral_params_are_read_and_a_missing_theta_is_a_million(tmp_path):
    (tmp_path / "params.json").write_text(json.dumps(MISTRAL_PARAMS))
    config = MixtralConfig.from_file(tmp_path / "params.json")
    assert same_shape(config, PRESETS["mixtral-8x7b"])


def test_the_embedded_config_is_its_preset():
    config = MixtralConfig.from_file(embedded_folder() / "config.json")
    assert config == PRESETS["8x7m"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_key_value_heads": 3}, "kv_heads"),
        ({"head_dim": 63}, "head_dim"),
        ({"num_experts_per_tok": 9}, "experts_per_token"),
        ({"num_hidden_layers": 0}, "layers"),
        ({"num_local_experts": -8}, "experts"),
        ({"vocab_size": 3.5}, "vocab_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"rope_theta": float("nan")}, "rope_theta"),
        ({"rms_norm_eps": -1}, "norm_eps"),
        ({"model_type": "mistral"}, "model_type"),
        ({"model_type": "qwen2_moe"}, "model_type"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"sliding_window": 512}, "sliding_window"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"num_local_experts": None}, "num_local_experts"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "yarn"),
        ({"head_dim": None, "num_attention_heads": 7}, "num_attention_heads"),
    ],
)
def test_impossible_values_are_refused_by_name(change, named):
    with pytest.raises(ConfigError, match=named):
        MixtralConfig.from_hf({**PRESETS["8x7m"].to_hf(), **change})


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"dim": 4}', "\x00"])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        MixtralConfig.from_file(path)


def test_an_unknown_preset_lists_those_there_are():
    with pytest.raises(ConfigError, match="mixtral-8x7b"):
        MixtralConfig.preset("mixtral")
