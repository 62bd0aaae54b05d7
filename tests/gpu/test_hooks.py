# SPDX-License-Identifier: Apache-2.0
"""Router hooks on an accelerator: what they change is executed there as on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import moe_viz as mv
from moe_viz.errors import HookError
from moe_viz.routing import Routing
from tests.conftest import small_config

from .agreement import LENGTHS, assert_same_trace, close, exact, same

L = small_config().layers


def next_expert(routing: Routing) -> Routing:
    return routing.with_experts((routing.experts + 1) % 8)


def drop_expert_3(routing: Routing) -> Routing:
    dropped = routing.experts == 3
    return replace(
        routing,
        experts=routing.experts.masked_fill(dropped, -1),
        gates=routing.gates.masked_fill(dropped, 0.0),
    )


def drop_all_in_layer_1(routing: Routing) -> Routing | None:
    if routing.layer == 1:
        return replace(
            routing,
            experts=torch.full_like(routing.experts, -1),
            gates=torch.zeros_like(routing.gates),
        )
    return None


def three_experts(routing: Routing) -> Routing:
    return routing.with_experts(routing.logits.topk(3).indices)


def later_tokens_to_expert_5(routing: Routing) -> Routing:
    late = (routing.position > 4) & (routing.prompt != 1) & (routing.tokens % 2 == 0)
    forced = torch.full_like(routing.experts[:, :1], 5)
    return routing.with_experts(torch.where(late[:, None], forced, routing.experts[:, :1]))


HOOKS = [next_expert, drop_expert_3, drop_all_in_layer_1, three_experts, later_tokens_to_expert_5]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_changed_routing_is_executed_as_on_the_cpu(hook, cpu, there, device, ids, prompts):
    logits, traces = [], []
    for model in (there, cpu):
        with model.router_hooks(hook):
            logits.append(model(ids, LENGTHS))
            traces.append(mv.record(model, prompts))
    assert same(logits[0], logits[1], device)
    assert_same_trace(traces[0], traces[1], exact(device))
    assert not close(logits[0], there(ids, LENGTHS))  # the hook did something, and is gone


def test_a_hook_sees_tensors_of_the_device(there, device, ids):
    seen = []
    with there.router_hooks(seen.append):
        there(ids, LENGTHS)
    assert [routing.layer for routing in seen] == list(range(L))
    for routing in seen:
        fields = (routing.logits, routing.experts, routing.gates, routing.tokens, routing.prompt)
        where = {t.device for t in (*fields, routing.position, routing.generated)}
        assert where == {device}


def test_an_expert_that_is_not_there_is_refused_on_the_host(there, ids):
    def ninth(routing: Routing) -> Routing:
        return replace(routing, experts=torch.full_like(routing.experts, 8))

    with there.router_hooks(ninth), pytest.raises(HookError, match="must lie in"):
        there(ids)


def test_a_decision_that_lies_elsewhere_is_refused(there, device, ids):
    def on_the_host(routing: Routing) -> Routing:
        return replace(routing, experts=routing.experts.cpu())

    with there.router_hooks(on_the_host), pytest.raises(HookError, match=f"on {device}"):
        there(ids)
