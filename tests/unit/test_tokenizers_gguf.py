# SPDX-License-Identifier: Apache-2.0
"""Vocabularies in GGUF files, against the tokenizers that they were made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from moe_viz.checkpoint.gguf.merges import _PATTERNS
from moe_viz.checkpoint.gguf.vocabulary import GGUFVocabulary
from moe_viz.errors import TokenizerError
from moe_viz.files import embedded_folder
from tests.hardtexts import WORDS, hard_texts
from tests.unit.test_tokenizers_transformers import LLAMA_3

PATH = Path("model.gguf")
ADDED = ["<|begin|>", "<|im_start|>", "<|im_end|>"]
#: What the models' own tokenizer.json says.
SPLITS = {
    "llama-bpe": LLAMA_3,
    "qwen2": LLAMA_3.replace("{1,3}", ""),
    "tekken": _PATTERNS["tekken"],
    "gpt-2": None,  # which tokenizers knows by itself
}


def made(pre: str) -> tokenizers.Tokenizer:
    """A small byte-level tokenizer of this kind, trained here."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    split = SPLITS[pre]
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    if split is not None:
        words = pre_tokenizers.Split(tokenizers.Regex(split), "isolated")
        whole = pre_tokenizers.Sequence([words, whole])
    tokenizer.pre_tokenizer = whole
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*WORDS, *WORDS], trainer)
    tokenizer.add_special_tokens(ADDED)
    return tokenizer


def metadata_of(tokenizer: tokenizers.Tokenizer, pre: str) -> dict[str, Any]:
    """As llama.cpp's converter writes it."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pieces = sorted(ids, key=lambda piece: ids[piece])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": np.array([3 if p in ADDED else 1 for p in pieces]),
        "tokenizer.ggml.merges": [" ".join(merge) for merge in merges],
        "tokenizer.ggml.bos_token_id": ids["<|begin|>"],
        "tokenizer.ggml.eos_token_id": ids["<|im_end|>"],
        "tokenizer.chat_template": "{{ messages[0].content }}<|im_end|>",
    }


@pytest.mark.parametrize("pre", SPLITS)
def test_merges_split_hard_texts_as_the_tokenizer_they_come_from(pre):
    theirs = made(pre)
    ours = GGUFVocabulary(metadata_of(theirs, pre), PATH, 800).tokenizer()
    for text in hard_texts(500, ADDED):
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, bos=False).ids == expected, repr(text)
    first = ours.encode("a").ids[0]
    assert (first == ours.bos) == (pre == "llama-bpe")  # llama.cpp's rule where the file is silent
    assert ours.chat([{"role": "user", "content": "a"}])[-1] == ours.eos
    assert ours.describe([799])[1].pieces == ["799"]


@pytest.mark.parametrize("pre", [None, "default", "of another kind", 5])
def test_an_unknown_way_to_cut_words_is_named(pre):
    metadata = metadata_of(made("gpt-2"), "gpt-2") | {"tokenizer.ggml.pre": pre}
    with pytest.raises(TokenizerError, match=r"tokenizer\.ggml\.pre.*llama-bpe"):
        GGUFVocabulary(metadata, PATH, 800).tokenizer()


@pytest.mark.parametrize("kind", [3, 4])
def test_pieces_with_scores_and_added_tokens(kind):
    """Text between names is SentencePiece's, part by part."""
    oracle = sentencepiece.SentencePieceProcessor(
        model_file=str(embedded_folder() / "tokenizer.model")
    )
    V = oracle.vocab_size()
    types = [
        2 if oracle.is_unknown(i) else 3 if oracle.is_control(i) else 6 if oracle.is_byte(i) else 1
        for i in range(V)
    ]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*map(oracle.id_to_piece, range(V)), *ADDED],
        "tokenizer.ggml.scores": np.array([*map(oracle.get_score, range(V)), 0, 0, 0]),
        "tokenizer.ggml.token_type": np.array([*types, kind, kind, kind]),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": V + 2,
    }
    ours = GGUFVocabulary(metadata, PATH, V + 64)
    tokenizer = ours.tokenizer()
    for text in hard_texts():
        assert tokenizer.encode(text).ids == [1, *oracle.encode(text)], repr(text)
    encoding = tokenizer.encode("<|im_start|>user\nHi <|im_end|>")
    parts = [1, V + 1, *oracle.encode("user\nHi "), V + 2]
    assert encoding.ids == parts
    assert encoding.spans[1] == (0, 12)
    assert [n for n, s in enumerate(encoding.special) if s] == [0, 1, len(parts) - 1]
    assert tokenizer.eos == V + 2
    assert ours.ends() == {V + 2}
    assert tokenizer.describe([V + 63])[1].pieces == [str(V + 63)]
