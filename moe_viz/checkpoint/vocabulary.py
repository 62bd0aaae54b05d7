# SPDX-License-Identifier: Apache-2.0
"""The tokenizer that a checkpoint brings, in whatever files: found when it is asked for.

In: a folder, on this disk or on the Hub. Out: a `Tokenizer`, and the ids that end a text. A
`tokenizer.json` comes first, as everywhere; then SentencePiece's model, by any of its names. Files
beside it add tokens, chat templates, and names of BOS and EOS. Nothing is read on opening.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..errors import TokenizerError
from ..files import small_bytes, small_text
from ..progress import tell
from ..tokenization import (
    Added,
    JSONVocabulary,
    SentencePieceVocabulary,
    Settings,
    Tokenizer,
    Vocabulary,
)
from .hub.repository import HubPath

#: Names of SentencePiece's model, Mistral's numbered versions among them.
_MODEL = re.compile(r"(?:tokenizer\.model|.*\.model\.v(\d+))$", re.IGNORECASE)

#: How transformers' files name special tokens.
_NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token",
          "mask_token")  # fmt: skip
_FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")


class CheckpointVocabulary(Protocol):
    """What a checkpoint knows about tokens."""

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer. Raises `TokenizerError` where none can be read."""
        ...

    def ends(self) -> frozenset[int]:
        """Ids that end a text, by its configuration; a tokenizer may name another."""
        ...


class FolderVocabulary:
    """What the files of a folder say; `vocab_size` is how many ids the config has."""

    def __init__(self, folder: Path | HubPath, vocab_size: int) -> None:
        self.folder = folder
        self.vocab_size = vocab_size

    def tokenizer(self) -> Tokenizer:
        """The first of its vocabularies that can be read.

        Raises `TokenizerError`, with what is wrong with each, where none can.
        """
        wrong: list[str] = []
        for path in self._candidates:
            try:
                vocabulary = self._vocabulary(path)
                tokenizer = Tokenizer(
                    vocabulary, settings=self._settings, vocab_size=self.vocab_size
                )
            except TokenizerError as error:
                wrong.append(str(error))
                continue
            if wrong:
                tell(f"{wrong[0]} {path.name} is read instead.")
            return tokenizer
        raise TokenizerError(
            " ".join(dict.fromkeys(wrong))
            or f"{self.folder}: there is no tokenizer: expected tokenizer.json or tokenizer.model. "
            "Download it into this folder."
        )

    def ends(self) -> frozenset[int]:
        """`eos_token_id` of config.json and generation_config.json, one or several."""
        found: set[int] = set()
        for name in ("config.json", "generation_config.json"):
            try:
                found.update(whole_numbers(self._json(name).get("eos_token_id")))
            except TokenizerError as error:
                tell(f"{error} Texts end where other files say.")
        return frozenset(found)

    @cached_property
    def _files(self) -> dict[str, Path | HubPath]:
        return {path.name: path for path in self.folder.iterdir()}

    @property
    def _candidates(self) -> list[Path | HubPath]:
        """Files of vocabularies, the best one first: of several versions, the latest."""
        models = [(m[1], name) for name in self._files if (m := _MODEL.match(name))]
        models.sort(key=lambda found: -int(found[0] or 0))
        names = ["tokenizer.json"] * ("tokenizer.json" in self._files)
        return [self._files[name] for name in (*names, *(name for _, name in models))]

    def _vocabulary(self, path: Path | HubPath) -> Vocabulary:
        try:
            if path.name == "tokenizer.json":
                return JSONVocabulary(small_text(path), where=str(path))
            every_part = self._json("tokenizer_config.json").get("legacy") is not False
            return SentencePieceVocabulary(small_bytes(path), str(path), every_part)
        except (OSError, ValueError) as error:
            raise TokenizerError(f"{path}: cannot be read ({error}). Download it again.") from error

    def _json(self, name: str) -> Mapping[str, Any]:
        """A file of settings; nothing where there is none."""
        path = self._files.get(name)
        if path is None:
            return {}
        try:
            said = json.loads(small_text(path))
        except (OSError, ValueError, RecursionError) as error:
            raise TokenizerError(
                f"{path}: is not JSON ({error!s:.120}). Download it again, or remove it."
            ) from error
        return said if isinstance(said, Mapping) else {}

    @cached_property
    def _settings(self) -> Settings:
        config = self._json("tokenizer_config.json")
        names = names_in(self._json("special_tokens_map.json")) | names_in(config)
        ids = self._json("config.json")
        added = [*_added_in(config), *_added_alone(self._json("added_tokens.json"))]
        return Settings(
            added=tuple(added),
            bos=names.get("bos_token") or next(iter(whole_numbers(ids.get("bos_token_id"))), None),
            eos=names.get("eos_token") or next(iter(whole_numbers(ids.get("eos_token_id"))), None),
            add_bos=_either(config.get("add_bos_token")),
            add_eos=_either(config.get("add_eos_token")),
            names=names,
            templates=self._templates(config.get("chat_template")),
        )

    def _templates(self, said: Any) -> dict[str, str]:
        """Chat templates by name; a file of its own comes before tokenizer_config.json."""
        if "chat_template.jinja" in self._files:
            path = self._files["chat_template.jinja"]
            try:
                return {"default": small_text(path)}
            except (OSError, ValueError) as error:
                raise TokenizerError(f"{path}: cannot be read ({error}).") from error
        if isinstance(said, str):
            return {"default": said}
        if isinstance(said, list):
            said = {t.get("name"): t.get("template") for t in said if isinstance(t, Mapping)}
        found = said.items() if isinstance(said, Mapping) else ()
        return {str(k): v for k, v in found if isinstance(v, str)}


def whole_numbers(value: Any) -> Iterator[int]:
    """Ids in a field that holds one or several; nothing else.

    >>> list(whole_numbers(2)), list(whole_numbers([2, 7])), list(whole_numbers(None))
    ([2], [2, 7], [])
    """
    for item in value if isinstance(value, list) else [value]:
        if type(item) is int and item >= 0:
            yield item


def in_brackets(name: str) -> bool:
    """Whether a name is written as control tokens are, where no file says what it is.

    >>> in_brackets("<|im_start|>"), in_brackets("[PAD]"), in_brackets("mitochondrion")
    (True, True, False)
    """
    return name[:1] in "<[" and name[-1:] in ">]" and len(name) > 2


def names_in(said: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens that a file names; each is a text, or an object with one as its content."""
    found: dict[str, str] = {}
    for key in _NAMED:
        value = said.get(key)
        value = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(value, str) and value:
            found[key] = value
    return found


def _either(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _added_in(config: Mapping[str, Any]) -> Iterator[Added]:
    """Added tokens of tokenizer_config.json, with their flags."""
    said = config.get("added_tokens_decoder")
    for key, value in said.items() if isinstance(said, Mapping) else ():
        if not (str(key).isdecimal() and isinstance(value, Mapping)):
            continue
        content = value.get("content")
        if isinstance(content, str) and content:
            flags = {flag: value.get(flag) is True for flag in _FLAGS}
            yield Added(content, int(key), **flags)


def _added_alone(said: Mapping[str, Any]) -> Iterator[Added]:
    """Added tokens of added_tokens.json, which says no more than their ids."""
    for content, number in said.items():
        if type(number) is int and number >= 0 and content:
            yield Added(content, number, special=in_brackets(content))
