# SPDX-License-Identifier: Apache-2.0
"""Families that are heard at the router: what is stored is what their experts did.

The layer's output is worked out anew from the stored experts and gates and from the weights, expert
by expert, and compared with what the layer gave.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import CheckpointError, NumberError
from moe_viz.guests.guest import Guest

from . import tiny

#: Ragged: which rows are padding matters.
PROMPTS = [list(range(3, 3 + n)) for n in (65, 1, 17)]


def llama4(block: Any, x: torch.Tensor, expert: int, gate: torch.Tensor) -> torch.Tensor:
    """The gate multiplies what goes in."""
    inner, up = (gate * x @ block.experts.gate_up_proj[expert]).chunk(2, dim=-1)
    return (up * block.experts.act_fn(inner)) @ block.experts.down_proj[expert]


def jetmoe(block: Any, x: torch.Tensor, expert: int, gate: torch.Tensor) -> torch.Tensor:
    inner, up = (x @ block.input_linear.weight[expert].T).chunk(2, dim=-1)
    return gate * ((block.activation(inner) * up) @ block.output_linear.weight[expert].T)


def beside(block: Any, x: torch.Tensor) -> torch.Tensor:
    """What a layer adds for every token."""
    return block.shared_expert(x) if hasattr(block, "shared_expert") else block.bias


@pytest.mark.parametrize("change", [{}, {"top_k": 1}, {"uniform_gates": True}, {"ablate": True}])
@pytest.mark.parametrize(("name", "expert_of"), [("llama4_text", llama4), ("jetmoe", jetmoe)])
def test_a_layer_s_output_follows_from_what_is_stored(
    name: str, expert_of: Any, change: dict[str, Any]
):
    model = tiny.build(name)
    one = Guest(model)
    modules, seen = dict(model.named_modules()), {}
    paths = {id(module): path for path, module in modules.items()}
    blocks: dict[int, Any] = {
        m.layer: modules[paths[id(m.place)].rpartition(".")[0]] for m in one.mixtures
    }
    if change.get("ablate"):
        change = {"ablate": [(layer, e) for layer in blocks for e in (0, 3)]}
    for layer, block in blocks.items():
        block.register_forward_hook(
            lambda _m, args, out, layer=layer: seen.setdefault(layer, []).append((args[0], out))
        )
    with mv.intervene(one, **change) if change else nullcontext():
        traces = [mv.record(one, [ids]) for ids in PROMPTS]
        calls = {layer: list(found) for layer, found in seen.items()}
        together = mv.record(one, PROMPTS)
    for n, (trace, ids) in enumerate(zip(traces, PROMPTS, strict=True)):
        part = together.select(prompt=n)
        assert np.array_equal(np.sort(part.experts), np.sort(trace.experts))
        for row, layer in enumerate(trace.layers):
            (given, out), block = calls[layer][n], blocks[layer]
            x = given.reshape(len(ids), -1)
            with torch.inference_mode():
                made = beside(block, x).expand(len(ids), -1).clone()
                for e in range(trace.expert_count):
                    tokens, slots = np.nonzero(trace.experts[row] == e)
                    gates = torch.tensor(trace.gates[row, tokens, slots])[:, None]
                    made.index_add_(0, torch.tensor(tokens), expert_of(block, x[tokens], e, gates))
            whole = (out[0] if isinstance(out, tuple) else out).reshape(len(ids), -1)
            torch.testing.assert_close(whole, made, atol=1e-5, rtol=1e-4)
    if "ablate" in change:
        assert not np.isin(together.experts, [0, 3]).any()


def test_a_pass_that_goes_past_a_layer_is_no_trace():
    """As kernels that do a whole block at once: the router's and experts' modules never run."""
    one = Guest(tiny.build("olmoe"))
    before = mv.record(one, PROMPTS)
    block: Any = one.hf.get_submodule("model.layers.1.mlp")
    plain, block.forward = block.forward, lambda x: x
    with pytest.raises(CheckpointError, match=r"Layers 1: nothing was heard .* dequantised"):
        mv.record(one, PROMPTS)
    with pytest.raises(CheckpointError, match="nothing was heard"):
        mv.generate(one, PROMPTS[0], max_new_tokens=2)
    block.forward = plain
    assert np.array_equal(mv.record(one, PROMPTS).experts, before.experts)


def test_experts_that_run_without_their_router_are_no_trace():
    one = Guest(tiny.build("olmoe"))
    block: Any = one.hf.get_submodule("model.layers.2.mlp")
    index, weights = torch.zeros(65, 1, dtype=torch.long), torch.ones(65, 1)
    block.forward = lambda x: block.experts(x.reshape(65, -1), index, weights).reshape(x.shape)
    with pytest.raises(CheckpointError, match="Layer 2: the experts ran before the router"):
        mv.record(one, PROMPTS[:1])


def test_numbers_that_are_none_stop_the_recording():
    model: Any = tiny.build("olmoe")
    with torch.no_grad():
        model.model.layers[1].mlp.gate.weight[3, 0] = torch.nan
    with pytest.raises(NumberError, match=r"olmoe, layer 1: the router's logits are NaN"):
        mv.record(Guest(model), PROMPTS)
