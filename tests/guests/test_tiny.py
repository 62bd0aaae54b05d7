# SPDX-License-Identifier: Apache-2.0
"""Every mixture of transformers has its tiny model here, or the reason why not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from . import mixtures, tiny

TABLES = {
    "TINY": tiny.TINY,
    "PARENTS": mixtures.PARENTS,
    "NOT_BUILT": mixtures.NOT_BUILT,
    "IMPOSSIBLE": mixtures.IMPOSSIBLE,
    "NO_MIXTURE": mixtures.NO_MIXTURE,
}
LENGTHS = (70, 50)


def experts_used(model: nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[Any, list[int]]:
    """The model's output, and how many different experts each passage of a mixture used."""
    used: list[int] = []

    def asked(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        chosen = [x for x in tensors if not x.is_floating_point()]
        if chosen:
            used.append(chosen[0].unique().numel())

    def llama4(_module: nn.Module, _args: Any, outputs: Any) -> None:
        used.append(int((outputs[0] > 0).any(dim=0).sum()))  # gates, 0 for those not chosen

    def jetmoe(_module: nn.Module, _args: Any, outputs: Any) -> None:
        used.append(sum(size > 0 for size in outputs[3]))  # tokens of each expert

    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind == "Llama4Router":
            module.register_forward_hook(llama4)
        elif kind == "JetMoeTopKGating":
            module.register_forward_hook(jetmoe)
        elif name.rpartition(".")[2] == "experts":
            module.register_forward_pre_hook(asked, with_kwargs=True)
    with torch.no_grad():
        return model(**inputs), used


def test_every_mixture_of_transformers_is_in_one_table() -> None:
    counts = Counter(name for table in TABLES.values() for name in table)
    assert [name for name, count in counts.items() if count > 1] == []
    found = mixtures.mixture_types()
    new, gone = sorted(found - set(counts)), sorted(set(counts) - found)
    assert not new, (
        f"transformers has mixtures that tests/guests does not know: {new}. Give each a line in "
        "TINY of settings.py if it runs text as a causal language model; else in mixtures.py: in "
        "PARENTS (a composite type: its text type), NOT_BUILT, IMPOSSIBLE or NO_MIXTURE, with the "
        "reason."
    )
    assert not gone, f"transformers has no more of {gone}: take them out of tests/guests"


def test_parents_lead_to_a_tiny_model() -> None:
    assert set(mixtures.PARENTS.values()) <= set(tiny.TINY)


@pytest.mark.parametrize("model_type", tiny.TINY)
def test_runs_and_routes(model_type: str) -> None:
    model = tiny.build(model_type)
    tokens = torch.randint(3, tiny.VOCABULARY, (2, 70), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(70) < torch.tensor(LENGTHS)[:, None]).long()
    output, used = experts_used(model, {"input_ids": tokens, "attention_mask": mask})
    assert output.logits.shape == (2, 70, tiny.VOCABULARY)
    assert output.logits.isfinite().all()
    assert output.logits.std() > 0.1
    assert max(used) >= 3


@pytest.mark.parametrize("model_type", ["mixtral", "deepseek_v4", "qwen3_next", "zaya"])
def test_the_seed_decides(model_type: str) -> None:
    first, same, other = (tiny.build(model_type, seed) for seed in (0, 0, 1))
    states = [model.state_dict() for model in (first, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    routers = [name for name in states[0] if "gate.weight" in name or "gate.down_proj" in name]
    assert routers
    assert not any(torch.equal(states[0][name], states[2][name]) for name in routers)
