# SPDX-License-Identifier: Apache-2.0
"""What stands on every figure, word by word; and what is refused, before a model runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.intervention.change import Intervention

WORDS = [
    ({}, "nothing changed"),
    ({"layers": [1]}, "nothing changed in layers 1"),
    ({"ablate": [(2, 1)]}, "ablated 2/1 (next best instead)"),
    (
        {"ablate": [(2, 1), (0, 7)], "instead": "nothing"},
        "ablated 2/1, 0/7 (nothing instead)",
    ),
    ({"instead": "nothing"}, "nothing changed"),
    ({"force": [(0, 4), (1, 0)]}, "forced 0/4, 1/0"),
    ({"swap": [(2, 0, 5)]}, "swapped 2/0↔5"),
    ({"swap": [(2, 0, 5), (1, 1, 2)]}, "swapped 2/0↔5, 1/1↔2"),
    ({"top_k": 1}, "top-1"),
    ({"random": 0}, "random experts, seed 0"),
    ({"random": 7}, "random experts, seed 7"),
    ({"temperature": 2}, "router temperature 2"),
    ({"temperature": 2.0}, "router temperature 2"),
    ({"temperature": 1 / 3}, "router temperature 0.333333"),
    ({"uniform_gates": True}, "uniform gates"),
    ({"uniform_gates": False}, "nothing changed"),
    ({"top_k": 1, "layers": [1, 2]}, "top-1 in layers 1, 2"),
    ({"top_k": 1, "layers": []}, "top-1 in layers none"),
    ({"top_k": 1, "tokens": range(8)}, "top-1 in tokens 0, 1, 2, 3, 4, 5, 6, 7"),
    ({"top_k": 1, "tokens": range(9)}, "top-1 in tokens 0, 1, 2, 3, 4, 5, 6, 7 …"),
    ({"top_k": 1, "prompts": [4]}, "top-1 in prompts 4"),
    (
        {"top_k": 1, "prompts": [1], "tokens": [2], "layers": [0]},
        "top-1 in layers 0, tokens 2, prompts 1",
    ),
    (
        {"uniform_gates": True, "temperature": 2.5, "random": 3, "top_k": 4, "swap": [(0, 1, 2)],
         "force": [(0, 3)], "ablate": [(0, 4)], "layers": [0]},
        "ablated 0/4 (next best instead), forced 0/3, swapped 0/1↔2, top-4, "
        "random experts, seed 3, router temperature 2.5, uniform gates in layers 0",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), WORDS)
def test_an_intervention_is_named_word_by_word(asked, words):
    assert str(Intervention.of(**asked)) == words


@pytest.mark.parametrize(("asked", "words"), WORDS)
def test_a_recording_carries_the_words(model, asked, words):
    with mv.intervene(model, **asked):
        trace = mv.record(model, [[1, 2]])
    assert trace.provenance.interventions == (words,)
    assert trace.provenance.title.endswith(f" · {words}")


def test_nested_blocks_are_named_from_the_outside_in(model):
    before = model.provenance
    with mv.intervene(model, top_k=3), mv.intervene(model, random=1):
        assert model.provenance.interventions == ("top-3", "random experts, seed 1")
        assert model.provenance.model == before.model
    assert model.provenance == before


SPELLINGS = [
    {"ablate": [(1, 2)], "swap": [(0, 1, 2)], "tokens": [1, 2]},
    {"ablate": ([1, 2],), "swap": ((0, 1, 2),), "tokens": (1, 2)},
    {"ablate": np.array([[1, 2]]), "swap": iter([[0, 1, 2]]), "tokens": range(1, 3)},
    {"ablate": iter([(np.int64(1), 2)]), "swap": [np.array([0, 1, 2])], "tokens": np.arange(1, 3)},
]


@pytest.mark.parametrize("asked", SPELLINGS)
def test_lists_arrays_and_iterators_mean_the_same(asked):
    change = Intervention.of(**asked)
    assert change == Intervention(ablate=((1, 2),), swap=((0, 1, 2),), tokens=(1, 2))
    assert hash(change) is not None
    assert all(type(n) is int for item in (*change.ablate, *change.swap) for n in item)


NOT_UNDERSTOOD = [
    ({"ablat": [(0, 1)]}, "no intervention ablat; there are ablate, instead, force, swap, top_k"),
    ({"ablate": 3}, r"ablate takes a list of \(layer, expert\), found 3"),
    ({"ablate": "0/1"}, r"ablate takes a list of \(layer, expert\), found '0/1'"),
    ({"ablate": [3]}, r"ablate takes \(layer, expert\), found 3"),
    ({"force": [(0, 1.5)]}, r"force takes \(layer, expert\), found \(0, 1.5\)"),
    ({"force": [(0, True)]}, r"force takes \(layer, expert\)"),
    ({"swap": ["012"]}, r"swap takes \(layer, expert, expert\), found '012'"),
    ({"layers": 1}, "layers takes a list of whole numbers, found 1"),
    ({"tokens": [1.0]}, "tokens takes a list of whole numbers"),
    ({"prompts": "1"}, "prompts takes a list of whole numbers"),
    ({"top_k": 1.5}, "top_k takes a whole number, found 1.5"),
    ({"top_k": True}, "top_k takes a whole number, found True"),
    ({"random": 0.5}, "random takes a whole number"),
    ({"random": "a"}, "random takes a whole number, found 'a'"),
    ({"temperature": "hot"}, "temperature takes a number, found 'hot'"),
    ({"temperature": True}, "temperature takes a number, found True"),
    ({"uniform_gates": 1}, "uniform_gates takes True or False, found 1"),
]


@pytest.mark.parametrize(("asked", "message"), NOT_UNDERSTOOD)
def test_what_is_no_number_and_no_list_is_refused_by_name(asked, message):
    with pytest.raises(InputError, match=message):
        Intervention.of(**asked)


# The model has layers 0 … 2, experts 0 … 7, and chooses two.
LACKING = [
    ({"instead": "something"}, "instead must be 'next best' or 'nothing', found 'something'"),
    ({"top_k": 0}, "top_k must lie in 1 … 8, found 0"),
    ({"top_k": 9}, "top_k must lie in 1 … 8, found 9"),
    ({"temperature": 0}, "temperature must lie in 0.001 … 1000000, found 0"),
    ({"temperature": 0.0009}, "found 0.0009"),
    ({"temperature": 1.1e6}, "found 1100000"),
    ({"temperature": float("nan")}, "found nan"),
    ({"layers": [3]}, r"layers must lie in 0 … 2, found \[3\]"),
    ({"layers": [0, -1]}, "layers must lie"),
    ({"ablate": [(3, 0)]}, r"ablate takes \(layer, expert\) with layers 0 … 2 and experts 0 … 7"),
    ({"ablate": [(0, 8)]}, r"found \(0, 8\)"),
    ({"ablate": [(-1, 0)]}, r"found \(-1, 0\)"),
    ({"ablate": [(0, -1)]}, r"found \(0, -1\)"),
    ({"ablate": [(0, 1, 2)]}, r"found \(0, 1, 2\)"),
    ({"force": [(0,)]}, r"force takes .*found \(0,\)"),
    ({"force": [(0, 8)]}, "force takes"),
    ({"swap": [(0, 1)]}, r"swap takes \(layer, expert, expert\).*found \(0, 1\)"),
    ({"swap": [(0, 1, 8)]}, "swap takes"),
    ({"swap": [(0, 8, 1)]}, "swap takes"),
    (
        {"ablate": [(1, e) for e in range(7)]},
        "Without 7 of its 8 experts, layer 1 cannot choose 2. Ablate fewer, or say instead='noth",
    ),
    ({"ablate": [(1, e) for e in range(6)], "top_k": 3}, "Without 6 .* layer 1 cannot choose 3"),
    (
        {"force": [(2, 0), (2, 1), (2, 2)]},
        r"Layer 2 chooses 2 experts; found forced \[0, 1, 2\] and ablated \[\]. Force at most 2",
    ),
    ({"force": [(2, 0), (2, 1)], "top_k": 1}, "Layer 2 chooses 1 experts"),
    ({"force": [(0, 4)], "ablate": [(0, 4)]}, r"found forced \[4\] and ablated \[4\]"),
]


@pytest.mark.parametrize(("asked", "message"), LACKING)
def test_what_the_model_lacks_is_refused_before_the_block_begins(model, asked, message):
    before = model.provenance
    with pytest.raises(InputError, match=message), mv.intervene(model, **asked):
        pytest.fail("the block began")
    assert model.attached.hooks == ()
    assert model.provenance == before


ALLOWED = [
    {"ablate": [(1, e) for e in range(6)]},
    {"ablate": [(1, e) for e in range(7)], "top_k": 1},
    {"ablate": [(1, e) for e in range(8)], "instead": "nothing"},
    {"ablate": [(1, 2), (1, 2)]},
    {"force": [(2, 0), (2, 1)]},
    {"force": [(2, 0), (2, 1), (2, 7)], "top_k": 3},
    {"force": [(0, 4)], "ablate": [(1, 4)]},
    {"top_k": 8, "temperature": 0.001},
    {"temperature": 1e6, "layers": [0, 2], "tokens": [10**9], "prompts": [99]},
    {"random": -(2**70)},
]


@pytest.mark.parametrize("asked", ALLOWED, ids=str)
def test_what_is_just_possible_runs(model, asked):
    with mv.intervene(model, **asked):
        logits = model(torch.tensor([1, 2, 3]))
    assert logits.isfinite().all()
