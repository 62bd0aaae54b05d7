# pyright: reportArgumentType=false
"""What calls take, and how they refuse the rest: by name, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import HookError, InputError
from moe_viz.prompts import Prompt, Prompts
from tests.conftest import random_model

IDS = [3, 1, 4, 1, 5]


@pytest.fixture(scope="module")
def small():
    return random_model()


@pytest.mark.parametrize(
    "given",
    [
        IDS,
        tuple(IDS),
        range(3, 8),
        np.array(IDS),
        np.array(IDS, np.uint16),
        [np.int64(i) for i in IDS],
        torch.tensor(IDS),
        torch.tensor(IDS, dtype=torch.int32),
        list(torch.tensor(IDS)),
        iter(IDS),
    ],
    ids=lambda x: type(x).__name__,
)
def test_one_prompt_of_ids_is_run_as_it_is(small, given):
    expected = list(range(3, 8)) if isinstance(given, range) else IDS
    assert mv.record(small, given).token_ids.tolist() == expected


@pytest.mark.parametrize(
    "given",
    [
        [IDS, [7, 8]],
        [np.array(IDS), torch.tensor([7, 8])],
        (tuple(IDS), (7, 8)),
    ],
    ids=["lists", "arrays", "tuples"],
)
def test_several_prompts_of_ids_lie_end_to_end(small, given):
    trace = mv.record(small, given)
    assert trace.token_ids.tolist() == [*IDS, 7, 8]
    assert [(p.start, p.stop) for p in trace.prompts] == [(0, 5), (5, 7)]


def test_rows_of_a_matrix_are_prompts(small):
    trace = mv.record(small, torch.tensor([[1, 2, 3], [4, 5, 6]]))
    assert trace.token_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert [(p.start, p.stop) for p in trace.prompts] == [(0, 3), (3, 6)]
    assert mv.record(small, torch.tensor([IDS])).token_ids.tolist() == IDS


def test_one_curated_prompt_brings_its_label():
    model = mv.load("8x7m")
    prompt = Prompt("greeting", "de", "Guten Morgen.")
    assert mv.record(model, prompt).labels == mv.record(model, Prompts([prompt])).labels == ("de",)
    assert mv.record(model, prompt, labels=["x"]).labels == ("x",)


REFUSED = {
    "a mapping": ({"input_ids": IDS}, r"found a dict with the keys 'input_ids'\."),
    "a set": ({1, 2, 3}, r"found a set of 3\."),
    "bytes": (b"text", r"found the bytes b'text'\."),
    "nothing": (None, r"found None\."),
    "a number": (5, r"found the int 5\."),
    "a float among ids": ([1, 2.5], "found the float 2.5|found the int 1"),
    "floats": ([[1.0, 2.0]], r"found a list of 2\."),
    "an array of floats": (np.ones((1, 3)), r"found a list of 3\."),
    "booleans": ([[True, False]], r"found a list of 2\."),
    "a trace": ("trace", r"found a Trace of 5\."),
    "a mapping in a list": ([{"text": "x"}], r"found a dict with the keys 'text'\."),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("call", [mv.record, mv.effects], ids=["record", "effects"])
def test_other_kinds_are_refused_by_name_before_a_layer_runs(small, monkeypatch, name, call):
    given, message = REFUSED[name]
    given = mv.record(small, IDS) if name == "a trace" else given
    monkeypatch.setattr(small, "sweep", lambda *a, **k: pytest.fail("a layer ran"))
    with pytest.raises(InputError, match=rf"takes a text.*; {message}"):
        call(small, given)


@pytest.mark.parametrize("given", [["a", "b"], [IDS, IDS], {"text": 1}, None, 2.5, b"x"])
def test_generate_takes_one_prompt(small, given):
    with pytest.raises(InputError, match="A prompt takes a text, or token ids"):
        mv.generate(small, given)


def test_ledger_chart_and_explore_say_what_they_take(small):
    trace = mv.record(small, IDS)
    with pytest.raises(
        InputError, match=r"ledger takes a MixtralConfig, .*8x7m.*; found a Mixtral"
    ):
        mv.ledger(small)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"chart takes what an analysis found.*; found a Trace"):
        mv.chart(trace)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"explore takes a trace, .*; found a list of 1"):
        mv.explore([trace])
    with pytest.raises(InputError, match=r"explore takes a trace, .*; found the str 'x'"):
        mv.explore("x")  # type: ignore[arg-type]


def test_a_hook_must_be_callable_and_none_is_attached_otherwise(small):
    refusal = pytest.raises(HookError, match=r"hook\(routing\).*found a dict with the keys 'a'")
    with refusal, small.router_hooks(lambda routing: None, {"a": 1}):
        pytest.fail("the block was entered")
    assert small.hooks == ()
