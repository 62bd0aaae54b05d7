# SPDX-License-Identifier: Apache-2.0
"""Interventions against transformers' Mixtral: its own top-k, or its experts in a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral
from tests.conftest import random_model, small_config

from .test_transformers import relative, theirs_from

pytest.importorskip("transformers")

from transformers.models.mixtral import modeling_mixtral

#: An intervention of a token's decision: layer and logits (E,) → experts and their gates.
Decide = Callable[[int, Tensor], list[tuple[int, float]]]

MODELS = {
    "two of eight": {},
    "three of five": {"experts_per_token": 3, "experts": 5},
    "one of four": {"experts_per_token": 1, "experts": 4, "layers": 2},
    "8x7m": None,
}


@pytest.fixture(scope="module", params=MODELS.values(), ids=list(MODELS))
def pair(request, tmp_path_factory) -> tuple[Mixtral, torch.nn.Module, Tensor]:
    """A model, transformers' model of the same weights, and a prompt."""
    if request.param is None:
        ours, folder = mv.load("8x7m"), embedded_folder()
        text = mv.prompts.curated().select(label=["fr", "python"]).texts[1]
        assert ours.tokenizer is not None
        return ours, theirs_from(folder), torch.tensor(ours.tokenizer.encode(text).ids)
    ours, folder = random_model(small_config(**request.param)), tmp_path_factory.mktemp("pair")
    save_checkpoint(ours, folder, dtype=torch.float32)
    ids = torch.randint(0, ours.config.vocab_size, (60,), generator=torch.manual_seed(5))
    return ours, theirs_from(folder), ids


def blocks(theirs) -> list:
    return [layer.mlp for layer in theirs.model.layers]


@contextmanager
def watched(theirs) -> Iterator[list[Tensor]]:
    """The experts that transformers' routers choose, layer by layer."""
    chosen: list[Tensor] = []
    handles = [
        block.gate.register_forward_hook(lambda module, args, out: chosen.append(out[2]))
        for block in blocks(theirs)
    ]
    try:
        yield chosen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def ablated(theirs, experts: list[tuple[int, int]]) -> Iterator[None]:
    """Router logits of −∞ before transformers' own softmax and top-k, in its own gate."""

    def linear(x: Tensor, weight: Tensor) -> Tensor:
        (layer,) = [n for n, block in enumerate(blocks(theirs)) if block.gate.weight is weight]
        gone = [expert for at, expert in experts if at == layer]
        return functional.linear(x, weight).index_fill(1, torch.tensor(gone).long(), -torch.inf)

    module: Any = modeling_mixtral
    before = module.F
    module.F = SimpleNamespace(linear=linear)  # used by its routers alone
    try:
        yield
    finally:
        module.F = before


@contextmanager
def decided(theirs, decide: Decide) -> Iterator[None]:
    """Token by token, expert by expert: gate times SwiGLU, added up."""

    def forward_of(layer: int, block) -> Callable[[Tensor], Tensor]:
        def forward(hidden: Tensor) -> Tensor:
            out = []
            for x in hidden.flatten(0, -2):
                y = torch.zeros_like(x)
                for expert, gate in decide(layer, block.gate.weight @ x):
                    a, b = (block.experts.gate_up_proj[expert] @ x).chunk(2)
                    y = y + gate * (block.experts.down_proj[expert] @ (functional.silu(a) * b))
                out.append(y)
            return torch.stack(out).view_as(hidden)

        return forward

    for layer, block in enumerate(blocks(theirs)):
        block.forward = forward_of(layer, block)
    try:
        yield
    finally:
        for block in blocks(theirs):
            del block.forward


def expected(theirs, ids: Tensor):
    with torch.inference_mode():
        return theirs(ids[None], labels=ids[None])


def compare(pair, theirs_said, changes: bool = True, **change) -> mv.Trace:
    """Head logits within 1e-4 of theirs, and the loss; and whether anything changed at all."""
    ours, _, ids = pair
    plain = ours(ids)
    with mv.intervene(ours, **change):
        logits = ours(ids)
        trace = mv.record(ours, [ids.tolist()], loss=True)
    assert relative(logits, theirs_said.logits[0]) < 1e-4
    assert trace.loss is not None
    assert np.nanmean(trace.loss) == pytest.approx(theirs_said.loss.item(), rel=1e-4)
    assert relative(logits, plain) > 1e-3 if changes else torch.equal(logits, plain)
    return trace


def same_choice(
    trace: mv.Trace, chosen: list[Tensor], gone: Iterable[tuple[int, int]] = ()
) -> None:
    """The same experts as transformers, wherever the call was not too close to make."""
    theirs = torch.stack(chosen).sort(-1).values
    k = theirs.shape[2]
    executed = torch.from_numpy(trace.experts.astype("int64"))
    assert (executed[:, :, k:] == -1).all()
    logits = torch.from_numpy(trace.router_logits.copy())
    for layer, expert in gone:
        logits[layer, :, expert] = -torch.inf
    ranked = logits.sort(-1, descending=True).values
    E = ranked.shape[2]
    clear = ranked[:, :, k - 1] - ranked[:, :, k] > 1e-4 if k < E else torch.ones(len(theirs), 1)
    assert clear.float().mean() > 0.9
    same = (executed[:, :, :k].sort(-1).values == theirs).all(-1)
    assert same[clear.bool().expand_as(same)].all()


@pytest.mark.parametrize("experts", [[(1, 2)], [(0, 0)], [(0, 1), (0, 3), (1, 2)]])
def test_ablation_is_a_logit_of_minus_infinity_before_top_k(pair, experts):
    _, theirs, ids = pair
    with ablated(theirs, experts), watched(theirs) as chosen:
        said = expected(theirs, ids)
    for layer, expert in experts:
        assert not (chosen[layer] == expert).any()  # the oracle really masks
    trace = compare(pair, said, ablate=experts)
    same_choice(trace, chosen, experts)
    for layer, expert in experts:
        assert not (trace.experts[layer] == expert).any()


def test_the_oracle_without_a_mask_is_the_model_itself(pair):
    """What is patched changes nothing of its own."""
    ours, theirs, ids = pair
    plain = expected(theirs, ids).logits
    with ablated(theirs, []):
        assert torch.equal(expected(theirs, ids).logits, plain)
    with decided(theirs, lambda layer, logits: top(logits, ours.config.experts_per_token)):
        assert relative(expected(theirs, ids).logits, plain) < 1e-5


def test_top_k_is_another_num_experts_per_tok(pair):
    ours, theirs, ids = pair
    usual = ours.config.experts_per_token
    for k in range(1, ours.config.experts + 1):
        for block in blocks(theirs):
            block.gate.top_k = k
        try:
            with watched(theirs) as chosen:
                said = expected(theirs, ids)
        finally:
            for block in blocks(theirs):
                block.gate.top_k = usual
        assert {tuple(c.shape) for c in chosen} == {(len(ids), k)}
        if k != usual:
            same_choice(compare(pair, said, top_k=k), chosen)


def softmax(scores: dict[int, Tensor], temperature: float = 1.0) -> list[tuple[int, float]]:
    weights = {e: np.exp(float(s) / temperature) for e, s in scores.items()}
    return [(e, w / sum(weights.values())) for e, w in weights.items()]


def top(logits: Tensor, k: int, temperature: float = 1.0) -> list[tuple[int, float]]:
    order = sorted(range(len(logits)), key=lambda e: -float(logits[e]))
    return softmax({e: logits[e] for e in order[:k]}, temperature)


@pytest.mark.parametrize("gone", [[(1, 2)], [(0, 0), (0, 1), (0, 2), (1, 3)]])
def test_nothing_instead_takes_a_contribution_away_and_leaves_the_others(pair, gone):
    ours, theirs, ids = pair

    def decide(layer: int, logits: Tensor) -> list[tuple[int, float]]:
        usual = top(logits, ours.config.experts_per_token)
        return [(e, gate) for e, gate in usual if (layer, e) not in gone]

    with decided(theirs, decide):
        said = expected(theirs, ids)
    trace = compare(pair, said, ablate=gone, instead="nothing")
    for layer, expert in gone:
        assert not (trace.experts[layer] == expert).any()
    assert (trace.experts == -1).any()
    assert (trace.gates[trace.experts == -1] == 0).all()


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_temperature_divides_the_logits_of_the_same_experts(pair, temperature):
    ours, theirs, ids = pair
    k = ours.config.experts_per_token
    with decided(theirs, lambda layer, logits: top(logits, k, temperature)):
        said = expected(theirs, ids)
    compare(pair, said, changes=k > 1, temperature=temperature)  # a single gate is 1 anyway


def test_uniform_gates_are_one_over_k(pair):
    ours, theirs, ids = pair
    k = ours.config.experts_per_token
    with decided(theirs, lambda layer, logits: [(e, 1 / k) for e, _ in top(logits, k)]):
        said = expected(theirs, ids)
    compare(pair, said, changes=k > 1, uniform_gates=True)


def test_swapping_exchanges_the_weights_of_two_experts(pair):
    _, theirs, ids = pair
    swapped = deepcopy(theirs)
    with torch.no_grad():
        for layer, a, b in ((0, 0, 3), (1, 2, 1)):
            experts = blocks(swapped)[layer].experts
            for weight in (experts.gate_up_proj, experts.down_proj):
                weight[[a, b]] = weight[[b, a]]
    compare(pair, expected(swapped, ids), swap=[(0, 0, 3), (1, 2, 1)])


def test_forced_experts_are_among_the_chosen_beside_the_best_of_the_rest(pair):
    ours, theirs, ids = pair
    k = ours.config.experts_per_token
    forced = {0: [1, 3][:k], 1: [0]}

    def decide(layer: int, logits: Tensor) -> list[tuple[int, float]]:
        must = forced.get(layer, [])
        order = sorted(range(len(logits)), key=lambda e: (e not in must, -float(logits[e])))
        return softmax({e: logits[e] for e in order[:k]})

    with decided(theirs, decide):
        said = expected(theirs, ids)
    force = [(layer, e) for layer, experts in forced.items() for e in experts]
    trace = compare(pair, said, force=force)
    for layer, expert in force:
        assert (trace.experts[layer] == expert).any(1).all()


def test_several_changes_at_once_are_those_one_after_the_other(pair):
    """k, then temperature among the k; then nothing in the place of an expert."""
    ours, theirs, ids = pair
    k = min(3, ours.config.experts)

    def decide(layer: int, logits: Tensor) -> list[tuple[int, float]]:
        chosen = top(logits, k, 2.0)
        return [(e, gate) for e, gate in chosen if (layer, e) != (1, 1)]

    with decided(theirs, decide):
        said = expected(theirs, ids)
    compare(pair, said, top_k=k, temperature=2.0, ablate=[(1, 1)], instead="nothing")
