# SPDX-License-Identifier: Apache-2.0
"""Loads of experts: worked by hand, and against plain counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_viz.analysis.load import load_shares
from moe_viz.trace import Trace, TracePrompt
from moe_viz.trace.provenance import Provenance


def trace_of(experts, E: int, special=(), prompts=None) -> Trace:
    """A trace in which only the choices matter: `experts` is (L, T, k)."""
    experts = np.array(experts, np.int16)
    L, T, _ = experts.shape
    return Trace(
        router_logits=np.zeros((L, T, E), np.float32),
        experts=experts,
        gates=np.zeros(experts.shape, np.float32),
        token_ids=np.zeros(T, np.int32),
        tokens=["x"] * T,
        spans=np.zeros((T, 2), np.int32),
        special=np.isin(np.arange(T), special),
        generated=np.zeros(T, bool),
        prompts=prompts or (TracePrompt("x" * T, "", 0, T),),
        provenance=Provenance("by hand"),
        layers=tuple(range(L)),
    )


def test_both_choices_of_every_token_count():
    layer = [[0, 1], [0, 2], [0, 1]]  # 6 assignments: three to 0, two to 1, one to 2
    shares, tokens = load_shares(trace_of([layer], E=4))
    assert shares.tolist() == [[3 / 6, 2 / 6, 1 / 6, 0]]
    assert tokens == 3


def test_layers_are_never_pooled():
    shares, _ = load_shares(trace_of([[[0], [0]], [[1], [0]]], E=2))
    assert shares.tolist() == [[1, 0], [0.5, 0.5]]


def test_special_tokens_are_left_out():
    shares, tokens = load_shares(trace_of([[[7, 6], [0, 1], [0, 2]]], E=8, special=[0]))
    assert shares.tolist() == [[0.5, 0.25, 0.25, 0, 0, 0, 0, 0]]
    assert tokens == 2


def test_unused_slots_are_no_assignments():
    shares, tokens = load_shares(trace_of([[[2, -1], [2, 0], [-1, -1]]], E=3))
    assert shares.tolist() == [[1 / 3, 0, 2 / 3]]
    assert tokens == 3


@pytest.mark.parametrize("special", [[], [0, 1]], ids=["all unused", "all special"])
def test_nothing_to_count_is_zero_and_no_warning(special):
    experts = [[[0], [1]]] if special else [[[-1], [-1]]]
    shares, tokens = load_shares(trace_of(experts, E=2, special=special))
    assert shares.tolist() == [[0, 0]]
    assert tokens == 2 - len(special)


def test_labels_are_counted_apart():
    prompts = (TracePrompt("ab", "en", 0, 2), TracePrompt("c", "de", 2, 3))
    trace = trace_of([[[0], [0], [1]]], E=2, prompts=prompts)
    assert load_shares(trace.select(label="en"))[0].tolist() == [[1, 0]]
    assert load_shares(trace.select(label="de"))[0].tolist() == [[0, 1]]


@st.composite
def routings(draw):
    """Choices (L, T, k), none twice for a token but some unused; special tokens; and E."""
    E, L, T = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    k = draw(st.integers(1, E))
    token = st.permutations(range(E)).map(lambda order: list(order[:k]))
    slots = st.lists(st.lists(token, min_size=T, max_size=T), min_size=L, max_size=L)
    experts = np.array(draw(slots))
    unused = draw(st.integers(0, 2**experts.size - 1))  # one bit for each slot
    bits = np.array([unused >> n & 1 for n in range(experts.size)]).reshape(experts.shape)
    return np.where(bits, -1, experts), draw(st.lists(st.integers(0, T - 1), unique=True)), E


@settings(max_examples=100, deadline=None)
@given(routings())
def test_shares_add_up_to_one_and_are_what_counting_gives(routing):
    experts, special, E = routing
    shares, tokens = load_shares(trace_of(experts, E, special))
    assert tokens == experts.shape[1] - len(special)
    for layer, found in zip(experts.tolist(), shares, strict=True):
        chosen = Counter(
            e for t, slots in enumerate(layer) if t not in special for e in slots if e != -1
        )
        total = chosen.total()
        assert found.sum() == pytest.approx(1 if total else 0)
        assert found == pytest.approx([chosen[e] / max(total, 1) for e in range(E)])
