# SPDX-License-Identifier: Apache-2.0
"""Scoring rules: NumPy's and torch's agree, transformers' routers are the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.deepseek_v2 import configuration_deepseek_v2, modeling_deepseek_v2
from transformers.models.deepseek_v3 import configuration_deepseek_v3, modeling_deepseek_v3
from transformers.models.olmoe import configuration_olmoe, modeling_olmoe

from moe_viz.errors import TraceError
from moe_viz.routing import Routing, Scoring, TokenIndex
from moe_viz.trace import Rule, Trace
from moe_viz.trace.rule import gates_of, ranking_of, scores_of

from .handmade import handmade

RULES = {
    "mixtral": Rule(),
    "olmoe": Rule(normalised=False),
    "sigmoid": Rule("sigmoid"),
    "deepseek_v3": Rule("sigmoid", bias="scores", groups=4, groups_kept=2, scale=2.5),
    "deepseek_v2": Rule(groups=4, groups_kept=2, group_score="best", normalised=False, scale=16.0),
    "deepseek_v4": Rule("sqrtsoftplus", bias="scores", scale=1.5),
    "kolibri": Rule("sigmoid", bias="logits", normalised=False),
    "ernie": Rule(bias="scores"),
    "axk2": Rule("sigmoid", bias="scores", groups=4, groups_kept=2, outside_zero=True),
    "one expert a group": Rule("sigmoid", groups=8, groups_kept=3),
}
T, E, K = 50, 8, 3


@pytest.fixture(params=RULES.values(), ids=list(RULES))
def case(request):
    """A rule, logits, a bias, and the experts that it chooses."""
    rule, rng = request.param, np.random.default_rng(3)
    logits = rng.normal(0, 3, (T, E)).astype(np.float32)
    bias = rng.normal(0, 0.3, E).astype(np.float32) if rule.bias else None
    order = np.argsort(-ranking_of(rule, logits, bias), axis=-1, kind="stable")
    return rule, logits, bias, order[:, :K]


def test_numpy_and_torch_agree(case):
    rule, logits, bias, experts = case
    scoring = Scoring(rule, None if bias is None else torch.tensor(bias))
    ranking = scoring.ranking(torch.tensor(logits)).numpy()
    np.testing.assert_allclose(ranking, ranking_of(rule, logits, bias), atol=2e-6)
    index = TokenIndex.of_prompts([T])
    start = Routing(0, torch.tensor(logits), torch.zeros(T, K).long(), torch.zeros(T, K), index,
                    scoring=scoring)  # fmt: skip
    found = start.with_experts(torch.tensor(experts))
    np.testing.assert_allclose(found.gates.numpy(), gates_of(rule, logits, experts), rtol=2e-5)
    sums = found.gates.sum(1).numpy()
    assert np.allclose(sums, 1, atol=1e-6) == rule.sums_to_one or rule.scale == 1


def test_an_unused_slot_has_no_gate(case):
    rule, logits, _, experts = case
    fewer = np.where(np.arange(K) < 2, experts, -1)
    index = TokenIndex.of_prompts([T])
    start = Routing(0, torch.tensor(logits), torch.tensor(experts), torch.zeros(T, K), index,
                    scoring=Scoring(rule))  # fmt: skip
    found = start.with_experts(torch.tensor(fewer)).gates.numpy()
    assert (found[:, 2] == 0).all()
    np.testing.assert_allclose(found, gates_of(rule, logits, fewer), rtol=2e-5)
    nobody = np.full_like(experts, -1)
    assert (start.with_experts(torch.tensor(nobody)).gates == 0).all()
    assert (gates_of(rule, logits, nobody) == 0).all()


def theirs(name: str) -> tuple[torch.nn.Module, Rule]:
    """A router of transformers with random weights, and the rule that it should follow."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "num_experts_per_tok": K}
    groups: dict[str, Any] = {"n_routed_experts": E, "n_group": 4, "topk_group": 2}
    if name == "olmoe":
        config = configuration_olmoe.OlmoeConfig(**sizes, num_experts=E, norm_topk_prob=False)
        made: Any = modeling_olmoe.OlmoeTopKRouter(config)
    elif name == "deepseek_v3":
        config = configuration_deepseek_v3.DeepseekV3Config(
            **sizes, **groups, norm_topk_prob=True, routed_scaling_factor=2.5
        )
        made = modeling_deepseek_v3.DeepseekV3TopkRouter(config)
        torch.nn.init.normal_(made.e_score_correction_bias, std=0.3)
    else:
        config = configuration_deepseek_v2.DeepseekV2Config(
            **sizes, **groups, norm_topk_prob=False, routed_scaling_factor=16.0,
            topk_method="group_limited_greedy",
        )  # fmt: skip
        made = modeling_deepseek_v2.DeepseekV2TopkRouter(config)
    torch.nn.init.normal_(made.weight, std=0.5)
    return made, RULES[name]


@pytest.mark.parametrize("name", ["olmoe", "deepseek_v3", "deepseek_v2"])
def test_a_router_of_transformers_follows_its_rule(name):
    router, rule = theirs(name)
    with torch.no_grad():
        logits, gates, experts = router(torch.randn(1, T, 16))
    logits, gates, experts = (x.numpy() for x in (logits, gates, experts))
    bias = getattr(router, "e_score_correction_bias", None)
    ranking = ranking_of(rule, logits, None if bias is None else bias.numpy())
    chosen = np.argsort(-ranking, axis=-1)[:, :K]
    assert np.array_equal(np.sort(chosen), np.sort(experts))
    np.testing.assert_allclose(gates, gates_of(rule, logits, experts), rtol=1e-5)
    if not rule.plain:  # and not the rule of Mixtral
        assert not np.array_equal(np.sort(np.argsort(-logits)[:, :K]), np.sort(experts))


def test_scores_of_large_logits_are_finite():
    x = np.array([[-2000.0, 0, 2000.0]], np.float32)
    with np.errstate(over="raise"):
        assert scores_of(Rule("sigmoid"), x).tolist() == [[0, 0.5, 1]]
        assert scores_of(Rule(), x).tolist() == [[0, 0, 1]]
        assert np.allclose(scores_of(Rule("sqrtsoftplus"), x), [[0, np.log(2) ** 0.5, 2000**0.5]])


def test_a_rule_comes_back_from_a_file():
    for rule in RULES.values():
        assert Rule.from_json({**rule.to_json(), "later": 5}) == rule
    assert Rule.from_json({"scale": 2}) == Rule(scale=2.0)
    for wrong in ({"score": "relu"}, {"score": 5}, {"groups": "many"}, {"groups": True},
                  {"groups_kept": 2}, {"normalised": 1}, {"bias": "gates"}, {"choice": ""},
                  {"group_score": "worst"}, {"groups": 0}):  # fmt: skip
        with pytest.raises((TypeError, ValueError)):
            Rule.from_json(wrong)


# ---- A trace that follows a rule -----------------------------------------------------------------


def ruled(rule: Rule, **change) -> Any:
    """A handmade trace of 6 experts under another rule."""
    trace = handmade()
    bias = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6) if rule.bias else None
    return replace(trace, rule=rule, bias=bias, **change)


def test_margins_are_of_what_the_choice_went_by():
    rule = Rule("sigmoid", bias="scores", groups=3, groups_kept=2)
    trace = ruled(rule)
    found = trace.margins
    for row, column in np.ndindex(3, 5):
        scores = 1 / (1 + np.exp(-trace.router_logits[row, column].astype(float)))
        biased = scores + trace.bias[row]
        groups = biased.reshape(3, 2).sum(1)
        biased[np.repeat(groups == groups.min(), 2)] = -np.inf
        ranked = np.sort(biased)[::-1]
        assert found[row, column] == pytest.approx(ranked[1] - ranked[2], abs=1e-6)
    assert np.array_equal(ruled(Rule("sigmoid")).margins, handmade().margins)  # sigmoids rise


def test_stored_choice_scores_are_what_the_choice_went_by(tmp_path):
    scores = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    trace = ruled(Rule(choice="stored"), choice_scores=scores)
    back: Any = Trace.load(trace.save(tmp_path / "t"))
    assert back.rule == trace.rule
    ranked = np.sort(scores, axis=-1)[..., ::-1]
    assert np.array_equal(back.margins, ranked[..., 1] - ranked[..., 2])
    assert np.array_equal(back.select(layers=2, prompt=1).choice_scores, scores[1:2, 3:])
    joined: Any = Trace.join([back, back])
    assert np.array_equal(joined.choice_scores[:, 5:], scores)
    with pytest.raises(TraceError, match="rule needs choice_scores"):
        replace(trace, choice_scores=None)


def test_everything_of_a_rule_is_saved_selected_and_joined(tmp_path):
    rule = Rule("sigmoid", bias="scores", shared=1, shared_gated=True, note="It hums.")
    trace = ruled(rule, scored=(True, False, True), model_layers=9, mixtures=(0, 1, 2, 5))
    back: Any = Trace.load(trace.save(tmp_path / "t"))
    assert (back.rule, back.scored, back.model_layers) == (rule, (True, False, True), 9)
    assert back.mixtures == (0, 1, 2, 5)
    assert np.array_equal(back.bias, trace.bias)
    part: Any = back.select(layers=[2, 5])
    assert (part.scored, part.layers) == ((False, True), (2, 5))
    assert np.array_equal(part.bias, trace.bias[1:])
    joined: Any = Trace.join([back, trace])
    assert np.array_equal(joined.bias, trace.bias)
    with pytest.raises(TraceError, match="Only recordings of one model, run the same way"):
        Trace.join([trace, replace(trace, rule=replace(rule, scale=2.0))])
    with pytest.raises(TraceError, match="Only recordings of one model, run the same way"):
        Trace.join([trace, replace(trace, bias=trace.bias + 1)])


def test_layers_whose_choice_goes_by_no_scores_have_no_margin():
    trace = ruled(Rule(note="They look tokens up."), scored=(False, True, True))
    assert np.isnan(trace.margins[0]).all()
    assert np.array_equal(trace.margins[1:], handmade().margins[1:])
    with pytest.raises(TraceError, match=r"layer 0 does not go by scores.*They look tokens up\."):
        trace.ranking(0)
    with pytest.raises(TraceError, match="does not go by scores"):
        getattr(replace(trace, scored=(False,) * 3), "margins")  # noqa: B009


def test_a_trace_without_logits_has_choices_and_says_what_is_missing(tmp_path):
    whole = handmade()
    trace = replace(whole, router_logits=None)
    assert trace.expert_count == 6
    back: Any = Trace.load(trace.save(tmp_path / "t"))
    assert back.router_logits is None
    assert back.expert_count == 6
    assert np.array_equal(back.experts, whole.experts)
    for what, ask in (
        ("margin", lambda: back.margins),
        ("probability", lambda: back.probabilities(0)),
    ):
        with pytest.raises(TraceError, match=f"no router logits, so there is no {what}"):
            ask()
    assert back.select(label="b").expert_count == 6
    assert Trace.join([back, trace]).router_logits is None
    assert Trace.join([whole, trace]).router_logits is None
    columns = back.table().column_names
    assert "expert_0" in columns
    assert not {"margin", "logit_0"} & set(columns)


def test_what_a_rule_does_not_allow_is_declined_in_words():
    with pytest.raises(TraceError, match=r"scores each expert by itself \(sigmoid\)"):
        ruled(Rule("sigmoid")).probabilities(0)
    assert np.allclose(handmade().probabilities(1).sum(1), 1)
    for change, said in (
        ({"rule": Rule(groups=4, groups_kept=1)}, "6 experts do not make 4 equal groups"),
        ({"rule": Rule("sigmoid", bias="scores")}, "rule needs bias"),
        ({"scored": (True,)}, "scored must tell of 3 layers"),
        ({"model_layers": 5}, "Layer 5 is not one of the model's 5"),
        (
            {"mixtures": (0, 1, 2)},
            r"were recorded, and \(0, 1, 2\) have experts",
        ),
        ({"bias": np.zeros((2, 6), np.float32)}, r"bias must be of shape \(3, 6\)"),
    ):
        with pytest.raises(TraceError, match=said):
            replace(handmade(), **change)
