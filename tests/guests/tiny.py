# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of every mixture of experts in transformers that runs text as a causal LM.

`config(model_type)` gives a small configuration, `build(model_type)` a model of random weights.
"""

from __future__ import annotations

import re
import zlib
from copy import deepcopy
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from .settings import INSIDE, TINY, VOCABULARY

LAYERS = 3

# Settings given to every configuration that has a field of that name. Where a family's field
# means something else, TINY says so.
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "d_model": 32,
    "num_hidden_layers": LAYERS,
    "num_layers": LAYERS,
    "n_layers": LAYERS,
    "max_position_embeddings": 512,
    "max_seq_len": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    # attention
    "num_attention_heads": 4,
    "n_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "kv_channels": 8,
    "sliding_window": 64,
    "sliding_window_size": 64,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 8,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "index_topk": 16,
    "index_head_dim": 16,
    # Scores of an indexer are sums of ReLUs over its heads. With few, many are 0, and which of
    # equals it takes depends on the padding.
    "index_n_heads": 16,
    # recurrent layers
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_head_dim": 8,
    "linear_num_heads": 4,
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_chunk_size": 16,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "ssm_state_size": 8,
    "n_groups": 1,
    "chunk_size": 16,
    # dense and shared parts
    "intermediate_size": 48,
    "intermediate_size_mlp": 48,
    "dense_intermediate_size": 48,
    "ffn_hidden_size": 48,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "n_shared_experts": 1,
    "num_shared_experts": 1,
    "moe_num_shared_experts": 1,
    "shared_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "shared_experts_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
    "share_expert_dim": 16,
    # the mixture
    "moe_intermediate_size": 16,
    "expert_ffn_hidden_size": 16,
    "num_experts": 8,
    "num_local_experts": 8,
    "n_routed_experts": 8,
    "moe_num_experts": 8,
    "num_experts_per_tok": 3,
    "moe_topk": 3,
    "moe_k": 3,
    "top_k_experts": 3,
    "n_group": 4,
    "topk_group": 2,
    "norm_topk_prob": True,
    # A gate's scale other than 1, so that no test can forget it.
    "routed_scaling_factor": 1.5,
    "route_scale": 1.5,
    "router_scaling_factor": 1.5,
    "moe_routed_scaling_factor": 1.5,
    "moe_router_scaling_factor": 1.5,
}

# For the parts that see and hear, which no test runs: small.
UNUSED: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "depth": 1,
    "num_heads": 2,
    "out_hidden_size": 32,
    "output_channels": 16,
    "downsample_channels": [16, 16],
    "mlp_dim": 16,
    "image_size": 64,
    "max_image_size": 64,
    # beyond the vocabulary: no token of the text is taken for a picture
    "image_token_index": 1000,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
    "vocab_size": 16,
    "projection_intermediate_size": 16,
    "projector_hidden_size": 16,
    "pos_emb_height": 4,
    "pos_emb_width": 4,
    "depths": (1,),
    "hidden_sizes": (16,),
    "patch_sizes": (16,),
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "d_model": 16,
    "output_dim": 32,
    "downsample_hidden_size": 16,
    "num_mel_bins": 16,
}


def _fields(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    known = kind.__dataclass_fields__
    return {name: deepcopy(value) for name, value in settings.items() if name in known}


def _unused(part: Any) -> dict[str, Any]:
    """Small settings of a part that is not run, and of its own parts."""
    # A configuration's class, or the specification of a part that may be any family's.
    kind = CONFIG_MAPPING[part.model_type]
    settings = _fields(kind, UNUSED)
    for name, own in kind.sub_configs_defaults.items():
        settings[name] = _unused(own)
    return {"model_type": part.model_type, **settings}


def config(model_type: str) -> PreTrainedConfig:
    """A tiny configuration; of the whole model where the text model is only ever a part of it."""
    kind = CONFIG_MAPPING[model_type]
    # Copies, for some configurations write into the lists they are given.
    settings = {**_fields(kind, COMMON), **deepcopy(TINY[model_type])}
    if model_type not in INSIDE:
        return kind(**settings)
    whole: Any = CONFIG_MAPPING[INSIDE[model_type]]
    parts = whole.sub_configs_defaults
    others: dict[str, Any] = {
        name: _unused(part) for name, part in parts.items() if name != "text_config"
    }
    # qwen3_omni_moe's thinker reads this setting, and has no default for it.
    if model_type == "qwen3_omni_moe_text":
        others["vision_start_token_id"] = 1000
    text = kind(**settings).to_dict()
    return whole(text_config=text, **others, **_fields(whole, UNUSED), tie_word_embeddings=False)


def model_class(model_type: str) -> type[nn.Module]:
    """The class that AutoModelForCausalLM takes, else the one for text and pictures."""
    whole = INSIDE.get(model_type, model_type)
    name = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(whole)
    # mistral4 runs text alone, but is listed among the models of text and pictures only.
    name = name or modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[whole]
    return getattr(transformers, name)


# Added to the scores before the choice: zeros in a fresh model, so a bias forgotten would not show.
CHOICE_BIAS = re.compile(r"correction_bias$|expert_bias$|balancing_biases$")
# Ones in a fresh model.
GATE_SCALE = re.compile(r"per_expert_scale$|global_scale$|router_states_scale$|router\.scale$")
# Step sizes and decays of recurrent layers: made for their ranges, random ones overflow.
KEPT = re.compile(r"A_log$|dt_bias$|dt_proj\.bias$|\.D$|norm\w*\.(weight|scale)$")
ROUTER = re.compile(r"Router$|TopKGating$|MoEV1Gate$")
# A bias moves some choices and does not make them all: its spread is less than that of what it is
# added to. That is a sigmoid mostly, but a softmax (0.125 on average) or logits in these.
BIAS = 0.15
BIAS_OF = {
    "ernie4_5_moe": 0.05,
    "ernie4_5_vl_moe_text": 0.05,
    "longcat_flash": 0.05,
    "zaya": 0.1,
    "kolibri1": 1.0,
}


def build(model_type: str, seed: int = 0) -> nn.Module:
    """The tiny model, float32 and in eval mode; each seed gives other weights, the same each time.

    Weights keep the size of what passes through; routers' are larger, so that tokens differ in
    their experts. Biases and scales of the choice and the gates are random too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(model_type)(config(model_type)).float().eval()
    routers = {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if ROUTER.search(type(module).__name__)
        for own, _ in module.named_parameters()
    }
    tables = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            noise = torch.randn(tensor.shape, generator=generator)
            if CHOICE_BIAS.search(name):
                tensor.copy_(noise * BIAS_OF.get(model_type, BIAS))
            elif GATE_SCALE.search(name):
                tensor.copy_(noise.sigmoid() + 0.5)
            elif name.endswith("tid2eid"):  # deepseek_v4: the experts of each token, by its number
                tensor.copy_(torch.randn(len(tensor), 8, generator=generator).argsort()[:, :3])
            elif not isinstance(tensor, nn.Parameter) or KEPT.search(name):
                continue
            elif name in routers:
                tensor.copy_(noise * (0.4 if tensor.dim() > 1 else 1.0))
            elif name in tables:
                tensor.copy_(noise)
            elif tensor.dim() > 1:
                tensor.copy_(noise / max(tensor.shape[-2:]) ** 0.5)
            elif name.endswith("bias") or "sinks" in name:
                tensor.copy_(noise * 0.1)
    return model
