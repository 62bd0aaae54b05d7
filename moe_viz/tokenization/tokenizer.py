"""From text to token ids and back to something a person can read.

Wraps SentencePiece. In: a text. Out: an `Encoding`: ids, what each token looks like on a page, and
which characters of the text it stands for. Where several byte-fallback tokens spell one
character, all of them show that character and share its span. No torch here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingDependencyError, TokenizerError

#: How whitespace and control characters are drawn, so that every token is visible.
_VISIBLE = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x00": "␀", "\u00a0": "⍽"}

#: A text this long would not fit any context; it is refused before minutes are spent on it.
MAX_CHARACTERS = 5_000_000

#: Bytes of invalid UTF-8, as `surrogateescape` reads them.
_INVALID = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Encoding:
    """One text as tokens; four lists of equal length."""

    ids: list[int]
    pieces: list[str]  # as a person reads them
    spans: list[tuple[int, int]]  # characters of the text, start and stop
    special: list[bool]  # BOS, EOS: not part of the text


class Tokenizer:
    """The SentencePiece model of a Mixtral.

    In: its file, or the contents of one (as made from a GGUF file's metadata). `encode` puts BOS
    first, as in the model's training; `<s>` typed in a text is text.
    """

    def __init__(self, source: str | Path | bytes, where: str = "tokenizer.model") -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise MissingDependencyError(
                "Turning text into tokens needs the package sentencepiece: "
                "pip install 'moe-viz[model]'."
            ) from error
        self.where: str = where if isinstance(source, bytes) else str(source)
        try:
            given = source if isinstance(source, bytes) else Path(source).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
            reason = getattr(error, "strerror", None) or error
            raise TokenizerError(
                f"{self.where}: cannot be read ({reason}). Expected the SentencePiece model "
                "(tokenizer.model) that belongs to the weights."
            ) from error
        self._model = SentencePieceProcessor()
        try:
            self._model.load(model_proto=given)
            self._model.encode("a")  # an empty file is not a model either
        except (RuntimeError, OSError, ValueError) as error:
            raise TokenizerError(
                f"{self.where}: is not a SentencePiece model ({str(error).strip()[:120]}). "
                "Download tokenizer.model again."
            ) from error

        if self._model.bos_id() < 0:
            raise TokenizerError(
                f"{self.where}: has no token that begins a text (BOS). Expected a Mixtral's "
                "tokenizer. Download it again, from where the weights came."
            )
        # SentencePiece puts a space in front of every text; it stands for none of its characters.
        self._puts_space_first = self._model.id_to_piece(self._model.encode("a")[0])[0] == "▁"

    @property
    def vocab_size(self) -> int:
        """Number of tokens, V."""
        return self._model.vocab_size()

    @property
    def bos(self) -> int:
        """Id of the token that begins every prompt."""
        return self._model.bos_id()

    @property
    def eos(self) -> int:
        """Id of the token that ends a text."""
        return self._model.eos_id()

    def encode(self, text: str, bos: bool = True) -> Encoding:
        """Tokens of a text, with the characters each one stands for.

        Raises `InputError` for an empty text, for anything that is not a text, and for one too
        long for any context.
        """
        _check_text(text)
        ids: list[int] = self._model.encode(text)
        read, encoding = self._align([self.bos, *ids] if bos else ids)
        if read != text.replace("▁", " "):  # SentencePiece's own mark for a space
            raise TokenizerError(
                f"{self.where}: this tokenizer changes texts before it splits them, so that tokens "
                "cannot be matched with characters. Expected Mixtral's, which does not."
            )
        return encoding

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these tokens; special tokens do not appear in it.

        Raises `InputError` for ids outside the vocabulary.
        """
        return self.describe(ids)[0]

    def is_special(self, token: int) -> bool:
        """True for tokens that stand for no text: BOS, EOS, and unknown."""
        return token in self._special

    @cached_property
    def _special(self) -> frozenset[int]:
        model = self._model
        return frozenset(
            token
            for token in range(self.vocab_size)
            if model.is_control(token) or model.is_unknown(token)
        )

    def describe(self, ids: Iterable[int]) -> tuple[str, Encoding]:
        """The text of a sequence of ids, and its encoding; the ids are kept as they are.

        For what was generated, or given as ids: encoding the decoded text again may well give
        different tokens.
        """
        ids = [int(i) for i in ids]
        self._check(ids)
        return self._align(ids)

    def chat(
        self, messages: Sequence[Mapping[str, Any]], generation_prompt: bool = False
    ) -> list[int]:
        """Ids of a conversation in the `[INST]` template of Mixtral Instruct.

        Turns alternate, the user's first. `[INST]` is ordinary text to this tokenizer, as it was
        in Mixtral's training; BOS and EOS are real tokens. Raises `InputError` where `encode` does.
        """
        ids = [self.bos]
        for n, message in enumerate(messages):
            turn = message["content"]
            _check_text(turn)
            if n % 2 == 0:
                ids += self._model.encode(f"[INST] {turn} [/INST]")
            else:
                ids += [*self._model.encode(turn), self.eos]
        return ids

    def _check(self, ids: list[int]) -> None:
        if ids and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            raise InputError(
                f"Token ids must lie in 0 … {self.vocab_size - 1}, found {min(ids)} … {max(ids)}."
            )

    def _align(self, ids: list[int]) -> tuple[str, Encoding]:
        """The text that these tokens spell, and the part of it that each stands for.

        Each byte of invalid UTF-8, which a model may well write, counts as one character.
        """
        special = [i in self._special for i in ids]
        contents = [self._contents[i] for i in ids]
        if self._puts_space_first and False in special:
            first = special.index(False)
            if self._model.id_to_piece(ids[first]).startswith("▁"):  # and not the byte <0x20>
                contents[first] = contents[first][1:]
        # surrogateescape keeps one character for each invalid byte, so that counting stays exact.
        text = b"".join(contents).decode("utf-8", "surrogateescape")
        if text.isascii():
            character_at: Sequence[int] = range(len(text))
        else:
            sizes = [len(c.encode("utf-8", "surrogateescape")) for c in text]
            character_at = [n for n, size in enumerate(sizes) for _ in range(size)]
            text = _INVALID.sub("\ufffd", text)
        pieces, spans, at, stop = [], [], 0, 0  # byte and character where the next token begins
        for content, token, is_special in zip(contents, ids, special, strict=True):
            if content:
                start, at = character_at[at], at + len(content)
                stop = character_at[at - 1] + 1
                pieces.append(visible(text[start:stop]))
                spans.append((start, stop))
            else:
                # Nothing to see: a special token, or the space in front of every text.
                pieces.append(self._model.id_to_piece(token) if is_special else "␣")
                spans.append((stop, stop))
        return text, Encoding(ids, pieces, spans, special)

    @cached_property
    def _contents(self) -> list[bytes]:
        """What each token of the vocabulary spells; special ones, nothing."""
        pieces = (self._model.id_to_piece(token) for token in range(self.vocab_size))
        return [
            b""
            if token in self._special
            else bytes([int(piece[3:5], 16)])  # <0x0A>
            if self._model.is_byte(token)
            else piece.replace("▁", " ").encode("utf-8")
            for token, piece in enumerate(pieces)
        ]


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise InputError(f"Expected a text (str), found {type(text).__name__}.")
    if not text:
        raise InputError("The text is empty. Give at least one character.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"A text of {len(text):,} characters does not fit any context; expected at most "
            f"{MAX_CHARACTERS:,}. Split it into several prompts."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"The text is not valid Unicode: there is a lone surrogate at character {error.start}. "
            "Decode the file it came from as UTF-8 first."
        ) from error


@lru_cache(maxsize=2**16)
def visible(text: str) -> str:
    """A text with spaces, line ends and control characters made visible.

    >>> visible(" two\\n")
    '␣two⏎'
    """
    return "".join(_visible_character(c) for c in text)


def _visible_character(c: str) -> str:
    if c == " ":
        return "␣"
    if c in _VISIBLE:
        return _VISIBLE[c]
    category = unicodedata.category(c)
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"U+{ord(c):04X}"  # direction marks and other invisible characters
    return c
