# SPDX-License-Identifier: Apache-2.0
"""A `tokenizer.json` from anywhere: no ids by chance, no texts without end, no panic of Rust's."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from moe_viz.errors import TokenizerError
from moe_viz.tokenization.jsonfile import JSONVocabulary


def made(**parts: Any) -> Tokenizer:
    letters = {letter: n for n, letter in enumerate("abcdefgh▁ ")}
    merges = [("a", "b"), ("c", "d"), ("ab", "cd")]
    vocabulary = letters | {a + b: len(letters) + n for n, (a, b) in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, dropout=parts.pop("dropout", None)))
    tokenizer.add_special_tokens([AddedToken("<s>"), AddedToken("</s>")])
    for name, value in parts.items():
        setattr(tokenizer, name, value)
    return tokenizer


def test_merges_left_out_by_chance_in_training_are_made():
    theirs = made(dropout=0.5)
    assert len({tuple(theirs.encode("abcd" * 5).ids) for _ in range(50)}) > 1
    whole = made().encode("abcd" * 5).ids
    ours = JSONVocabulary(theirs.to_str())
    assert all(ours.encode("abcd" * 5, ()) == whole for _ in range(50))


TEMPLATE = processors.TemplateProcessing
NAMED = [("<s>", 13), ("</s>", 14)]


@pytest.mark.parametrize(("processor", "expected"), [
    (None, ([], [])),
    (TEMPLATE("<s> $A </s>", special_tokens=NAMED), ([13], [14])),
    (TEMPLATE("<s> <s> $A", special_tokens=NAMED), ([13, 13], [])),
    (TEMPLATE("$A </s>", special_tokens=NAMED), ([], [14])),
    (processors.ByteLevel(), ([], [])),
    (processors.BertProcessing(("</s>", 14), ("<s>", 13)), ([13], [14])),
    (processors.RobertaProcessing(("</s>", 14), ("<s>", 13)), ([13], [14])),
    (processors.Sequence([processors.ByteLevel(), TEMPLATE("<s> $A", special_tokens=NAMED)]),
     ([13], [])),
])  # fmt: skip
@pytest.mark.parametrize("before", [None, normalizers.Prepend("▁"), normalizers.Replace("a", "")])
def test_what_stands_around_a_text_is_what_tokenizers_puts_there(processor, expected, before):
    theirs = made() if processor is None else made(post_processor=processor)
    if before is not None:
        theirs.normalizer = before
    ours = JSONVocabulary(theirs.to_str())
    assert ours.around == expected
    for text in ("abcd", "bad"):
        assert expected[0] + ours.encode(text, ()) + expected[1] == theirs.encode(text).ids


def spelled(tokenizer: Tokenizer, **parts: Any) -> str:
    return json.dumps(json.loads(tokenizer.to_str()) | parts)


DOUBLE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
ANY = {"type": "Replace", "pattern": {"Regex": ""}, "content": "aaaaaaaaaaaaaaa"}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
LONGER = {
    "forty that double": {"normalizer": {"type": "Sequence", "normalizers": [DOUBLE] * 40}},
    "in one another": {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Sequence", "normalizers": [DOUBLE] * 8} for _ in range(8)]}},
    "one of many letters": {"normalizer": {**DOUBLE, "content": "a" * 2000}},
    "anywhere": {"normalizer": {"type": "Sequence", "normalizers": [ANY] * 3}},
    "bytes of bytes": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES] * 30}},
    "thousands": {"normalizer": {"type": "Sequence", "normalizers": [DOUBLE] * 5000}},
}  # fmt: skip


@pytest.mark.parametrize("parts", LONGER.values(), ids=LONGER)
def test_what_makes_a_text_longer_without_bound_is_refused(parts):
    began = time.monotonic()
    with pytest.raises(TokenizerError, match="makes texts many times longer"):
        JSONVocabulary(spelled(made(), **parts))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("parts", [
    {"normalizer": {"type": "Sequence", "normalizers": [DOUBLE] * 2}},
    {"normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}},
    {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}},
    {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES]}},
])  # fmt: skip
def test_what_real_files_have_is_read(parts):
    text = spelled(made(), **parts)
    expected = Tokenizer.from_str(text).encode("abc  d").ids
    assert JSONVocabulary(text).encode("abc  d", ()) == expected


def test_a_panic_of_rust_s_is_an_error_of_ours(capfd):
    theirs = made(pre_tokenizer=pre_tokenizers.Split(Regex("(a+a+)+c"), "isolated"))
    ours = JSONVocabulary(theirs.to_str(), where="model/tokenizer.json")
    assert ours.encode("ab", ()) == [10]
    for work in (ours.encode, ours.offsets):
        with pytest.raises(TokenizerError, match=r"model/tokenizer\.json: .*retry-limit"):
            work("a" * 4000, ())
    assert ours.encode("ab", ()) == [10]
