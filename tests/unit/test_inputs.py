# SPDX-License-Identifier: Apache-2.0
"""What calls take, and how they refuse the rest: by name, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest
import tokenizers
import torch
import transformers

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


@pytest.mark.parametrize(
    "given",
    [
        (ids for ids in (IDS, [7, 8])),
        map(list, (IDS, [7, 8])),
        pyarrow.chunked_array([[IDS], [[7, 8]]]),
    ],
    ids=["generator", "map", "column of Arrow's"],
)
def test_what_can_be_read_once_is_read_once(small, given):
    assert mv.record(small, given).token_ids.tolist() == [*IDS, 7, 8]


def test_a_tensor_without_rows_is_refused_by_name(small):
    with pytest.raises(InputError, match="found a Tensor"):
        mv.record(small, torch.ones(3, device="meta", dtype=torch.int64))


def test_rows_of_a_matrix_are_prompts(small):
    trace = mv.record(small, torch.tensor([[1, 2, 3], [4, 5, 6]]))
    assert trace.token_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert [(p.start, p.stop) for p in trace.prompts] == [(0, 3), (3, 6)]
    assert mv.record(small, torch.tensor([IDS])).token_ids.tolist() == IDS


def test_curated_prompts_bring_their_labels():
    model = mv.load("8x7m")
    prompt = Prompt("greeting", "de", "Guten Morgen.")
    for given in (prompt, [prompt], Prompts([prompt])):
        assert mv.record(model, given).labels == ("de",)
        assert mv.record(model, given, labels=["x"]).labels == ("x",)
    assert mv.record(model, [prompt, "Bonjour."]).labels == ("de", "")


def test_a_mapping_names_each_prompt():
    model = mv.load("8x7m")
    trace = mv.record(model, {"en": "The dog.", "ids": [1, 5, 6], "de": ["Der Hund."]})
    assert [(p.label, p.text) for p in trace.prompts][::2] == [
        ("en", "The dog."),
        ("de", "Der Hund."),
    ]
    assert trace.select(label="ids").token_ids.tolist() == [1, 5, 6]
    assert mv.record(model, {"en": "The dog."}, labels=["x"]).labels == ("x",)


# ---- What tokenizers return


@pytest.fixture(scope="module")
def theirs():
    """A tokenizer of transformers with a chat template; its ids are those of the small model."""
    words = {word: n for n, word in enumerate(["<pad>", "<s>", "a", "b", "c", "user", "[UNK]"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")
    fast.chat_template = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}{% endfor %}"
    return fast


TEXTS = ["a b c", "b", "c c"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", [None, "np", "pt"])
def test_a_padded_batch_is_its_prompts_without_the_padding(small, theirs, side, form):
    theirs.padding_side = side
    batch = theirs(TEXTS, padding=True, return_tensors=form, return_token_type_ids=True)
    trace = mv.record(small, batch)
    assert trace.token_ids.tolist() == [2, 3, 4, 3, 4, 4]
    assert [(p.start, p.stop) for p in trace.prompts] == [(0, 3), (3, 4), (4, 6)]
    alone = mv.record(small, [[2, 3, 4], [3], [4, 4]])
    assert np.array_equal(trace.router_logits, alone.router_logits)


@pytest.mark.parametrize("form", [None, "np", "pt"])
def test_one_text_of_a_tokenizer_is_one_prompt_for_every_call(small, theirs, form):
    chat = [{"role": "user", "content": "a b"}]
    for given, ids in [
        (theirs("a b c", return_tensors=form), [2, 3, 4]),
        ([theirs("a b c", return_tensors=form)], [2, 3, 4]),
        (theirs.apply_chat_template(chat, return_tensors=form), [5, 2, 3]),
        (theirs.apply_chat_template(chat, return_tensors=form, return_dict=False), [5, 2, 3]),
    ]:
        assert mv.record(small, given).token_ids.tolist() == ids
        assert mv.generate(small, given, 1).trace.token_ids[:-1].tolist() == ids
        found = mv.effects(small, given, {"top-1": {"top_k": 1}})
        assert found["tokens"].tolist() == [len(ids) - 1]


def test_encodings_of_other_libraries_are_read_too(small, theirs):
    encoded = theirs.backend_tokenizer.encode("a b c")
    encoded.pad(5)
    assert mv.record(small, encoded).token_ids.tolist() == [2, 3, 4]
    assert mv.record(small, [encoded, encoded]).token_ids.tolist() == [2, 3, 4] * 2
    model = mv.load("8x7m")
    assert model.tokenizer is not None
    own = model.tokenizer.encode("The dog.")
    assert mv.record(model, own).prompts[0].text == "The dog."


WRONG = {
    "a hole": ({"input_ids": [1, 2, 3], "attention_mask": [1, 0, 1]}, r"found \[1, 0, 1\]"),
    "nothing kept": ({"input_ids": [1, 2], "attention_mask": [0, 0]}, r"found \[0, 0\]"),
    "another shape": ({"input_ids": [1, 2], "attention_mask": [1]}, r"found \[1\] for \[2\] ids"),
    "a square mask": ({"input_ids": [1, 2], "attention_mask": [[1, 0], [1, 1]]}, "shape of"),
    "images": ({"input_ids": [1], "pixel_values": [[0.5]]}, "comes 'pixel_values'"),
    "positions": ({"input_ids": [1, 2], "position_ids": [5, 6]}, "comes 'position_ids'"),
    "a text as ids": ({"input_ids": "a b"}, "input_ids takes whole numbers.*the str 'a b'"),
    "float ids": ({"input_ids": [[1.0, 2.0]]}, "input_ids takes whole numbers"),
    "no ids": ({"input_ids": [[]]}, "input_ids takes whole numbers"),
    "another vocabulary": ({"input_ids": [1, 500]}, "token ids must lie in 0 … 100"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_a_tokenizer_would_not_return_is_refused(small, given, message):
    for call in (mv.record, mv.effects, mv.generate):
        with pytest.raises(InputError, match=message):
            call(small, given)


# ---- Chats


CHAT = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": [{"type": "text", "text": "Good "}, {"text": "day."}]},
    {"role": "user", "content": "Bye."},
]


def test_a_chat_is_one_prompt_and_several_are_several():
    model = mv.load("8x7m")
    trace = mv.record(model, CHAT)
    assert len(trace.prompts) == 1
    assert trace.tokens[0] == "<s>"
    for text in ("Hello.", "Good day.", "Bye."):
        assert text in trace.prompts[0].text
    assert [p.label for p in mv.record(model, {"x": CHAT, "y": CHAT[:1]}).prompts] == ["x", "y"]
    assert len(mv.record(model, [CHAT, CHAT[:1], "text"]).prompts) == 3
    assert mv.record(model, CHAT[0]).token_ids.tolist() == (
        mv.record(model, CHAT[:1]).token_ids.tolist()
    )


def test_only_what_is_generated_opens_an_answer(monkeypatch):
    model, asked = mv.load("8x7m"), []
    assert model.tokenizer is not None
    chat = model.tokenizer.chat

    def seen(messages, generation_prompt=False):
        asked.append(generation_prompt)
        return chat(messages)

    monkeypatch.setattr(model.tokenizer, "chat", seen)
    mv.record(model, CHAT)
    mv.generate(model, CHAT, 1)
    mv.effects(model, CHAT, {"top-1": {"top_k": 1}})
    assert asked == [False, True, False]


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "image_url"),
        ([{"role": "user", "content": None}], "Message 0 takes a role and a content"),
        ([CHAT[0], {"from": "human", "value": "x"}], "found a dict with the keys 'from', 'value'"),
    ],
)
def test_messages_of_another_kind_are_refused(chat, message):
    model = mv.load("8x7m")
    for call in (mv.record, mv.generate, mv.effects):
        with pytest.raises(InputError, match=message):
            call(model, chat)


def test_a_model_without_a_tokenizer_takes_no_chat(small):
    with pytest.raises(InputError, match="has no tokenizer"):
        mv.record(small, CHAT)


# ---- Everything else


class Table(list):
    """Iterating a data frame gives the names of its columns."""

    columns = ("text", "label")


REFUSED = {
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
    "texts under one label": ({"text": ["x", "y"]}, r"'text' takes .*; found a list of 2\."),
    "a table": (Table(["text", "label"]), r"found a Table of 2\."),
    "a number among texts": (["x", 5], r"Prompt 1 takes .*; found the int 5\."),
    "a path": (Path("x.txt"), r"found a \w*Path\."),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("call", [mv.record, mv.effects], ids=["record", "effects"])
def test_other_kinds_are_refused_by_name_before_a_layer_runs(small, monkeypatch, name, call):
    given, message = REFUSED[name]
    given = mv.record(small, IDS) if name == "a trace" else given
    monkeypatch.setattr(small, "sweep", lambda *a, **k: pytest.fail("a layer ran"))
    with pytest.raises(InputError, match=rf"takes a text.*; {message}|{message}"):
        call(small, given)


@pytest.mark.parametrize("given", [[], {}, (), np.array([]), torch.zeros(0, dtype=torch.long)])
def test_nothing_at_all_is_refused(small, given):
    for call in (mv.record, mv.generate, mv.effects):
        with pytest.raises(InputError, match="There is nothing to record"):
            call(small, given)


def test_an_empty_prompt_is_named(small):
    with pytest.raises(InputError, match="Prompt 1: the list of token ids is empty"):
        mv.record(small, [IDS, []])


@pytest.mark.parametrize("given", [["a", "b"], [IDS, IDS], {"a": "x", "b": "y"}])
def test_generate_takes_one_prompt(small, given):
    with pytest.raises(InputError, match=r"generate takes one prompt: a text, .*Run one after"):
        mv.generate(small, given)


@pytest.mark.parametrize("given", [{"text": 1}, None, 2.5, b"x", {1, 2}])
def test_generate_refuses_other_kinds_by_name(small, given):
    with pytest.raises(InputError, match=r"takes a text, a Prompt, token ids .*; found "):
        mv.generate(small, given)


def test_what_generate_writes_keeps_the_label():
    out = mv.generate(mv.load("8x7m"), {"en": "The dog"}, 1)
    assert out.trace.labels == ("en",)


def test_ledger_chart_and_explore_say_what_they_take(small):
    trace = mv.record(small, IDS)
    with pytest.raises(InputError, match=r"ledger takes a config, .*8x7m.*; found the int 5"):
        mv.ledger(5)
    assert mv.ledger(small) == mv.ledger(small.config)
    with pytest.raises(InputError, match=r"chart takes what an analysis found.*; found a Trace"):
        mv.chart(trace)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"explore takes a trace, .*; found a list of 3"):
        mv.explore([trace] * 3)
    with pytest.raises(InputError, match=r"explore takes a trace, .*; found the str 'x'"):
        mv.explore("x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"explore\(model\) takes no layer"):
        mv.explore(small, layer=1)  # type: ignore[call-overload]


def test_one_trace_in_a_list_is_that_trace(small):
    trace = mv.record(small, IDS)
    assert mv.explore([trace]).trace is trace
    assert mv.explore((trace,), layer=1).other is None


def test_a_hook_must_be_callable_and_none_is_attached_otherwise(small):
    refusal = pytest.raises(HookError, match=r"hook\(routing\).*found a dict with the keys 'a'")
    with refusal, small.router_hooks(lambda routing: None, {"a": 1}):
        pytest.fail("the block was entered")
    assert small.attached.hooks == ()
