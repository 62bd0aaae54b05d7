# SPDX-License-Identifier: Apache-2.0
"""What the tiny configuration of each family needs beside what all have in common."""

from __future__ import annotations

from typing import Any

VOCABULARY = 128

# Latent attention has a key and value for each head.
MLA = {"num_key_value_heads": 4}
DENSE_FIRST = ["dense", "sparse", "sparse"]
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]
LINEAR = ["linear_attention", "full_attention", "linear_attention"]
# Three axes of positions (time, height, width) share the half of a head's 8 numbers.
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}

# What each family needs beside COMMON of tiny.py.
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
