# SPDX-License-Identifier: Apache-2.0
"""bf16 and fp16 against transformers' Mixtral in the same dtype, module by module, then whole.

Where both round at the same places, nearly every number is the same to the last bit: float32 sums
in another order move one in thousands across a boundary. Where they do not, the oracle is
transformers in float64 on the same weights: ours must be as near to it as transformers' own is.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers.models.mixtral import modeling_mixtral as theirs_module

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.model.layers import Pass, rotate, rotation
from moe_viz.routing import TokenIndex
from tests.conftest import random_model, small_config

from .test_transformers import relative, theirs_from

DTYPES = [torch.bfloat16, torch.float16]
T = 61
#: Every expert of four is chosen: nothing hangs on how close a choice was.
ALL_CHOSEN = {"experts": 4, "experts_per_token": 4}


@pytest.fixture(scope="module", params=DTYPES, ids=lambda d: str(d).removeprefix("torch."))
def models(request, tmp_path_factory):
    """Ours and transformers' in half precision, and transformers' in float64: the same weights."""
    config = small_config(hidden_size=64, norm_eps=1e-3, **ALL_CHOSEN)
    ours = random_model(config, scale=5.0).to(request.param)
    folder = tmp_path_factory.mktemp("half")
    save_checkpoint(ours, folder, dtype=request.param)
    theirs, exact = theirs_from(folder, request.param), theirs_from(folder, torch.float64)
    with torch.inference_mode():
        yield ours, theirs, exact


@pytest.fixture
def x(models) -> Tensor:
    """Hidden states of which some tokens are small: there epsilon counts."""
    sizes = torch.logspace(-2, 1, T)[:, None]
    return (sizes * torch.randn(T, 64, generator=torch.manual_seed(4))).to(models[0].dtype)


def bits_agree(ours: Tensor, theirs: Tensor, share: float) -> None:
    """So large a share of equal numbers, and the others one unit in the last place apart."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    found = (ours == theirs).float().mean().item()
    assert found >= share
    ulp = torch.finfo(ours.dtype).eps * theirs.abs().float().clamp(min=1e-3)
    assert ((ours.float() - theirs.float()).abs() <= ulp).all()


def as_near(ours: Tensor, theirs: Tensor, exact: Tensor, slack: float = 1.2) -> None:
    """Ours is as near to float64 as theirs, which is nearly as near as the dtype allows."""
    assert ours.dtype == theirs.dtype
    assert relative(theirs, exact) < 40 * torch.finfo(theirs.dtype).eps
    assert relative(ours, exact) <= slack * relative(theirs, exact)


@pytest.mark.parametrize("name", ["attention_norm", "moe_norm"])
def test_rmsnorm_rounds_before_it_weighs(models, x, name):
    ours, theirs, _ = models
    name_there = {"attention_norm": "input_layernorm", "moe_norm": "post_attention_layernorm"}
    for ours_layer, theirs_layer in zip(ours.layers, theirs.model.layers, strict=True):
        norm, norm_there = getattr(ours_layer, name), getattr(theirs_layer, name_there[name])
        bits_agree(norm(x), norm_there(x), 0.998)
        # What would not do, so that this test can fail: weights before the rounding.
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + ours.config.norm_eps)
        early = (h * norm.weight.float()).to(x.dtype)
        assert (early == norm_there(x)).float().mean() < 0.9


def test_the_final_norm_and_the_head(models, x):
    ours, theirs, exact = models
    bits_agree(ours.norm(x), theirs.model.norm(x), 0.998)
    h = theirs.model.norm(x)
    as_near(ours.head(h), theirs.lm_head(h), exact.lm_head(h.double()))


def test_the_angles_are_rounded_once(models):
    ours, theirs, _ = models
    positions, d = torch.arange(0, 256, 3), ours.config.head_dim
    cos, sin = rotation(positions, d, ours.config.rope_theta, ours.dtype)
    cos_there, sin_there = theirs.model.rotary_emb(
        torch.zeros(1, dtype=ours.dtype), positions[None]
    )
    for mine, other in ((cos[:, 0], cos_there[0]), (sin[:, 0], sin_there[0, :, : d // 2])):
        assert mine.dtype == other.dtype
        assert (mine == other).float().mean() > 0.99
        assert torch.allclose(mine.float(), other.float(), atol=torch.finfo(ours.dtype).eps)


def test_turning_is_as_exact_as_theirs(models):
    ours, theirs, exact = models
    config, positions = ours.config, torch.arange(T)
    q = torch.randn(T, config.heads, config.head_dim, generator=torch.manual_seed(6)).to(ours.dtype)
    turned = rotate(q, *rotation(positions, config.head_dim, config.rope_theta, ours.dtype))

    def there(model, q: Tensor) -> Tensor:
        cos, sin = model.model.rotary_emb(q[:0], positions[None])
        q = q.transpose(0, 1)[None]
        return theirs_module.apply_rotary_pos_emb(q, q, cos, sin)[0][0].transpose(0, 1)

    as_near(turned, there(theirs, q), there(exact, q.double()))


def test_attention(models, x):
    ours, theirs, exact = models
    config, index = ours.config, TokenIndex.of_prompts([T])
    turns = rotation(index.position, config.head_dim, config.rope_theta, ours.dtype)
    run = Pass([T], index, turns, chunk=T)

    def there(model, n: int, x: Tensor) -> Tensor:
        cos_sin = model.model.rotary_emb(x[None], index.position[None])
        mask = torch.full((T, T), -torch.inf, dtype=x.dtype).triu(1)[None, None]
        return model.model.layers[n].self_attn(x[None], cos_sin, mask)[0][0]

    h = ours.layers[0].attention_norm(x)
    for n, layer in enumerate(ours.layers):
        as_near(layer.attention(h, run), there(theirs, n, h), there(exact, n, h.double()))


def test_routers_score_in_float32_what_theirs_score_in_half(models, x):
    ours, theirs, exact = models
    h = ours.layers[0].moe_norm(x)
    for n, layer in enumerate(ours.layers):
        logits = layer.moe.router(h)
        scores = [m.model.layers[n].mlp.gate for m in (theirs, exact)]
        half, full = scores[0](h)[0], scores[1](h.double())[0]
        assert logits.dtype == torch.float32
        assert relative(logits, full) < 1e-6
        bits_agree(logits.to(half.dtype), half, 0.9)


def test_gates_of_the_same_scores(models, x):
    """Their softmax over all, renormalised, is our softmax over the chosen."""
    ours, theirs, _ = models
    h = ours.layers[1].moe_norm(x)
    routing = ours.layers[1].moe.route(h, TokenIndex.of_prompts([T]))
    gate = theirs.model.layers[1].mlp.gate.float()
    _, weights, chosen = gate(h.float())
    gate.to(ours.dtype)
    assert torch.equal(routing.experts, chosen)
    assert routing.gates.dtype == torch.float32
    assert torch.allclose(routing.gates, weights, atol=1e-6)


def test_each_expert(models, x):
    ours, theirs, exact = models
    h = ours.layers[2].moe_norm(x)
    for e, expert in enumerate(ours.layers[2].moe.experts):
        there = []
        for model, given in ((theirs, h), (exact, h.double())):
            experts = model.model.layers[2].mlp.experts
            alone = torch.full((T, 1), e), torch.ones(T, 1, dtype=given.dtype)
            there.append(experts(given, *alone))
        as_near(expert(h), *there)


@pytest.mark.parametrize("tokens", [1, T])
def test_the_mixture(models, x, tokens):
    ours, theirs, exact = models
    h = ours.layers[0].moe_norm(x[:tokens] if tokens > 1 else x[-1:])
    index = TokenIndex.of_prompts([tokens])
    for n, layer in enumerate(ours.layers):
        there = [m.model.layers[n].mlp for m in (theirs, exact)]
        slack = 1.2 if tokens > 1 else 1.5  # of a single token there are few numbers
        as_near(layer.moe(h, index), there[0](h[None])[0], there[1](h.double()[None])[0], slack)


def test_the_whole_model_layer_by_layer(models):
    ours, theirs, exact = models
    ids = torch.randint(0, ours.config.vocab_size, (T,), generator=torch.manual_seed(8))
    states = [x for _, x in ours.sweep(ids, [T])]
    asked = {"output_hidden_states": True, "output_router_logits": True}
    said, full = (m(ids[None], **asked) for m in (theirs, exact))
    assert torch.equal(ours.embedding(ids), said.hidden_states[0][0])
    for n, x in enumerate(states[:-1], start=1):  # the last of theirs is behind the norm
        as_near(x, said.hidden_states[n][0], full.hidden_states[n][0])
    as_near(ours(ids), said.logits[0], full.logits[0])
    trace = mv.record(ours, [ids.tolist()])
    router = torch.stack([r.double() for r in full.router_logits])
    near = torch.stack([r.double() for r in said.router_logits])
    assert relative(torch.from_numpy(trace.router_logits), router) <= 1.2 * relative(near, router)
