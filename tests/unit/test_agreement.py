# SPDX-License-Identifier: Apache-2.0
"""Agreement of two runs: worked by hand, and against random choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import TraceError
from tests.conftest import random_model
from tests.unit.test_analysis import same

IDS = [[5, 6, 7, 8, 9, 10]]


@pytest.fixture(scope="module")
def trace():
    return mv.record(random_model(), IDS)


def share(found, what) -> float:
    (value,) = found.where(what=what)["share"]
    return value


def with_choices(trace, experts, **changes):
    """One layer, four tokens, the choices given; nothing is special."""
    one = trace.select(layers=[0])
    T = len(experts)
    return replace(
        one,
        experts=np.array([experts], np.int16),
        gates=np.full((1, T, 2), 0.5, np.float32),
        router_logits=changes.pop("logits", one.router_logits[:, :T]),
        token_ids=one.token_ids[:T], tokens=one.tokens[:T], spans=one.spans[:T],
        special=np.zeros(T, bool), generated=one.generated[:T],
        prompts=(replace(one.prompts[0], stop=T),), **changes,
    )  # fmt: skip


def test_a_worked_example(trace):
    a = with_choices(trace, [[0, 1], [2, 3], [4, 5], [6, 7]])
    b = with_choices(trace, [[1, 0], [2, 5], [0, 1], [6, 7]])
    found = mv.compare(a, b)
    assert found["tokens"].tolist() == [4] * 3
    assert share(found, "overlap") == (2 + 1 + 0 + 2) / 2 / 4
    assert share(found, "identical") == 2 / 4
    assert share(found, "first") == 2 / 4  # tokens 1 and 3; token 0 has them in another order
    # Shares of tokens per expert: a has 1/4 each; b has 0, 1: 2/4; 2, 5, 6, 7: 1/4.
    chance = (2 * 0.25 * 0.5 + 4 * 0.25 * 0.25) / 2
    # Sets {0, 1} and {6, 7}: 1/4 in a, and 2/4 and 1/4 in b. First: 0, 6 and 2 1/4 of both.
    same(found["chance"], [chance, 0.25 * 0.5 + 0.25 * 0.25, 3 * 0.25 * 0.25])
    same(found["logit_error"], [0] * 3)
    same(found["margin_changed"], [np.median(a.margins[0][[1, 2]])] * 3)
    same(found["margin"], [np.median(a.margins[0])] * 3)


def test_a_run_agrees_with_itself(trace):
    found = mv.compare(trace, trace)
    assert found["share"].tolist() == [1] * 9
    assert np.isnan(found["margin_changed"]).all()
    assert found.title == f"{trace.provenance.title} and {trace.provenance.title}"


def test_a_constant_added_to_all_logits_is_no_error(trace):
    shifted = replace(trace, router_logits=trace.router_logits + 3)
    assert mv.compare(trace, shifted)["logit_error"].max() < 1e-6


def test_independent_choices_overlap_as_chance_says(trace):
    rng = np.random.default_rng(0)
    T, weights = 4000, np.arange(1, 9) / 36

    def choices():
        keys = rng.exponential(size=(T, 8)) / weights  # weighted, without replacement
        return keys.argsort(1)[:, :2]

    big = {
        "router_logits": rng.normal(size=(1, T, 8)).astype(np.float32),
        "gates": np.full((1, T, 2), 0.5, np.float32), "token_ids": np.arange(T, dtype=np.int32),
        "tokens": ["x"] * T, "spans": np.zeros((T, 2), np.int32), "special": np.zeros(T, bool),
        "generated": np.zeros(T, bool), "layers": (0,),
        "prompts": (replace(trace.prompts[0], stop=T),),
    }  # fmt: skip
    a, b = (replace(trace, experts=choices()[None].astype(np.int16), **big) for _ in range(2))
    found = mv.compare(a, b)
    assert found["share"] == pytest.approx(found["chance"], abs=0.015)
    assert found["chance"][0] > 0.26  # uneven loads share more than k / E = 0.25


def test_unused_slots_are_no_experts(trace):
    a = with_choices(trace, [[0, -1], [2, -1]])
    b = with_choices(trace, [[0, -1], [3, -1]])
    assert share(mv.compare(a, b), "overlap") == 0.5


def test_other_tokens_are_refused(trace):
    with pytest.raises(TraceError, match="same tokens"):
        mv.compare(trace, mv.record(random_model(), [[5, 6, 7, 8, 9, 11]]))
    with pytest.raises(TraceError, match="same tokens"):
        mv.compare(trace, mv.record(random_model(), [[5, 6, 7], [8, 9, 10]]))
    with pytest.raises(TraceError, match="other layers"):
        mv.compare(trace, trace.select(layers=[0, 1]))
    with pytest.raises(TraceError, match="other layers"):  # as many, and not the same ones
        mv.compare(trace.select(layers=[0, 2]), trace.select(layers=[0, 1]))
