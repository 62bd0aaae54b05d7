"""The shape of a Mixtral, and nothing else.

In: one of the presets, a Hugging Face `config.json`, or a Mistral `params.json`. Out: a frozen
`MixtralConfig` whose numbers have been checked against each other. What the numbers cost is
`ledger`'s business; what is computed with them is `model`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MixtralConfig:
    """The dimensions of a sparse mixture of experts with Mixtral's architecture.

    The letters are those of the code and the notebooks: D `hidden_size`, L `layers`, H `heads`,
    F `expert_size`, E `experts`, k `experts_per_token`, V `vocab_size`.

    Raises `ConfigError` where a value is impossible, by its name.

    >>> config = MixtralConfig.preset("mixtral-8x7b")
    >>> config.hidden_size, config.layers, config.experts, config.experts_per_token
    (4096, 32, 8, 2)
    """

    name: str
    hidden_size: int  # D
    layers: int  # L
    heads: int  # H
    kv_heads: int
    head_dim: int
    expert_size: int  # F, the intermediate size of one expert
    experts: int  # E
    experts_per_token: int  # k
    vocab_size: int  # V
    context: int
    rope_theta: float
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or value < 1):
                self._refuse(field.name, "a whole number of at least 1", value)
            if field.type == "float" and not (
                isinstance(value, int | float) and math.isfinite(value) and value > 0
            ):
                self._refuse(field.name, "a finite number above 0", value)
        if self.heads % self.kv_heads:
            self._refuse(
                "kv_heads",
                f"a divisor of heads ({self.heads}): each key-value head serves equally many "
                "query heads",
                self.kv_heads,
            )
        if self.head_dim % 2:
            self._refuse("head_dim", "an even number: RoPE rotates pairs", self.head_dim)
        if self.experts_per_token > self.experts:
            self._refuse(
                "experts_per_token",
                f"at most experts ({self.experts})",
                self.experts_per_token,
            )

    def _refuse(self, name: str, expected: str, found: object) -> None:
        raise ConfigError(
            f"{self.name}: {name} must be {expected}, found {found!r}. "
            "Correct this value in the configuration."
        )

    @staticmethod
    def preset(name: str) -> MixtralConfig:
        """A configuration known by name: `mixtral-8x7b`, `mixtral-8x22b`, `8x7m`."""
        try:
            return PRESETS[name]
        except KeyError:
            raise ConfigError(
                f"No preset is called {name!r}. There are {', '.join(PRESETS)}; or read a file "
                "with MixtralConfig.from_file(path)."
            ) from None

    @staticmethod
    def from_file(path: str | Path) -> MixtralConfig:
        """Read a Hugging Face `config.json` or a Mistral `params.json`.

        >>> MixtralConfig.from_file("no/such/config.json")
        Traceback (most recent call last):
        moe_viz.errors.ConfigError: no/such/config.json: cannot be read (No such file...
        """
        path = Path(path)
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read ({error.strerror}). Expected a Hugging Face config.json "
                "or a Mistral params.json."
            ) from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{path}: is not JSON ({error}). Expected a Hugging Face config.json or a Mistral "
                "params.json; download it again if it was cut short."
            ) from error
        if not isinstance(raw, dict):
            raise ConfigError(f"{path}: expected a JSON object, found {type(raw).__name__}.")
        read = MixtralConfig.from_mistral if "dim" in raw else MixtralConfig.from_hf
        try:
            return read(raw, name=path.parent.name or path.stem, where=str(path))
        except ConfigError as error:
            # What is impossible is said without the file's name, wherever the values came from.
            raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error

    @staticmethod
    def from_hf(
        raw: Mapping[str, Any], name: str = "mixtral", where: str = "config.json"
    ) -> MixtralConfig:
        """From the fields of a Hugging Face `config.json` (transformers 4 or 5).

        Only `MixtralForCausalLM` is accepted: a dense Mistral or another mixture of experts would
        load into something that looks right and is not. A sliding window is ignored where it is
        4096, the wrong value of some early Mixtral files (FACTS: nonsense past 4k), else refused.
        """
        if raw.get("model_type") != "mixtral":
            raise ConfigError(
                f"{where}: model_type must be 'mixtral', found {raw.get('model_type')!r}. "
                "moe_viz runs models of Mixtral's architecture only."
            )
        if raw.get("tie_word_embeddings"):
            raise ConfigError(
                f"{where}: tie_word_embeddings is true; Mixtral has an output head of its own."
            )
        if raw.get("hidden_act", "silu") != "silu":
            raise ConfigError(f"{where}: hidden_act must be 'silu', found {raw['hidden_act']!r}.")
        if raw.get("sliding_window") not in (None, 4096):
            raise ConfigError(
                f"{where}: sliding_window is {raw['sliding_window']!r}; Mixtral attends to the "
                "whole context, and moe_viz has no window to offer. Set it to null if the model "
                "was trained without one."
            )
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
                    f"{where}: hidden_size ({hidden}) is no multiple of num_attention_heads "
                    f"({heads}), and no head_dim is given."
                )
            head_dim = hidden // heads
        return MixtralConfig(
            name=name,
            hidden_size=hidden,
            layers=get("num_hidden_layers"),
            heads=heads,
            kv_heads=get("num_key_value_heads"),
            head_dim=head_dim,
            expert_size=get("intermediate_size"),
            experts=get("num_local_experts"),
            experts_per_token=get("num_experts_per_tok"),
            vocab_size=get("vocab_size"),
            context=get("max_position_embeddings"),
            rope_theta=_number({**raw, **rope}, "rope_theta", 1e6, where),
            norm_eps=_number(raw, "rms_norm_eps", 1e-5, where),
        )

    @staticmethod
    def from_mistral(
        raw: Mapping[str, Any], name: str = "mixtral", where: str = "params.json"
    ) -> MixtralConfig:
        """From the fields of Mistral's own `params.json`. A missing rope_theta means 1e6."""
        moe = raw.get("moe")
        if not isinstance(moe, Mapping):
            raise ConfigError(
                f"{where}: has no 'moe' section, so it describes a dense model. moe_viz runs "
                "models of Mixtral's architecture only."
            )
        get = _reader(raw, where)
        return MixtralConfig(
            name=name,
            hidden_size=get("dim"),
            layers=get("n_layers"),
            heads=get("n_heads"),
            kv_heads=get("n_kv_heads"),
            head_dim=get("head_dim"),
            expert_size=get("hidden_dim"),
            experts=_reader(moe, f"{where}, moe")("num_experts"),
            experts_per_token=_reader(moe, f"{where}, moe")("num_experts_per_tok"),
            vocab_size=get("vocab_size"),
            context=raw.get("max_seq_len", 32768),
            rope_theta=_number(raw, "rope_theta", 1e6, where),
            norm_eps=_number(raw, "norm_eps", 1e-5, where),
        )

    def to_hf(self) -> dict[str, Any]:
        """The fields of a Hugging Face `config.json`, readable by transformers 4 and 5.

        >>> MixtralConfig.from_hf(PRESETS["8x7m"].to_hf(), name="8x7m") == PRESETS["8x7m"]
        True
        """
        return {
            "architectures": ["MixtralForCausalLM"],
            "model_type": "mixtral",
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.expert_size,
            "num_local_experts": self.experts,
            "num_experts_per_tok": self.experts_per_token,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "sliding_window": None,
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "torch_dtype": "bfloat16",
        }


def _number(raw: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """A field that may be missing (or null), and must be a number where it is there."""
    value = raw.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {key} must be a number, found {value!r:.80}.")
    return float(value)


def _reader(raw: Mapping[str, Any], where: str):
    """A function that looks a field up by name and says where it is missing."""

    def get(key: str) -> Any:
        if raw.get(key) is None:
            raise ConfigError(
                f"{where}: the field {key!r} is missing. Expected the configuration of a Mixtral."
            )
        return raw[key]

    return get


# Mixtral 8x7B and 8x22B as published; 8x7m is the model embedded in this package.
PRESETS = {
    config.name: config
    for config in (
        MixtralConfig(
            name="mixtral-8x7b",
            hidden_size=4096,
            layers=32,
            heads=32,
            kv_heads=8,
            head_dim=128,
            expert_size=14336,
            experts=8,
            experts_per_token=2,
            vocab_size=32000,
            context=32768,
            rope_theta=1e6,
        ),
        MixtralConfig(
            name="mixtral-8x22b",
            hidden_size=6144,
            layers=56,
            heads=48,
            kv_heads=8,
            head_dim=128,
            expert_size=16384,
            experts=8,
            experts_per_token=2,
            vocab_size=32000,
            context=65536,
            rope_theta=1e6,
        ),
        MixtralConfig(
            name="8x7m",
            hidden_size=256,
            layers=6,
            heads=4,
            kv_heads=2,
            head_dim=64,
            expert_size=512,
            experts=8,
            experts_per_token=2,
            vocab_size=8192,
            context=2048,
            rope_theta=1e4,
        ),
    )
}
