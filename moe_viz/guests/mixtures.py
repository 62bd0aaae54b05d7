# SPDX-License-Identifier: Apache-2.0
"""Finding the mixtures of a model of transformers: each layer's router, experts and rule.

In: a model. Out: its layers with experts, in order; or an error that says why there are none that
could be recorded.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import CheckpointError
from ..trace.rule import Rule
from .families import FAMILIES, Family, scoring_of
from .routers import ROUTERS
from .seam import Mixture

_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.(\d+)\.")
#: What the experts of 5.24's families take after the hidden states.
_TAKES = (("top_k_index", "top_k_weights"), ("router_indices", "routing_weights"))
_ROUTER = re.compile(r"Router|Gate$|Gating$")
#: Mixtures that see pictures, or that guess tokens ahead.
_ELSEWHERE = re.compile(r"vision|visual|mtp")


def mixtures_of(model: nn.Module, model_type: str) -> list[Mixture]:
    """Its layers with experts. Raises `CheckpointError` for a family that has no such seam."""
    family = FAMILIES.get(model_type)
    if family is None:
        raise CheckpointError(
            f"{model_type}: is no mixture of experts that is known here. Known are "
            f"{', '.join(sorted(FAMILIES))}."
        )
    modules = dict(model.named_modules())
    found = [
        _mixture(model, family, modules, path)
        for path, module in modules.items()
        if not _ELSEWHERE.search(path) and _decides(module, path, family)
    ]
    if not found:
        raise CheckpointError(
            f"{model_type}: no experts were found in this model, in the form that transformers "
            "gives them. Update transformers, and load the model anew."
        )
    return sorted(found, key=lambda mixture: mixture.layer)


def _decides(module: nn.Module, path: str, family: Family) -> bool:
    """Whether this is where a family's decisions pass: the experts, or a router."""
    if family.seam in ROUTERS:
        return bool(_ROUTER.search(type(module).__name__)) and not path.endswith("experts.router")
    names = tuple(inspect.signature(type(module).forward).parameters)[2:4]
    return names in _TAKES


def _mixture(model: nn.Module, family: Family, modules: dict[str, nn.Module], path: str) -> Mixture:
    number, block = _LAYER.search(path), modules[path.rpartition(".")[0]]
    routers = [child for _, child in block.named_children() if _ROUTER.search(type(child).__name__)]
    if number is None or len(routers) != 1:
        raise CheckpointError(
            f"{path}: expected one router beside these experts, in a numbered layer; found "
            f"{len(routers)}. This version of the family is not known here."
        )
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    router = routers[0]
    scoring = scoring_of(family, config, router, block)
    return Mixture(
        layer=int(number[1]),
        speaker=getattr(router, family.speaker) if family.speaker else router,
        place=modules[path],
        scoring=scoring,
        width=_width(router, scoring.bias),
        k=_top_k(router, block, config),
        skips=family.skips,
        scored="Hash" not in type(router).__name__,
        form=ROUTERS.get(family.seam),
    )


def _width(router: nn.Module, bias: Tensor | None) -> int:
    """How many experts a router scores: the rows of its last matrix."""
    if bias is not None:
        return len(bias)
    weights = [p for p in router.parameters() if p.ndim == 2]
    return weights[-1].shape[0]


def _top_k(router: nn.Module, block: nn.Module, config: Any) -> int:
    for place, name in (
        (router, "top_k"), (block, "top_k"), (config, "num_experts_per_tok"),
        (config, "moe_topk"), (config, "moe_k"), (config, "top_k_experts"),
    ):  # fmt: skip
        found = getattr(place, name, None)
        if isinstance(found, int):
            return found
    raise CheckpointError("How many experts a token goes to is not said in this configuration.")


def language_model(config: Any) -> Any:
    """The class of transformers that makes a model of this configuration: of text, or of text and
    pictures, where the mixture in it comes with eyes only.
    """
    import transformers

    if type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM
    if type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return transformers.AutoModelForImageTextToText
    raise CheckpointError(
        f"{config.model_type}: transformers {transformers.__version__} has no model of this kind "
        "that says which token comes next. Load it yourself, and give it to moe_viz.guest."
    )


def said_of(mixtures: Sequence[Mixture], layers: int, experts: int, astray: bool) -> dict[str, Any]:
    """What a trace says of these routers: its fields from `rule` on."""
    rules = {mixture.scoring.rule for mixture in mixtures if mixture.scored}
    rule = next(iter(rules), mixtures[0].scoring.rule)
    if astray or len(rules) > 1:
        why = "differ from layer to layer" if len(rules) > 1 else "are not what was executed"
        rule = Rule(choice="unknown", gates=False, note=f"The rules known for them {why}.")
    bias = None
    if rule.bias:
        own = [m.scoring.bias if m.scored else None for m in mixtures]
        rows = [torch.zeros(0) if one is None else one.cpu() for one in own]
        bias = torch.stack([functional.pad(row, (0, experts - len(row))) for row in rows]).numpy()
    scored = tuple(mixture.scored for mixture in mixtures)
    return {
        "rule": rule,
        "bias": bias,
        "scored": () if all(scored) else scored,
        "model_layers": layers,
        "mixtures": tuple(mixture.layer for mixture in mixtures),
    }


def layers_of(hf: nn.Module, mixtures: Sequence[Mixture]) -> int:
    """How many layers the list has in which the mixtures are."""
    wanted = mixtures[-1].place
    for name, module in hf.named_modules():
        is_list = isinstance(module, nn.ModuleList) and name.endswith(("layers", "blocks", "h"))
        if is_list and any(m is wanted for m in module.modules()):
            return len(module)  # type: ignore[arg-type]
    raise CheckpointError("The layers of this model are not in a list, as transformers keeps them.")
