# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of every mixture of experts in transformers that runs text as a causal LM.

`config(model_type)` gives a small configuration, `build(model_type)` a model of random weights,
`mixture_types()` all mixtures that transformers has, found in its source. Each of these is in one
of five tables: `TINY`, `PARENTS`, `NOT_BUILT`, `IMPOSSIBLE`, `NO_MIXTURE`.
"""

from __future__ import annotations

import re
import zlib
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import (
    CONFIG_MAPPING,
    CONFIG_MAPPING_NAMES,  # pyright: ignore[reportPrivateImportUsage]
    model_type_to_module_name,
)

VOCABULARY = 128
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

# Latent attention has a key and value for each head.
MLA = {"num_key_value_heads": 4}
DENSE_FIRST = ["dense", "sparse", "sparse"]
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]
LINEAR = ["linear_attention", "full_attention", "linear_attention"]
# Three axes of positions (time, height, width) share the half of a head's 8 numbers.
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}

# What each family needs beside COMMON.
TINY: dict[str, dict[str, Any]] = {
    "afmoe": {"layer_types": WINDOWS},
    "aria_text": {},
    "axk1": MLA,
    "axk2": MLA,
    "bailing_hybrid": {**MLA, "layer_group_size": 2},
    "beam": {"layer_types": WINDOWS, "mlp_layer_types": DENSE_FIRST},
    "cohere2_moe": {
        "layer_types": WINDOWS,
        "mlp_layer_types": DENSE_FIRST,
        "expert_selection_fn": "sigmoid",
        "logit_scale": 1.0,
        "intermediate_size": 16,
        "prefix_dense_intermediate_size": 48,
    },
    "dbrx": {
        # Left unset, as in its defaults, transformers 5.24 calls clamp() without bounds.
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": 8, "moe_top_k": 3},
    },
    "deepseek_ocr2_text": {
        **MLA,
        "mlp_layer_types": DENSE_FIRST,
        "topk_method": "group_limited_greedy",
    },
    "deepseek_v2": {**MLA, "topk_method": "group_limited_greedy"},
    "deepseek_v3": MLA,
    "deepseek_v32": MLA,
    "deepseek_v4": {
        "num_key_value_heads": 1,
        "layer_types": [
            "sliding_attention",
            "heavily_compressed_attention",
            "compressed_sparse_attention",
        ],
        "mlp_layer_types": ["hash_moe", "moe", "moe"],
        "compress_rates": {
            "compressed_sparse_attention": 4,
            "heavily_compressed_attention": 16,
        },
        "partial_rotary_factor": 0.5,
        "o_groups": 2,
        "o_lora_rank": 8,
        "hc_mult": 2,
    },
    "dots1": {"layer_types": WINDOWS},
    "dots3_note_text": {
        **MLA,
        "layer_types": ["indexed_attention", "sliding_attention", "indexed_attention"],
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
    },
    "ernie4_5_moe": {},
    "ernie4_5_vl_moe_text": {
        "moe_intermediate_size": [16, 16],
        "mlp_layer_types": DENSE_FIRST,
        "rope_parameters": {**MROPE, "mrope_section": [1, 1, 2]},
    },
    "exaone_moe": {"layer_types": WINDOWS},
    "flex_olmo": {"intermediate_size": 16},
    "flint": {"layer_types": WINDOWS, "mlp_only_layers": [0]},
    "gemma4_text": {
        "enable_moe_block": True,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "global_head_dim": 8,
        "hidden_size_per_layer_input": 0,
        "tie_word_embeddings": True,
    },
    "glm4_moe": {},
    "glm4_moe_lite": {**MLA, "mlp_layer_types": DENSE_FIRST},
    "glm4v_moe_text": {"rope_parameters": {**MROPE, "partial_rotary_factor": 1.0}},
    "glm5_next_text": {
        **MLA,
        "qk_rope_head_dim": 0,
        "layer_types": ["linear_attention", "indexed_attention", "indexed_attention"],
        "mlp_layer_types": DENSE_FIRST,
        "index_kpool": 4,
        "hc_mult": 2,
    },
    "glm_moe_dsa": MLA,
    "gpt_oss": {"layer_types": WINDOWS, "intermediate_size": 16},
    "granitemoe": {"intermediate_size": 16},
    "granitemoe_swa": {"layer_types": WINDOWS, "intermediate_size": 16},
    "granitemoehybrid": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "intermediate_size": 16,
    },
    "granitemoeshared": {"intermediate_size": 16},
    "hunyuan_v1_moe": {"intermediate_size": 16},
    "hy_v3": {"mlp_layer_types": DENSE_FIRST},
    "hy_v4": {**MLA, "mlp_layer_types": DENSE_FIRST, "hc_mult": 2},
    "hy_v4_vl_text": {
        **MLA,
        "mlp_layer_types": DENSE_FIRST,
        "hc_mult": 2,
        "rope_parameters": MROPE,
    },
    # The layer in the middle is passed twice: its router decides twice for each token.
    "inkling2_loop_text": {
        "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding"],
        "n_layers_per_attn_res_block": 1,
        "loop_layer_index_start": 1,
        "loop_layer_index_end": 2,
        "loop_num_passes": 2,
        "loop_gate_rank": 8,
        "unpadded_vocab_size": VOCABULARY,
    },
    "inkling2_text": {
        "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding"],
        "n_layers_per_attn_res_block": 1,
        "unpadded_vocab_size": VOCABULARY,
    },
    "inkling_text": {
        "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding"],
        "n_shared_experts": 2,
        "mlp_layer_types": DENSE_FIRST,
        "logits_mup_width_multiplier": 1.0,
    },
    # Mixtures in layers 1 and 3 of 4, one with attention, one with mamba.
    "jamba": {
        "num_hidden_layers": 4,
        "attn_layer_period": 4,
        "attn_layer_offset": 1,
        "intermediate_size": 16,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "jetmoe": {"intermediate_size": 16},
    "kimi_linear": {**MLA, "layer_types": LINEAR},
    "kolibri1": {"layer_types": WINDOWS},
    "laguna": {"layer_types": WINDOWS, "moe_router_logit_softcapping": 5.0},
    "lara_mini": {"layer_types": ["linear_attention", "sliding_attention", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "llama4_text": {
        "num_experts_per_tok": 2,
        "moe_layers": [1, 2],
        "no_rope_layer_interval": 2,
        "attention_chunk_size": 64,
        "intermediate_size": 16,
    },
    "longcat_flash": {**MLA, "zero_expert_num": 4},
    "mellum": {"layer_types": WINDOWS, "mlp_layer_types": DENSE_FIRST},
    "mimo_v2_flash": {"layer_types": WINDOWS, "mlp_layer_types": DENSE_FIRST},
    "minimax": {"layer_types": LINEAR, "block_size": 16, "intermediate_size": 16},
    "minimax_m2": {"intermediate_size": 16},
    "minimax_m3_vl_text": {
        "layer_types": ["full_attention", "minimax_m3_sparse", "full_attention"],
        "mlp_layer_types": DENSE_FIRST,
        "intermediate_size": 16,
        "index_n_heads": 2,  # one for each head of keys
        "index_block_size": 16,
        "index_topk_blocks": 2,
        "rotary_dim": 4,
    },
    "mistral4": MLA,
    "mistral_large4_text": {**MLA, "no_rope_layer_interval": 2},
    "mixtral": {"intermediate_size": 16},
    "muse_spark_text": {
        "layer_types": WINDOWS,
        "mlp_layer_types": DENSE_FIRST,
        "moe_hidden_size": 16,
        # of the logits, the model's and the routers'
        "output_multiplier": 0.5,
    },
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe", "mlp"],
        "moe_latent_size": 16,  # the experts see fewer numbers than the router
        "use_mamba_kernels": False,
    },
    "olmoe": {"intermediate_size": 16},
    # Its rule of choice is written for two. The noise is a threshold too: a gate is a softmax over
    # the logits within it, so with the usual 0.01 nearly all gates would be 1.
    "phimoe": {"num_experts_per_tok": 2, "intermediate_size": 16, "router_jitter_noise": 0.2},
    "qwen2_moe": {"mlp_only_layers": [0]},
    "qwen3_5_moe_text": {"layer_types": LINEAR},
    "qwen3_moe": {"mlp_only_layers": [0]},
    "qwen3_next": {"layer_types": LINEAR, "mlp_only_layers": [0]},
    "qwen3_omni_moe_text": {"rope_parameters": MROPE},
    "qwen3_vl_moe_text": {"rope_parameters": MROPE},
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention", "linear_attention"],
        "hc_count": 2,
        "hc_lowrank": 8,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
    },
    "sarvam_mla": MLA,
    "sarvam_moe": {},
    "solar_open": {},
    "step3p5": {"layer_types": WINDOWS, "mlp_layer_types": DENSE_FIRST},
    "unlimited_ocr_text": {**MLA, "topk_method": "group_limited_greedy"},
    # One expert or none: its class of number 8 skips the layer.
    "zaya": {
        "num_experts_per_tok": 1,
        "layer_types": ["hybrid", "hybrid_sliding", "hybrid"],
        "router_hidden_size": 16,
    },
}

# No class of transformers runs these text models alone; the model of text and pictures does,
# given no pictures.
INSIDE = {
    "deepseek_ocr2_text": "deepseek_ocr2",
    "ernie4_5_vl_moe_text": "ernie4_5_vl_moe",
    "glm4v_moe_text": "glm4v_moe",
    "glm5_next_text": "glm5_next",
    "hy_v4_vl_text": "hy_v4_vl",
    "mistral_large4_text": "mistral_large4",
    "muse_spark_text": "muse_spark",
    "qwen3_omni_moe_text": "qwen3_omni_moe_thinker",
    "qwen3_vl_moe_text": "qwen3_vl_moe",
    "step3p5": "step3p7",
    "unlimited_ocr_text": "unlimited_ocr",
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


# A composite type, and the type of its text model that is tested in its place.
PARENTS: dict[str, str] = {
    **{whole: text for text, whole in INSIDE.items()},
    "aria": "aria_text",
    "dots3_note": "dots3_note_text",
    "gemma4": "gemma4_text",
    "inkling2": "inkling2_text",
    "inkling2_loop": "inkling2_loop_text",
    "inkling_mm_model": "inkling_text",
    "kimi_k25": "deepseek_v3",
    "llama4": "llama4_text",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_omni_moe": "qwen3_omni_moe_text",
    "qwen4_exp": "qwen4_exp_text",
}

DIFFUSION = "Writes a block of tokens at once, out of noise, each seeing all: not causal."

# Mixtures with a router, that are no causal language models of text.
NOT_BUILT: dict[str, str] = {
    "diffusion_gemma": DIFFUSION,
    "diffusion_gemma_text": DIFFUSION,
    "dots3_note_vision_encoder": "Its experts see patches of pictures, no tokens of a text.",
    "openai_privacy_filter": "Labels tokens, reads both ways, and has no head for the next token.",
    "qwen3_omni_moe_talker_text": "Speaks: from the thinker's hidden states to codes of sound.",
}

CAPACITY = "An encoder and a decoder; tokens beyond an expert's capacity are dropped."

IMPOSSIBLE: dict[str, str] = {
    "doge": "Picks by product keys: an expert's score is a sum of two, no router gives it.",
    "nllb-moe": CAPACITY,
    "switch_transformers": CAPACITY,
    "vitpose_backbone": "Sees poses; its experts go by the data set's number, no router chooses.",
}

TOWER = "A tower that sees or hears, without experts, in the same file as a mixture."
# Found by a word in the source, yet no mixture.
NO_MIXTURE: dict[str, str] = {
    **dict.fromkeys(
        (
            "deepseek_ocr2_encoder",
            "deepseek_ocr2_sam_vision_model",
            "deepseek_ocr2_vision",
            "dots3_note_audio_encoder",
            "ernie4_5_vl_moe_vision",
            "gemma4_audio",
            "gemma4_vision",
            "glm4v_moe_vision",
            "glm5_next_vision",
            "hy_v4_vl_vision",
            "inkling2_vision",
            "inkling_audio",
            "inkling_vision",
            "kimi_k25_vision",
            "llama4_vision_model",
            "minimax_m3_vl_vision",
            "muse_spark_audio",
            "muse_spark_vision",
            "qwen3_5_moe_vision",
            "qwen3_omni_moe_audio_encoder",
            "qwen3_omni_moe_vision_encoder",
            "qwen3_vl_moe_vision",
            "qwen4_exp_vision",
            "step3p5_vision",
            "unlimited_ocr_sam_vision_model",
            "unlimited_ocr_vision",
            "unlimited_ocr_vision_encoder",
        ),
        TOWER,
    ),
    **dict.fromkeys(
        (
            "gemma4_unified",
            "gemma4_unified_audio",
            "gemma4_unified_text",
            "gemma4_unified_vision",
        ),
        "Names output_router_logits among the outputs that may be asked for; has no experts.",
    ),
    **dict.fromkeys(
        ("granite_docling", "granite_docling_text", "granite_docling_vision"),
        "Its router decides how finely a picture is cut, once a picture; there are no experts.",
    ),
    "bamba": "One expert written into the code, a relic of Jamba: dense.",
    "qwen3_omni_moe_talker_code_predictor": "Dense, beside the talker's mixture.",
}

# Words of which the source of a mixture holds one.
SIGNS = (
    "use_experts_implementation",
    "router_logits",
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
)


@cache
def _signs() -> tuple[set[str], dict[str, str]]:
    """Modules of transformers whose source holds a mixture, and each class's module."""
    found, home = set(), {}
    for path in Path(transformers.__file__).parent.glob("models/*/modeling_*.py"):
        source, module = path.read_text(encoding="utf-8"), path.parent.name
        if any(sign in source for sign in SIGNS):
            found.add(module)
        for name in re.findall(r"^class (\w+)", source, re.MULTILINE):
            home[name] = module
    return found, home


def mixture_types() -> set[str]:
    """Every model_type of transformers whose modeling code holds a mixture, and some that do not.

    Found by words in the source, so types of towers that see or hear beside a mixture come too.
    """
    found, home = _signs()
    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return {
        model_type
        for model_type in CONFIG_MAPPING_NAMES
        # Some types have no modeling code but another's: sarvam_moe that of glm4_moe.
        if found & {model_type_to_module_name(model_type), home.get(causal.get(model_type, ""))}
    }
