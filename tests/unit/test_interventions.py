# SPDX-License-Identifier: Apache-2.0
"""Interventions: what they change, what they leave, and that every recording says so."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.intervention.block import intervened
from moe_viz.intervention.change import Intervention
from moe_viz.routing import Routing, TokenIndex
from tests import writers
from tests.conftest import random_model, small_config

from . import test_stream
from .test_offload import offloaded
from .test_stream import same

CHANGES: dict[str, dict] = {
    "ablate": {"ablate": [(0, 1), (1, 2), (1, 3)]},
    "nothing": {"ablate": [(0, 1), (1, 2), (1, 3)], "instead": "nothing"},
    "force": {"force": [(0, 4), (1, 0), (2, 1)]},
    "swap": {"swap": [(0, 0, 5), (1, 2, 3), (1, 3, 4)]},
    "one": {"top_k": 1},
    "five": {"top_k": 5},
    "temperature": {"temperature": 2.5},
    "uniform": {"uniform_gates": True},
    "random": {"random": 3},
    "several": {"ablate": [(1, 2)], "force": [(1, 4)], "top_k": 3, "temperature": 0.5},
}
ALL = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
PROMPTS = [list(range(3, 40)), [7], list(range(50, 90)), [9, 9, 9, 1]]
T = sum(map(len, PROMPTS))


def recorded(model, *changes, prompts=PROMPTS, **options) -> mv.Trace:
    """A recording within these interventions, the first outermost."""
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(mv.intervene(model, **change))
        return mv.record(model, prompts, **options)


def agree(a: mv.Trace, b: mv.Trace) -> bool:
    """The same but for rounding, and the experts wherever no two logits are about the same."""
    clear = (np.diff(np.sort(a.router_logits, axis=2), axis=2) > 1e-4).all(2)
    assert clear.mean() > 0.9 or len(a) < 10
    return (
        np.allclose(a.router_logits, b.router_logits, atol=1e-4)
        and np.array_equal(a.experts[clear], b.experts[clear])
        and np.allclose(a.gates[clear], b.gates[clear], atol=1e-4)
    )


# ---- A decision, worked by hand ------------------------------------------------------------------

G = [0.7310586, 0.2689414]  # softmax of 3 and 2, of 2 and 1, of 1 and 0
NOTHING = {"ablate": [(0, 1)], "instead": "nothing"}
WORKED = [
    ([{"ablate": [(0, 1)]}], [2, 3], G),
    ([NOTHING], [-1, 2], [0, G[1]]),
    ([{"ablate": [(0, 1), (0, 2)], "instead": "nothing"}], [-1, -1], [0, 0]),
    ([{"force": [(0, 3)]}], [1, 3], [0.8807971, 0.1192029]),
    ([{"swap": [(0, 0, 1)]}], [0, 2], G),
    ([{"swap": [(0, 0, 1), (0, 0, 2)]}], [2, 0], G),  # 1 → 0 → 2, and 2 → 0
    ([{**NOTHING, "uniform_gates": True, "top_k": 3}], [-1, 2, 3], [0, 1 / 3, 1 / 3]),
    ([{"temperature": 0.5}], [1, 2], [0.8807971, 0.1192029]),
    ([{**NOTHING, "tokens": [5]}, {"top_k": 1}], [1], [1]),  # not this token
    ([{"ablate": [(0, 1)]}, {"ablate": [(0, 2)]}], [3, 0], G),
    ([{"ablate": [(0, 1)]}, {"force": [(0, 1)]}], [2, 3], G),
    ([{"ablate": [(0, 1)]}, {"swap": [(0, 1, 2)]}], [-1, 3], [0, G[1]]),  # 2 → 1: not there
    ([NOTHING, {"top_k": 2}], [2, 3], G),
    ([NOTHING, {"ablate": [(0, 2)]}], [3, -1], [G[1], 0]),
    ([NOTHING, {"temperature": 2}], [-1, 2], [0, G[1]]),
    ([{"force": [(0, 0)]}, {"ablate": [(0, 1)]}], [2, 0], [0.8807971, 0.1192029]),
    ([{"swap": [(0, 0, 1)]}, {"top_k": 1}], [0], [1]),
    ([{"swap": [(0, 0, 1)]}, {"ablate": [(0, 0)]}], [2, 3], G),
    ([{"top_k": 1}, {"ablate": [(0, 1)]}], [2], [1]),
    ([{"top_k": 1}, {"force": [(0, 3)]}], [3], [1]),
]


@pytest.mark.parametrize(("changes", "experts", "gates"), WORKED)
def test_decisions_worked_by_hand(changes, experts, gates):
    """Scores 0, 3, 2, 1: experts 1 and 2."""
    scores, usual = torch.tensor([[0.0, 3.0, 2.0, 1.0]]), torch.tensor([[1, 2]])
    routing = Routing(0, scores, usual, torch.tensor([G]), TokenIndex.of_prompts([1]))
    for change in changes:
        routing = Intervention.of(**change)(routing) or routing
    assert routing.experts.tolist() == [experts]
    assert routing.gates[0].tolist() == pytest.approx(gates)
    assert routing.logits is scores


# ---- Changing nothing ----------------------------------------------------------------------------

SAME = [[7], [7, 7, 7]]  # tokens that cannot be told apart: they go to the same experts


def changes_of_nothing(model) -> list[dict]:
    experts = mv.record(model, SAME).experts
    unused = [(layer, next(e for e in range(8) if e not in experts[layer])) for layer in range(3)]
    return [
        {},
        {"ablate": unused},
        {"ablate": unused, "instead": "nothing"},
        {"temperature": 1},
        {"swap": [(0, 2, 2), (1, 0, 1), (1, 0, 1)]},
        {"top_k": 1, "layers": []},
        {"random": 1, "tokens": [99]},
        {"uniform_gates": True, "prompts": []},
    ]


@pytest.mark.parametrize("outer", [None, *CHANGES.values()], ids=["no block", *CHANGES])
def test_what_changes_nothing_changes_nothing_bit_for_bit(model, outer):
    with ExitStack() as stack:
        if outer is not None:
            stack.enter_context(mv.intervene(model, **outer))
        plain, ids = mv.record(model, SAME, loss=True), torch.tensor([7, 7, 7, 7])
        logits = model(ids, [1, 3])
        for change in changes_of_nothing(model):
            assert same(recorded(model, change, prompts=SAME, loss=True), plain), change
            with mv.intervene(model, **change):
                assert torch.equal(model(ids, [1, 3]), logits)


def test_the_usual_k_and_what_is_chosen_anyway_change_nothing(model):
    plain = recorded(model, prompts=SAME, loss=True)
    chosen = [(layer, int(e)) for layer in range(3) for e in plain.experts[layer, 0]]
    for change in ({"top_k": 2}, {"force": chosen}, {"force": chosen[::2], "top_k": 2}):
        assert same(recorded(model, change, prompts=SAME, loss=True), plain)
    assert same(recorded(model, {"top_k": 2}), recorded(model))


@ALL
def test_logits_stay_the_router_s_own(model, change):
    plain, changed = recorded(model), recorded(model, change)
    assert np.isfinite(changed.router_logits).all()
    assert np.array_equal(changed.router_logits[0], plain.router_logits[0])
    assert not same(changed, plain)


# ---- Always detached, and always said ------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_remains_after_the_block_and_after_an_error_in_it(model, fails):
    before, plain = model.provenance, recorded(model)
    with suppress(RuntimeError), mv.intervene(model, top_k=1), mv.intervene(model, random=0):
        mv.generate(model, [5, 6], max_new_tokens=2)
        assert len(model.attached.hooks) == 2
        if fails:
            raise RuntimeError("no")
    assert model.attached.hooks == ()
    assert model.provenance == before
    assert same(recorded(model), plain)


def test_recordings_say_what_was_changed_wherever_they_are_shown(tmp_path):
    model = mv.load("8x7m")
    with mv.intervene(model, ablate=[(2, 5)]), mv.intervene(model, top_k=1, layers=[3]):
        recording = mv.record(model, "Good morning.")
        written = mv.generate(model, "Good", max_new_tokens=2).trace
    said = ("ablated 2/5 (next best instead)", "top-1 in layers 3")
    for trace in (recording, written, mv.Trace.load(recording.save(tmp_path / "trace"))):
        assert trace.provenance.interventions == said
        assert trace.provenance.title == " · ".join(("8x7m · float32", *said))
        html = mv.explore(trace).to_html()
        assert all(html.count(part) >= 2 for part in said)  # fallback, and the picture's data


# ---- Composed ------------------------------------------------------------------------------------


@ALL
def test_nested_blocks_are_one_after_the_other(model, change):
    first = {"ablate": [(0, 6), (1, 1)], "layers": [0, 1]}
    nested = recorded(model, first, change)
    with intervened(model, *(Intervention.of(**c) for c in (first, change))):
        assert same(mv.record(model, PROMPTS), nested)
    assert not same(nested, recorded(model, first))
    assert not same(nested, recorded(model, change))


@ALL
@pytest.mark.parametrize("instead", ["next best", "nothing"])
def test_what_is_ablated_outside_is_never_used_inside(model, change, instead):
    gone = [(0, 0), (0, 4), (1, 4), (2, 1), (2, 6)]
    trace = recorded(model, {"ablate": gone, "instead": instead}, change)
    assert not any((trace.experts[layer] == expert).any() for layer, expert in gone)
    assert (trace.gates[trace.experts < 0] == 0).all()
    ranked = np.sort(trace.experts, axis=2)
    assert ((np.diff(ranked, axis=2) > 0) | (ranked[:, :, 1:] < 0)).all()  # none twice
    if instead == "next best" and not {"instead", "swap"} & set(change):  # no slot stays empty
        assert (trace.experts < 0).sum() == (recorded(model, change).experts < 0).sum()


def test_an_inner_block_keeps_how_many_experts_each_token_has(model):
    outer = {"top_k": 5, "tokens": [3, 4]}
    trace = recorded(model, outer, {"ablate": [(0, e) for e in range(3)]})
    assert (trace.experts[0] >= 0).sum(1).tolist() == [5 if t in (3, 4) else 2 for t in range(T)]
    assert np.allclose(trace.gates[0].sum(1), 1)


# ---- Bounded -------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("bound", "rows"),
    [
        ({"tokens": range(10, 45)}, range(10, 45)),
        ({"prompts": [1, 3]}, [37, *range(78, 82)]),
        ({"tokens": [5, 37, 80], "prompts": [0, 1]}, [5, 37]),
    ],
)
def test_tokens_and_prompts_bound_every_change(model, change, bound, rows):
    plain, everywhere = recorded(model), recorded(model, change)
    changed = recorded(model, {**change, **bound})
    inside = np.isin(np.arange(T), rows)
    for name, unused in (("experts", -1), ("gates", 0)):
        found, before, after = (getattr(t, name)[0] for t in (changed, plain, everywhere))
        assert np.array_equal(found[~inside, :2], before[~inside])
        assert (found[~inside, 2:] == unused).all()
        assert np.array_equal(found[inside], after[inside])


@ALL
def test_layers_bound_every_change(model, change):
    plain, changed = recorded(model), recorded(model, {**change, "layers": [1]})
    assert np.array_equal(changed.experts[0, :, :2], plain.experts[0])
    assert np.array_equal(changed.router_logits[:2], plain.router_logits[:2])
    assert not np.array_equal(changed.router_logits[2], plain.router_logits[2])
    assert (changed.experts[2, :, 2:] < 0).all()
    usual = torch.from_numpy(changed.router_logits[2]).topk(2).indices
    assert np.array_equal(changed.experts[2, :, :2], usual)


# ---- However it was made -------------------------------------------------------------------------


@ALL
def test_no_result_depends_on_packing_chunks_or_batches(monkeypatch, change):
    model = random_model()
    whole = recorded(model, change, loss=True)
    if "random" not in change:  # which is drawn by the row of the recording
        alone = [recorded(model, change, prompts=[prompt]) for prompt in PROMPTS]
        assert all(agree(whole.select(prompt=n), trace) for n, trace in enumerate(alone))
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", 41)
    model.chunk = 7
    assert agree(whole, recorded(model, change, loss=True))


@ALL
@pytest.mark.parametrize("bound", [{}, {"tokens": [2, 9, 12, 13]}], ids=["all", "some"])
def test_decoding_is_changed_like_recording(model, change, bound):
    with mv.intervene(model, **change, **bound):
        out = mv.generate(model, [*range(9)], max_new_tokens=14)
        again = mv.record(model, [out.trace.token_ids.tolist()])
    assert agree(out.trace, again)
    assert out.trace.provenance.interventions == again.provenance.interventions != ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = small_config(vocab_size=8192, hidden_size=64, expert_size=96)
    return writers.hugging_face_4(random_model(config), tmp_path_factory.mktemp("model"))


@ALL
def test_streamed_and_offloaded_models_are_changed_like_resident_ones(folder, change):
    models = mv.load(folder), mv.load(folder, placement="stream"), offloaded(folder, 2.5)
    traces = [recorded(m, change, prompts=test_stream.PROMPTS, loss=True) for m in models]
    assert all(same(trace, traces[0]) for trace in traces)


# ---- At random -----------------------------------------------------------------------------------


def test_random_experts_are_of_the_seed_even_and_never_twice(model):
    ids = [list(range(100)) * 2] * 20
    trace, again, other = (recorded(model, {"random": n}, prompts=ids) for n in (1, 1, 2))
    assert same(trace, again)
    for choice in (trace.experts, other.experts):
        assert (choice[:, :, 0] != choice[:, :, 1]).all()
        counts = np.stack([np.bincount(c.ravel(), minlength=8) for c in choice])  # (L, E)
        assert ((counts - 1000) ** 2 / 1000).sum(1).max() < 30  # chi-square, 7 degrees
    first = trace.experts[:, :, 0]
    seeds, layers = (first, other.experts[:, :, 0]), (first[0], first[1])
    for a, b in (seeds, layers, (first[:, 1:], first[:, :-1])):  # equal one time in eight
        assert 0.09 < (a == b).mean() < 0.16
    assert np.array_equal(trace.gates[0], recorded(model, prompts=ids).gates[0])
    gone = {"ablate": [(0, e) for e in range(8) if e != 6], "instead": "nothing"}  # one is left
    assert set(recorded(model, gone, {"random": 1}).experts[0].ravel()) == {-1, 6}


def test_a_slot_that_no_expert_is_left_for_stays_empty(model, ids):
    """Six are ablated outside and a seventh inside: the last one alone is used."""
    with (
        mv.intervene(model, ablate=[(0, expert) for expert in range(6)]),
        mv.intervene(model, ablate=[(0, 6)]),
    ):
        trace = mv.record(model, ids)
    assert set(trace.experts[0].ravel().tolist()) == {7, -1}
    assert (trace.experts[0] == 7).sum(axis=1).tolist() == [1] * len(trace)
    assert (trace.gates[0] == (trace.experts[0] == 7)).all()
