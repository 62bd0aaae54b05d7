# SPDX-License-Identifier: Apache-2.0
"""The model's promises: no result depends on how tokens are packed, chunked or cached."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.model import KVCache
from moe_viz.model.layers import rotation
from tests.conftest import random_model, small_config

VOCABULARY = 101


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).norm() <= tolerance * b.norm())


lengths_lists = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(lengths_lists, st.integers(0, 2**31))
def test_packed_prompts_equal_prompts_one_by_one(model, lengths, seed):
    ids = torch.randint(0, VOCABULARY, (sum(lengths),), generator=torch.manual_seed(seed))
    together = model(ids, lengths)
    apart = torch.cat([model(part) for part in ids.split(lengths)])
    assert close(together, apart)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60))
def test_chunked_equals_whole(chunk):
    model = random_model()
    ids = torch.arange(50) % VOCABULARY
    whole = mv.record(model, [ids.tolist()])
    model.chunk = chunk
    chunked = mv.record(model, [ids.tolist()])
    assert close(torch.from_numpy(chunked.router_logits), torch.from_numpy(whole.router_logits))
    clear = whole.margins > 1e-4
    assert (chunked.experts[clear] == whole.experts[clear]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_cached_pieces_equal_one_prefill(model, pieces):
    ids = torch.randint(0, VOCABULARY, (sum(pieces),), generator=torch.manual_seed(7))
    cache = KVCache(capacity=4)  # too small on purpose: it has to grow
    cached = torch.cat([model(part, cache=cache) for part in ids.split(pieces)])
    assert close(cached, model(ids))


def test_a_long_past_is_attended_to_in_blocks(monkeypatch, model, ids):
    monkeypatch.setattr("moe_viz.model.layers.QUERY_BLOCK", 7)
    cache = KVCache()
    cached = torch.cat([model(part, cache=cache) for part in ids.split([20, 37])])
    assert close(cached, model(ids))


def test_cached_prompts_of_different_lengths(model, ids):
    cache = KVCache()
    first, second = ids[:20], ids[20:45]
    model(torch.cat([first[:12], second[:18]]), [12, 18], cache=cache)
    rest = model(torch.cat([first[12:], second[18:]]), [8, 7], cache=cache)
    assert close(rest, torch.cat([model(first)[12:], model(second)[18:]]))


def test_last_logits_are_those_of_each_prompt_s_end(model, ids):
    lengths = [10, 20, 27]
    everything, last = model(ids, lengths), model(ids, lengths, logits="last")
    assert close(last, everything[[9, 29, 56]])
    assert model(ids, lengths, logits="none") is None


def test_the_head_is_computed_only_for_tokens_asked_for(model, ids):
    rows = []
    handle = model.head.register_forward_hook(lambda m, args, out: rows.append(len(args[0])))
    try:
        for logits in ("all", "last", "none"):
            model(ids, [30, 27], logits=logits)
    finally:
        handle.remove()
    assert rows == [57, 2]


def test_the_same_bits_every_time(model, ids):
    assert torch.equal(model(ids), model(ids))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype, ids):
    exact, rounded = random_model(scale=3.0), random_model(scale=3.0).to(dtype)
    assert close(rounded(ids).float(), exact(ids), 0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_routers_score_in_float32_whatever_the_dtype(dtype):
    layer: Any = random_model().to(dtype).layers[0]
    router = layer.moe.router
    x = torch.randn(50, 48, generator=torch.manual_seed(2)).to(dtype)
    scores = router(x)
    assert scores.dtype == torch.float32
    assert close(scores.double(), x.double() @ router.weight.double().T, 1e-6)


def test_rotary_angles_stay_exact_to_the_end_of_the_context():
    """Against float64: bf16 has 8 bits for a position, and would turn most pairs anyhow."""
    cos, sin = rotation(torch.tensor([32_767]), 128, 1e6, torch.bfloat16)
    angles = 32_767 * 1e6 ** -(torch.arange(64).double() / 64)
    assert torch.allclose(cos[0, 0].double(), angles.cos().repeat(2), atol=0.01)
    assert torch.allclose(sin[0, 0].double(), angles.sin(), atol=0.01)


@pytest.mark.parametrize(
    ("ids", "lengths", "message"),
    [
        ([3, VOCABULARY], None, "101"),
        ([-1], None, "-1"),
        ([1, 2, 3], [2, 2], "add up to 4"),
        ([1, 2, 3], [], "at least one prompt"),
        ([1, 2, 3], [3, 0], "at least one token"),
        ([1] * 257, None, "context of 256"),
    ],
)
def test_impossible_inputs_are_refused(model, ids, lengths, message):
    with pytest.raises(InputError, match=message):
        model(torch.tensor(ids), lengths)


def test_wrong_types_are_refused(model):
    with pytest.raises(InputError, match="float32"):
        model(torch.zeros(3))
    with pytest.raises(InputError, match="shape"):
        model(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="everything"):
        model(torch.tensor([1]), logits="everything")


def test_a_cache_does_not_reach_beyond_the_context(model):
    cache = KVCache()
    model(torch.ones(250, dtype=torch.int64), cache=cache)
    with pytest.raises(InputError, match="257"):
        model(torch.ones(7, dtype=torch.int64), cache=cache)


def test_memory_stays_linear_in_tokens():
    """32,768 tokens through layers of 8x7m's size, in less than 4 GB for the whole process."""
    program = textwrap.dedent("""
        import resource, torch, dataclasses
        from moe_viz.config import MixtralConfig
        from moe_viz.model import Mixtral, initialise
        config = dataclasses.replace(MixtralConfig.preset("8x7m"), layers=1, context=32768)
        model = initialise(Mixtral(config), 0).requires_grad_(False)
        with torch.inference_mode():
            model(torch.arange(32768) % 8192, logits="last")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    """)
    peak = int(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    )
    assert peak < 4e9


def test_random_weights_are_the_same_for_the_same_seed_and_say_so():
    a, b, c = (random_model(seed=s, scale=1.0) for s in (1, 1, 2))
    assert torch.equal(a.head.weight, b.head.weight)
    assert not torch.equal(a.head.weight, c.head.weight)
    assert a.provenance.synthetic
    assert "random weights, seed 1" in a.provenance.title


def test_more_experts_per_token_than_two():
    model = random_model(small_config(experts=5, experts_per_token=4))
    trace = mv.record(model, [[1, 2, 3]])
    assert trace.experts.shape == (3, 3, 4)
    assert all(len(set(row)) == 4 for row in trace.experts.reshape(-1, 4).tolist())
