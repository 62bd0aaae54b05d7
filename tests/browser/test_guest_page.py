# SPDX-License-Identifier: Apache-2.0
"""A page of another family: each sentence on it is worked out anew from the trace, by its rule."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

import moe_viz as mv
from moe_viz.trace import Trace
from tests.browser.conftest import drawn, listen
from tests.guests import tiny

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.browser

WORDS = "In the beginning was the word, and the word was routed."


def deepseek_v3() -> Any:
    """Its layers, experts, groups and scale; everything else as small as it may be."""
    config = transformers.DeepseekV3Config(
        vocab_size=8192, hidden_size=64, intermediate_size=64, moe_intermediate_size=8,
        num_attention_heads=4, num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16,
        qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    shape = (config.num_hidden_layers, config.n_routed_experts, config.num_experts_per_tok)
    assert shape == (61, 256, 8)
    assert (config.n_group, config.topk_group, config.routed_scaling_factor) == (8, 4, 2.5)
    torch.manual_seed(1)
    model: Any = transformers.DeepseekV3ForCausalLM(config)
    for module in model.modules():
        if hasattr(module, "e_score_correction_bias"):
            torch.nn.init.normal_(module.weight, std=0.6)
            torch.nn.init.normal_(module.e_score_correction_bias, std=0.05)
    return model


def traced(name: str) -> Trace:
    if name == "DeepSeek-V3":
        model = mv.guest(deepseek_v3(), mv.load("8x7m").tokenizer, name=name)
        return mv.record(model, [WORDS, "Zwei von acht."], labels=["en", "de"])
    ids = np.random.default_rng(3).integers(3, tiny.VOCABULARY, (2, 12)).tolist()
    return mv.record(mv.guest(tiny.build(name), name=name), ids, labels=["a", "b"])


def ranking(trace: Trace, row: int, token: int) -> np.ndarray:
    """What the choice goes by, written out."""
    rule, logits = trace.rule, np.asarray(trace.router_logits[row, token], np.float64)
    if rule.plain:
        return logits
    bias = 0 if trace.bias is None else trace.bias[row].astype(np.float64)
    if rule.bias == "logits":
        return logits + bias
    scores = {
        "softmax": softmax, "sigmoid": expit,
        "sqrtsoftplus": lambda x: np.sqrt(np.log1p(np.exp(x))),
    }[rule.score](logits) + bias  # fmt: skip
    if rule.groups == 1:
        return scores
    members = scores.reshape(rule.groups, -1)
    worth = [sorted(group)[-1] if rule.group_score == "best" else sum(sorted(group)[-2:])
             for group in members]  # fmt: skip
    kept = np.argsort(worth)[-rule.groups_kept :]
    outside = np.setdiff1d(np.arange(rule.groups), kept)
    members[outside] = 0 if rule.outside_zero else -np.inf
    return members.reshape(-1)


SENTENCE = re.compile(
    r"In layer (?P<layer>\d+), ‘.*’ goes to (?P<where>no expert|expert .*?)"
    r"(; (?P<next>\d+) missed by (less than )?(?P<by>[\d.]+) (?P<unit>logits|in score))?\."
)
CHOSEN = re.compile(r"(\d+)(?: \((\d+)\u00a0%( of its gates)?\))?")
MORE = re.compile(r"expert (\d+.*) and (\d+) others")
#: Experts and figures of the bars of a decision, and of those that came next.
RANKS = """() => { const root = document.querySelector('.moe-viz').shadowRoot;
  const all = (query) => [...root.querySelectorAll(query)].filter((e) => e.checkVisibility())
    .map((e) => e.innerText.trim());
  return { experts: all('.decision .n'), values: all('.decision .value'),
    next: all('.decision .near') }; }"""


def check_sentence(trace: Trace, row: int, token: int, said: str) -> None:
    found = SENTENCE.fullmatch(said)
    assert found, said
    assert int(found["layer"]) == trace.layers[row]
    experts = [int(e) for e in trace.experts[row, token] if e >= 0]
    named = [] if found["where"] == "no expert" else CHOSEN.findall(found["where"])
    if trace.expert_count >= 16 and len(experts) > 2:  # the first is named, and how many more
        several = MORE.fullmatch(found["where"])
        assert several, said
        assert int(several[2]) == len(experts) - 1, said
        named = CHOSEN.findall(several[1])
        assert int(named[0][0]) == experts[0], said
    else:
        assert [int(e) for e, _, _ in named] == experts, said
    gates = trace.gates[row, token, : len(experts)].astype(float)
    shared = not trace.rule.sums_to_one
    for n, ((_, percent, of), gate) in enumerate(zip(named, gates, strict=False)):
        expected = 100 * (gate / gates.sum() if shared else gate)
        assert abs(int(percent) - expected) <= 0.9, (said, gates)  # gates travel as bytes
        assert bool(of) == (shared and n == 0), said
    scored = not trace.scored or trace.scored[row]
    if trace.rule.choice != "scores" or not scored:
        assert found["next"] is None, said
        return
    worth = ranking(trace, row, token)
    others = np.setdiff1d(np.flatnonzero(np.isfinite(worth)), experts)
    if not len(others) or len(experts) < trace.experts.shape[2]:
        return
    best = others[worth[others].argmax()]
    gap = worth[experts].min() - worth[best]
    near = 1.01 * 10.0 ** -len(found["by"].partition(".")[2])  # its last digit is true
    assert abs(float(found["by"]) - gap) <= near, (said, gap)
    assert int(found["next"]) == best or worth[best] - worth[int(found["next"])] < near, said
    assert found["unit"] == ("logits" if trace.rule.plain else "in score"), said


#: Which token of the first prompt is ringed.
PINNED = """() => [...document.querySelector('.moe-viz').shadowRoot.querySelectorAll('.tok')]
  .findIndex((e) => e.classList.contains('chosen'))"""
NAMES = (
    "DeepSeek-V3", "deepseek_v2", "deepseek_v4", "dbrx", "gemma4_text", "gpt_oss", "jamba",
    "kolibri1", "llama4_text", "olmoe", "phimoe", "qwen2_moe", "zaya",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_is_true_of_its_rule(browser, name, tmp_path):
    trace = traced(name)
    rule, (L, _, k) = trace.rule, trace.experts.shape
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    noise, page = listen(context), context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "page.html").as_uri())
    sentence = page.locator(".sentence")
    sentence.wait_for()
    page.locator(".mv").focus()
    walked = set()
    for step in range(min(2 * (L + 12), 60)):
        drawn(page)
        said = sentence.inner_text()
        row = trace.layers.index(int(re.findall(r"In layer (\d+)", said)[0]))
        token = page.evaluate(PINNED)
        check_sentence(trace, row, token, said)
        check_panel(trace, row, token, page)
        walked.add((row, token))
        page.keyboard.press("ArrowDown" if step % 3 else "ArrowRight")
    assert len(walked) >= min(2 * L, 20)
    modes = page.locator("select", has_text="first choice").locator("option").all_inner_texts()
    softmaxed = rule.score == "softmax" and rule.plain
    assert any("entropy" in mode for mode in modes) == softmaxed, modes
    share = [mode for mode in modes if "share of the gates" in mode]
    assert bool(share) == (not rule.sums_to_one), modes
    every = page.locator(".mv").inner_text()
    assert (f"All {k} choices count" in every) == (k > 2)
    assert noise.errors == []
    context.close()


def check_ranks(trace: Trace, row: int, token: int, page: Any) -> None:
    """Of many experts: the chosen by rank with their gates, and the next with what they missed."""
    rule, seen = trace.rule, page.evaluate(RANKS)
    experts = [int(e) for e in trace.experts[row, token] if e >= 0]
    assert [int(e) for e in seen["experts"]] == experts
    gates = trace.gates[row, token, : len(experts)].astype(float)
    expected = 100 * (gates if rule.sums_to_one else gates / gates.sum())
    shown = [float(value.removesuffix("\u00a0%")) for value in seen["values"]]
    np.testing.assert_allclose(shown, expected, atol=0.25)  # gates travel as bytes
    worth = ranking(trace, row, token)
    others = np.setdiff1d(np.flatnonzero(np.isfinite(worth)), experts)
    order = others[np.argsort(-worth[others])]
    gaps = worth[experts].min() - worth[order]
    assert len(seen["next"]) == min(4, len(order))
    for n, said in enumerate(seen["next"]):
        found = re.fullmatch(r"(\d+) −(?:less than )?([\d.]+)", said)
        assert found, said
        expert, by = found.groups()
        near = 1.01 * 10.0 ** -len(by.partition(".")[2])
        assert abs(float(by) - gaps[n]) <= near, (said, gaps[:5])
        assert abs(gaps[list(order).index(int(expert))] - gaps[n]) <= near, said


def check_panel(trace: Trace, row: int, token: int, page: Any) -> None:
    """The heading of the bars, and the note below them."""
    rule, E, k = trace.rule, trace.expert_count, trace.experts.shape[2]
    heading = next(t for t in page.locator("h2").all_inner_texts() if t.startswith("Router"))
    assert heading.startswith(f"Router, layer {trace.layers[row]}: ")
    if E >= 16:
        by = "gate" if rule.sums_to_one else "share of the gates"
        assert heading.endswith(f"{k} of {E} experts, by {by}")
        assert rule.remarks in page.locator(".note").first.inner_text()
        check_ranks(trace, row, token, page)
        return
    scored = (not trace.scored or trace.scored[row]) and rule.choice == "scores"
    if not scored:
        assert "chosen experts" in heading
        assert "softmax" not in heading
    elif rule.score == "softmax" and rule.plain:
        assert heading.endswith(f"softmax over all {trace.expert_count} experts")
    else:
        assert rule.words in heading
    note = page.locator(".note").first.inner_text()
    if "Filled" in note:
        experts, alone = trace.experts[row, token], "softmax over their scores alone" in note
        if alone:
            logits = trace.router_logits[row, token, experts]
            np.testing.assert_allclose(softmax(logits), trace.gates[row, token], atol=1e-5)
        assert rule.remarks in note
        shares = [float(x) for x in re.findall(r"(\d+)\u00a0%", note)]
        gates = trace.gates[row, token].astype(float)
        expected = 100 * gates / (1 if rule.sums_to_one else gates.sum())
        np.testing.assert_allclose(shares, expected[: len(shares)], atol=0.9)


def test_a_page_without_gates_tells_of_none(browser, tmp_path):
    """Expert ids from a server: an order, and nothing about how much each expert counts."""
    routes = np.random.default_rng(0).integers(0, 12, (20, 3, 4))
    trace = mv.import_routes([routes], experts=12, ids=[list(range(20))], model="a server's")
    context = browser.new_context()
    noise, page = listen(context), context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "page.html").as_uri())
    page.locator(".sentence").wait_for()
    said = page.locator(".mv").inner_text()
    assert "gates were not recorded" in said
    assert "gates are not known" in page.locator(".mv").inner_text()
    for word in ("larger gate", "all its gates", "first choice above", "logits", "missed by"):
        assert word not in said, word
    assert "%" not in page.locator(".sentence").inner_text()
    listed = ", ".join(map(str, routes[0, 0]))
    assert f"goes to expert {listed}." in page.locator(".sentence").inner_text()
    assert noise.errors == []
    context.close()
