# SPDX-License-Identifier: Apache-2.0
"""How configuration files spell a Mixtral's dimensions.

In: the fields of a Hugging Face `config.json`, a Mistral `params.json`, or a GGUF file's metadata,
and where they came from.
Out: `MixtralConfig`'s fields except its name. A missing field, or another architecture, raises
`ConfigError`; `MixtralConfig` checks whether the numbers are possible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError, OtherFamilyError

#: No size or factor of a model is larger; what is, no arithmetic here was made for.
LARGEST = 2**40


def hugging_face(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """From Hugging Face's fields, as transformers 4 or 5 writes them.

    Only `MixtralForCausalLM` is accepted: a dense Mistral or another mixture of experts would load
    into something that looks right and is not. A sliding window is none where it is switched off,
    or as long as the context; it is ignored where it is 4096, the wrong value of some early Mixtral
    files (nonsense past 4k); else it is refused.
    """
    if raw.get("model_type") != "mixtral":
        raise OtherFamilyError(
            f"{where}: model_type must be 'mixtral', found {raw.get('model_type')!r}. "
            "Other mixtures are guests, which mv.load and mv.guest run."
        )
    if raw.get("tie_word_embeddings"):
        raise ConfigError(
            f"{where}: tie_word_embeddings is true; Mixtral has an output head of its own."
        )
    if raw.get("hidden_act", "silu") != "silu":
        raise ConfigError(f"{where}: hidden_act must be 'silu', found {raw['hidden_act']!r}.")
    if raw.get("use_sliding_window", True):
        _refuse_window(raw.get("sliding_window"), raw.get("max_position_embeddings"), where)
    get = _reader(raw, where)
    # transformers 5 writes the base inside rope_parameters, 4 at the top level.
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ConfigError(f"{where}: rope_parameters must be an object, found {rope!r:.80}.")
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ConfigError(
            f"{where}: RoPE of type {rope.get('rope_type', rope.get('type'))!r} is not "
            "Mixtral's; expected 'default'."
        )
    heads, hidden = get("num_attention_heads"), get("hidden_size")
    head_dim = raw.get("head_dim")
    if head_dim is None:
        if not (isinstance(heads, int) and isinstance(hidden, int)) or not heads > 0 < hidden:
            raise ConfigError(
                f"{where}: num_attention_heads and hidden_size must be whole numbers above 0, "
                f"found {heads!r:.40} and {hidden!r:.40}."
            )
        if hidden % heads:
            raise ConfigError(
                f"{where}: hidden_size ({hidden}) is not a multiple of num_attention_heads "
                f"({heads}), and no head_dim is given."
            )
        head_dim = hidden // heads
    return {
        "hidden_size": hidden,
        "layers": get("num_hidden_layers"),
        "heads": heads,
        "kv_heads": get("num_key_value_heads"),
        "head_dim": head_dim,
        "expert_size": get("intermediate_size"),
        "experts": get("num_local_experts"),
        "experts_per_token": get("num_experts_per_tok"),
        "vocab_size": get("vocab_size"),
        "context": get("max_position_embeddings"),
        "rope_theta": _number(
            raw if rope.get("rope_theta") is None else rope, "rope_theta", 1e6, where
        ),
        "norm_eps": _number(raw, "rms_norm_eps", 1e-5, where),
    }


def mistral(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """From Mistral's own fields."""
    moe = raw.get("moe")
    if not isinstance(moe, Mapping):
        raise ConfigError(
            f"{where}: has no 'moe' section, so it describes a dense model. moe_viz runs "
            "models of Mixtral's architecture only."
        )
    context = raw.get("max_seq_len", 32768)
    _refuse_window(raw.get("sliding_window"), context, where)
    get = _reader(raw, where)
    return {
        "hidden_size": get("dim"),
        "layers": get("n_layers"),
        "heads": get("n_heads"),
        "kv_heads": get("n_kv_heads"),
        "head_dim": get("head_dim"),
        "expert_size": get("hidden_dim"),
        "experts": _reader(moe, f"{where}, moe")("num_experts"),
        "experts_per_token": _reader(moe, f"{where}, moe")("num_experts_per_tok"),
        "vocab_size": get("vocab_size"),
        "context": context,
        "rope_theta": _number(raw, "rope_theta", 1e6, where),
        "norm_eps": _number(raw, "norm_eps", 1e-5, where),
    }


def gguf(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """From a GGUF file's metadata, where a Mixtral is a `llama` with experts.

    The base of RoPE must be there: llama.cpp would take 10,000 for a missing one, a hundredth of
    Mixtral's.
    """
    architecture = raw.get("general.architecture")
    if not isinstance(architecture, str) or architecture != "llama":
        raise ConfigError(
            f"{where}: general.architecture must be 'llama', as GGUF files call Mixtral's, "
            f"found {architecture!r:.40}."
        )
    for key, value in raw.items():
        if key.startswith("llama.") and not isinstance(value, int | float | str):
            raise ConfigError(
                f"{where}: {key} must be a single value, found {len(value)} of them. Expected the "
                "configuration of a Mixtral."
            )
    get = _reader({k.removeprefix("llama."): v for k, v in raw.items()}, where)
    if not raw.get("llama.expert_count"):
        raise ConfigError(
            f"{where}: llama.expert_count is missing or 0, so it describes a dense model. moe_viz "
            "runs models of Mixtral's architecture only."
        )
    for name, neutral in (("scaling.type", "none"), ("scaling.factor", 1), ("scale_linear", 1)):
        if raw.get(f"llama.rope.{name}", neutral) != neutral:
            raise ConfigError(
                f"{where}: RoPE is scaled: llama.rope.{name} is "
                f"{raw[f'llama.rope.{name}']!r:.40}. Expected Mixtral's RoPE, which is not scaled."
            )
    window, context = raw.get("llama.attention.sliding_window"), raw.get("llama.context_length")
    _refuse_window(window, context, where)
    heads, hidden = get("attention.head_count"), get("embedding_length")
    head_dim = raw.get("llama.attention.key_length", raw.get("llama.rope.dimension_count"))
    if head_dim is None and isinstance(heads, int) and heads > 0 and isinstance(hidden, int):
        head_dim = hidden // heads
    for name in ("rope.dimension_count", "attention.value_length"):
        if raw.get(f"llama.{name}", head_dim) != head_dim:
            raise ConfigError(
                f"{where}: llama.{name} is {raw[f'llama.{name}']!r:.40}, and a head has {head_dim} "
                "numbers. In Mixtral RoPE rotates whole heads, and keys are as long as values."
            )
    vocabulary = raw.get("tokenizer.ggml.tokens")
    pieces = len(vocabulary) if isinstance(vocabulary, list) else None
    return {
        "hidden_size": hidden,
        "layers": get("block_count"),
        "heads": heads,
        "kv_heads": raw.get("llama.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "expert_size": get("feed_forward_length"),
        "experts": get("expert_count"),
        "experts_per_token": get("expert_used_count"),
        "vocab_size": raw.get("llama.vocab_size", pieces),
        "context": get("context_length"),
        "rope_theta": get("rope.freq_base"),
        "norm_eps": get("attention.layer_norm_rms_epsilon"),
    }


def _refuse_window(window: object, context: object, where: str) -> None:
    """Some early Mixtral files wrongly say 4096: with that, text past 4k is nonsense."""
    if isinstance(window, int) and isinstance(context, int) and window >= context > 0:
        return
    if window not in (None, 4096):
        raise ConfigError(
            f"{where}: sliding_window is {window!r:.40}; Mixtral attends to the whole context, and "
            "moe_viz supports no window. Set it to null if the model was trained without one."
        )


def _number(raw: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """A field that may be missing (or null), and must be a number where it is there."""
    value = raw.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {key} must be a number, found {value!r:.80}.")
    return float(value) if abs(value) < LARGEST else math.inf  # refused where it is checked


def _reader(raw: Mapping[str, Any], where: str):
    """A function that looks a field up by name and says where it is missing."""

    def get(key: str) -> Any:
        if raw.get(key) is None:
            raise ConfigError(
                f"{where}: the field {key!r} is missing. Expected the configuration of a Mixtral."
            )
        return raw[key]

    return get
