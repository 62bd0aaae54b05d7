# SPDX-License-Identifier: Apache-2.0
"""The real tokenizers of Mixtral 8x7B (v1) and 8x22B (v3), against their own libraries.

Their files travel in mistral-common's wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mistral_common
import pytest
import sentencepiece
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from moe_viz.errors import InputError
from moe_viz.tokenization import Tokenizer
from tests.hardtexts import conversations, hard_texts

DATA = Path(mistral_common.__file__).parent / "data"
FILES = {
    "v1": DATA / "tokenizer.model.v1",
    "v2": DATA / "mistral_instruct_tokenizer_240216.model.v2",
    "v3": DATA / "mistral_instruct_tokenizer_240323.model.v3",
}
MESSAGES = {"user": UserMessage, "assistant": AssistantMessage, "system": SystemMessage}


@pytest.fixture(scope="module", params=FILES)
def file(request) -> Path:
    return FILES[request.param]


@pytest.fixture(scope="module")
def ours(file) -> Tokenizer:
    return Tokenizer(file)


@pytest.fixture(scope="module")
def theirs(file) -> Any:
    return MistralTokenizer.from_file(str(file))


def test_hard_texts_have_the_ids_of_mistral_common(ours, theirs):
    plain = theirs.instruct_tokenizer.tokenizer
    for text in hard_texts():
        encoding = ours.encode(text)
        assert encoding.ids == plain.encode(text, bos=True, eos=False), repr(text)
        assert encoding.spans[-1][1] == len(text)


def test_hard_texts_have_the_ids_of_sentencepiece(ours, file):
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(file))
    for text in hard_texts(seed=16):
        assert ours.encode(text, bos=False).ids == oracle.encode(text), repr(text)


def test_conversations_have_the_ids_of_mistral_common(ours, theirs):
    for messages in conversations():
        given: Any = [MESSAGES[m["role"]](content=m["content"]) for m in messages]
        expected = theirs.encode_chat_completion(ChatCompletionRequest(messages=given)).tokens
        assert ours.chat(messages) == expected, messages


def test_turns_as_texts_are_messages_that_alternate(ours):
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert ours.chat("Hi", "Hello", "Bye") == ours.chat(messages)


def test_control_tokens_of_8x22b_are_special_and_never_typed():
    tokenizer = Tokenizer(FILES["v3"])
    ids = tokenizer.chat("Say [INST] and </s>")
    text, encoding = tokenizer.describe(ids)
    assert text == "Say [INST] and </s>"
    assert ids[:2] == [1, 3]
    assert ids[-1] == 4
    assert encoding.pieces[:2] == ["<s>", "[INST]"]
    assert [n for n, s in enumerate(encoding.special) if s] == [0, 1, len(ids) - 1]
    typed = tokenizer.encode("[INST] a [/INST]", special=True)
    assert [i for i, s in zip(typed.ids, typed.special, strict=True) if s] == [1, 3, 4]
    assert typed.spans[1] == (0, 6)


@pytest.mark.parametrize("version", FILES)
def test_bos_is_never_put_twice(version):
    tokenizer = Tokenizer(FILES[version])
    assert tokenizer.encode("<s>Hello", special=True).ids == tokenizer.encode("Hello").ids
    assert tokenizer.encode("<s>Hello").ids.count(1) == 1


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "empty"),
        ([{"role": "assistant", "content": "a"}], "begins with a message of the user's"),
        ([{"role": "tool", "content": "a"}], "'tool'"),
        ([{"role": "user"}], "content"),
        ([{"content": "a"}], "role"),
        ([{"role": "user", "content": ""}], "empty"),
        ([{"role": "user", "content": "\ud800"}], "lone surrogate"),
        ([7], "message 0"),
    ],
)
def test_conversations_that_are_none_are_refused(messages, message):
    with pytest.raises(InputError, match=message):
        Tokenizer(FILES["v1"]).chat(messages)
