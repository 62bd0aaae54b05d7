# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint's vocabulary means for its model: ends of text, padded ids, none at all."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.errors import InputError
from moe_viz.files import embedded_folder
from moe_viz.intervention import twin
from moe_viz.recording import generation
from moe_viz.tokenization import Tokenizer
from tests.conftest import random_model, small_config

V = 8192
NAMES = {"<|im_end|>": V, "<|im_start|>": V + 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small checkpoint with 64 ids more than its SentencePiece model has."""
    folder = tmp_path_factory.mktemp("padded") / "model"
    model = random_model(small_config(vocab_size=V + 64, hidden_size=16, head_dim=8))
    save_checkpoint(model, folder, embedded_folder() / "tokenizer.model", torch.float32)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def put(folder, name, **fields):
    path = folder / name
    said = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(said | fields))


def writes(monkeypatch, *ids):
    """The next tokens that any model writes."""
    coming = iter(ids)
    monkeypatch.setattr(generation, "choose", lambda *a: next(coming))


@pytest.mark.parametrize(
    ("file", "said", "stops"),
    [
        ("config.json", 7, True),
        ("config.json", [9, 7], True),
        ("generation_config.json", 7, True),
        ("generation_config.json", [7, 8], True),
        ("generation_config.json", 8, False),
        ("generation_config.json", "7", False),
        ("config.json", None, False),
    ],
)
def test_a_text_ends_where_any_file_says(file, said, stops, folder, monkeypatch):
    put(folder, file, eos_token_id=said)
    model = mv.load(folder)
    for ids in ([7, 40, 41], [2, 40, 41]):  # 2 is the tokenizer's own
        writes(monkeypatch, *ids)
        out = mv.generate(model, "a", max_new_tokens=3)
        assert out.token_ids == (ids[:1] if stops or ids[0] == 2 else ids)
    writes(monkeypatch, 7, 2, 7)
    assert mv.generate(model, "a", max_new_tokens=3, ignore_eos=True).token_ids == [7, 2, 7]


def test_a_twin_ends_texts_as_its_model_does(folder):
    put(folder, "generation_config.json", eos_token_id=[7])
    model = mv.load(folder)
    assert 7 in generation.ends_of(twin.untrained_twin(model))


def test_a_tokenizer_s_own_end_of_text(folder, monkeypatch):
    put(folder, "added_tokens.json", **NAMES)
    put(folder, "special_tokens_map.json", eos_token={"content": "<|im_end|>"})
    model = mv.load(folder)
    assert model.tokenizer is not None
    hello = model.tokenizer.encode("Hello", bos=False).ids
    writes(monkeypatch, *hello, V, 40)
    out = mv.generate(model, "<|im_start|>user\nHi<|im_end|>\n", max_new_tokens=9)
    assert out.token_ids == [*hello, V]
    assert out.text.strip() == "Hello"
    assert out.trace.prompts[0].text == "<|im_start|>user\nHi<|im_end|>\n Hello<|im_end|>"
    named = [n for n, i in enumerate(out.trace.token_ids) if i in NAMES.values()]
    assert [out.trace.tokens[n] for n in named] == ["<|im_start|>", "<|im_end|>", "<|im_end|>"]
    assert all(out.trace.special[n] for n in named)


def test_an_id_without_a_piece_is_drawn_as_its_number_and_loses_no_text(folder, monkeypatch):
    model = mv.load(folder)
    assert model.tokenizer is not None
    hello = model.tokenizer.encode("Hello", bos=False).ids
    trace = mv.record(model, [[1, *hello, V + 9, *hello]])
    assert trace.prompts[0].text == "Hello Hello"
    assert trace.tokens[1 + len(hello)] == str(V + 9)
    writes(monkeypatch, V + 9, *hello)
    out = mv.generate(model, "Hello", max_new_tokens=1 + len(hello))
    assert out.text == " Hello"
    assert out.trace.prompts[0].text == "Hello Hello"
    with pytest.raises(InputError, match=str(V + 63)):
        mv.record(model, [[V + 64]])


def test_a_name_beyond_the_weights_stays_text(folder):
    put(folder, "added_tokens.json", **{"<pad>": V + 64})
    trace = mv.record(mv.load(folder), "a <pad> b")
    assert trace.prompts[0].text == "a <pad> b"
    assert max(trace.token_ids) < V


def test_a_model_without_a_tokenizer_writes_ids_to_their_end(folder, monkeypatch, capsys):
    (folder / "tokenizer.model").unlink()
    put(folder, "generation_config.json", eos_token_id=[7])
    model = mv.load(folder)
    assert capsys.readouterr().err.count("moe_viz:") == 1
    writes(monkeypatch, 5, 7, 5)
    assert mv.generate(model, [1, 2], max_new_tokens=3).token_ids == [5, 7]


@pytest.mark.parametrize(
    "name", ["tokenizer.model", "tokenizer.model.v3", "tokenizer.model.v1", "a_240323.model.v3"]
)
def test_sentencepiece_is_found_by_each_of_its_names(name, folder):
    (folder / "tokenizer.model").rename(folder / name)
    read = open_checkpoint(folder).vocabulary.tokenizer()
    expected = Tokenizer(embedded_folder() / "tokenizer.model").encode("Good morning")
    assert read.encode("Good morning") == expected


def test_of_several_versions_the_latest_is_read(folder, capsys):
    (folder / "tokenizer.model").rename(folder / "tokenizer.model.v3")
    for older in ("tokenizer.model", "tokenizer.model.v1", "tekken_240216.model.v2"):
        (folder / older).write_text("an older vocabulary")
    assert open_checkpoint(folder).vocabulary.tokenizer().encode("Good morning").ids
    assert capsys.readouterr().err == ""
