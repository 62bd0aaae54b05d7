# SPDX-License-Identifier: Apache-2.0
"""All mixtures of experts that transformers has, found in its source, and why some are not built.

Each is in one of five tables: `TINY` of settings.py, or `PARENTS`, `NOT_BUILT`, `IMPOSSIBLE` and
`NO_MIXTURE` here.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import (
    CONFIG_MAPPING_NAMES,  # pyright: ignore[reportPrivateImportUsage]
    model_type_to_module_name,
)

from .settings import INSIDE

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
