# SPDX-License-Identifier: Apache-2.0
"""Every intervention on random logits: experts, gates and scores against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.intervention.change import Intervention
from moe_viz.routing import Routing, TokenIndex

from .plain_decisions import Change, Decision, Token, changed, lot

LENGTHS, FIRST_ROW, FIRST_PROMPT = [7, 1, 12, 20], 30, 2
T = sum(LENGTHS)
INDEX = TokenIndex.of_prompts(LENGTHS, None, FIRST_ROW, FIRST_PROMPT)

CHANGES = {
    "ablate one": {"ablate": [(1, 3)]},
    "ablate in another layer": {"ablate": [(0, 3), (2, 1)]},
    "ablate most": {"ablate": [(1, e) for e in (0, 2, 3, 4, 5, 7)]},
    "ablate one, nothing instead": {"ablate": [(1, 3)], "instead": "nothing"},
    "ablate all, nothing instead": {"ablate": [(1, e) for e in range(8)], "instead": "nothing"},
    "force one": {"force": [(1, 6)]},
    "force two": {"force": [(1, 6), (1, 0), (0, 1)]},
    "force one of one": {"force": [(1, 2)], "top_k": 1},
    "force among four": {"force": [(1, 2), (1, 7)], "top_k": 4},
    "swap": {"swap": [(1, 0, 5)]},
    "swap round": {"swap": [(1, 0, 5), (1, 5, 2), (0, 1, 3)]},
    "swap there and back": {"swap": [(1, 0, 5), (1, 5, 0)]},
    "top 1": {"top_k": 1},
    "top 3": {"top_k": 3},
    "top 8": {"top_k": 8},
    "colder": {"temperature": 0.25},
    "hotter": {"temperature": 3},
    "hotter among five": {"temperature": 3, "top_k": 5},
    "uniform": {"uniform_gates": True},
    "uniform over five": {"uniform_gates": True, "top_k": 5},
    "random": {"random": 5},
    "random at seed 0": {"random": 0},
    "random of three": {"random": -2, "top_k": 3},
    "random and ablated": {"random": 5, "ablate": [(1, 3), (1, 4)]},
    "random, nothing instead": {"random": 5, "ablate": [(1, 3), (1, 4)], "instead": "nothing"},
    "random and hotter": {"random": 5, "temperature": 2.0},
    "ablate and force": {"ablate": [(1, 1), (1, 2)], "force": [(1, 5)]},
    "ablate and swap": {"ablate": [(1, 1)], "swap": [(1, 1, 2)]},
    "swap, nothing instead": {"ablate": [(1, 1)], "swap": [(1, 1, 2)], "instead": "nothing"},
    "uniform, nothing instead": {
        "ablate": [(1, 1), (1, 6)], "instead": "nothing", "uniform_gates": True, "top_k": 3,
    },
    "cold and ablated": {"ablate": [(1, 0), (1, 7)], "temperature": 0.5},
    "everything": {
        "ablate": [(1, 0)], "force": [(1, 2)], "swap": [(1, 4, 5)], "top_k": 3,
        "temperature": 2.0, "uniform_gates": True,
    },
}  # fmt: skip
BOUNDS = {
    "everywhere": {},
    "this layer": {"layers": [0, 1]},
    "another layer": {"layers": [0, 2]},
    "no layer": {"layers": []},
    "tokens": {"tokens": [FIRST_ROW, *range(35, 50), 69, 5]},
    "prompts": {"prompts": [FIRST_PROMPT + 1, FIRST_PROMPT + 3]},
    "both": {"tokens": range(40, 60), "prompts": [FIRST_PROMPT + 2], "layers": [1]},
}


def routed(k: int = 2, layer: int = 1) -> Routing:
    logits = 2 * torch.randn(T, 8, generator=torch.manual_seed(3))
    best, experts = logits.topk(k)
    return Routing(layer, logits, experts, best.softmax(-1), INDEX)


def plain(routing: Routing, change: Change) -> list[tuple[Token, Decision]]:
    k, rows = routing.experts.shape[1], []
    for t, logits in enumerate(routing.logits.tolist()):
        token = Token(routing.layer, int(routing.tokens[t]), int(routing.prompt[t]))
        rows.append((token, changed(logits, k, token, change)))
    return rows


def check(found: Routing, routing: Routing, asked: dict) -> None:
    width = found.experts.shape[1]
    for t, (_, expected) in enumerate(plain(routing, Change(**asked))):
        spare = width - len(expected.experts)
        assert found.experts[t].tolist() == expected.experts + [-1] * spare
        assert found.gates[t].tolist() == pytest.approx(expected.gates + [0] * spare, abs=1e-6)
        assert found.scores[t].tolist() == pytest.approx(expected.scores, rel=1e-6)
    assert found.logits is routing.logits
    assert found.index is routing.index
    assert found.layer == routing.layer


def replaced(routing: Routing, **asked) -> Routing:
    """What a change makes of a decision that it replaces."""
    answer = Intervention.of(**asked)(routing)
    assert answer is not None
    return answer


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS.keys())
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_decision_is_the_one_written_out(change, bound):
    routing, asked = routed(), {**change, **bound}
    answer = Intervention.of(**asked)(routing)
    check(routing if answer is None else answer, routing, asked)
    if bound.get("layers") in ([], [0, 2]):
        assert answer is None  # not this layer: nothing to replace, nothing to look at


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("name", ["ablate one", "force one", "swap round", "uniform", "random"])
def test_models_that_choose_another_number_of_experts(name, k):
    asked = {**CHANGES[name], **({"instead": "nothing"} if k == 8 else {})}
    routing = routed(k)
    check(replaced(routing, **asked), routing, asked)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_that_is_not_named_stands(layer):
    for asked in ({"ablate": [(0, 1)]}, {"force": [(0, 1)]}, {"swap": [(0, 1, 2)]}):
        answer = Intervention.of(**asked)(routed(layer=layer))
        assert (answer is None) == (layer != 0)


def test_the_loops_above_change_something_in_most_cases():
    routing = routed()
    usual = [row for _, row in plain(routing, Change())]
    different = [plain(routing, Change(**asked)) for asked in CHANGES.values()]
    same = [
        sum(row == was for (_, row), was in zip(rows, usual, strict=True)) for rows in different
    ]
    assert sum(n == T for n in same) == 2  # another layer; there and back
    assert [row.experts for row in usual] == routing.experts.tolist()


# ---- At random, by the values --------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 3, -7, 2**31, 2**70 + 5])
@pytest.mark.parametrize("layer", [0, 1, 31])
def test_lots_are_splitmix64(seed, layer):
    from moe_viz.intervention.change import drawn_lots

    rows = [0, 1, 5, 1000, 2**31 + 3]
    for E in (4, 8):
        expected = [[lot(seed, layer, t, e, E) for e in range(E)] for t in rows]
        found = drawn_lots(seed, layer, torch.tensor(rows), E)
        assert found.dtype == torch.float32
        assert found.tolist() == expected


def test_these_seeds_choose_these_experts():
    """Literal values: no release may change what random=seed does."""
    logits = torch.arange(8.0).repeat(6, 1)
    index = TokenIndex.of_prompts([6])
    usual = Routing(2, logits, torch.tensor([[7, 6]] * 6), torch.tensor([[0.75, 0.25]] * 6), index)
    chosen = {seed: replaced(usual, random=seed).experts.tolist() for seed in (0, 1, 2026)}
    assert chosen == {
        0: [[1, 7], [0, 3], [0, 5], [1, 5], [3, 5], [6, 0]],
        1: [[7, 6], [7, 6], [3, 1], [1, 0], [2, 4], [7, 5]],
        2026: [[6, 7], [2, 0], [3, 1], [6, 1], [0, 2], [5, 7]],
    }


@pytest.mark.parametrize("seed", [0, 3])
def test_recordings_are_changed_at_random_as_written_out(model, seed):
    with mv.intervene(model, random=seed):
        trace = mv.record(model, [[1, 2, 3, 4], [1, 2, 3]])
    for layer in range(3):
        for t in range(7):
            lots = [lot(seed, layer, t, e, 8) for e in range(8)]
            expected = sorted(range(8), key=lambda e: -lots[e])[:2]
            assert trace.experts[layer, t].tolist() == expected
            ranked = np.sort(trace.router_logits[layer, t].astype(float))[::-1][:2]
            weights = np.exp(ranked - ranked[0])
            assert trace.gates[layer, t] == pytest.approx(weights / weights.sum(), abs=1e-6)


def test_one_change_after_another_sees_what_was_altered():
    """Scores that one intervention altered are what the next one goes by."""
    routing = routed()
    first = replaced(routing, swap=[(1, 0, 5)])
    second = replaced(first, top_k=3)
    given = replace(routing, logits=first.scores)
    check(replace(second, logits=given.logits), given, {"top_k": 3})
