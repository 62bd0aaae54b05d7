# SPDX-License-Identifier: Apache-2.0
"""What is to be said of a guest's weights: which they are, how stored, and where they lie."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from .guest import Guest


def fingerprint_of(model: Guest) -> str:
    """A hash that tells weights apart: routers whole, of all others some numbers."""
    found = hashlib.sha256(model.config.model_type.encode())
    routers = {id(w) for m in model.mixtures for w in m.speaker.parameters()}
    for name, weight in sorted(model.hf.named_parameters()):
        found.update(f"{name} {tuple(weight.shape)}".encode())
        if weight.device.type == "meta":  # accelerate has it on the disk
            continue
        flat = weight.detach().reshape(-1)
        part = flat if id(weight) in routers else flat[:: max(1, len(flat) // 64)]
        found.update(part.float().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def ends_of(hf_model: nn.Module) -> frozenset[int]:
    """Ids that end a text, by its configurations."""
    found: set[int] = set()
    for config in (getattr(hf_model, "config", None), getattr(hf_model, "generation_config", None)):
        value = getattr(config, "eos_token_id", None)
        found.update(n for n in (value if isinstance(value, list) else [value]) if type(n) is int)
    return frozenset(found)


def placed(hf_model: nn.Module) -> str:
    """ "offload" where accelerate keeps some of the weights elsewhere, else "resident"."""
    return "offload" if any(w.device.type == "meta" for w in hf_model.parameters()) else "resident"


def quantised(hf_model: nn.Module) -> str:
    """How its weights are quantised, as its config says."""
    said: Any = getattr(getattr(hf_model, "config", None), "quantization_config", None)
    if said is None:
        return "none"
    method = (
        said.get("quant_method") if isinstance(said, dict) else getattr(said, "quant_method", "")
    )
    return str(getattr(method, "value", method)) or "yes"


def versions() -> dict[str, str]:
    """Of the programs that run a guest."""
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}
