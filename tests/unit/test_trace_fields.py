# SPDX-License-Identifier: Apache-2.0
"""A trace's own numbers: what it refuses to hold, its titles, margins and table, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from moe_viz.errors import TraceError
from moe_viz.trace import Provenance, TracePrompt, margins_of

from .handmade import handmade, losses

TRACE = handmade()
PROMPTS = TRACE.prompts

WRONG = {
    "logits flat": ({"router_logits": np.zeros((15, 6))}, "router_logits must have 3 dim.*found 2"),
    "experts flat": ({"experts": np.zeros((15, 2))}, "experts must have 3 dimensions, found 2"),
    "experts of fewer tokens": ({"experts": TRACE.experts[:, 1:]}, r"experts .*\(3, 5, 2\)"),
    "experts of fewer layers": ({"experts": TRACE.experts[1:]}, r"experts .*found \(2, 5, 2\)"),
    "gates": ({"gates": TRACE.gates[..., :1]}, r"gates .*\(3, 5, 2\), found \(3, 5, 1\)"),
    "token_ids": ({"token_ids": TRACE.token_ids[1:]}, r"token_ids .*\(5,\), found \(4,\)"),
    "spans": ({"spans": TRACE.spans[:, 0]}, r"spans .*\(5, 2\)"),
    "special": ({"special": TRACE.special[:-1]}, r"special .*\(5,\)"),
    "generated": ({"generated": TRACE.generated[:, None]}, r"generated .*\(5,\), found \(5, 1\)"),
    "loss": ({"loss": losses(TRACE)[1:]}, r"loss .*\(5,\), found \(4,\)"),
    "tokens": ({"tokens": TRACE.tokens[1:]}, "Expected 5 tokens and 3 layers, found 4 and 3"),
    "layers": ({"layers": (0, 2)}, "Expected 5 tokens and 3 layers, found 5 and 2"),
    "no prompts": ({"prompts": ()}, "cover the 5 tokens"),
    "a prompt too few": ({"prompts": PROMPTS[:1]}, "cover the 5 tokens"),
    "a late start": ({"prompts": PROMPTS[1:]}, "cover the 5 tokens"),
    "a gap": ({"prompts": (PROMPTS[0], replace(PROMPTS[1], start=4))}, "end to end"),
    "an overlap": ({"prompts": (PROMPTS[0], replace(PROMPTS[1], start=2))}, "end to end"),
    "too far": ({"prompts": (PROMPTS[0], replace(PROMPTS[1], stop=6))}, "end to end"),
    "none in it": ({"prompts": (*PROMPTS, TracePrompt("", "", 5, 5))}, "none empty"),
    "k above E": ({"router_logits": TRACE.router_logits[..., :1]}, "1 experts, but 2 are chosen"),
    "no choice": ({"experts": TRACE.experts[..., :0], "gates": TRACE.gates[..., :0]}, "3, 5 and 0"),
    "token": ({"tokens": [*TRACE.tokens[:4], "\ud800"]}, "tokens are not valid Unicode"),
    "text": ({"prompts": (replace(PROMPTS[0], text="\udfff"), PROMPTS[1])}, "texts are not valid"),
    "label": ({"prompts": (replace(PROMPTS[0], label="\ud8ff"), PROMPTS[1])}, "labels are not val"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_together_is_no_trace(change, message):
    with pytest.raises(TraceError, match=message):
        replace(TRACE, **change)


def test_length_labels_and_words():
    trace = handmade((2, 1, 3), "bab", seed=4)
    assert len(trace) == 6
    assert trace.labels == ("b", "a")
    assert repr(trace) == "<Trace of handmade · float32: 3 prompts, 6 tokens, 3 layers, 6 experts>"


TITLES = [
    ({}, "8x7m"),
    ({"dtype": "bfloat16"}, "8x7m · bfloat16"),
    ({"dtype": "float32", "quantisation": "Q4_K, Q6_K"}, "8x7m · float32 · Q4_K, Q6_K"),
    ({"quantisation": "none"}, "8x7m"),
    ({"weights": "random weights, seed 3"}, "8x7m · random weights, seed 3"),
    ({"weights": "trained"}, "8x7m"),
    ({"interventions": ("top-1", "ablated 0/1")}, "8x7m · top-1 · ablated 0/1"),
    (
        {"dtype": "float16", "quantisation": "Q8_0", "weights": "random weights",
         "interventions": ("top-1",), "device": "cuda:0", "placement": "stream", "date": "2026",
         "fingerprint": "abc", "revision": "a/b@c"},
        "8x7m · float16 · Q8_0 · random weights · top-1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "title"), TITLES)
def test_titles_word_by_word(fields, title):
    provenance = Provenance(model="8x7m", **fields)
    assert provenance.title == title
    assert provenance.synthetic == ("random" in provenance.weights)


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9),
        elements=st.floats(-100, 100, width=32),
    ),
    st.data(),
)
def test_a_margin_is_what_sorting_says(logits, data):
    E = logits.shape[-1]
    k = data.draw(st.integers(1, E))
    found = margins_of(logits, k)
    assert found.shape == logits.shape[:-1]
    assert found.dtype == np.float32
    for row, margin in zip(logits.reshape(-1, E), np.atleast_1d(found).ravel(), strict=True):
        ranked = sorted(row.tolist(), reverse=True)
        assert margin == (np.float32(ranked[k - 1]) - np.float32(ranked[k]) if k < E else np.inf)


def test_a_trace_s_margins_count_its_slots():
    assert np.array_equal(TRACE.margins, margins_of(TRACE.router_logits, 2))
    assert TRACE.margins.shape == (3, 5)


def test_the_table_s_columns_one_by_one():
    pytest.importorskip("pyarrow")
    trace = handmade((1, 4, 2), "bab", layers=(1, 3), seed=7, E=3)
    table = trace.table()
    places = [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)]  # prompt and position
    columns = {
        "prompt": [prompt for prompt, _ in places] * 2,
        "label": ["bab"[prompt] for prompt, _ in places] * 2,
        "position": [position for _, position in places] * 2,
        "token_id": trace.token_ids.tolist() * 2,
        "token": [*trace.tokens, *trace.tokens],
        "special": [position == 0 for _, position in places] * 2,
        "generated": trace.generated.tolist() * 2,
        "loss": losses(trace).tolist() * 2,
        "layer": [1] * 7 + [3] * 7,
        "margin": [trace.margins[n, t] for n in range(2) for t in range(7)],
    }
    for slot in range(2):
        for name in ("expert", "gate"):
            array = getattr(trace, f"{name}s")
            columns[f"{name}_{slot}"] = [array[n, t, slot] for n in range(2) for t in range(7)]
    for e in range(3):
        columns[f"logit_{e}"] = [trace.router_logits[n, t, e] for n in range(2) for t in range(7)]
    assert set(table.column_names) == set(columns)
    for name, expected in columns.items():
        found = table.column(name).to_pylist()
        assert found == expected or np.array_equal(found, expected, equal_nan=True), name
    assert "loss" not in replace(trace, loss=None).table().column_names
