# SPDX-License-Identifier: Apache-2.0
"""Effects on the loss against plain re-runs; the untrained twin; what is refused before a run."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import InputError, PlacementError
from moe_viz.files import embedded_folder
from moe_viz.intervention import passes, twin
from moe_viz.intervention.change import Intervention
from moe_viz.intervention.effects import each_expert
from moe_viz.intervention.twin import STEP_0
from tests import writers
from tests.conftest import random_model, small_config

sys.path.insert(0, str(Path(__file__).parents[2] / "weights" / "recipe"))

from trainer import twin_of

PROMPTS = [list(range(n, n + 12 + n)) for n in range(1, 9)]
LABELS = ["a", "b", "a", "b", "a", "c", "b", "a"]
SEVERAL = {
    "without 1/2": {"ablate": [(1, 2)]},
    "nothing for 2/3": {"ablate": [(2, 3)], "instead": "nothing"},
    "top-1 in the last": {"top_k": 1, "layers": [2]},
    "random": {"random": 4},
    "some rows": {"swap": [(2, 2, 3), (0, 0, 1)], "tokens": range(30, 70), "prompts": [1, 2]},
}
NUMBERS = ("loss", "change", "low", "high", "p")


def naive(model, texts, change: Mapping | Intervention, labels=None) -> mv.Trace:
    """The loss of every token, the whole model run again."""
    named = vars(change) if isinstance(change, Intervention) else change
    with mv.intervene(model, **named):
        return mv.record(model, texts, labels=labels, loss=True)


@pytest.fixture
def tokens_lost(monkeypatch) -> list[np.ndarray]:
    """The losses of all tokens that `effects` computes, pass by pass."""
    compute, found = passes.token_losses, []
    monkeypatch.setattr(
        passes,
        "token_losses",
        lambda *a: found.append(compute(*a).numpy()) or torch.tensor(found[-1]),
    )
    return found


# ---- Against plain re-runs -----------------------------------------------------------------------


@pytest.mark.parametrize("batch", [65_536, 45])
def test_shared_work_changes_no_token_s_loss(model, tokens_lost, monkeypatch, batch):
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", batch)
    changes = {**SEVERAL, **each_expert(model.config)}
    mv.effects(model, PROMPTS, changes)
    passes = len(tokens_lost) // len(changes)
    assert passes == (1 if batch > 1000 else 4)
    for n, change in enumerate(changes.values()):
        found = np.concatenate(tokens_lost[n :: len(changes)])
        expected = naive(model, PROMPTS, change).loss
        assert expected is not None
        assert np.array_equal(found, expected, equal_nan=True)
    assert model.attached.hooks == ()


def test_shared_work_changes_no_token_s_loss_of_8x7m(tokens_lost):
    model, texts = mv.load("8x7m"), mv.prompts.curated().select(label=["en", "c"])[:40:5]
    changes = {"5/3": {"ablate": [(5, 3)]}, "top-1": {"top_k": 1}, "2↔3": {"swap": [(3, 2, 3)]}}
    found = mv.effects(model, texts, changes)
    traces = [naive(model, texts, change) for change in changes.values()]
    for computed, trace in zip(tokens_lost, traces, strict=True):
        assert trace.loss is not None
        assert np.array_equal(computed, trace.loss, equal_nan=True)
    base = mv.record(model, texts, loss=True)
    assert_worked(found, base, dict(zip(changes, traces, strict=True)))
    assert found.where(intervention="top-1")["change"].min() > 0.02  # it is trained with two


def assert_worked(found, base: mv.Trace, traces: dict[str, mv.Trace]) -> None:
    """Each row, added up token by token."""
    assert len(found) == len(base.labels) * len(traces)
    for row in found.rows():
        pairs, documents = [], 0
        for prompt in base.prompts:
            rows = range(prompt.start + 1, prompt.stop)  # the first token has no loss
            if prompt.label == row["label"]:
                after = traces[row["intervention"]].loss
                assert base.loss is not None
                assert after is not None
                pairs += [(float(base.loss[t]), float(after[t])) for t in rows]
                documents += bool(rows)
        assert (row["tokens"], row["documents"]) == (len(pairs), documents)
        assert row["loss"] == pytest.approx(sum(b for b, _ in pairs) / len(pairs), rel=1e-9)
        assert row["change"] == pytest.approx(sum(a - b for b, a in pairs) / len(pairs), abs=1e-9)


def test_numbers_of_each_label_are_those_added_up_by_hand(model):
    prompts, labels = [*PROMPTS, [5]], [*LABELS, "a"]  # one prompt has nothing to predict
    found = mv.effects(model, prompts, SEVERAL, labels=labels)
    base = mv.record(model, prompts, labels=labels, loss=True)
    assert_worked(found, base, {n: naive(model, prompts, c) for n, c in SEVERAL.items()})
    assert found["intervention"].tolist() == [*SEVERAL] * 3
    assert found["layer"].tolist()[:5] == [1, 2, -1, -1, -1]
    assert found["expert"].tolist()[:5] == [2, 3, -1, -1, -1]
    assert found["label"].tolist()[::5] == ["a", "b", "c"]
    assert " ".join(found.columns) == (
        "intervention layer expert label loss change low high p tokens documents"
    )
    assert found.title == model.provenance.title
    assert found.few and "Few documents (1," in found.notes[0]  # noqa: PT018


def test_without_interventions_every_expert_of_every_layer_is_ablated(model):
    found = mv.effects(model, PROMPTS)
    assert len(found) == 24
    assert found["layer"].tolist() == np.repeat(range(3), 8).tolist()
    assert found["expert"].tolist() == [*range(8)] * 3
    asked = {f"{layer}/{e}": {"ablate": [(layer, e)]} for layer in range(3) for e in range(8)}
    assert mv.effects(model, PROMPTS, asked).csv() == found.csv()


def test_other_placements_and_an_intervention_around_it(tmp_path):
    config = small_config(vocab_size=8192, hidden_size=64, expert_size=96)
    folder = writers.hugging_face_4(random_model(config), tmp_path / "model")
    found = []
    for placement in ("resident", "stream", "offload"):
        model = mv.load(folder, placement=placement)
        with mv.intervene(model, top_k=3):
            found.append(mv.effects(model, PROMPTS, SEVERAL))
        assert found[-1].title == f"{model.provenance.title} · top-3"
        assert all(np.array_equal(found[0][n], found[-1][n], equal_nan=True) for n in NUMBERS)
    plain, base = mv.effects(model, PROMPTS, {"": {"top_k": 3}}), naive(model, PROMPTS, {})
    assert base.loss is not None
    counted = ~base.special & ~np.isnan(base.loss)  # <s> and </s> are among these ids
    assert plain["tokens"][0] == counted.sum() < len(base) - len(PROMPTS)
    assert found[0]["loss"][0] == pytest.approx(plain["loss"][0] + plain["change"][0])


def test_layers_before_a_change_run_once_and_those_from_it_on_for_each(model):
    layers: list[int] = []
    with model.router_hooks(lambda routing: layers.append(routing.layer)):
        mv.effects(model, PROMPTS, {"a": {"ablate": [(1, 0)]}, "b": {"ablate": [(1, 1)]}})
    unchanged, shared, each = [0, 1, 2], [0], [1, 2]
    assert layers == [*unchanged, *shared, *each, *each]


def test_the_bar_of_progress_ends_when_the_work_does(model, monkeypatch):
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", 45)
    done: list[float] = []
    bar = SimpleNamespace(update=done.append)
    monkeypatch.setattr(passes, "progress_bar", lambda name, total: nullcontext(bar))
    mv.effects(model, PROMPTS, SEVERAL)
    assert sum(done) == pytest.approx(len(SEVERAL))
    assert min(done) > 0


# ---- Intervals and p-values ----------------------------------------------------------------------


def test_what_changes_nothing_has_a_change_of_zero_and_p_one(model):
    nothing = {"empty": {}, "usual": {"top_k": 2}, "far": {"random": 1, "tokens": [999]}}
    found = mv.effects(model, PROMPTS, {**nothing, "some": {"top_k": 1}}, labels=LABELS)
    for name in nothing:
        rows = found.where(intervention=name)
        assert (rows["change"] == 0).all()
        assert (rows["p"] == 1).all()
        several = rows["documents"] > 1
        assert (rows["low"][several] == 0).all()
        assert (rows["high"][several] == 0).all()
        assert np.isnan(rows["low"][~several]).all()  # one document says nothing of others
    assert (found.where(intervention="some")["change"] != 0).all()


def test_intervals_and_p_values_against_other_formulas(model):
    """The ratio's standard error with Student's t; all 2^12 ways to turn signs."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 101, n).tolist() for n in rng.integers(20, 60, 12)]
    (row,) = mv.effects(model, prompts, {"it": {"temperature": 3}}).rows()
    base, after = naive(model, prompts, {}), naive(model, prompts, {"temperature": 3})
    assert base.loss is not None
    assert after.loss is not None
    difference = after.loss.astype(float) - base.loss
    d = np.array([np.nansum(difference[p.start : p.stop]) for p in base.prompts])
    n = np.array([p.stop - p.start - 1 for p in base.prompts])
    residual = d - d.sum() / n.sum() * n
    error = math.sqrt((residual**2).sum() * 12 / 11) / n.sum()
    assert row["low"] < row["change"] < row["high"]
    assert row["high"] - row["low"] == pytest.approx(2 * 2.201 * error, rel=0.15)
    signs = 1 - 2 * ((np.arange(2**12)[:, None] >> np.arange(12)) & 1)
    assert row["p"] == pytest.approx((abs(signs @ d) >= abs(d.sum()) - 1e-9).mean(), abs=0.05)


def test_several_interventions_are_corrected_for_and_seeds_repeat(model):
    changes = {str(k): {"top_k": k} for k in (1, 3, 4)}
    alone = [mv.effects(model, PROMPTS, {n: c})["p"][0] for n, c in changes.items()]
    found, again, other = (mv.effects(model, PROMPTS, changes, seed=s) for s in (0, 0, 1))
    assert (found["p"] >= np.array(alone) - 0.05).all()
    assert all(np.array_equal(found[n], again[n]) for n in NUMBERS)
    assert not np.array_equal(found["low"], other["low"])
    assert np.array_equal(found["change"], other["change"])


def test_documents_of_one_text_are_drawn_together():
    """All of a label's are one text: of how another text would do, that says nothing."""
    model, texts = mv.load("8x7m"), mv.prompts.passages().parallel(mv.prompts.passages().topics[0])
    found = mv.effects(model, texts.texts, {"it": {"top_k": 1}}, labels=["x", "x", "x", "y", "y"])
    assert np.isnan(found["low"]).all()
    assert np.isnan(found["high"]).all()
    assert (found["p"] == 1).all()


# ---- The untrained twin --------------------------------------------------------------------------


def test_the_twin_is_of_the_same_shape_random_stamped_and_of_its_seed():
    model = mv.load("8x7m")
    twin, again, other = (
        mv.untrained_twin(model),
        mv.untrained_twin(model),
        mv.untrained_twin(model, 5),
    )
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (model, twin)]
    assert shapes[0] == shapes[1]
    assert twin.config == model.config
    assert twin.tokenizer is model.tokenizer
    assert twin.provenance.synthetic
    assert not twin.provenance.fingerprint
    assert not any(p.requires_grad for p in twin.parameters())
    step_0 = twin_of(embedded_folder())
    for a, b, c, d in zip(*(m.parameters() for m in (twin, again, step_0, other)), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert a.ndim == 1 or not torch.equal(a, d)
    trace = mv.record(twin, "Good morning.")
    assert trace.provenance.title == f"8x7m · float32 · random weights, seed {STEP_0}"


def test_a_twin_that_does_not_fit_is_refused_before_memory_is_taken(model, monkeypatch):
    needed = mv.ledger(model.config).bytes("float32")
    monkeypatch.setattr(twin, "available_memory", lambda: needed)
    mv.untrained_twin(model)
    monkeypatch.setattr(twin, "available_memory", lambda: needed - 1)
    monkeypatch.setattr(twin, "Mixtral", lambda *a: pytest.fail("memory was taken"))
    with pytest.raises(PlacementError, match=r"untrained twin of small takes 0\.0 GiB.*smaller"):
        mv.untrained_twin(model)


# ---- Refused -------------------------------------------------------------------------------------

LISTS, ALL = ("layers", "tokens", "prompts"), [(1, e) for e in range(8)]
REFUSED = [
    ({"ablate": [(3, 0)]}, r"ablate takes \(layer, expert\) with layers 0 … 2 .*found \(3, 0\)"),
    ({"ablate": [(-1, 0)]}, "layers 0 … 2"),
    ({"force": [(0, 8)]}, "experts 0 … 7, found"),
    ({"ablate": [(0, -1)]}, "experts 0 … 7"),
    ({"swap": [(0, 1, 8)]}, r"swap takes \(layer, expert, expert\)"),
    *(({"ablate": [item]}, "ablate takes .layer, expert. with") for item in ((), (1,), (0, 1, 2))),
    ({"swap": [(0, 1)]}, r"found \(0, 1\)"),
    ({"ablate": (2, 5)}, r"ablate takes \(layer, expert\), found 2"),
    *(({"force": items}, "a list of .layer, expert., found") for items in ("25", 5, None)),
    *(({"swap": [item]}, "swap takes") for item in ((0, 1, 1.5), ("0", 1, 2), (0, 1, True))),
    ({"ablate": ALL[:7]}, "Without 7 of its 8 experts, layer 1 cannot choose 2.*nothing"),
    ({"ablate": ALL[:6], "top_k": 3}, "cannot choose 3"),
    ({"ablate": [(0, 1)], "force": [(0, 1)]}, "none that is ablated"),
    ({"force": ALL[:3]}, "Force at most 2"),
    ({"instead": "zero"}, "'next best' or 'nothing', found 'zero'"),
    *(({"top_k": k}, f"top_k must lie in 1 … 8, found {k}") for k in (0, 9, -1)),
    *(({"top_k": k}, "top_k takes a whole number") for k in (1.0, "2", True, [1])),
    *(({"temperature": t}, "must lie in 0.001") for t in (0, -1, math.nan, math.inf)),
    *(({"temperature": t}, "temperature takes a number") for t in ("1", True, [1.0])),
    ({"uniform_gates": "no"}, "True or False, found 'no'"),
    *(({"random": seed}, "random takes a whole number") for seed in (0.5, "x", True)),
    ({"layers": [0, 3]}, r"layers must lie in 0 … 2, found \[0, 3\]"),
    *(({name: value}, f"{name} takes a list") for name in LISTS for value in (3, [0.5], "01")),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_impossible_interventions_are_refused_and_leave_the_model_alone(model, change, message):
    before = model.provenance
    for run in (lambda: mv.intervene(model, **change).__enter__(),
                lambda: mv.effects(model, [[1, 2, 3]], {"it": change})):  # fmt: skip
        with pytest.raises(InputError, match=message):
            run()
    assert model.attached.hooks == ()
    assert model.provenance == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"it": {"topk": 1}}, "no intervention topk; there are ablate, instead"),
        ({}, "name at least one"),
        ([{"top_k": 1}], "maps names .*found list"),
        ({"it": [(0, 1)]}, "it: expected a mapping"),
    ],
)
def test_effects_refuse_what_names_no_intervention(model, monkeypatch, changes, message):
    monkeypatch.setattr(model, "sweep", lambda *a, **k: pytest.fail("it was computed"))
    with pytest.raises(InputError, match=message):
        mv.effects(model, PROMPTS, changes)


def test_texts_without_anything_to_predict_are_refused(model):
    with pytest.raises(InputError, match="no loss to compare"):
        mv.effects(model, [[1], [2]], {"it": {"top_k": 1}})


def test_numbers_may_be_numpy_s_and_lists_any_sequence():
    of = Intervention.of
    plain = of(ablate=[(1, 2)], top_k=3, tokens=[1, 2], layers=[1])
    assert of(ablate=np.array([[1, 2]]), top_k=np.int64(3), tokens=range(1, 3), layers={1}) == plain
