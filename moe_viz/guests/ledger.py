# SPDX-License-Identifier: Apache-2.0
"""What any mixture costs: parameters, stored and used by a token, part by part.

In: a preset, a config, a model, or a folder. Out: Mixtral's `Ledger`, by arithmetic; of another
family a `GuestLedger`, counted on a model without data that transformers makes of the config.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ..config import PRESETS, MixtralConfig
from ..costs import Blocks, GuestLedger, Ledger, Part
from ..costs import ledger as mixtral_ledger
from ..errors import ConfigError, refused

if TYPE_CHECKING:
    from torch import nn

    from ..model import Mixtral
    from .guest import Guest

_TOWER = re.compile(r"vision|visual|audio|speech")
#: What mixes tokens: attention, or the states and short memories that some families have for it.
_ATTENTION = re.compile(r"attn|attention|mamba|ssm|mixer|conv|recurrent")


@overload
def ledger(
    model: MixtralConfig | Mixtral | Literal["8x7m", "mixtral-8x7b", "mixtral-8x22b"],
) -> Ledger: ...


@overload
def ledger(model: Guest) -> GuestLedger: ...


@overload
def ledger(model: Any) -> Ledger | GuestLedger: ...


def ledger(model: Any) -> Ledger | GuestLedger:
    """The ledger of a preset (`"mixtral-8x7b"`, `"mixtral-8x22b"`, `"8x7m"`), of a config, of a
    folder with a config.json, or of a model, Mixtral or guest.

    Of another family than Mixtral's it needs transformers, and no weights.

    >>> f"{ledger('8x7m').total:,}"
    '24,263,936'
    >>> from transformers import OlmoeConfig
    >>> books = ledger(OlmoeConfig(intermediate_size=1024))  # as OLMoE-1B-7B has it
    >>> f"{books.total / 1e9:.1f} billion, {books.active / 1e9:.1f} used"
    '6.9 billion, 1.3 used'
    """
    config: Any = getattr(model, "hf", model)
    config = getattr(config, "config", config)
    if isinstance(config, MixtralConfig) or (isinstance(model, str) and model in PRESETS):
        return mixtral_ledger(config)
    if isinstance(model, str | Path):
        return _of_folder(model)
    if not hasattr(config, "model_type"):
        raise refused(
            "ledger", f"a config, a model, a folder, or a preset ({', '.join(PRESETS)})", model
        )
    if config.model_type == "mixtral":
        return mixtral_ledger(MixtralConfig.from_hf(config.to_dict(), "mixtral"))
    return count(config)


def _of_folder(source: str | Path) -> Ledger | GuestLedger:
    path = Path(os.path.expanduser(source))
    if not (path / "config.json").is_file():
        return mixtral_ledger(str(source))  # which says what there is
    try:
        return mixtral_ledger(MixtralConfig.from_file(path / "config.json"))
    except ConfigError:
        from .source import configuration

        return ledger(configuration(path))


def count(config: Any) -> GuestLedger:
    """The ledger of a configuration of transformers, from a model on the meta device.

    Raises `CheckpointError` for a family that is no known mixture.
    """
    model, mixtures = without_data(config)
    return counted(model, config.get_text_config().model_type, mixtures)


def without_data(config: Any) -> tuple[Any, list[Any]]:
    """A model of transformers on the meta device, and its mixtures."""
    import torch

    from .mixtures import language_model, mixtures_of

    with torch.device("meta"):
        model: Any = language_model(config).from_config(config, trust_remote_code=False)
    return model, mixtures_of(model, config.get_text_config().model_type)


def counted(model: nn.Module, name: str, mixtures: list[Any]) -> GuestLedger:
    """The ledger of a model of transformers, with data or without."""
    from .mixtures import layers_of

    places = {id(mixture.place): mixture for mixture in mixtures}
    owner: dict[int, str] = {}  # of a parameter, by its identity: each is counted once
    experts, used = dict.fromkeys((m.layer for m in mixtures), 0), 0.0
    choices: dict[int, tuple[int, int]] = {}
    modules = dict(model.named_modules())
    for path, module in modules.items():
        mixture = places.get(id(module))
        if mixture is None:
            continue
        block, E = modules[path.rpartition(".")[0]], _count(modules, path, mixture)
        choices[mixture.layer] = (mixture.k, mixture.width)
        for weight in mixture.speaker.parameters():
            owner.setdefault(id(weight), "routers")
        for part, weight in block.named_parameters():
            if "shared" in part:
                owner.setdefault(id(weight), "shared experts")
        # Where a router is heard itself, its experts are the block's matrices of so many rows.
        whole = module if mixture.form is None else block
        for weight in whole.parameters():
            mine = mixture.form is None or weight.shape[:1] == (E,)
            if mine and owner.setdefault(id(weight), "experts") == "experts":
                experts[mixture.layer] += weight.numel()
                used += weight.numel() * min(1, mixture.k / E)
    for kind, table in (
        ("embedding", model.get_input_embeddings()),  # type: ignore[operator]
        ("output head", model.get_output_embeddings()),  # type: ignore[operator]
    ):
        for weight in table.parameters() if table is not None else ():
            owner.setdefault(id(weight), kind)
    sums: dict[str, int] = {}
    for path, weight in model.named_parameters():
        kind = "towers" if _TOWER.search(path) else owner.get(id(weight), "all else")
        sums[kind] = sums.get(kind, 0) + weight.numel()
    order = (
        "embedding",
        "all else",
        "routers",
        "experts",
        "shared experts",
        "output head",
        "towers",
    )
    active = {"experts": round(used), "towers": 0}
    parts = tuple(Part(k, sums[k], active.get(k, sums[k])) for k in order if k in sums)
    layers = layers_of(model, mixtures)
    by_layer = _by_layer(model, mixtures, owner, layers)
    return GuestLedger(name, parts, experts, choices, layers, by_layer)


def _by_layer(
    model: nn.Module, mixtures: list[Any], owner: dict[int, str], layers: int
) -> dict[int, Blocks]:
    """The blocks of each layer with experts: whose each parameter is was found before."""
    config: Any = model.config
    width = int(config.get_text_config().hidden_size)
    modules = dict(model.named_modules())
    paths = {id(module): path for path, module in modules.items()}
    dense = tuple(sorted(set(range(layers)) - {m.layer for m in mixtures}))
    found = dict[int, Blocks]()
    for mixture in mixtures:
        path = paths[id(mixture.place)]
        whole = re.match(rf".*?\.{mixture.layer}(?=\.)", path)
        sums: dict[str, int] = {}
        for name, weight in modules[whole[0] if whole else path].named_parameters():
            kind = owner.get(id(weight)) or ("attention" if _ATTENTION.search(name) else "rest")
            if "norm" in name and weight.shape == (width,):  # before it, or after; none in it
                kind = "norms"
            sums[kind] = sums.get(kind, 0) + weight.numel()
        E = _count(modules, path, mixture)
        found[mixture.layer] = Blocks(
            mixture.layer, width, sums.get("attention", 0), width if sums.get("norms") else 0,
            sums.get("routers", 0), sums.get("experts", 0) // E, mixture.width, mixture.k,
            sums.get("shared experts", 0), sums.get("rest", 0), dense,
        )  # fmt: skip
    return found


def _count(modules: dict[str, nn.Module], path: str, mixture: Any) -> int:
    """How many experts have weights: fewer than are scored, where some are the identity or none."""
    for place in (modules[path], modules[path.rpartition(".")[0]]):
        for name in ("num_experts", "n_routed_experts", "num_local_experts"):
            found = getattr(place, name, None)
            if isinstance(found, int):
                return found
    return mixture.width
