# SPDX-License-Identifier: Apache-2.0
"""A vocabulary from a `tokenizer.json`, split by Hugging Face's `tokenizers`.

In: the file's text (a GGUF file with merges is rewritten as one). Out: a `Vocabulary`. Bytes of
tokens are told for the two kinds that language models have: byte-level ones (GPT-2, Llama 3, Qwen),
and those with ▁ for a space (Llama 2, Mixtral).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError, TokenizerError
from .alignment import Span
from .vocabulary import MOST_IDS, Added

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Characters that may be made of one before the model sees them, and what steps make at most: the
#: letters that stand for bytes have two bytes themselves.
_MOST_GROWTH = 1000
_GROWTH = {"ByteLevel": 4.0, "Precompiled": 18.0}
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_letters() -> dict[str, int]:
    """How byte-level vocabularies write each byte: as a visible character (GPT-2's table).

    >>> [letter for letter, byte in _byte_letters().items() if byte in b" \\n!"]
    ['!', 'Ċ', 'Ġ']
    """
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    letters = {chr(byte): byte for byte in seen}
    return letters | {chr(256 + n): byte for n, byte in enumerate(hidden)}


class JSONVocabulary:
    """The tokens of a `tokenizer.json`.

    A control token is the vocabulary's own where ordinary tokens follow it, as they do `<s>`; what
    comes behind the last ordinary token was added, as `<|im_start|>` is.
    """

    def __init__(self, text: str, where: str = "tokenizer.json") -> None:
        self.where: str = where
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError(
                "Reading a tokenizer.json needs the package tokenizers: "
                "pip install 'moe-viz[model]'."
            ) from error
        with _explained(where):
            spec = json.loads(text)
            if _growth(spec.get("normalizer")) * _growth(spec.get("pre_tokenizer")) > _MOST_GROWTH:
                raise ValueError("what comes before its model makes texts many times longer")
            self._whole = Tokenizer.from_str(text)
            self._whole.no_truncation()
            self._whole.no_padding()
            if getattr(self._whole.model, "dropout", None):  # for training: ids by chance
                model: Any = self._whole.model
                model.dropout = None
            self.around: tuple[list[int], list[int]] = self._around()
        pipeline = {k: v for k, v in spec.items() if k not in ("model", "added_tokens")}
        self._byte_level = '"ByteLevel"' in json.dumps(pipeline)
        self.space: str = " " if self._byte_level else "▁"
        self._variants: dict[tuple[Added, ...], tuple[Tokenizer, dict[int, int]]] = {}
        self._ids: dict[str, int] = self._whole.get_vocab(with_added_tokens=True)
        if max(self._ids.values(), default=0) >= MOST_IDS:
            raise TokenizerError(
                f"{where}: names the id {max(self._ids.values()):,}; expected at most "
                f"{MOST_IDS - 1:,}. It is damaged: download it again."
            )
        self.pieces: list[str | None] = [None] * (max(self._ids.values(), default=-1) + 1)
        for piece, token in self._ids.items():
            self.pieces[token] = piece
        named = self._named()
        self.control: list[Added] = self._control(named)
        own = {token.id for token in self.control}
        self.added: list[Added] = [token for token in named if token.id not in own]
        self.contents: list[bytes] = self._contents()

    #: A tokenizer.json does not say which of its tokens begins or ends a text.
    bos: int | None = None
    eos: int | None = None

    def _around(self) -> tuple[list[int], list[int]]:
        """What the file's post-processor puts before and behind a text, here of one token."""
        from tokenizers import Tokenizer, models

        bare = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
        if self._whole.post_processor is not None:
            bare.post_processor = self._whole.post_processor
        whole = bare.encode("a")
        added = [bool(n) for n in whole.special_tokens_mask]
        at = added.index(False) if False in added else 0
        put = [(n, id) for n, id in enumerate(whole.ids) if added[n]]
        return [id for n, id in put if n < at], [id for n, id in put if n > at]

    def _named(self) -> list[Added]:
        found = self._whole.get_added_tokens_decoder().items()
        return [
            Added(t.content, n, t.special, t.lstrip, t.rstrip, t.single_word, t.normalized)
            for n, t in sorted(found, key=lambda item: item[0])
            if t.content
        ]

    def _control(self, named: list[Added]) -> list[Added]:
        """Special tokens among or before the ordinary ones, and the one for what is unknown."""
        by_name = {token.id for token in named}
        last = max((n for n in self._ids.values() if n not in by_name), default=-1)
        own = [t for t in named if t.special and t.id < last]
        model: Any = self._whole.model  # what kind has unk_token depends on the file
        unknown = self._ids.get(getattr(model, "unk_token", None) or "")
        if unknown is not None and unknown not in by_name:
            own.append(Added(self.pieces[unknown] or "", unknown))
        return own

    def _contents(self) -> list[bytes]:
        """What each token spells, by the kind of the vocabulary."""
        silent, added = {t.id for t in self.control}, {t.id for t in self.added}
        letters = _byte_letters() if self._byte_level else {}
        fallback = bool(getattr(self._whole.model, "byte_fallback", False))
        contents: list[bytes] = []
        for token, piece in enumerate(self.pieces):
            if piece is None or token in silent:
                contents.append(b"")
            elif token in added:
                contents.append(piece.encode("utf-8"))
            elif letters and all(c in letters for c in piece):
                contents.append(bytes(letters[c] for c in piece))
            elif fallback and (match := _BYTE.fullmatch(piece)):
                contents.append(bytes([int(match[1], 16)]))
            else:
                contents.append(piece.replace(self.space, " ").encode("utf-8"))
        return contents

    def encode(self, text: str, names: Sequence[Added]) -> list[int]:
        """As `tokenizers` does it, with these names instead of the file's."""
        tokenizer, real = self._variant(tuple(names))
        with _explained(self.where):
            return [real.get(n, n) for n in tokenizer.encode(text, add_special_tokens=False).ids]

    def offsets(self, text: str, names: Sequence[Added]) -> list[Span]:
        """The characters that `tokenizers` says."""
        tokenizer, _ = self._variant(tuple(names))
        with _explained(self.where):
            return tokenizer.encode(text, add_special_tokens=False).offsets

    def _variant(self, names: tuple[Added, ...]) -> tuple[Tokenizer, dict[int, int]]:
        """The same model with other names: `tokenizers` looks for them in its own way.

        Names are numbered anew by it; beside it stands which id each number means.
        """
        found = self._variants.get(names)  # another thread may clear them
        if found is None:
            from tokenizers import AddedToken, Tokenizer

            tokenizer = Tokenizer(self._whole.model)  # shared, not copied
            if self._whole.normalizer is not None:
                tokenizer.normalizer = self._whole.normalizer
            if self._whole.pre_tokenizer is not None:
                tokenizer.pre_tokenizer = self._whole.pre_tokenizer
            tokenizer.add_tokens([
                AddedToken(
                    t.content, special=t.special, lstrip=t.lstrip, rstrip=t.rstrip,
                    single_word=t.single_word, normalized=t.normalized,
                )
                for t in names
            ])  # fmt: skip
            real: dict[int, int] = {}
            for t in names:
                number = tokenizer.token_to_id(t.content)
                if number is not None:
                    real[number] = t.id
            if len(self._variants) > 8:
                self._variants.clear()
            self._variants[names] = found = tokenizer, real
        return found


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Whatever `tokenizers` raises as ours: also the panics of Rust, which are no `Exception`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise TokenizerError(
            f"{where}: its vocabulary cannot be used by the installed tokenizers "
            f"({str(error).strip()[:160]}). Download it again, or update tokenizers."
        ) from error


def _growth(step: Any) -> float:
    """How many characters a normaliser or pre-tokeniser can make of one.

    >>> double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    >>> _growth({"type": "Sequence", "normalizers": [double] * 40}) == 2.0**40
    True
    """
    if not isinstance(step, dict):
        return 1.0
    if isinstance(parts := step.get("normalizers", step.get("pretokenizers")), list):
        return math.prod(map(_growth, parts))  # infinite, at worst
    if step.get("type") != "Replace":
        return _GROWTH.get(str(step.get("type")), 1.0)
    pattern, content = step.get("pattern"), step.get("content")
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    length = len(content) if isinstance(content, str) else 0
    return max(1.0, length / len(literal) if literal else 1.0 + length)
