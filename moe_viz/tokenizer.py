"""From text to token ids and back to something a person can read.

Wraps SentencePiece. In: a text. Out: an `Encoding`: ids, what each token looks like on a page, and
which characters of the text it stands for. Byte-fallback tokens, several of which may spell one
character, all show that character and share its span. No torch here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError, MissingDependencyError, TokenizerError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

#: How whitespace and control characters are drawn, so that every token is visible.
_VISIBLE = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x00": "␀", "\u00a0": "⍽"}

#: A text this long would not fit any context; it is refused before minutes are spent on it.
MAX_CHARACTERS = 5_000_000


@dataclass(frozen=True)
class Encoding:
    """One text as tokens; four lists of equal length."""

    ids: list[int]
    pieces: list[str]  # as a person reads them
    spans: list[tuple[int, int]]  # characters of the text, start and stop
    special: list[bool]  # BOS, EOS: no part of the text


class Tokenizer:
    """The SentencePiece model of a Mixtral.

    `encode` puts BOS first, as the model was trained; `<s>` typed in a text is text.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise MissingDependencyError(
                "Turning text into tokens needs the package sentencepiece: "
                "pip install 'moe-viz[model]'."
            ) from error
        self.path = Path(path)
        if not self.path.is_file():
            raise TokenizerError(
                f"{self.path}: there is no such file. Expected the SentencePiece model "
                "(tokenizer.model) that belongs to the weights."
            )
        try:
            self._model: SentencePieceProcessor = SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise TokenizerError(
                f"{self.path}: is not a SentencePiece model ({str(error).strip()[:120]}). "
                "Download tokenizer.model again."
            ) from error

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

        Raises `InputError` for an empty text, for one that is no text, and for one too long to
        fit any context.
        """
        if not isinstance(text, str):
            raise InputError(f"Expected a text (str), found {type(text).__name__}.")
        if not text:
            raise InputError("The text is empty. Give at least one character.")
        if len(text) > MAX_CHARACTERS:
            raise InputError(
                f"A text of {len(text):,} characters fits no context; expected at most "
                f"{MAX_CHARACTERS:,}. Split it into several prompts."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"The text is not valid Unicode: a lone surrogate stands at character "
                f"{error.start}. Decode the file it came from as UTF-8 first."
            ) from error
        ids: list[int] = self._model.encode(text)
        read, pieces, spans = self._align(ids)
        if read != text.replace("▁", " "):  # SentencePiece's own sign for a space
            raise TokenizerError(
                f"{self.path}: this tokenizer changes texts before it splits them, so that tokens "
                "cannot be matched with characters. Expected Mixtral's, which keeps them as is."
            )
        if bos:
            ids, pieces, spans = [self.bos, *ids], ["<s>", *pieces], [(0, 0), *spans]
        return Encoding(ids, pieces, spans, [bos and n == 0 for n in range(len(ids))])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these tokens; special tokens leave no trace in it.

        Raises `InputError` for ids outside the vocabulary.
        """
        return self.describe(ids)[0]

    def is_special(self, token: int) -> bool:
        """True for tokens that stand for no text: BOS, EOS, and unknown."""
        return self._model.is_control(token) or self._model.is_unknown(token)

    def describe(self, ids: Iterable[int]) -> tuple[str, Encoding]:
        """The text of a sequence of ids, and its encoding; the ids are kept as they are.

        For what was generated, or given as ids: encoding the decoded text again may well give
        other tokens.
        """
        ids = [int(i) for i in ids]
        self._check(ids)
        special = [self.is_special(i) for i in ids]
        plain = [i for i, s in zip(ids, special, strict=True) if not s]
        text, *aligned = self._align(plain)
        aligned = zip(*aligned, strict=True)
        pieces, spans, at = [], [], 0
        for token, is_special in zip(ids, special, strict=True):
            piece, span = (
                (self._model.id_to_piece(token), (at, at)) if is_special else next(aligned)
            )
            at = span[1]
            pieces.append(piece)
            spans.append(span)
        return text, Encoding(ids, pieces, spans, special)

    def chat(self, *turns: str) -> list[int]:
        """Ids of a conversation in the `[INST]` template of Mixtral Instruct.

        Turns alternate, the user's first. `[INST]` is ordinary text to this tokenizer, as it was
        in Mixtral's training; BOS and EOS are real tokens.
        """
        ids = [self.bos]
        for n, turn in enumerate(turns):
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

    def _align(self, ids: list[int]) -> tuple[str, list[str], list[tuple[int, int]]]:
        """The text that these tokens spell; what each looks like; the characters it stands for.

        Bytes that are no UTF-8, as a model may well write, count as one character each.
        """
        contents = [self._bytes(i) for i in ids]
        if ids and self._puts_space_first and self._model.id_to_piece(ids[0])[0] == "▁":
            contents[0] = contents[0][1:]
        # surrogateescape keeps one character for each invalid byte, so that counting stays exact.
        text = b"".join(contents).decode("utf-8", "surrogateescape")
        character_at = [n for n, c in enumerate(text) for _ in c.encode("utf-8", "surrogateescape")]
        text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        pieces, spans, at = [], [], 0
        for content in contents:
            start, at = at, at + len(content)
            first = character_at[start] if start < len(character_at) else len(text)
            last = character_at[at - 1] + 1 if content else first
            spans.append((first, last))
            pieces.append(visible(text[first:last]) if content else "␣")
        return text, pieces, spans

    def _bytes(self, token: int) -> bytes:
        piece = self._model.id_to_piece(token)
        if self._model.is_byte(token):
            return bytes([int(piece[3:5], 16)])  # <0x0A>
        return piece.replace("▁", " ").encode("utf-8")


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
        return f"U+{ord(c):04X}"  # direction marks and other characters that draw nothing
    return c
