# SPDX-License-Identifier: Apache-2.0
"""How weights are quantised, by what is said beside them: FP8 is read, others are refused.

In: the fields of a config, and the files beside it. Out: an `FP8` scheme, or None where nothing is
quantised. Methods are called by the names that people know them by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import read_json
from ..errors import CheckpointError, ConfigError
from .hub.repository import HubPath

#: quant_method in small letters → its name.
_METHODS = {
    "awq": "AWQ", "gptq": "GPTQ", "bitsandbytes": "bitsandbytes", "fp8": "FP8",
    "fbgemm_fp8": "FBGEMM's FP8", "compressed-tensors": "compressed-tensors", "hqq": "HQQ",
    "modelopt": "ModelOpt", "mxfp4": "MXFP4", "exl2": "EXL2", "mlx": "MLX", "aqlm": "AQLM",
    "quanto": "Quanto", "torchao": "torchao", "auto-round": "AutoRound", "eetq": "EETQ",
}  # fmt: skip

#: Files beside config.json in which older tools and NVIDIA's say it.
_BESIDE = {"quantize_config.json": "gptq", "quant_config.json": "awq",
           "hf_quant_config.json": "modelopt"}  # fmt: skip

#: Names of tensors that only a quantised checkpoint has → the method.
_TENSORS = {
    ".qweight": "GPTQ or AWQ", ".qzeros": "GPTQ or AWQ", ".g_idx": "GPTQ",
    ".weight_packed": "compressed-tensors", ".absmax": "bitsandbytes", ".SCB": "bitsandbytes",
    ".quant_map": "bitsandbytes", ".W_q": "HQQ", "_blocks": "MXFP4", ".q_weight": "EXL2",
}  # fmt: skip

_ADVICE = (
    "Take the original weights in bf16, or a GGUF of this model, Q4_K_M for instance, whose packed "
    "weights moe_viz reads."
)


@dataclass(frozen=True)
class FP8:
    """Weights in float8 (e4m3) with scales: one for a tensor, a row, or a `block` of rows by
    columns.
    """

    block: tuple[int, int] | None = None


def scheme(raw: Mapping[str, Any], config: Path | HubPath) -> FP8 | None:
    """How the weights beside this config are quantised; None if they are not.

    Raises `CheckpointError`, with the method's name, where moe_viz does not unpack them.
    """
    said, where = _said(raw, config)
    if said is None:
        return None
    method = str(said.get("quant_method", "")).lower() or "of an unknown kind"
    if method == "fp8" and str(said.get("fmt", "e4m3")).startswith("e4m3"):
        return FP8(_block(said.get("weight_block_size")))
    if method == "fbgemm_fp8" or (method == "modelopt" and said.get("quant_algo") == "FP8"):
        return FP8()
    weights, sparse = _compressed(said) if method == "compressed-tensors" else ([], "")
    if weights and not sparse and all(_is_fp8(group) for group in weights):
        return FP8(_block(weights[0].get("block_structure")))
    raise CheckpointError(
        f"{where}: the weights are quantised with {_METHODS.get(method, method)}"
        f"{_details(said, weights)}, which moe_viz does not unpack; expected plain numbers, or FP8 "
        f"(e4m3). {_ADVICE} If they were unpacked since, delete quantization_config there."
    )


def by_tensors(names: Iterable[str]) -> str:
    """The method of which there are traces in the names of tensors, and what to do; else "".

    >>> by_tensors(["model.layers.0.self_attn.q_proj.qweight"])[:43]
    'The weights are quantised with GPTQ or AWQ,'
    """
    for name in names:
        for ending, method in _TENSORS.items():
            if name.endswith(ending):
                return (
                    f"The weights are quantised with {method}, going by {name:.120}; moe_viz does "
                    f"not unpack them. {_ADVICE}"
                )
    return ""


def _said(
    raw: Mapping[str, Any], config: Path | HubPath
) -> tuple[Mapping[str, Any] | None, Path | HubPath]:
    """What is said about quantisation, and in which file."""
    for key in ("quantization_config", "compression_config", "quantization"):
        said = raw.get(key)
        if isinstance(said, Mapping) and said:
            return _with_method(said, key), config
    for name, method in _BESIDE.items():
        path = config.with_name(name)
        if path.is_file():
            try:
                said = read_json(path)
            except ConfigError:  # damaged: its name says enough
                said = {}
            inner = said.get("quantization")
            said = inner if isinstance(inner, Mapping) else said
            return {"quant_method": method, **said}, path
    return None, config


def _with_method(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """With a method, where a file does not name it: Mistral's own FP8, Apple's MLX."""
    if said.get("quant_method"):
        return said
    if str(said.get("qformat_weight", "")).startswith("fp8_e4m3"):
        return {**said, "quant_method": "fp8"}
    guess = "mlx" if key == "quantization" and "group_size" in said else ""
    guess = "bitsandbytes" if "load_in_4bit" in said or "load_in_8bit" in said else guess
    guess = "compressed-tensors" if "config_groups" in said else guess
    return {**said, "quant_method": guess}


def _block(said: Any) -> tuple[int, int] | None:
    """The size of a block, if it is named and is one."""
    if isinstance(said, list | tuple) and len(said) == 2:
        rows, columns = said
        if all(type(n) is int and n > 0 for n in (rows, columns)):
            return rows, columns
    return None


def _compressed(said: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """What compressed-tensors says about the weights of each group, and how zeros are left out."""
    groups = said.get("config_groups")
    found = [g.get("weights") for g in groups.values()] if isinstance(groups, Mapping) else []
    sparsity = said.get("sparsity_config")
    form = sparsity.get("format") if isinstance(sparsity, Mapping) else None
    return [g for g in found if isinstance(g, Mapping)], "" if form in (None, "dense") else str(
        form
    )


def _is_fp8(weights: Mapping[str, Any]) -> bool:
    kind = (weights.get("num_bits"), weights.get("type"), weights.get("symmetric", True))
    return kind == (8, "float", True)


def _details(said: Mapping[str, Any], weights: list[Mapping[str, Any]]) -> str:
    """How many bits, if that is said."""
    four = 4 if said.get("load_in_4bit") else 8 if said.get("load_in_8bit") else None
    bits = said.get("bits") or said.get("w_bit") or four
    if weights:
        bits = weights[0].get("num_bits")
    form = said.get("quant_algo") or said.get("format")
    parts = [f"{bits} bits"] if bits else []
    parts += [str(form)[:40]] if form else []
    return f" ({', '.join(parts)})" if parts else ""
