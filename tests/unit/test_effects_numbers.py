# SPDX-License-Identifier: Apache-2.0
"""What `mv.effects` says of its changes: intervals by scipy's bootstrap, p-values by all signs."""

from __future__ import annotations

import numpy as np
import pytest

import moe_viz as mv
from tests.unit.handmade import losses
from tests.unit.test_analysis_intervals import alike, scipys
from tests.unit.test_analysis_p_values import NEAR, largest, telling

CHANGES = {
    "hot": {"temperature": 1.3},
    "no 1/2": {"ablate": [(1, 2)]},
    "no 0/3": {"ablate": [(0, 3)]},
    "top-1": {"top_k": 1},
}
LABELS = ["a"] * 10 + ["b"] * 9


@pytest.fixture(scope="module")
def told(model):
    """The finding, and what each document adds: change of loss (N, changes) and tokens (N,)."""
    rng = np.random.default_rng(5)
    prompts = [rng.integers(3, 101, n).tolist() for n in rng.integers(6, 20, 19)]
    found = mv.effects(model, prompts, CHANGES, labels=LABELS)
    base = mv.record(model, prompts, loss=True)
    change = []
    for intervention in CHANGES.values():
        with mv.intervene(model, **intervention):
            after = mv.record(model, prompts, loss=True)
        by_token = losses(after).astype(float) - losses(base)
        change.append([by_token[p.start + 1 : p.stop].sum() for p in base.prompts])
    tokens = np.array([p.stop - p.start - 1 for p in base.prompts], float)
    return found, np.array(change).T, tokens


@pytest.mark.parametrize("label", "ab")
def test_an_interval_is_scipys(told, label):
    found, change, tokens = told
    own = [n for n, x in enumerate(LABELS) if x == label]
    sums = np.stack([change[own], np.repeat(tokens[own, None], 4, 1)], 2).reshape(len(own), -1)
    low, high = scipys(sums, list(range(len(own))), [""] * len(own))
    part = found.where(label=label)
    np.testing.assert_allclose(part["change"], change[own].sum(0) / tokens[own].sum(), atol=1e-9)
    alike((part["low"], part["high"]), (low, high))


@pytest.mark.parametrize("label", "ab")
def test_p_is_corrected_over_all_interventions_by_the_largest(told, label):
    found, change, _ = told
    expected = largest(change[[n for n, x in enumerate(LABELS) if x == label]])
    np.testing.assert_allclose(found.where(label=label)["p"], expected, atol=NEAR)
    telling(expected)


def test_what_is_clear_has_the_smallest_p_there_is_and_it_is_not_0():
    """24 beginnings of texts, for which a top-1 is bad that 8x7m was never trained with."""
    texts = [text[:80] for text in mv.prompts.curated().select(label="en").texts[:24]]
    found = mv.effects(mv.load("8x7m"), texts, {"top-1": {"top_k": 1}})
    assert found["change"][0] > 0
    assert found["p"].tolist() == [1 / 1001]
    assert found.notes == ()
    assert found.name == "effects of interventions"
    assert found.counted == "tokens after the first"
