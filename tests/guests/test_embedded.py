# SPDX-License-Identifier: Apache-2.0
"""8x7m run by transformers as a guest is 8x7m run by our own code."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import transformers

import moe_viz as mv
from moe_viz.files import embedded_folder
from moe_viz.guests.guest import Guest
from moe_viz.model import Mixtral

TEXTS = [
    "Good morning.",
    "def f(x):\n    return x + 1\n",
    "Guten Morgen, wie geht es dir?" * 9,
    "a",
]


@cache
def pair() -> tuple[Mixtral, Guest]:
    ours = mv.load("8x7m")
    hf = transformers.MixtralForCausalLM.from_pretrained(embedded_folder(), dtype="float32")
    return ours, Guest(hf, ours.tokenizer, name="8x7m")


def close(found: Any, expected: Any) -> None:
    assert found.layers == expected.layers
    assert found.prompts == expected.prompts
    assert list(found.tokens) == list(expected.tokens)
    assert np.array_equal(found.experts, expected.experts)
    np.testing.assert_allclose(found.router_logits, expected.router_logits, atol=1e-5)
    np.testing.assert_allclose(found.gates, expected.gates, atol=1e-5)
    if expected.loss is not None:
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5, atol=1e-5)


def test_the_recording_is_the_same():
    ours, guest = pair()
    close(mv.record(guest, TEXTS, loss=True), mv.record(ours, TEXTS, loss=True))
    assert mv.record(guest, TEXTS).rule == mv.record(ours, TEXTS).rule
    assert np.array_equal(mv.record(guest, TEXTS).margins.shape, (6, len(mv.record(ours, TEXTS))))


CHANGES = {
    "ablate": {"ablate": [(2, 5), (4, 1)]},
    "ablate for nothing": {"ablate": [(2, 5)], "instead": "nothing"},
    "force": {"force": [(3, 0)]},
    "swap": {"swap": [(1, 2, 7)]},
    "top-1": {"top_k": 1},
    "top-3": {"top_k": 3},
    "all": {"top_k": 8},
    "temperature": {"temperature": 0.5},
    "uniform": {"uniform_gates": True},
    "random": {"random": 3},
    "several": {"swap": [(1, 2, 7)], "ablate": [(1, 2)], "temperature": 2.0, "top_k": 3},
    "some tokens": {"ablate": [(2, 5)], "tokens": [1, 2, 3]},
    "some prompts": {"top_k": 1, "prompts": [1], "layers": [0, 5]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_intervention_is_the_same(change):
    ours, guest = pair()
    with mv.intervene(ours, **change), mv.intervene(guest, **change):
        expected, found = (mv.record(model, TEXTS, loss=True) for model in (ours, guest))
    close(found, expected)
    assert found.provenance.interventions == expected.provenance.interventions
    close(mv.record(guest, TEXTS), mv.record(ours, TEXTS))  # and afterwards nothing is attached


def test_blocks_in_each_other_are_the_same():
    ours, guest = pair()
    found = []
    for model in (ours, guest):
        with mv.intervene(model, ablate=[(2, 5)]), mv.intervene(model, top_k=3):
            found.append(mv.record(model, TEXTS))
    close(found[1], found[0])
