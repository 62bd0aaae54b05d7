# SPDX-License-Identifier: Apache-2.0
"""Folders as people bring them, against transformers' tokenizer on the same folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import tokenizers
import transformers
from packaging.version import Version
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from moe_viz.checkpoint.vocabulary import FolderVocabulary
from moe_viz.files import embedded_folder
from moe_viz.tokenization import Tokenizer
from tests.hardtexts import WORDS, conversations, hard_texts

transformers.logging.set_verbosity_error()
#: What make floors installs reads these otherwise; where it changed was not looked for.
OLD = Version(transformers.__version__) < Version("5.24")
OTHERWISE = ("published in 2023", "tokenizer_config", "added_tokens")

MODEL = embedded_folder() / "tokenizer.model"
CHATML = {"<|im_end|>": 8192, "<|im_start|>": 8193}
DECODER = {
    str(n): {
        "content": name, "special": n == 8192, "lstrip": False, "rstrip": False,
        "normalized": False, "single_word": False,
    }
    for name, n in CHATML.items()
}  # fmt: skip
SETTINGS = {
    "tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": DECODER, "add_bos_token": True,
    "bos_token": "<s>", "eos_token": "<|im_end|>", "unk_token": "<unk>", "legacy": True,
}  # fmt: skip
NFC = tokenizers.normalizers.NFC()
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def bare(folder: Path, settings: dict[str, Any] | None = None, **files: Any) -> Path:
    """SentencePiece's model, and what lies beside it."""
    folder.mkdir(parents=True)
    shutil.copy(MODEL, folder / "tokenizer.model")
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    for name, content in (files | {"tokenizer_config": settings}).items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def saved(folder: Path) -> Path:
    """As transformers 5 saves it: tokenizer.json, and no tokenizer.model."""
    theirs = transformers.AutoTokenizer.from_pretrained(bare(folder / "from", SETTINGS))
    theirs.chat_template = TEMPLATE
    theirs.add_special_tokens({"pad_token": "<pad>"})
    theirs.save_pretrained(folder)
    assert not (folder / "tokenizer.model").exists()
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    return folder


def published(folder: Path) -> Path:
    """As mistralai published it in 2023: a normaliser puts ▁ in front of each part."""
    saved(folder)
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text())
    spec["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    spec["pre_tokenizer"] = None
    path.write_text(json.dumps(spec))
    return folder


def llama_class(folder: Path) -> Path:
    """Saved by the class for Llama, which puts a space before the first part alone."""
    theirs = transformers.LlamaTokenizer.from_pretrained(bare(folder / "from", None))
    theirs.add_tokens(["mitochondrion"])
    theirs.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    return folder


def byte_level(
    folder: Path,
    *patterns: str,
    normalizer: Any = None,
    digits: bool = False,
    added: Sequence[str] = (),
    bos: str | None = "<|begin|>",
) -> Path:
    """A byte-level vocabulary, split by patterns, or as GPT-2 did; control tokens behind all
    others, one of them BOS; and added tokens that are none.
    """
    folder.mkdir(parents=True)
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    if normalizer is not None:
        made.normalizer = normalizer
    splits = [pre_tokenizers.Split(tokenizers.Regex(p), "isolated") for p in patterns]
    made.pre_tokenizer = pre_tokenizers.Sequence([
        *splits, *([pre_tokenizers.Digits(individual_digits=True)] if digits else []),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not patterns),
    ])  # fmt: skip
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([*WORDS, *WORDS], trainer)
    made.add_tokens([tokenizers.AddedToken(text, normalized=True) for text in added])
    made.add_special_tokens([*([bos] if bos else []), "<|im_start|>", "<|im_end|>", "<|eot_id|>"])
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
        )
    made.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos,
        "eos_token": {"content": "<|eot_id|>", "__type": "AddedToken"}, "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    return folder


LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re"
    r"|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gemma(folder: Path) -> Path:
    """Spaces are ▁, words are cut before them, bytes stand for what has no piece."""
    folder.mkdir(parents=True)
    control = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pieces = [*control, *(f"<0x{n:02X}>" for n in range(256))]
    made = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=pieces, show_progress=False)
    made.train_from_iterator([*WORDS[:40], *WORDS[:40]], trainer)
    spec = json.loads(made.to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] in control]
    made = tokenizers.Tokenizer.from_str(json.dumps(spec))
    made.add_special_tokens(["<start_of_turn>", "<end_of_turn>"])
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", made.token_to_id("<bos>"))]
    )
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>",
                "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "gemma4_text"}')
    return folder


FOLDERS = {
    "saved by transformers 5": saved,
    "published in 2023": published,
    "the class for Llama": llama_class,
    "tokenizer_config": lambda f: bare(f, SETTINGS | {"chat_template": TEMPLATE}),
    "a space first alone": lambda f: bare(f, SETTINGS | {"legacy": False}),
    "added_tokens": lambda f: bare(f, {"add_bos_token": True}, added_tokens=CHATML),
    "Llama 3": lambda f: byte_level(f, LLAMA_3),
    "Qwen": lambda f: byte_level(f, LLAMA_3.replace("{1,3}", ""), normalizer=NFC),
    "Qwen3": lambda f: byte_level(
        f, LLAMA_3.replace("{1,3}", ""), normalizer=NFC, bos=None, added=["<think>", "</think>"]
    ),
    "OLMoE": lambda f: byte_level(
        f, normalizer=NFC, bos=None, added=[" " * n for n in range(24, 1, -1)]
    ),
    "DeepSeek": lambda f: byte_level(f, *DEEPSEEK, bos="<｜begin▁of▁sentence｜>"),
    "gpt-oss": lambda f: byte_level(f, O200K, bos=None),
    "Granite": lambda f: byte_level(f, digits=True, bos=None),
    "Gemma": gemma,
}


@pytest.fixture(scope="module", params=FOLDERS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory) -> Path:
    return FOLDERS[kind](tmp_path_factory.mktemp("v") / "model")


@pytest.fixture(scope="module")
def ours(folder) -> Tokenizer:
    return FolderVocabulary(folder, 40_000).tokenizer()


@pytest.fixture(scope="module")
def theirs(kind, folder) -> Any:
    if OLD and kind in OTHERWISE:
        pytest.skip("this transformers reads such a folder otherwise than later ones do")
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_hard_texts_have_the_ids_of_transformers(ours, theirs):
    """Names of added tokens stand for them; those of control tokens stay text."""
    names = [t.content for t in ours.added]
    own = [t.content for t in ours.control]
    plain = [t for t in hard_texts(600, names) if not any(name in t for name in own)]
    assert len(plain) >= 400
    for text in plain:
        if not text.startswith(
            theirs.bos_token or "<|none|>"
        ):  # which transformers would put twice
            assert ours.encode(text).ids == theirs(text).input_ids, repr(text)
    for text in hard_texts():
        if any(name in text for name in names):
            continue  # transformers would split these too
        expected = theirs(text, split_special_tokens=True).input_ids
        assert ours.encode(text).ids == expected, repr(text)


def test_every_name_counts_where_it_is_asked_for(ours, theirs):
    for text in hard_texts(200, [t.content for t in (*ours.added, *ours.control)]):
        ids = theirs(text, add_special_tokens=False).input_ids
        assert ours.encode(text, bos=False, special=True).ids == ids, repr(text)


def test_spans_cover_a_text_in_order(ours):
    for text in hard_texts(500, [t.content for t in ours.added]):
        encoding, at = ours.encode(text), 0
        for piece, (start, stop) in zip(encoding.pieces, encoding.spans, strict=True):
            assert start <= at or "é" in text, (text, piece)  # no gap
            assert start <= stop
            assert piece
            at = max(at, stop)
        assert at == len(text), repr(text)


def test_a_text_comes_back_from_its_ids(ours, theirs):
    """Without special tokens it is what transformers decodes; with them, what was typed."""
    special = [t.content for t in ours.added if ours.is_special(t.id)]
    for text in hard_texts(300, [t.content for t in ours.added]):
        ids = ours.encode(text).ids
        if not any(name in text for name in special):
            assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), repr(text)
        if not text.startswith(theirs.bos_token or "<|begin|>"):
            # "a" and " a" are the same ids to Llama's class, and Qwen composes characters.
            found, typed = (normalize("NFC", t).lstrip() for t in (ours.describe(ids)[0], text))
            assert found == typed if "▁" in found else found == typed.replace("▁", " ").lstrip()


@pytest.mark.parametrize("prompted", [False, True])
def test_conversations_have_the_ids_of_transformers(ours, theirs, prompted):
    if theirs.chat_template is None:
        return
    for messages in conversations():
        if any(t.content in m["content"] for m in messages for t in (*ours.added, *ours.control)):
            continue
        expected = theirs.apply_chat_template(messages, add_generation_prompt=prompted)
        found = ours.chat(messages, generation_prompt=prompted)
        assert found == expected["input_ids"], messages


def test_control_tokens_in_a_message_are_text(ours, theirs):
    """As transformers does it with sanitize_control_tokens."""
    if theirs.chat_template is None:
        return
    names = ["<|im_end|>", "<|im_start|>", *(t.content for t in ours.control)]
    inside = {ours.encode(n, special=True, bos=False).ids[0] for n in names}
    for name in names:
        content = f"before {name} after{name}"
        ids = ours.chat([{"role": "user", "content": content}])
        plain = ours.chat([{"role": "user", "content": "before"}])
        assert [i for i in ids if i in inside] == [i for i in plain if i in inside]
        assert content in ours.describe(ids)[0]
