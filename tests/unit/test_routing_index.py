# SPDX-License-Identifier: Apache-2.0
"""Which tokens hooks are told they see, in every way of running a model; against plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import moe_viz as mv
from moe_viz.model import KVCache
from moe_viz.routing import Routing, TokenIndex
from tests import writers
from tests.conftest import random_model, small_config

FIELDS = ("tokens", "prompt", "position", "generated")
Row = tuple[int, int, int, bool]


def rows_of(index: TokenIndex | Routing) -> list[Row]:
    """Token, prompt, position, generated: one tuple a token."""
    return list(zip(*(getattr(index, name).tolist() for name in FIELDS), strict=True))


def told(calls: list[Routing], layer: int) -> list[list[Row]]:
    return [rows_of(call) for call in calls if call.layer == layer]


def expected(lengths, past=None, first_token=0, first_prompt=0, generated=False) -> list[Row]:
    rows = []
    for n, length in enumerate(lengths):
        for i in range(length):
            token = first_token + len(rows)
            rows.append((token, first_prompt + n, (past[n] if past else 0) + i, generated))
    return rows


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=5),
    st.integers(0, 50),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
)
def test_an_index_is_a_loop_over_prompts(prompts, token, prompt, generated, behind):
    lengths, past = zip(*prompts, strict=True)
    past = list(past) if behind else None
    index = TokenIndex.of_prompts(list(lengths), past, token, prompt, generated)
    rows = expected(lengths, past, token, prompt, generated)
    assert rows_of(index) == rows
    assert [getattr(index, name).dtype for name in FIELDS] == [torch.int64] * 3 + [torch.bool]
    for part in (slice(1, 4), slice(None), slice(len(rows) - 1, None), slice(0, 1)):
        assert rows_of(index[part]) == rows[part]
    assert rows_of(index.to(torch.device("cpu"))) == rows


def test_a_routing_hands_on_its_index_and_its_scores():
    index = TokenIndex.of_prompts([2, 1], [0, 5], 10, 3, True)
    logits, experts, gates = torch.randn(3, 4), torch.ones(3, 2).long(), torch.rand(3, 2)
    routing = Routing(2, logits, experts, gates, index)
    assert all(getattr(routing, name) is getattr(index, name) for name in FIELDS)
    assert routing.scores is logits
    assert Routing(2, logits, experts, gates, index, altered=-logits).scores.equal(-logits)


def test_other_experts_go_by_what_was_altered():
    """Logits say 1, altered scores say 0; gates e² and e over their sum."""
    index = TokenIndex.of_prompts([1])
    logits, altered = torch.tensor([[0.0, 9.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    routing = Routing(0, logits, torch.tensor([[1]]), torch.ones(1, 1), index, altered)
    changed = routing.with_experts(torch.tensor([[0, 2, -1]]))
    assert changed.gates[0].tolist() == pytest.approx([0.7310586, 0.2689414, 0])
    assert changed.experts.tolist() == [[0, 2, -1]]
    assert changed.logits is logits
    assert changed.altered is altered
    assert changed.index is index


# ---- In every way of running a model -------------------------------------------------------------

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8], [9, 9]]
LENGTHS = [3, 1, 4, 2]


@pytest.fixture
def calls(model) -> Iterator[list[Routing]]:
    seen: list[Routing] = []
    with model.router_hooks(seen.append):
        yield seen


def test_in_a_plain_pass(model, calls):
    model(torch.tensor([i for ids in PROMPTS for i in ids]), LENGTHS)
    assert [call.layer for call in calls] == [0, 1, 2]
    for layer in range(3):
        assert told(calls, layer) == [expected(LENGTHS)]


def test_behind_a_cache_positions_go_on(model, calls):
    cache = KVCache()
    model(torch.tensor([1, 2, 3, 4, 5]), [2, 3], cache=cache)
    model(torch.tensor([6, 7, 8]), [2, 1], cache=cache)
    for layer in range(3):
        assert told(calls, layer) == [expected([2, 3]), expected([2, 1], [2, 3])]


def test_an_index_given_is_the_index_seen(model, calls):
    index = TokenIndex.of_prompts([3], [40], 100, 7, True)
    model(torch.tensor([1, 2, 3]), index=index)
    assert all(call.index is index for call in calls)


def test_in_a_recording(model, calls):
    mv.record(model, PROMPTS)
    for layer in range(3):
        assert told(calls, layer) == [expected(LENGTHS)]


@pytest.mark.parametrize("chunk", [1, 3, 4, 10])
def test_in_chunks(chunk):
    model, seen = random_model(), []
    model.chunk = chunk
    with model.router_hooks(seen.append):
        mv.record(model, PROMPTS)
    rows = expected(LENGTHS)
    for layer in range(3):
        assert told(seen, layer) == [rows[n : n + chunk] for n in range(0, 10, chunk)]


def test_in_batches_layer_after_layer(monkeypatch, model, calls):
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", 4)
    mv.record(model, PROMPTS)
    batches = [expected(LENGTHS)[a:b] for a, b in pairwise((0, 4, 8, 10))]
    for layer in range(3):
        assert told(calls, layer) == batches
    assert [call.layer for call in calls] == [0, 1, 2] * 3


def test_while_generating(model, calls):
    mv.generate(model, [5, 6, 7], max_new_tokens=3)
    steps = [expected([3]), *([(n, 0, n, True)] for n in (3, 4, 5))]
    for layer in range(3):
        assert told(calls, layer) == steps
    assert [call.layer for call in calls] == [0, 1, 2] * 4


def test_in_a_stream(tmp_path):
    config = small_config(vocab_size=8192, hidden_size=64, expert_size=96)
    folder = writers.hugging_face_4(random_model(config), tmp_path)
    model, seen = mv.load(folder, placement="stream"), []
    with model.router_hooks(seen.append):
        mv.record(model, PROMPTS)
    assert [call.layer for call in seen] == [0, 1, 2]
    for layer in range(3):
        assert told(seen, layer) == [expected(LENGTHS)]


def test_the_tensors_have_the_shapes_and_types_they_are_said_to_have(model, calls):
    mv.generate(model, [5, 6, 7], max_new_tokens=2)
    for call in calls:
        T = len(call.tokens)
        assert call.logits.shape == (T, 8)
        assert call.experts.shape == call.gates.shape == (T, 2)
        kinds = [t.dtype for t in (call.logits, call.experts, call.gates)]
        assert kinds == [torch.float32, torch.int64, torch.float32]
        assert call.altered is None
        assert torch.equal(call.experts, call.logits.argsort(1, descending=True)[:, :2])
        assert torch.allclose(call.gates, call.logits.gather(1, call.experts).softmax(1))


def test_hooks_attached_later_run_later_and_leave_alone(model):
    order: list[str] = []
    note = lambda name: lambda r: order.append(name) if r.layer == 0 else None  # noqa: E731
    with model.router_hooks(note("a"), note("b")):
        with model.router_hooks(note("c")):
            model(torch.tensor([1]))
            assert order == ["a", "b", "c"]
        order.clear()
        model(torch.tensor([1]))
        assert order == ["a", "b"]
    order.clear()
    model(torch.tensor([1]))
    assert order == []
    assert model.attached.hooks == ()


def test_the_recorder_runs_last(model):
    one = lambda r: r.with_experts(r.experts[:, :1])  # noqa: E731
    with model.router_hooks(one):
        trace = mv.record(model, [[1, 2]])
    assert (trace.experts[:, :, 1] == -1).all()
