# SPDX-License-Identifier: Apache-2.0
"""Interventions on guests: measured, refused where they cannot be right, never left behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.guests.guest import Guest
from moe_viz.intervention.effects import each_expert

from . import tiny

IDS = [[5, 9, 70, 33, 12, 5], [99, 3, 41, 41, 8], [17, 23, 5]]


@pytest.fixture(scope="module")
def deepseek() -> Guest:
    return Guest(tiny.build("deepseek_v3"))


@pytest.fixture(scope="module")
def olmoe() -> Guest:
    return Guest(tiny.build("olmoe"))


def test_effects_are_differences_of_losses(deepseek):
    asked = {"no 1/3": {"ablate": [(1, 3)]}, "k 1": {"top_k": 1}, "nothing": {"temperature": 1.0}}
    found = mv.effects(deepseek, IDS, asked, labels=["a", "b", "c"])
    plain: Any = mv.record(deepseek, IDS, loss=True)
    for name, change in asked.items():
        with mv.intervene(deepseek, **change):
            under: Any = mv.record(deepseek, IDS, loss=True)
        for label, prompt in zip("abc", plain.prompts, strict=True):
            rows = slice(prompt.start + 1, prompt.stop)
            expected = (under.loss[rows] - plain.loss[rows]).mean()
            (row,) = (r for r in found.rows() if r["intervention"] == name and r["label"] == label)
            assert row["change"] == pytest.approx(expected, abs=1e-5)
    assert set(each_expert(deepseek.config)) == {f"{n}/{e}" for n in (1, 2) for e in range(8)}


def test_gates_of_another_choice_are_the_family_s(deepseek):
    """transformers' own router, asked for one expert more, gives the next best and its gates."""
    plain = mv.record(deepseek, IDS)
    layer = deepseek.config.mixtures[0]
    gone = int(np.bincount(plain.experts[0].ravel()).argmax())
    with mv.intervene(deepseek, ablate=[(layer, gone)]):
        ours = mv.record(deepseek, IDS)
    router = deepseek.mixtures[0].speaker
    router.top_k += 1
    try:
        more = mv.record(deepseek, IDS)
    finally:
        router.top_k -= 1
    scale = plain.rule.scale
    for t in range(len(plain)):
        if gone not in plain.experts[0, t]:
            assert np.array_equal(ours.experts[0, t], plain.experts[0, t])
            continue
        left = [
            (e, g) for e, g in zip(more.experts[0, t], more.gates[0, t], strict=True) if e != gone
        ]
        total = sum(g for _, g in left)
        assert ours.experts[0, t].tolist() == [e for e, _ in left]
        np.testing.assert_allclose(
            ours.gates[0, t], [g / total * scale for _, g in left], rtol=1e-4
        )


def test_uniform_gates_and_temperature_keep_the_sum(olmoe, deepseek):
    for one in (olmoe, deepseek):
        plain = mv.record(one, IDS).gates[0].sum(1)
        with mv.intervene(one, uniform_gates=True):
            uniform = mv.record(one, IDS).gates[0]
        np.testing.assert_allclose(uniform.sum(1), plain, rtol=1e-5)
        assert np.ptp(uniform, axis=1).max() < 1e-6
        with mv.intervene(one, temperature=0.5):
            sharper = mv.record(one, IDS)
        np.testing.assert_allclose(sharper.gates[0].sum(1), plain, rtol=1e-5)


@pytest.mark.parametrize(("name", "change", "said"), [
    ("phimoe", {"ablate": [(0, 1)]}, "ablation with the next best instead cannot be done rightly"),
    ("phimoe", {"temperature": 2.0}, "temperature cannot be done rightly.*softmax of its own"),
    ("inkling_text", {"top_k": 1}, "top_k cannot be done rightly"),
    ("deepseek_v4", {"top_k": 1}, "top_k cannot be done rightly"),
    ("zaya", {"ablate": [(0, 1)]}, "cannot be done rightly"),
    ("deepseek_v3", {"ablate": [(0, 1)]}, r"with layers \[1, 2\] and experts 0 … 7"),
    ("deepseek_v3", {"top_k": 9}, "top_k must lie in 1 … 8"),
    ("deepseek_v3", {"top_k": 1, "layers": [0]}, r"layers must lie in \[1, 2\], which"),
])  # fmt: skip
def test_what_cannot_be_done_rightly_is_refused_with_the_reason(name, change, said):
    with pytest.raises(InputError, match=said):
        mv.intervene(Guest(tiny.build(name)), **change).__enter__()


def test_a_layer_with_scores_can_be_changed_beside_one_without():
    one = Guest(tiny.build("deepseek_v4"))
    scored = [m.layer for m in one.mixtures if m.scored]
    assert 0 < len(scored) < len(one.mixtures)
    with mv.intervene(one, top_k=1, layers=scored):
        trace = mv.record(one, IDS)
    row = trace.layers.index(scored[0])
    assert (trace.experts[row, :, 1:] == -1).all()
    assert np.isnan(trace.margins).any()
    assert np.isfinite(trace.margins[row]).all()


def test_the_twin_is_another_draw_of_the_same_family(deepseek):
    twin = mv.untrained_twin(deepseek)
    assert twin.config == deepseek.config
    assert twin.provenance.synthetic
    assert twin.provenance.title == "deepseek_v3 · float32 · random weights, seed 20261123"
    again, other = mv.untrained_twin(deepseek), mv.untrained_twin(deepseek, seed=1)
    traces = [mv.record(model, IDS) for model in (twin, again, other)]
    assert np.array_equal(traces[0].router_logits, traces[1].router_logits)
    assert not np.array_equal(traces[0].router_logits, traces[2].router_logits)
    assert twin.provenance.fingerprint != other.provenance.fingerprint


@pytest.mark.parametrize("rounds", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_threads_that_record_intervene_and_generate_leave_each_other_alone(olmoe, rounds):
    alone = mv.record(olmoe, IDS)
    with mv.intervene(olmoe, top_k=1):
        one = mv.record(olmoe, IDS)
    written = mv.generate(olmoe, IDS[0], max_new_tokens=4, ignore_eos=True).token_ids
    wrong: list[str] = []

    def plain() -> None:
        if not np.array_equal(mv.record(olmoe, IDS).experts, alone.experts):
            wrong.append("a plain recording")

    def changed() -> None:
        with mv.intervene(olmoe, top_k=1):
            found = mv.record(olmoe, IDS)
        if not np.array_equal(found.experts, one.experts) or not found.provenance.interventions:
            wrong.append("a changed recording")

    def writes() -> None:
        out = mv.generate(olmoe, IDS[0], max_new_tokens=4, ignore_eos=True)
        if out.token_ids != written:
            wrong.append("a text")

    for _ in range(rounds):
        threads = [threading.Thread(target=work) for work in (plain, changed, writes, changed)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in olmoe.hf.modules())
