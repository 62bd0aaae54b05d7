# SPDX-License-Identifier: Apache-2.0
"""The tokenizer in a GGUF file's metadata: SentencePiece's pieces with scores, or merges.

In: metadata. Out: a `Tokenizer`, and the ids that end a text. Control tokens and user-defined ones
behind the last ordinary piece were added to the vocabulary: texts are searched for their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import TokenizerError
from ...tokenization import (
    Added,
    JSONVocabulary,
    SentencePieceVocabulary,
    Settings,
    Tokenizer,
    Vocabulary,
)
from ..hub.repository import HubPath
from ..vocabulary import in_brackets, whole_numbers
from .merges import LLAMA_3, tokenizer_json
from .sentencepiece import CONTROL, first_added, pieces_of, sentencepiece_model, types_of

_TEMPLATE = "tokenizer.chat_template"

#: GGUF's names for special tokens → transformers'.
_NAMED = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


class GGUFVocabulary:
    """What a file's metadata says; `vocab_size` is how many ids the config has."""

    def __init__(self, metadata: Mapping[str, Any], path: Path | HubPath, vocab_size: int) -> None:
        self.metadata = metadata
        self.path = path
        self.vocab_size = vocab_size

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the metadata describes.

        Raises `TokenizerError` where it is of an unknown kind or incomplete, and `CheckpointError`
        where it would split texts wrongly.
        """
        said = self.metadata.get("tokenizer.ggml.model")
        kind = said if isinstance(said, str) else None
        vocabulary: Vocabulary
        if kind == "llama":
            model = sentencepiece_model(self.metadata, self.path)
            vocabulary = SentencePieceVocabulary(model, str(self.path), added=self._added())
        elif kind == "gpt2":
            text = tokenizer_json(self.metadata, self.path)
            vocabulary = JSONVocabulary(text, str(self.path))
        else:
            raise TokenizerError(
                f"{self.path}: its tokenizer is of type {said!r:.40}; expected 'llama', the "
                "SentencePiece model of every Mixtral, or 'gpt2', with merges. Is this file a "
                "Mixtral's?"
            )
        return Tokenizer(vocabulary, settings=self._settings(), vocab_size=self.vocab_size)

    def ends(self) -> frozenset[int]:
        """The end of a text, of a turn, and of a message."""
        keys = (f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom"))
        return frozenset(i for key in keys for i in whole_numbers(self.metadata.get(key)))

    def _added(self) -> tuple[Added, ...]:
        pieces, types = pieces_of(self.metadata, self.path), types_of(self.metadata, self.path)
        return tuple(
            Added(pieces[n], n, special=bool(types[n] == CONTROL) or in_brackets(pieces[n]))
            for n in range(first_added(types), len(pieces))
            if pieces[n]
        )

    def _settings(self) -> Settings:
        pieces = pieces_of(self.metadata, self.path)
        ids = {ours: self._id(theirs, len(pieces)) for theirs, ours in _NAMED.items()}
        pre = self.metadata.get("tokenizer.ggml.pre")
        llama_3 = True if isinstance(pre, str) and pre in LLAMA_3 else None
        add_bos = self.metadata.get("tokenizer.ggml.add_bos_token", llama_3)
        add_eos = self.metadata.get("tokenizer.ggml.add_eos_token")
        return Settings(
            bos=ids["bos_token"],
            eos=ids["eos_token"],
            add_bos=add_bos if isinstance(add_bos, bool) else None,
            add_eos=add_eos if isinstance(add_eos, bool) else None,
            names={name: pieces[n] for name, n in ids.items() if n is not None},
            templates=dict(self._templates()),
        )

    def _id(self, name: str, count: int) -> int | None:
        """The id of a special token, if it is one of the pieces."""
        number = self.metadata.get(f"tokenizer.ggml.{name}_token_id")
        return number if type(number) is int and 0 <= number < count else None

    def _templates(self) -> Iterator[tuple[str, str]]:
        for key, value in self.metadata.items():
            if isinstance(value, str) and key == _TEMPLATE:
                yield "default", value
            elif isinstance(value, str) and key.startswith(f"{_TEMPLATE}."):
                yield key.removeprefix(f"{_TEMPLATE}."), value
