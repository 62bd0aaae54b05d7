# SPDX-License-Identifier: Apache-2.0
"""Joined traces: every field end to end, prompts moved along, and nothing joined that differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import TraceError
from moe_viz.trace import Trace, TracePrompt

from .handmade import ARRAYS, PER_LAYER, handmade, losses

PARTS = [
    handmade((3, 2), "ab", seed=1, interventions=("top-1",)),
    handmade((1,), "a", seed=2, interventions=("top-1",)),
    handmade((2, 4, 1), "cab", seed=3, interventions=("top-1",)),
]


@pytest.mark.parametrize("name", ARRAYS)
def test_each_array_is_the_parts_token_by_token(name):
    joined = getattr(Trace.join(PARTS), name)
    rows = [(part, t) for part in PARTS for t in range(len(part))]
    assert joined.shape[1 if name in PER_LAYER else 0] == len(rows) == 13
    assert joined.dtype == ARRAYS[name]
    for n, (part, t) in enumerate(rows):
        array = getattr(part, name)
        found, expected = (
            (joined[:, n], array[:, t]) if name in PER_LAYER else (joined[n], array[t])
        )
        assert np.array_equal(found, expected, equal_nan=name == "loss")


def test_tokens_labels_and_prompts_move_along():
    joined = Trace.join(PARTS)
    assert joined.tokens == [token for part in PARTS for token in part.tokens]
    texts = [prompt.text for part in PARTS for prompt in part.prompts]
    places = [(0, 3), (3, 5), (5, 6), (6, 8), (8, 12), (12, 13)]
    assert joined.prompts == tuple(
        TracePrompt(text, label, start, stop)
        for text, label, (start, stop) in zip(texts, "abacab", places, strict=True)
    )
    assert all(type(p.start) is int and type(p.stop) is int for p in joined.prompts)
    assert joined.labels == ("a", "b", "c")


def test_the_rest_is_the_first_s():
    joined = Trace.join(PARTS)
    assert joined.provenance == PARTS[0].provenance
    assert joined.layers == PARTS[0].layers == (0, 2, 5)


@pytest.mark.parametrize("lacking", [(0,), (1,), (2,), (0, 1, 2)])
def test_losses_are_kept_only_where_every_part_has_them(lacking):
    parts = [replace(p, loss=None) if n in lacking else p for n, p in enumerate(PARTS)]
    assert Trace.join(parts).loss is None


def test_selecting_a_part_s_prompts_gives_the_part_back():
    back = Trace.join(PARTS).select(prompt=[3, 4, 5])
    for name in ARRAYS:
        assert np.array_equal(
            getattr(back, name), getattr(PARTS[2], name), equal_nan=name == "loss"
        )
    assert back.tokens == PARTS[2].tokens
    assert back.prompts == PARTS[2].prompts


def test_the_order_is_the_caller_s():
    assert Trace.join(PARTS[::-1]).labels == ("c", "a", "b")


def test_a_joined_trace_can_be_saved(tmp_path):
    joined = Trace.join(PARTS)
    back = Trace.load(joined.save(tmp_path / "joined"))
    assert back.prompts == joined.prompts
    assert np.array_equal(back.router_logits, joined.router_logits)


def test_one_trace_alone_or_in_a_list_is_itself():
    assert Trace.join(PARTS[0]) is PARTS[0]
    assert Trace.join([PARTS[0]]) is PARTS[0]
    assert Trace.join(iter([PARTS[0]])) is PARTS[0]


def test_recordings_of_one_model_join_like_one_recording(model):
    prompts = [[5, 6, 7], [8, 9], [5, 5, 5, 5]]
    together = mv.record(model, prompts, labels=list("xyx"), loss=True)
    apart = [
        mv.record(model, [ids], labels=[label], loss=True)
        for ids, label in zip(prompts, "xyx", strict=True)
    ]
    joined = Trace.join(apart)
    assert joined.prompts == together.prompts
    assert np.array_equal(joined.token_ids, together.token_ids)
    assert np.allclose(joined.router_logits, together.router_logits, atol=1e-4)
    assert np.allclose(losses(joined), losses(together), atol=1e-4, equal_nan=True)


OTHERS = {
    "model": {"model": "another"},
    "dtype": {"dtype": "bfloat16"},
    "quantisation": {"quantisation": "Q4_K"},
    "weights": {"weights": "random weights, seed 1"},
    "interventions": {"interventions": ("top-2",)},
    "fingerprint": {"fingerprint": "0123"},
    "layers": {"layers": (0, 2, 4)},
    "fewer layers": {"layers": (0, 2)},
    "experts": {"E": 8},
    "experts per token": {"k": 3},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_differs_is_not_joined(change, place):
    parts = list(PARTS)
    parts[place] = handmade((2,), "a", **{"interventions": ("top-1",), **change})
    with pytest.raises(TraceError, match="Only recordings of one model, run the same way") as error:
        Trace.join(parts)
    assert repr(parts[place]) in str(error.value)


def test_where_and_when_may_differ():
    other = handmade((2,), "a", seed=9, device="cuda:0", placement="stream", date="2026",
                     interventions=("top-1",), versions={"torch": "3"})  # fmt: skip
    assert len(Trace.join([PARTS[0], other])) == 7


def test_nothing_at_all_is_refused():
    with pytest.raises(TraceError, match="no trace to join: give at least one"):
        Trace.join([])
