# SPDX-License-Identifier: Apache-2.0
"""What a hook may answer: a decision for its own layer and tokens, made of numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import moe_viz as mv
from moe_viz.errors import HookError
from moe_viz.routing import Routing, TokenIndex, apply_hooks

T, E, K = 4, 5, 2
NAN, INF = float("nan"), float("inf")


def routing(layer: int = 7) -> Routing:
    logits = torch.randn(T, E, generator=torch.manual_seed(0))
    best, experts = logits.topk(K)
    index = TokenIndex.of_prompts([1, 3], [0, 2], first_token=10, first_prompt=4)
    return Routing(layer, logits, experts, best.softmax(-1), index)


def with_number(tensor: Tensor, number: float, row: int = 2, column: int = 1) -> Tensor:
    changed = tensor.clone()
    changed[row, column] = number
    return changed


def other(name: str, change):
    """The same decision for tokens one vector of which is another."""
    return lambda r: replace(r, index=replace(r.index, **{name: change(getattr(r.index, name))}))


REFUSED = {
    "nothing of the kind": (lambda r: (r.experts, r.gates), "a Routing or None, found tuple.*repl"),
    "another layer": (
        lambda r: replace(r, layer=6),
        "a decision of layer 7, found one of layer 6. Change the Routing it was given",
    ),
    "no layer": (lambda r: replace(r, layer=None), "of layer 7, found one of layer None"),
    "tokens": (
        other("tokens", lambda t: t + 1),
        "for the tokens it was given, found another tokens: 11 instead of 10 in row 0 of 4. Change",
    ),
    "the last token": (
        other("tokens", lambda t: torch.tensor([10, 11, 12, 99])),
        "another tokens: 99 instead of 13 in row 3 of 4",
    ),
    "prompt": (other("prompt", lambda t: t.flip(0)), "another prompt: 5 instead of 4 in row 0"),
    "position": (other("position", lambda t: t * 0), "another position: 0 instead of 2 in row 1"),
    "generated": (other("generated", lambda t: ~t), "generated: True instead of False in row 0"),
    "fewer tokens": (
        other("tokens", lambda t: t[1:]),
        r"the 4 tokens .*tokens: torch.int64 \(3,\)",
    ),
    "a column": (other("prompt", lambda t: t[:, None]), r"another prompt: torch.int64 \(4, 1\)"),
    "a smaller type": (other("position", lambda t: t.int()), "another position: torch.int32"),
    "generated as numbers": (other("generated", lambda t: t.long()), "generated: torch.int64"),
    "a slice's index": (lambda r: replace(r, index=r.index[1:3]), "another tokens: .*Change the R"),
    "gates NaN": (lambda r: replace(r, gates=with_number(r.gates, NAN)), "gates must be finite, f"),
    "gates ∞": (lambda r: replace(r, gates=with_number(r.gates, INF)), "gates must be finite, f"),
    "gates −∞": (lambda r: replace(r, gates=with_number(r.gates, -INF)), "gates must be finite"),
    "logits NaN": (
        lambda r: replace(r, logits=with_number(r.logits, NAN)),
        "logits must be finite",
    ),
    "logits ∞": (lambda r: replace(r, logits=with_number(r.logits, INF)), "logits must be finite"),
    "logits −∞": (lambda r: replace(r, logits=with_number(r.logits, -INF)), "logits must be finit"),
    "altered NaN": (
        lambda r: replace(r, altered=with_number(r.logits, NAN)),
        "altered must be finite or −∞, found NaN or infinity.*Fix the hook; expert −1",
    ),
    "altered ∞": (lambda r: replace(r, altered=with_number(r.logits, INF)), "altered must be"),
    "altered of another shape": (lambda r: replace(r, altered=r.logits[1:]), r"altered .*\(3, 5\)"),
    "altered of another type": (lambda r: replace(r, altered=r.logits.double()), "altered .*64"),
    "logits of another type": (lambda r: replace(r, logits=r.logits.half()), "logits .*float16"),
    "gates for other slots": (lambda r: replace(r, gates=r.gates[:, :1]), r"\(4, 2\) and \(4, 1\)"),
    "experts flat": (lambda r: replace(r, experts=r.experts[:, 0]), r"found \(4,\) and \(4, 2\)"),
    "experts of fewer tokens": (
        lambda r: replace(r, experts=r.experts[1:], gates=r.gates[1:]),
        r"both be of shape \(4, k\), found \(3, 2\)",
    ),
    "experts as int32": (
        lambda r: replace(r, experts=r.experts.int()),
        "int64 .*found torch.int32",
    ),
    "gates as half": (lambda r: replace(r, gates=r.gates.half()), "and torch.float16"),
    "expert E": (lambda r: replace(r, experts=r.experts * 0 + E), "−1 … 4 .*found 5 … 5"),
    "expert −2": (lambda r: replace(r, experts=r.experts * 0 - 2), "−1 … 4 .*found -2 … -2"),
    "elsewhere": (
        lambda r: replace(r, gates=r.gates.to("meta")),
        "gates must stay on cpu, found them on meta",
    ),
    "tokens elsewhere": (other("tokens", lambda t: t.to("meta")), "tokens must stay on cpu"),
    "altered elsewhere": (
        lambda r: replace(r, altered=r.logits.to("meta")),
        "altered must stay on",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_answer_that_cannot_stand_is_refused_by_hook_and_layer(change, message):
    def answer(decision: Routing):
        return change(decision)

    with pytest.raises(HookError, match=message) as error:
        apply_hooks([answer], routing())
    assert "answer, layer 7: " in str(error.value)


def test_a_hook_without_a_name_is_called_by_its_class():
    class Turned:
        def __call__(self, decision: Routing) -> Routing:
            return replace(decision, layer=0)

    with pytest.raises(HookError, match="router hook Turned, layer 7"):
        apply_hooks([Turned()], routing())


ACCEPTED = {
    "itself": lambda r: r,
    "a copy": lambda r: replace(r),
    "copies of everything": lambda r: Routing(
        r.layer, r.logits.clone(), r.experts.clone(), r.gates.clone(),
        TokenIndex(*(t.clone() for t in (r.tokens, r.prompt, r.position, r.generated))),
    ),
    "scores of −∞": lambda r: replace(r, altered=with_number(r.logits, -INF)),
    "a row of −∞": lambda r: replace(r, altered=torch.full_like(r.logits, -INF)),
    "empty slots": lambda r: replace(r, experts=r.experts * 0 - 1, gates=r.gates * 0),
    "one slot": lambda r: r.with_experts(r.experts[:, :1]),
    "every expert": lambda r: r.with_experts(r.logits.topk(E).indices),
    "the last expert": lambda r: r.with_experts(r.experts * 0 + E - 1),
    "other logits": lambda r: replace(r, logits=r.logits * 1e30),
    "gates above 1": lambda r: replace(r, gates=r.gates * 3),
}  # fmt: skip


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_answer_that_can_be_executed_replaces_the_decision(change):
    before = routing()
    answer = change(before)
    assert apply_hooks([lambda _: answer], before) is answer
    assert apply_hooks([lambda _: answer, lambda _: None], before) is answer


def test_a_later_hook_is_measured_by_its_predecessor_s_answer():
    fewer = lambda r: r.with_experts(r.experts[:, :1])  # noqa: E731
    seen = []
    result = apply_hooks([fewer, seen.append, fewer], routing())
    assert seen[0].experts.shape == result.experts.shape == (T, 1)
    with pytest.raises(HookError, match="layer 7, found one of layer 8"):
        apply_hooks([fewer, lambda r: replace(r, layer=8)], routing())


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_however_much_is_asked_there_is_one_look_on_the_host(monkeypatch, change):
    looks, cpu = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: looks.append(self.shape) or cpu(self))
    apply_hooks([change], routing())
    assert len(looks) == 1


def test_a_hook_that_answers_nothing_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(Tensor, "cpu", lambda self: pytest.fail("a look on the host"))
    before = routing()
    assert apply_hooks([lambda r: None], before) is before


@pytest.mark.parametrize("layer", [1, 2])
def test_a_recording_stops_at_the_hook_that_answers_for_another_layer(model, layer):
    kept: list[Routing] = []

    def late(decision: Routing) -> Routing | None:
        kept.append(decision)
        return kept[0] if decision.layer == layer else None

    message = f"layer {layer}: .*one of layer 0"
    with pytest.raises(HookError, match=message), model.router_hooks(late):
        mv.record(model, [[1, 2, 3]])
    assert len(kept) == layer + 1
    assert model.attached.hooks == ()


def test_a_decision_of_the_step_before_is_refused_while_generating(model):
    kept: list[Routing] = []

    def late(decision: Routing) -> Routing | None:
        if decision.layer:
            return None
        kept.append(decision)
        return kept[-2] if len(kept) == 3 else None  # of the token before

    message = "another tokens: 3 instead of 4 in row 0 of 1"
    with pytest.raises(HookError, match=message), model.router_hooks(late):
        mv.generate(model, [1, 2, 3], max_new_tokens=4)
