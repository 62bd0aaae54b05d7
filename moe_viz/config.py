# SPDX-License-Identifier: Apache-2.0
"""The shape of a Mixtral, and nothing else.

In: one of the presets, a Hugging Face `config.json`, a Mistral `params.json`, or the metadata of a
GGUF file. Out: a frozen `MixtralConfig` whose numbers have been checked against each other. What
the numbers cost is counted in `costs`; what is computed with them is in `model`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .configfile import LARGEST, gguf, hugging_face, mistral
from .errors import ConfigError
from .files import ReadablePath, small_text


@dataclass(frozen=True, kw_only=True)
class MixtralConfig:
    """The dimensions of a sparse mixture of experts with Mixtral's architecture.

    The letters are those of the code and the notebooks: D `hidden_size`, L `layers`, H `heads`,
    F `expert_size`, E `experts`, k `experts_per_token`, V `vocab_size`.

    Raises `ConfigError`, naming the field, where a value is impossible.

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
            if field.type == "int" and value > LARGEST:
                self._refuse(field.name, f"a whole number of at most {LARGEST:,}", value)
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
            f"{self.name}: {name} must be {expected}, found {found!r:.80}. "
            "Correct this value in the configuration."
        )

    @property
    def mixtures(self) -> tuple[int, ...]:
        """The layers that have experts: all."""
        return tuple(range(self.layers))

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
    def from_file(path: str | ReadablePath) -> MixtralConfig:
        """Read a Hugging Face `config.json` or a Mistral `params.json`.

        >>> MixtralConfig.from_file("no/such/config.json")
        Traceback (most recent call last):
        moe_viz.errors.ConfigError: no/such/config.json: cannot be read (No such file...
        """
        path = Path(path) if isinstance(path, str) else path
        raw = read_json(path)
        read = MixtralConfig.from_mistral if "dim" in raw else MixtralConfig.from_hf
        folder = path.parent
        if isinstance(folder, Path):  # "." has no name
            folder = folder.absolute()
        try:
            return read(raw, name=folder.name or path.stem, where=str(path))
        except ConfigError as error:
            # Impossible values are reported without the file's name, wherever they came from.
            raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error

    @staticmethod
    def from_hf(
        raw: Mapping[str, Any], name: str = "mixtral", where: str = "config.json"
    ) -> MixtralConfig:
        """From the fields of a Hugging Face `config.json` (transformers 4 or 5)."""
        return MixtralConfig(name=name, **hugging_face(raw, where))

    @staticmethod
    def from_mistral(
        raw: Mapping[str, Any], name: str = "mixtral", where: str = "params.json"
    ) -> MixtralConfig:
        """From the fields of Mistral's own `params.json`. A missing rope_theta means 1e6."""
        return MixtralConfig(name=name, **mistral(raw, where))

    @staticmethod
    def from_gguf(
        raw: Mapping[str, Any], name: str = "mixtral", where: str = "model.gguf"
    ) -> MixtralConfig:
        """From the metadata of a GGUF file."""
        return MixtralConfig(name=name, **gguf(raw, where))

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


def read_json(path: ReadablePath) -> dict[str, Any]:
    """The object that a JSON file holds; a byte order mark before it, as Windows writes, is none.

    Raises `ConfigError` where the file cannot be read, or holds something else.
    """
    try:
        raw = json.loads(small_text(path))
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
    return raw


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
