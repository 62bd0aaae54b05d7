# SPDX-License-Identifier: Apache-2.0
"""A vocabulary from a SentencePiece model: `tokenizer.model`, by whatever name, or made from GGUF.

In: the file, or its contents. Out: a `Vocabulary`. SentencePiece knows control tokens and never
finds them in a text; tokens that other files add are looked for here, and what lies between them is
split part by part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError, TokenizerError
from ..files import small_bytes
from .alignment import Span
from .vocabulary import Added

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

#: A second normalizer_spec, which protocol buffers merge into the first: no space in front.
_NO_SPACE_FIRST = b"\x1a\x02\x18\x00"


class SentencePieceVocabulary:
    """The SentencePiece model of a Mixtral.

    With `every_part`, a space is put in front of each part between two names, as in front of the
    text; that is how Llama's tokenizer was first written ("legacy"), and what most Mixtrals were
    fine-tuned with. `added` are pieces of the file that were added to it, and are found by name.
    """

    space: str = "▁"

    def __init__(
        self,
        source: str | Path | bytes,
        where: str = "tokenizer.model",
        every_part: bool = True,
        added: Sequence[Added] = (),
    ) -> None:
        self.where: str = where if isinstance(source, bytes) else str(source)
        self.added: tuple[Added, ...] = tuple(added)
        try:
            given = source if isinstance(source, bytes) else small_bytes(Path(source))
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
            reason = getattr(error, "strerror", None) or error
            raise TokenizerError(
                f"{self.where}: cannot be read ({reason}). Expected the SentencePiece model "
                "(tokenizer.model) that belongs to the weights."
            ) from error
        self._model = self._later = self._read(given)
        if not every_part:
            self._later = self._read(given + _NO_SPACE_FIRST)
        ids = range(self._model.vocab_size())
        try:
            self.pieces: list[str] = [self._model.id_to_piece(token) for token in ids]
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"{self.where}: one of its pieces is not text ({error}). It is damaged: download "
                "tokenizer.model again."
            ) from error
        self.control: list[Added] = self._control()
        self.contents: list[bytes] = self._contents()

    def _read(self, given: bytes) -> SentencePieceProcessor:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise MissingDependencyError(
                "Turning text into tokens needs the package sentencepiece: "
                "pip install 'moe-viz[model]'."
            ) from error
        model = SentencePieceProcessor()
        try:
            model.load(model_proto=given)
            model.encode("a")  # an empty file is not a model either
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            raise TokenizerError(
                f"{self.where}: is not a SentencePiece model ({str(error).strip()[:120]}). "
                "Download tokenizer.model again."
            ) from error
        return model

    @property
    def processor(self) -> SentencePieceProcessor:
        """What splits the text."""
        return self._model

    @property
    def bos(self) -> int | None:
        """SentencePiece says -1 for a token that it does not have."""
        number = self._model.bos_id()
        return number if number >= 0 else None

    @property
    def eos(self) -> int | None:
        """The end of a text."""
        number = self._model.eos_id()
        return number if number >= 0 else None

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """BOS alone, as in Mixtral's training."""
        return ([] if self.bos is None else [self.bos]), []

    def _control(self) -> list[Added]:
        """Control tokens, and the one for what is unknown."""
        model, added = self._model, {token.id for token in self.added}
        return [
            Added(piece, token)
            for token, piece in enumerate(self.pieces)
            if (model.is_control(token) or model.is_unknown(token)) and token not in added
        ]

    def _contents(self) -> list[bytes]:
        """Bytes as such (`<0x0A>`), other pieces with their spaces."""
        silent = {token.id for token in self.control}
        return [
            b""
            if token in silent
            else bytes([int(piece[3:5], 16)])  # <0x0A>
            if self._model.is_byte(token)
            else piece.replace("▁", " ").encode("utf-8")
            for token, piece in enumerate(self.pieces)
        ]

    def encode(self, text: str, names: Sequence[Added]) -> list[int]:
        """Each part between two names by itself."""
        ids: list[int] = []
        for n, (_, part, name) in enumerate(_parts(text, tuple(names))):
            ids += [name.id] if name else self._at(n, part).encode(part)
        return ids

    def _at(self, n: int, part: str) -> SentencePieceProcessor:
        """The model for the n-th part; one that begins with a space gets no second in front."""
        return self._later if n or part.startswith((" ", "▁")) else self._model

    def offsets(self, text: str, names: Sequence[Added]) -> list[Span]:
        """Where SentencePiece's own prepared text came from."""
        spans: list[Span] = []
        for n, (start, part, name) in enumerate(_parts(text, tuple(names))):
            if name:
                spans.append((start, start + len(part)))
                continue
            model: Any = self._at(n, part)  # its versions differ in this name
            proto = getattr(model, "encode_as_proto", None) or model.encode_as_immutable_proto
            spans += [(start + p.begin, start + p.end) for p in proto(part).pieces]
        return spans


def _parts(text: str, names: tuple[Added, ...]) -> Iterator[tuple[int, str, Added | None]]:
    """What lies between names, and the names, in order: where, what, and which token.

    >>> [part for _, part, _ in _parts("<a>b<a>", (Added("<a>", 7),))]
    ['<a>', 'b', '<a>']
    """
    at = 0
    for match in _pattern(names).finditer(text) if names else ():
        start, end = match.span()
        if at < start:
            yield at, text[at:start], None
        assert match.lastindex is not None  # one group matched, that of the name
        yield start, match[0], _longest_first(names)[match.lastindex - 1]
        at = end
    if at < len(text):
        yield at, text[at:], None


@lru_cache(maxsize=32)
def _pattern(names: tuple[Added, ...]) -> re.Pattern[str]:
    """What finds names: the leftmost, and of those that begin there the longest; a group each."""
    return re.compile("|".join(map(_alternative, _longest_first(names))))


@lru_cache(maxsize=32)
def _longest_first(names: tuple[Added, ...]) -> list[Added]:
    return sorted(names, key=lambda name: -len(name.content))


def _alternative(name: Added) -> str:
    inner = f"({re.escape(name.content)})"
    if name.single_word:
        inner = rf"(?<!\w){inner}(?!\w)"
    return r"\s*" * name.lstrip + inner + r"\s*" * name.rstrip
