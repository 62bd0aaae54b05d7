# SPDX-License-Identifier: Apache-2.0
"""Tokens as a person reads them, against SentencePiece itself."""

from __future__ import annotations

from typing import Any

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moe_viz import prompts
from moe_viz.errors import InputError, TokenizerError
from moe_viz.files import embedded_folder
from moe_viz.tokenization import Tokenizer, visible

FILE = embedded_folder() / "tokenizer.model"
tokenizer = Tokenizer(FILE)
oracle = sentencepiece.SentencePieceProcessor(model_file=str(FILE))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@pytest.mark.parametrize("prompt", prompts.curated(), ids=lambda p: p.name)
def test_ids_are_sentencepieces_behind_bos(prompt):
    encoding = tokenizer.encode(prompt.text)
    assert encoding.ids == [oracle.bos_id(), *oracle.encode(prompt.text)]
    assert tokenizer.decode(encoding.ids) == prompt.text


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_spans_cover_the_text_in_order_and_pieces_show_them(text):
    encoding = tokenizer.encode(text)
    at = 0
    for piece, (start, stop) in zip(encoding.pieces[1:], encoding.spans[1:], strict=True):
        assert start <= at <= stop  # no gap; bytes of one character share it
        at = max(at, stop)
        assert piece == (visible(text[start:stop].replace("▁", " ")) if stop > start else "␣")
    assert at == len(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, tokenizer.vocab_size - 1), min_size=1, max_size=40))
@example([35])  # the byte of a space, which is no sign for the space in front
def test_any_ids_can_be_described(ids):
    text, encoding = tokenizer.describe(ids)
    assert encoding.ids == ids
    assert len(encoding.pieces) == len(encoding.spans) == len(ids)
    assert all(0 <= a <= b <= len(text) for a, b in encoding.spans)
    if "\ufffd" not in text:  # bytes that are no UTF-8 are counted otherwise than SentencePiece's
        plain = [i for i in ids if not tokenizer.is_special(i)]
        assert text == oracle.decode(plain)


def test_bytes_of_one_character_share_it():
    encoding = tokenizer.encode("中")
    assert encoding.pieces[-3:] == ["中"] * 3
    assert encoding.spans[-3:] == [(0, 1)] * 3


def test_whitespace_is_visible():
    encoding = tokenizer.encode("a\n\tb")
    assert "⏎" in encoding.pieces
    assert any("⇥" in piece for piece in encoding.pieces)
    assert visible("\u202e\x07") == "U+202EU+0007"


def test_s_typed_in_a_text_is_text():
    encoding = tokenizer.encode("<s> and </s>")
    assert encoding.special == [True] + [False] * (len(encoding.ids) - 1)
    assert sum(token == tokenizer.bos for token in encoding.ids) == 1
    assert tokenizer.eos not in encoding.ids


def test_special_tokens_are_flagged_and_spell_nothing():
    words, special = oracle.encode("a b"), [oracle.bos_id(), oracle.eos_id(), oracle.unk_id()]
    text, encoding = tokenizer.describe([*special, *words, *special])
    assert text == "a b"
    assert encoding.special == [True] * 3 + [False] * len(words) + [True] * 3
    assert encoding.spans[:3] + encoding.spans[-3:] == [(0, 0)] * 3 + [(3, 3)] * 3


def test_the_instruct_template():
    ids = tokenizer.chat("Hi", "Hello", "Bye")
    expected = [oracle.bos_id(), *oracle.encode("[INST] Hi [/INST]"), *oracle.encode("Hello")]
    expected += [oracle.eos_id(), *oracle.encode("[INST] Bye [/INST]")]
    assert ids == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("x" * 10_000_001, "10,000,001"), ("\ud800", "surrogate"), (7, "int")],
)
def test_texts_that_are_none_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        tokenizer.encode(text)


@pytest.mark.parametrize("token", [-1, tokenizer.vocab_size])
def test_ids_outside_the_vocabulary_are_refused(token):
    with pytest.raises(InputError, match="8191"):
        tokenizer.decode([1, token])


@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_files_that_are_no_tokenizer_are_named(tmp_path, content):
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.model"):
        Tokenizer(path)


def test_the_shipped_file_names_no_machine():
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2  # its classes are made when it is imported
    spec = proto.ModelProto.FromString(FILE.read_bytes()).trainer_spec
    assert not list(spec.input)
    assert spec.model_prefix == ""
