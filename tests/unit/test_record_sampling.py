# SPDX-License-Identifier: Apache-2.0
"""Sampled tokens are pinned: a release that draws otherwise changes everybody's results."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import moe_viz as mv
from moe_viz.recording.generation import choose

LOGITS = [0.5, 2.0, -1.0, 1.5, 0.0, 3.0, 2.5, -2.0]


def drawn(logits: list[float], temperature: float, top_p: float, lots: np.ndarray) -> int:
    """Top-p sampling in plain numbers: the race of exponential clocks, each at its token's rate.

    `lots` are exponential variates, one for each rank; the first clock to ring is drawn.
    """
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    shares = [w / sum(weights) for w in weights]
    ranking = sorted(range(len(logits)), key=lambda i: -shares[i])
    inside, before = [], 0.0
    for token in ranking:
        if before >= top_p:
            break
        inside.append(token)
        before += shares[token]
    times = [float(lots[rank]) / shares[token] for rank, token in enumerate(inside)]
    return inside[times.index(min(times))]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=30, unique=True),
    st.sampled_from([0.01, 0.3, 1.0, 2.5]),
    st.sampled_from([1e-6, 0.35, 0.8, 0.95, 1.0]),
    st.integers(0, 2**40),
)
def test_a_draw_is_the_plain_one_from_the_same_lots(tenths, temperature, top_p, seed):
    logits = [n / 10 for n in tenths]
    lots = torch.empty(len(logits)).exponential_(generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    found = choose(torch.tensor(logits), temperature, top_p, generator)
    assert found == drawn(logits, temperature, top_p, lots.numpy())


PINNED = [
    (0, 1.0, 1.0, [1, 6, 6, 5, 5, 6, 3, 1, 6, 1, 5, 6, 5, 5, 3, 1]),
    (7, 1.0, 1.0, [5, 1, 5, 0, 3, 5, 1, 6, 1, 5, 0, 5, 3, 6, 6, 3]),
    (7, 0.5, 1.0, [5, 1, 5, 5, 5, 5, 1, 5, 5, 5, 0, 5, 5, 5, 5, 3]),
    (7, 1.0, 0.8, [5, 1, 5, 6, 5, 5, 1, 6, 1, 5, 6, 5, 1, 6, 6, 1]),
]


@pytest.mark.parametrize(("seed", "temperature", "top_p", "tokens"), PINNED)
def test_these_seeds_draw_these_tokens(seed, temperature, top_p, tokens):
    generator, logits = torch.Generator().manual_seed(seed), torch.tensor(LOGITS)
    assert [choose(logits, temperature, top_p, generator) for _ in range(16)] == tokens


@pytest.mark.parametrize("temperature", [0.5, 1.3])
@pytest.mark.parametrize("top_p", [0.7, 1.0])
def test_generating_draws_each_token_in_turn(model, temperature, top_p):
    """Every step from the logits of a whole new pass, with the lots that come next."""
    found = mv.generate(model, [5, 6], 12, temperature=temperature, top_p=top_p, seed=11)
    generator, ids = torch.Generator().manual_seed(11), [5, 6]
    for _ in range(12):
        logits = model(torch.tensor(ids), logits="last")[0]
        lots = torch.empty(len(logits)).exponential_(generator=generator)
        ids.append(drawn(logits.tolist(), temperature, top_p, lots.numpy()))
    assert found.token_ids == ids[2:]
    assert len(set(found.token_ids)) > 3


def test_the_seed_is_the_only_chance(model):
    torch.manual_seed(1)
    first = mv.generate(model, [5], 8, temperature=1.0, seed=3).token_ids
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = mv.generate(model, [5], 8, temperature=1.0, seed=3).token_ids
    assert first == again
    mv.generate(model, [5], 8, temperature=1.0, seed=3)
    torch.set_rng_state(state)
    assert mv.generate(model, [5], 8, temperature=1.0).token_ids != first  # the usual seed is 0


def test_temperature_nought_is_the_first_of_the_likeliest():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert choose(torch.tensor([1.0, 4.0, 4.0, 2.0]), 0.0, 0.1, generator) == 1
    assert torch.equal(generator.get_state(), before)  # and nothing was drawn


NUCLEI = [(0.42, {5}), (0.43, {5, 6}), (0.83, {1, 5, 6}), (0.84, {1, 3, 5, 6})]


@pytest.mark.parametrize(("top_p", "tokens"), NUCLEI)
def test_the_nucleus_is_the_smallest_that_holds_top_p(top_p, tokens):
    """Tokens 5, 6, 1, 3 are the likeliest; together they hold .425, .682, .839, .933."""
    shares = sorted((math.exp(x) for x in LOGITS), reverse=True)
    together = [round(n / sum(shares), 3) for n in accumulate(shares[:4])]
    assert together == [0.425, 0.682, 0.839, 0.933]
    generator = torch.Generator().manual_seed(0)
    assert {choose(torch.tensor(LOGITS), 1.0, top_p, generator) for _ in range(400)} == tokens
