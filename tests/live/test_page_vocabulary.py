# SPDX-License-Identifier: Apache-2.0
"""Vocabularies that a page would split texts by in another way are refused by name."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.cli import main
from moe_viz.errors import InputError
from moe_viz.files import embedded_folder
from moe_viz.tokenization import Tokenizer
from moe_viz.view.live.vocabulary import vocabulary_of
from tests.conftest import random_model, small_config
from tests.live.node import ask

V = 8192
WORDS = "the quick brown fox jumps over the lazy dog, und die Füchse sprangen; où est-ce ? 1 2 3 \n"


def trained(text: str = WORDS, **settings: Any) -> Callable[[Path], Path]:
    """A SentencePiece model of a few words: byte pairs and bytes, unless said otherwise."""

    def make(folder: Path) -> Path:
        (folder / "text").write_text(text * 20, encoding="utf-8")
        how = {
            "model_type": "bpe", "vocab_size": 340, "byte_fallback": True, "minloglevel": 3,
            "hard_vocab_limit": False, "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False, "num_threads": 1,
        }  # fmt: skip
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"), model_prefix=str(folder / "made"), **(how | settings)
        )
        return folder / "made.model"

    return make


#: How a vocabulary is made, and what the page says of it.
OTHERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unigram": (trained(model_type="unigram", vocab_size=320), "it is no byte pair encoding"),
    "no bytes": (trained(byte_fallback=False, vocab_size=90), "it has no bytes to fall back on"),
    "NFKC": (trained(normalization_rule_name="nmt_nfkc"), "it changes texts before it splits them"),
    "lower case": (trained(normalization_rule_name="nfkc_cf"), "it changes texts before"),
    "spaces joined": (trained(remove_extra_whitespaces=True), "it changes texts before"),
    "no space in front": (trained(add_dummy_prefix=False), "it changes texts before"),
    "spaces behind": (trained(treat_whitespace_as_suffix=True), "changes texts|go on past a space"),
    "across words": (
        trained("of the cat and of the dog\n", split_by_whitespace=False, vocab_size=290),
        "its pieces go on past a space",
    ),
}  # fmt: skip


def test_byte_pairs_with_bytes_are_taken(tmp_path):
    """Made as those that are refused are: it is what differs that is refused."""
    path = trained()(tmp_path)
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(path))
    found = vocabulary_of(Tokenizer(path))
    assert found["pieces"] == [oracle.id_to_piece(i) for i in range(oracle.vocab_size())]
    assert found["bytes"] == [oracle.piece_to_id(f"<0x{n:02X}>") for n in range(256)]
    assert (found["bos"], found["eos"]) == (oracle.bos_id(), oracle.eos_id())


@pytest.mark.parametrize("name", OTHERS)
def test_another_vocabulary_is_refused_by_name(tmp_path, name):
    make, why = OTHERS[name]
    path = make(tmp_path)
    with pytest.raises(InputError, match=why) as caught:
        vocabulary_of(Tokenizer(path))
    assert str(caught.value).startswith(f"{path}: a page cannot split texts by this vocabulary")


@pytest.mark.parametrize("symbols", ["fox", "fox,<|x|>"])
def test_pieces_that_are_found_before_others_are_refused_or_split_alike(tmp_path, symbols):
    """Symbols of one's own stay whole in SentencePiece, whatever pairs there are."""
    tokenizer = Tokenizer(trained(user_defined_symbols=symbols, vocab_size=345)(tmp_path))
    texts = ["the fox", "foxes", "a <|x|> b"]
    try:
        vocabulary = vocabulary_of(tokenizer)
    except InputError as error:
        assert "a page cannot split texts by this vocabulary" in str(error)  # noqa: PT017
        return
    found = ask(tmp_path, {"does": "tokens", "vocabulary": vocabulary, "texts": texts})
    assert [one["pieces"] for one in found] == [tokenizer.encode(x).pieces for x in texts]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small checkpoint with the vocabulary of 8x7m."""
    folder = tmp_path_factory.mktemp("small") / "model"
    config = small_config(vocab_size=V, hidden_size=16, head_dim=8, context=2048)
    model = random_model(config)
    save_checkpoint(model, folder, embedded_folder() / "tokenizer.model", torch.float32)
    return folder


def byte_level(folder: Path) -> None:
    """Bytes and merges, as GPT-2 has them, in place of SentencePiece's."""
    (folder / "tokenizer.model").unlink()
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|a|>"], show_progress=False)
    made.train_from_iterator([WORDS] * 5, trainer)
    made.save(str(folder / "tokenizer.json"))


def added(folder: Path) -> None:
    """Names that stand for tokens of their own."""
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_start|>": V - 1}))


FOLDERS = {"byte level": (byte_level, "SentencePiece"), "added tokens": (added, "added tokens")}


@pytest.mark.parametrize("name", FOLDERS)
def test_no_page_is_made_of_such_a_checkpoint(checkpoint, tmp_path, monkeypatch, capsys, name):
    change, why = FOLDERS[name]
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    change(folder)
    out = tmp_path / "page.html"
    with pytest.raises(InputError, match=why):
        mv.save_live(out, mv.load(folder))
    assert not out.exists()
    monkeypatch.setenv("COLUMNS", "9999")
    monkeypatch.setattr(sys, "argv", ["moe-viz", "live", "--model", str(folder), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    said = capsys.readouterr().err
    assert why in said
    assert "Traceback" not in said
    assert not out.exists()


def test_a_page_is_made_of_such_a_checkpoint_with_byte_pairs(checkpoint, tmp_path):
    """What is refused above is refused for its vocabulary alone."""
    path = mv.save_live(tmp_path / "page.html", mv.load(checkpoint), "Good morning.")
    assert path.stat().st_size > 10**5


def test_a_model_with_a_short_context_makes_a_page_or_is_refused_by_name(tmp_path):
    """Not for texts that nobody gave: those that come with the library are longer."""
    model = random_model(small_config(vocab_size=V, context=64))
    model.tokenizer = Tokenizer(embedded_folder() / "tokenizer.model")
    try:
        path = mv.save_live(tmp_path / "page.html", model, "Good morning.")
    except InputError as error:
        assert "page" in str(error)  # noqa: PT017
        assert "Prompt 0" not in str(error)  # noqa: PT017
    else:
        assert path.stat().st_size > 10**5
