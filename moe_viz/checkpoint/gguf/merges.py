# SPDX-License-Identifier: Apache-2.0
"""A byte-level vocabulary in a GGUF file's metadata (Llama 3, Qwen), as the tokenizer.json it is.

In: metadata with pieces and merges. Out: JSON that `JSONVocabulary` reads like any other. How a
text is cut into words first is known to GGUF by a name alone; the patterns are those of the models'
own tokenizer.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import TokenizerError
from ..hub.repository import HubPath
from .sentencepiece import CONTROL, USER_DEFINED, pieces_of, types_of

_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_GPT_2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

#: Llama 3's: numbers in threes; a word that is a piece is taken whole, whatever the merges say.
LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")

#: GGUF's names for how texts are cut into words.
_PATTERNS = dict.fromkeys(LLAMA_3, _WORDS + r"\p{N}{1,3}" + _REST) | {
    "qwen2": _WORDS + r"\p{N}" + _REST,
    "gpt-2": _GPT_2,
    "tekken": _TEKKEN,
}


def tokenizer_json(metadata: Mapping[str, Any], path: Path | HubPath) -> str:
    """The tokenizer.json that this metadata describes.

    Raises `TokenizerError` where it is incomplete, or cuts texts in a way that is not known here.
    """
    kind = metadata.get("tokenizer.ggml.pre")
    if not isinstance(kind, str) or kind not in _PATTERNS:
        raise TokenizerError(
            f"{path}: tokenizer.ggml.pre is {kind!r:.40}, which says how texts are cut into words; "
            f"expected one of {', '.join(_PATTERNS)}. Convert the file again, or record token ids."
        )
    merges = metadata.get("tokenizer.ggml.merges")
    if not isinstance(merges, list) or not all(" " in merge[1:] for merge in merges):
        raise TokenizerError(
            f"{path}: tokenizer.ggml.merges is missing or damaged; expected pairs of pieces. "
            "Download a file that holds its vocabulary."
        )
    pieces, types = pieces_of(metadata, path), types_of(metadata, path)
    added = [
        {
            "id": n, "content": piece, "special": bool(kind == CONTROL), "normalized": False,
            "lstrip": False, "rstrip": False, "single_word": False,
        }
        for n, (piece, kind) in enumerate(zip(pieces, types, strict=True))
        if kind in (CONTROL, USER_DEFINED) and piece
    ]  # fmt: skip
    bytes_only = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False
    }  # fmt: skip
    words = {
        "type": "Split", "pattern": {"Regex": _PATTERNS[kind]}, "behavior": "Isolated",
        "invert": False,
    }  # fmt: skip
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"} if kind == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [words, bytes_only]},
        "post_processor": None,
        "decoder": bytes_only,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": kind in LLAMA_3,
            "vocab": {piece: n for n, piece in reversed(list(enumerate(pieces)))},
            "merges": merges,
        },
    })  # fmt: skip
