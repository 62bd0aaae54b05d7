# SPDX-License-Identifier: Apache-2.0
"""Families of mixtures in transformers: the rule that each one's routers follow.

In: a configuration and a router. Out: the rule, and the numbers that it needs. The rules were read
in transformers 5.24's `modeling_*.py`; what they say is compared with what is executed in every
recording, and for every family in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ..routing import Scoring
from ..trace.rule import SCORES, Rule

FLAG = "norm_topk_prob"


@dataclass(frozen=True)
class Family:
    """What is to be known of a family."""

    score: str = "softmax"  # or the setting that says so
    normalised: bool | str = True  # or the setting that says so
    scale: tuple[str, ...] = ()  # settings, of which the first that is there multiplies gates
    bias: str = ""  # what it is added to
    groups: str = ""  # how groups are ranked, where experts are chosen in groups
    outside_zero: bool = False  # see `Rule`
    gates: bool = True  # whether gates follow from the logits
    per_expert: str = ""  # the router's parameter that multiplies each expert's gates
    speaker: str = ""  # the part of the router whose output are the logits
    skips: bool = False  # whether a gate of 0 means that no expert runs
    note: str = ""
    cached: bool = True  # whether a cached step of transformers is what a whole pass gives
    seam: str = "experts"  # where it can be changed: at the "experts", or at the router, as …


_DEEPSEEK = Family("sigmoid", FLAG, ("routed_scaling_factor",), bias="scores", groups="two best")
_DEEPSEEK_2 = Family(normalised=False, scale=("routed_scaling_factor",), groups="best")
_CHOSEN = Family()  # a softmax over the chosen: the same as one over all, divided by their sum
_FLAGGED = Family(normalised=FLAG)
_BIASED = Family("sigmoid", bias="scores")
_HUNYUAN = Family(
    "sigmoid", scale=("router_scaling_factor", "moe_router_scaling_factor"), bias="scores"
)
_JOINT = Family(
    "sigmoid", bias="scores", gates=False,
    note="Gates are shared out among the chosen experts and those that every token uses.",
)  # fmt: skip
_LATER = replace(
    _BIASED, note="A factor multiplies the sum of the experts after them; gates are without it."
)
_BY_SETTING = Family("scoring_func", scale=("routed_scaling_factor",), bias="scores")

FAMILIES: Mapping[str, Family] = {
    "afmoe": Family("sigmoid", scale=("route_scale",), bias="scores"),
    "aria_text": _CHOSEN,
    "cohere2_moe": Family("expert_selection_fn", FLAG),
    "axk2": replace(_DEEPSEEK, outside_zero=True),
    "beam": replace(_DEEPSEEK, scale=(), note=_LATER.note),
    "dbrx": _CHOSEN,
    "deepseek_ocr2_text": _DEEPSEEK_2,
    "deepseek_v2": _DEEPSEEK_2,
    "deepseek_v4": replace(
        _BY_SETTING, note="Its first layers look a token's experts up, and score them for gates."
    ),
    "ernie4_5_moe": Family(bias="scores"),
    "ernie4_5_vl_moe_text": Family(bias="scores"),
    "flex_olmo": _FLAGGED,
    "flint": Family("sigmoid", FLAG),
    "gemma4_text": Family(per_expert="per_expert_scale", speaker="proj"),
    "gpt_oss": _CHOSEN,
    "granitemoe": _CHOSEN,
    "granitemoe_swa": _CHOSEN,
    "granitemoehybrid": _CHOSEN,
    "granitemoeshared": _CHOSEN,
    "hunyuan_v1_moe": _CHOSEN,
    "hy_v3": _HUNYUAN,
    "inkling2_loop_text": replace(
        _BY_SETTING, note="Some layers are passed more than once: the last time is recorded."
    ),
    "inkling2_text": _BY_SETTING,
    "inkling_text": _JOINT,
    "jamba": Family(normalised=False),
    "kolibri1": Family("sigmoid", FLAG, bias="logits"),
    "jetmoe": replace(
        _CHOSEN, seam="jetmoe", note="Its attention is a mixture too, which is not recorded."
    ),
    "laguna": _LATER,
    "lara_mini": _FLAGGED,
    "llama4_text": Family(
        "sigmoid", normalised=False, seam="llama4",
        note="A gate multiplies what goes into an expert, and not what comes out.",
    ),
    "lfm2_moe": Family("sigmoid", FLAG, ("routed_scaling_factor",), bias="scores"),
    "longcat_flash": Family(
        normalised=False, scale=("routed_scaling_factor",), bias="scores",
        note="The last experts are the identity: they pass a token on as it is.",
    ),
    "mellum": _FLAGGED,
    "minimax": Family(cached=False),
    "minimax_m2": _BIASED,
    "minimax_m3_vl_text": _LATER,
    "mistral4": Family(normalised=FLAG, scale=("routed_scaling_factor",), groups="two best"),
    "mistral_large4_text": Family(
        normalised=FLAG, scale=("routed_scaling_factor",), groups="two best"
    ),
    "mixtral": _CHOSEN,
    "muse_spark_text": Family("sigmoid", scale=("routed_scaling_factor",), bias="scores"),
    "olmoe": _FLAGGED,
    "phimoe": Family(
        gates=False, note="Each gate is a softmax of its own, over the experts close to the best."
    ),
    "qwen2_moe": _FLAGGED,
    "qwen3_5_moe_text": _CHOSEN,
    "qwen3_moe": _FLAGGED,
    "qwen3_next": _FLAGGED,
    "qwen3_omni_moe_text": _FLAGGED,
    "qwen3_vl_moe_text": _CHOSEN,
    "qwen4_exp_text": _FLAGGED,
    "step3p5": _LATER,
    "unlimited_ocr_text": _DEEPSEEK_2,
    "zaya": Family(
        normalised=False, bias="scores", skips=True,
        note="The last one scored is no expert: a token for which it wins skips the layer.",
    ),
} | dict.fromkeys((
    "axk1", "bailing_hybrid", "deepseek_v3", "deepseek_v32", "dots1", "dots3_note_text",
    "exaone_moe", "glm4_moe", "glm4_moe_lite", "glm4v_moe_text", "glm5_next_text", "glm_moe_dsa",
    "hy_v4", "hy_v4_vl_text", "kimi_linear", "mimo_v2_flash", "nemotron_h", "sarvam_mla",
    "sarvam_moe", "solar_open",
), _DEEPSEEK)  # fmt: skip

#: Where the bias of the choice may be: on the router, or on what holds router and experts.
_BIASES = ("e_score_correction_bias", "expert_bias", "balancing_biases", "moe_statics")
_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
_GROUPS, _KEPT = ("num_group", "n_group"), ("topk_group",)


def scoring_of(family: Family, config: Any, router: nn.Module, block: nn.Module) -> Scoring:
    """The rule of a router, and its bias; `block` is what holds router and experts."""
    normalised = family.normalised
    if isinstance(normalised, str):
        normalised = bool(_setting((router, config), (normalised,), True))
    bias = _bias(router, block) if family.bias else None
    groups = int(_setting((router, config), _GROUPS, 1) or 1) if family.groups else 1
    if family.groups == "best" and _setting((config,), ("topk_method",), "") == "greedy":
        groups = 1
    score = family.score
    if score not in SCORES:
        score = str(_setting((config,), (score,), "sigmoid"))
    # A softmax over the chosen is one over all, divided by their sum.
    normalised = normalised or (family.score == "expert_selection_fn" and score == "softmax")
    rule = Rule(
        score=score,
        bias=family.bias if bias is not None else "",
        groups=groups,
        groups_kept=int(_setting((router, config), _KEPT, groups) or groups),
        group_score=family.groups or "two best",
        outside_zero=family.outside_zero,
        normalised=normalised,
        scale=float(_setting((router, block, config), family.scale, 1.0) or 1.0),
        weighted=bool(family.per_expert),
        gates=family.gates,
        note=family.note,
    )
    if (shared := _shared(block, config)) is not None:
        gated = any("gate" in name for name, _ in block.named_children() if "shared" in name)
        rule = replace(rule, shared=shared, shared_gated=gated)
    if rule.groups == 1:
        rule = replace(rule, groups_kept=1, group_score="two best", outside_zero=False)
    if (power := getattr(block, "moe_normalize_expert_weights", 1)) != 1:  # dbrx: of what norm
        rule = replace(rule, normalised=power is not None, gates=power is None)
    own = getattr(router, family.per_expert) if family.per_expert else None
    return Scoring(rule, bias, None if own is None else own.detach().float())


def _shared(block: nn.Module, config: Any) -> int | None:
    """How many experts every token uses beside the chosen ones; None where there are none."""
    named = [name for name, _ in block.named_children() if "shared" in name and "gate" not in name]
    if not any(getattr(block, name) is not None for name in named):
        return None
    return int(_setting((config,), _SHARED, 1) or 1)


def _bias(router: nn.Module, block: nn.Module) -> Tensor | None:
    """The numbers that are added for the choice, (E,)."""
    for module in (router, block):
        for name in _BIASES:
            found = getattr(module, name, None)
            if isinstance(found, nn.Module):  # a module that holds nothing else
                found = next(iter([*found.parameters(), *found.buffers()]), None)
            if isinstance(found, Tensor):
                return found.detach().float().reshape(-1)
    return None


def _setting(places: tuple[Any, ...], names: tuple[str, ...], default: Any) -> Any:
    for name in names:
        for place in places:
            if (found := getattr(place, name, None)) is not None:
                return found
    return default
