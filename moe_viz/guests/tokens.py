# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a guest, from a fast tokenizer of transformers."""

from __future__ import annotations

from typing import Any

from ..errors import TokenizerError
from ..tokenization import JSONVocabulary, Settings, Tokenizer

_NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def tokenizer_of(fast: Any, vocab_size: int) -> Tokenizer:
    """Our tokenizer, which tells pieces and characters, around what a fast one splits with.

    Raises `TokenizerError` for a slow tokenizer, and for anything else.
    """
    backend = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise TokenizerError(
            f"A guest takes a fast tokenizer of transformers, found {type(fast).__name__}. Load it "
            "with AutoTokenizer.from_pretrained(…), convert it, or give None and token ids."
        )
    names = {name: str(value) for name in _NAMED if (value := getattr(fast, name, None))}
    template = getattr(fast, "chat_template", None)
    templates = {"default": template} if isinstance(template, str) else dict(template or {})
    settings = Settings(
        bos=names.get("bos_token"),
        eos=names.get("eos_token"),
        add_bos=getattr(fast, "add_bos_token", None),
        add_eos=getattr(fast, "add_eos_token", None),
        names=names,
        templates=templates,
    )
    where = str(getattr(fast, "name_or_path", "") or "the given tokenizer")
    return Tokenizer(
        JSONVocabulary(backend.to_str(), where), settings=settings, vocab_size=vocab_size
    )
