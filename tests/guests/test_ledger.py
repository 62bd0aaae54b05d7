# SPDX-License-Identifier: Apache-2.0
"""What guests cost: against saved files, and against what their makers publish."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

import moe_viz as mv
from moe_viz.errors import CheckpointError, InputError
from moe_viz.guests.guest import Guest
from moe_viz.guests.ledger import GuestLedger, counted

from . import tiny
from .each import FAST

families = pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in tiny.TINY
])  # fmt: skip


@families
def test_the_total_is_that_of_the_saved_file(name, tmp_path):
    model: Any = tiny.build(name)
    guest = Guest(model)
    books = counted(model, name, guest.mixtures)
    model.save_pretrained(tmp_path)
    held = 0
    for path in tmp_path.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            held += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    buffers = {n for n, _ in model.named_buffers()} & set(model.state_dict())
    kept = sum(model.get_buffer(n).numel() for n in buffers)
    assert books.total == held - kept
    assert books.active < books.total
    if name != "mixtral":
        said = dict(mv.inspect(tmp_path))
        layers = f"{guest.config.layers}, {len(guest.mixtures)} of them with experts"
        assert said["parameters"] == f"{books.total:,}; a token uses {books.active:,} of them"
        assert said["experts"].endswith(f"a token goes to {books.choice}")
        assert said["layers"] == layers
    assert set(books.experts) == set(guest.config.mixtures)
    if guest.mixtures[0].form is None:
        inside = sum(w.numel() for m in guest.mixtures for w in m.place.parameters())
        assert sum(books.experts.values()) == inside


def test_a_config_alone_is_enough():
    for name in ("olmoe", "deepseek_v3", "gpt_oss"):
        model = tiny.build(name)
        assert mv.ledger(tiny.config(name)) == counted(model, name, Guest(model).mixtures)
        assert mv.ledger(Guest(model)) == mv.ledger(tiny.config(name))


#: Billions as published, all and active; and whether the embedding counts among the active.
#: OLMoE: arXiv 2409.02060, table 1. Qwen3: arXiv 2505.09388, table 2. DeepSeek-V3: arXiv
#: 2412.19437. gpt-oss: its model card (arXiv 2508.10925), table 1, without the embedding.
QWEN3: dict[str, Any] = {
    "vocab_size": 151_936, "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "moe_intermediate_size": 768, "num_experts": 128,
    "num_experts_per_tok": 8, "intermediate_size": 6144, "decoder_sparse_step": 1,
}  # fmt: skip
PUBLISHED = {
    "OLMoE-1B-7B": (transformers.OlmoeConfig(intermediate_size=1024), 6.9, 1.3, True),
    "Qwen3-30B-A3B": (
        transformers.Qwen3MoeConfig(**QWEN3),
        30.5, 3.3, True,
    ),
    "DeepSeek-V3": (transformers.DeepseekV3Config(), 671, 37, True),
    "gpt-oss-120b": (transformers.GptOssConfig(), 116.83, 5.13, False),
    "gpt-oss-20b": (
        transformers.GptOssConfig(num_hidden_layers=24, num_local_experts=32), 20.91, 3.61, False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_their_makers_publish(name):
    config, total, active, embedded = PUBLISHED[name]
    books: Any = mv.ledger(config)
    parts = {part.name: part.total for part in books.parts}
    assert books.total / 1e9 == pytest.approx(total, rel=0.005)
    used = books.active - (0 if embedded else parts["embedding"])
    assert used / 1e9 == pytest.approx(active, rel=0.02)
    assert books.bytes("bfloat16") == 2 * books.total
    assert sum(books.expert_bytes("bfloat16").values()) == 2 * parts["experts"]


def test_its_chart_says_which_experts_a_token_goes_to():
    config: Any = tiny.config("deepseek_v3")
    books = mv.ledger(config)
    drawn = mv.chart(books)
    k = config.num_experts_per_tok
    assert f"for any one token: {k} of 8 experts in each of 2 layers, and every" in drawn.sentence
    assert f"{books.total:,}" in drawn.sentence
    assert drawn.data["stored"][-1] == books.total
    assert len(drawn.to_html()) > 1000


def test_mixtral_is_counted_by_its_own_arithmetic(tmp_path):
    config = transformers.MixtralConfig()
    assert mv.ledger(config).total == mv.ledger("mixtral-8x7b").total == 46_702_792_704
    theirs = mv.guest(transformers.MixtralForCausalLM(transformers.MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    )))  # fmt: skip
    by_hand, ours = counted(theirs.hf, "mixtral", theirs.mixtures), mv.ledger(theirs)
    assert (by_hand.total, by_hand.active) == (ours.total, ours.active)


def test_folders_and_what_is_none(tmp_path):
    tiny.config("olmoe").save_pretrained(tmp_path)
    assert isinstance(mv.ledger(tmp_path), GuestLedger)
    transformers.LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="'llama' is no mixture"):
        mv.ledger(tmp_path)
    with pytest.raises(InputError, match="ledger takes a config, a model, a folder, or a preset"):
        mv.ledger(torch.nn.Linear(2, 2))
