# SPDX-License-Identifier: Apache-2.0
"""The routing decision: a worked example, hooks in their order, and what they may not return."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import moe_viz as mv
from moe_viz.errors import HookError
from moe_viz.model.dispatch import run_experts
from moe_viz.model.moe import MoELayer
from moe_viz.routing import Routing, TokenIndex
from tests.conftest import random_model, small_config


def test_a_decision_worked_by_hand():
    """Scores 1, 3, 2: experts 1 and 2, gates e³ and e² over their sum."""
    layer = MoELayer(small_config(hidden_size=1, experts=3, heads=1, kv_heads=1), layer=0)
    layer.router.weight = nn.Parameter(torch.tensor([[1.0], [3.0], [2.0]]))
    for n, expert in enumerate(layer.experts):  # expert n multiplies by n + 1
        layer.experts[n] = Times(n + 1.0)
        del expert
    seen = []
    result = layer(torch.ones(1, 1), TokenIndex.of_prompts([1]), [seen.append])
    (routing,) = seen
    assert routing.logits.tolist() == [[1.0, 3.0, 2.0]]
    assert routing.experts.tolist() == [[1, 2]]
    assert routing.gates[0].tolist() == pytest.approx([0.7310586, 0.2689414])
    assert result.item() == pytest.approx(0.7310586 * 2 + 0.2689414 * 3)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_dispatch_equals_the_sum_written_out(tokens, experts, k, seed):
    generator = torch.manual_seed(seed)
    x = torch.randn(tokens, 4, generator=generator)
    chosen = torch.randint(-1, experts, (tokens, k), generator=generator)
    gates = torch.rand(tokens, k, generator=generator)
    modules = nn.ModuleList([Times(float(n + 1)) for n in range(experts)])
    expected = torch.stack(
        [
            sum((g * (e + 1) * row for e, g in zip(c, w, strict=True) if e >= 0), 0 * row)
            for row, c, w in zip(x, chosen.tolist(), gates.tolist(), strict=True)
        ]
    )
    assert torch.allclose(run_experts(modules, x, chosen, gates), expected, atol=1e-5)


def test_top_k_then_softmax_equals_softmax_then_renormalise(model, ids):
    trace = mv.record(model, [ids.tolist()])
    everything = torch.from_numpy(trace.router_logits).softmax(-1)
    taken = everything.gather(2, torch.from_numpy(trace.experts.astype("int64")))
    assert torch.allclose(
        torch.from_numpy(trace.gates), taken / taken.sum(-1, keepdim=True), atol=1e-6
    )


def test_other_experts_share_by_their_scores_and_unused_slots_get_nothing():
    """Scores 1, 3, 2: experts 2 and 0 get e² and e over their sum; without a rival, all."""
    scores, experts = torch.tensor([[1.0, 3.0, 2.0]] * 3), torch.tensor([[1, 2]] * 3)
    routing = Routing(0, scores, experts, torch.rand(3, 2), TokenIndex.of_prompts([3]))
    changed = routing.with_experts(torch.tensor([[2, 0], [1, -1], [-1, -1]]))
    expected = torch.tensor([[0.7310586, 0.2689414], [1, 0], [0, 0]])
    assert torch.allclose(changed.gates, expected)


def test_hooks_run_in_order_each_on_its_predecessors_result(model, ids):
    swap = lambda r: r.with_experts(r.experts.flip(1))  # noqa: E731
    seen = []
    keep = seen.append
    with model.router_hooks(keep, swap), model.router_hooks(keep, swap), model.router_hooks(keep):
        model(ids)
    chosen, swapped, back = seen[:3]  # of the first layer
    assert torch.equal(chosen.experts, chosen.logits.topk(2).indices)
    assert torch.equal(swapped.experts, chosen.experts.flip(1))
    assert torch.equal(swapped.gates, chosen.gates.flip(1))
    assert torch.equal(back.experts, chosen.experts)


def test_hooks_detach_also_after_an_error(model, ids):
    calls = []

    def fail(routing: Routing) -> None:
        calls.append(routing.layer)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError), model.router_hooks(fail):
        model(ids)
    assert calls == [0]
    model(ids)
    assert calls == [0]
    assert model.attached.hooks == ()


def test_what_a_hook_returns_is_what_is_executed_and_recorded(model, ids):
    def all_to_three(routing: Routing) -> Routing:
        return routing.with_experts(torch.full_like(routing.experts[:, :1], 3))

    ran = [
        layer.moe.experts[e].register_forward_hook(lambda *_, e=e: used.add(e))
        for layer in model.layers
        for e in range(8)
    ]
    used: set[int] = set()
    with model.router_hooks(all_to_three):
        trace = mv.record(model, [ids.tolist()])
    for handle in ran:
        handle.remove()
    assert used == {3}
    assert (trace.experts[:, :, 0] == 3).all()
    assert (trace.experts[:, :, 1] == -1).all()
    assert (trace.gates[:, :, 0] == 1).all()


def test_a_hook_that_changes_nothing_changes_nothing(model, ids):
    with model.router_hooks(lambda routing: dataclasses.replace(routing)):
        assert torch.equal(model(ids), plain := model(ids))
    assert torch.equal(model(ids), plain)


def test_more_experts_than_the_model_chooses_are_recorded(model, ids):
    with model.router_hooks(lambda r: r.with_experts(r.logits.topk(5).indices)):
        trace = mv.record(model, [ids.tolist()])
    assert trace.experts.shape[2] == 5
    assert torch.allclose(torch.from_numpy(trace.gates).sum(-1), torch.ones(3, len(ids)))


@pytest.mark.parametrize("batch", [3, 65_536])
def test_hooks_see_which_tokens_they_are_given(monkeypatch, batch):
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", batch)
    model = random_model()
    model.chunk = 4
    rows = []
    with model.router_hooks(lambda r: rows.append(r) if r.layer == 1 else None):
        mv.record(model, [[1, 2, 3], [4, 5, 6, 7]])
    join = lambda name: torch.cat([getattr(r, name) for r in rows]).tolist()  # noqa: E731
    assert join("tokens") == [0, 1, 2, 3, 4, 5, 6]
    assert join("prompt") == [0, 0, 0, 1, 1, 1, 1]
    assert join("position") == [0, 1, 2, 0, 1, 2, 3]
    assert join("generated") == [False] * 7


def test_plain_torch_hooks_on_routers_work_too(model, ids):
    shapes = []
    handle = model.layers[2].moe.router.register_forward_hook(
        lambda module, args, out: shapes.append((tuple(args[0].shape), tuple(out.shape)))
    )
    model(ids)
    handle.remove()
    assert shapes == [((57, 48), (57, 8))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.logits, "Tensor"),
        (lambda r: dataclasses.replace(r, experts=r.experts[:3]), "shape"),
        (lambda r: dataclasses.replace(r, experts=r.experts + 8), "−1"),
        (lambda r: dataclasses.replace(r, experts=r.experts - 9), "−1"),
        (lambda r: dataclasses.replace(r, experts=r.experts.float()), "int64"),
        (lambda r: dataclasses.replace(r, gates=r.gates.double()), "float32"),
        (lambda r: dataclasses.replace(r, logits=r.logits[:, :4]), "logits"),
    ],
)
def test_impossible_decisions_are_refused(model, ids, change, message):
    with pytest.raises(HookError, match=message), model.router_hooks(change):
        model(ids)
