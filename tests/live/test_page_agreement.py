# SPDX-License-Identifier: Apache-2.0
"""What a page says of its own rounding is measured on the model, which is then as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.view.live import agreement as agreements
from moe_viz.view.live.agreement import agreement, in_bytes
from tests.conftest import random_model


@pytest.fixture
def model():
    return random_model()


def weights(model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def changed(model, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def test_within_the_block_matrices_are_in_bytes_and_nothing_else_is(model):
    before = weights(model)
    with in_bytes(model):
        kept = {name for name in before if "norm" in name or "router" in name}
        assert changed(model, before) == before.keys() - kept
        for name in before.keys() - kept:
            now, was = model.get_parameter(name).numpy(), before[name].numpy()
            step = np.abs(was).max(axis=1, keepdims=True) / 127
            assert np.abs(now - was).max() <= 0.50001 * step.max(), name
            assert (np.abs(now - was) <= 0.50001 * step).all(), name
            steps = now / step
            assert np.abs(steps - np.rint(steps)).max() < 1e-4, name
    assert changed(model, before) == set()


def test_after_an_error_the_weights_are_as_before(model):
    before = weights(model)

    def stopped() -> None:
        with in_bytes(model):
            assert changed(model, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert changed(model, before) == set()


def test_an_error_on_the_way_leaves_no_weight_in_bytes(model, monkeypatch):
    before, seen, real = weights(model), [], agreements.in_steps

    def fails(weight):
        seen.append(weight)
        if len(seen) == 5:
            raise MemoryError
        return real(weight)

    monkeypatch.setattr(agreements, "in_steps", fails)
    with pytest.raises(MemoryError), in_bytes(model):
        pytest.fail("the block was entered")
    assert changed(model, before) == set()


def test_a_row_of_zeros_stays_zeros(model):
    with torch.no_grad():
        model.head.weight[7] = 0
        model.embedding.weight[3] = 0
    with in_bytes(model):
        assert (model.head.weight[7] == 0).all()
        assert (model.embedding.weight[3] == 0).all()


def test_agreement_is_counted_over_tokens_that_are_no_special_ones():
    model = mv.load("8x7m")
    texts = ["Good morning.", "Le chat dort."]
    own = mv.record(model, texts, loss=True)
    with in_bytes(model):
        other = mv.record(model, texts, loss=True)
    found = agreement(own, other)
    assert (found.texts, found.tokens) == (2, int((~own.special).sum()))
    again = mv.record(model, texts, loss=True)
    assert (again.router_logits == own.router_logits).all(), "the weights are as they were"
    assert found.bits[0] != found.bits[1]
    same = agreement(own, again)
    assert (same.sets, same.first, same.bits[0]) == (1, 1, same.bits[1])


def test_sets_and_first_choices_are_counted_apart():
    own = mv.record(mv.load("8x7m"), ["Good morning.", "Le chat dort."], loss=True)
    shown = np.flatnonzero(~own.special)
    experts = own.experts.copy()
    experts[0, shown[0]] = experts[0, shown[0], ::-1]  # the same set, another first
    experts[3, shown[1], 1] = next(e for e in range(8) if e not in experts[3, shown[1]])
    experts[:, own.special] = 7 - experts[:, own.special]  # of which nothing is said
    found = agreement(own, replace(own, experts=experts))
    decisions = 6 * len(shown)
    assert found.sets == pytest.approx(1 - 1 / decisions)
    assert found.first == pytest.approx(1 - 1 / decisions)
