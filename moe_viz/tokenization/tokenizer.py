# SPDX-License-Identifier: Apache-2.0
"""From text to token ids and back to something a person can read.

In: a text, a conversation, or ids. Out: an `Encoding`: ids, what each token looks like on a page,
and which characters of the text it stands for. What splits texts is a `Vocabulary`; this is what
all of them have in common. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError
from .alignment import Encoding, Span, fitted, spelled, visible
from .chat import from_template, instruct, messages_of
from .sentencepieces import SentencePieceVocabulary
from .tokens import Tokens
from .vocabulary import Added, Settings, Vocabulary

#: A text this long would not fit any context; it is refused before minutes are spent on it.
MAX_CHARACTERS = 5_000_000

_NOTHING = Settings()


class Tokenizer:
    """The tokenizer of a Mixtral.

    In: a vocabulary, or the SentencePiece file of one, or its contents; what the files beside it
    say; and how many ids the model has, which may be more than the vocabulary names.

    Names of added tokens, `<|im_start|>` for instance, stand for them in a text. Control tokens of
    the vocabulary's own do not: `<s>` typed in a text is text, unless `special` is asked for.
    """

    def __init__(
        self,
        source: str | Path | bytes | Vocabulary,
        where: str = "tokenizer.model",
        settings: Settings = _NOTHING,
        vocab_size: int | None = None,
    ) -> None:
        if isinstance(source, str | Path | bytes):
            vocabulary: Vocabulary = SentencePieceVocabulary(source, where)
        else:
            vocabulary = source
        self._vocabulary: Vocabulary = vocabulary
        self._tokens = Tokens(vocabulary, settings, vocab_size)
        self.where: str = vocabulary.where
        self.added: tuple[Added, ...] = self._tokens.added
        self.control: tuple[Added, ...] = self._tokens.control
        self.vocab_size: int = self._tokens.count

    @property
    def bos(self) -> int | None:
        """Id of the token that begins every prompt; None where the model has none."""
        return self._tokens.bos

    @property
    def eos(self) -> int | None:
        """Id of the token that ends a text; None where the model has none."""
        return self._tokens.eos

    @property
    def sentencepieces(self) -> Any:
        """SentencePiece's own processor of the vocabulary; None where there is none."""
        return getattr(self._vocabulary, "processor", None)

    def encode(self, text: str, bos: bool = True, special: bool = False) -> Encoding:
        """Tokens of a text, with the characters each one stands for.

        With `bos`, what belongs before (and behind) a text is put there, never twice. With
        `special`, names of control tokens in the text stand for them, as in a rendered template.
        Raises `InputError` for an empty text, for anything that is not a text, and for one too
        long for any context.
        """
        _check_text(text)
        names = (*self.added, *self.control) if special else self.added
        ids = self._vocabulary.encode(text, names)
        pieces, spans = self._fit(text, ids, names)
        before, behind = self._tokens.around if bos else ([], [])
        before = [] if before and ids[: len(before)] == before else before
        whole = [*before, *ids, *behind]
        if not whole:
            raise InputError(f"{self.where} makes no token of the text {text!r:.40}. Give another.")
        return Encoding(
            whole,
            [*map(self._tokens.shown, before), *pieces, *map(self._tokens.shown, behind)],
            [(0, 0)] * len(before) + spans + [(len(text), len(text))] * len(behind),
            [token in self._tokens.special for token in whole],
        )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these tokens; special tokens do not appear in it.

        Raises `InputError` for ids outside the vocabulary.
        """
        text, encoding = self.describe(ids)
        return without_special(text, encoding)

    def is_special(self, token: int) -> bool:
        """True for control tokens: BOS, EOS, unknown, and those of a chat template."""
        return token in self._tokens.special

    def describe(self, ids: Iterable[int]) -> tuple[str, Encoding]:
        """The text of a sequence of ids, and its encoding; the ids are kept as they are.

        For what was generated, or given as ids: encoding the decoded text again may well give
        different tokens. Added tokens are spelled by their names, as they would be typed, unless
        they begin the text as BOS does. An id that the vocabulary does not name spells nothing, and
        its piece is its number.

        Raises `InputError` for ids outside the vocabulary.
        """
        ids = [int(i) for i in ids]
        if ids and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            raise InputError(
                f"Token ids must lie in 0 … {self.vocab_size - 1}, found {min(ids)} … {max(ids)}."
            )
        contents = [self._tokens.spelled(i) for i in ids]
        before = len(self._tokens.around[0])
        if ids[:before] == self._tokens.around[0]:
            contents[:before] = [b""] * before
        for n in self._where_spaces_are_put(ids):
            if contents[n].startswith(b" ") and self._tokens.name(ids[n]).startswith(("▁", "Ġ")):
                contents[n] = contents[n][1:]  # and not the byte <0x20>
        text, spans = spelled(contents)
        special = [i in self._tokens.special for i in ids]
        return text, Encoding(ids, self._drawn(text, ids, spans), spans, special)

    def chat(self, *messages: Any, generation_prompt: bool = False) -> list[int]:
        """Ids of a conversation, in the checkpoint's chat template or else Mixtral Instruct's.

        Takes a list of messages, `[{"role": "user", "content": "…"}, …]`; or texts, which
        alternate, the user's first. `generation_prompt` adds what comes before an answer, for
        `generate`. The template says whether BOS comes first. Names of control tokens inside a
        message are text (transformers lets them act, unless `sanitize_control_tokens` is set).

        Raises `InputError` where `encode` does, and where the template refuses a conversation.
        """
        given = messages_of(messages)
        for message in given:
            if isinstance(message.get("content"), str):
                _check_text(message["content"])
        template = self._tokens.template
        if template is None:
            words = [t for t in self.added if t.id not in self._tokens.special]
            return instruct(self._vocabulary, given, self.bos, self.eos, words)
        named = {f"{n}_token": i for n, i in (("bos", self.bos), ("eos", self.eos))}
        variables: dict[str, Any] = {
            k: self._tokens.name(i) for k, i in named.items() if i is not None
        }
        variables |= self._tokens.settings.names
        variables |= {"add_generation_prompt": generation_prompt, "tools": None, "documents": None}
        known = [*self.added, *self.control]
        return from_template(self._vocabulary, template, given, known, variables)

    def _drawn(self, text: str, ids: Sequence[int], spans: Sequence[Span]) -> list[str]:
        """What a person reads: the characters; of tokens without any, the name or the number."""
        return [
            visible(text[a:b])
            if a < b
            else "␣"
            if self._tokens.spelled(i) == b" "
            else self._tokens.shown(i)
            for i, (a, b) in zip(ids, spans, strict=True)
        ]

    def _fit(
        self, text: str, ids: list[int], names: Sequence[Added]
    ) -> tuple[list[str], list[Span]]:
        """Pieces and spans of a text's own tokens."""
        of = {name.id: name for name in names}
        found = [of.get(i) for i in ids]
        contents = [
            name.content.encode("utf-8") if name else self._tokens.spelled(i)
            for i, name in zip(ids, found, strict=True)
        ]
        read = text.replace(self._vocabulary.space, " ")
        parts = fitted(read, contents, found)
        if parts is None:  # it changes texts before it splits them, or lacks characters
            raw = self._vocabulary.offsets(text, names)
            spans = [(min(a, len(text)), min(max(a, b), len(text))) for a, b in raw]
        else:
            spans = spelled(parts)[1]
        return self._drawn(read, ids, spans), spans

    @cached_property
    def _puts_space(self) -> tuple[bool, bool]:
        """Whether a space is put in front of a text, and in front of what follows a name."""
        mark = Added("\ufdd0", 0)
        first = self._vocabulary.encode("a", ())
        later = self._vocabulary.encode("\ufdd0a", (mark,))[1:]
        return tuple(self._tokens.spelled(ids[0]).startswith(b" ") if ids else False
                     for ids in (first, later))  # type: ignore[return-value]  # fmt: skip

    def _where_spaces_are_put(self, ids: Sequence[int]) -> Iterable[int]:
        """Tokens that a space was put in front of."""
        at_first, later = self._puts_space
        silent = {t.id for t in self.control}
        first = next((n for n, i in enumerate(ids) if i not in silent), None)
        if at_first and first is not None:
            yield first
        if later:
            yield from (
                n + 1 for n, i in enumerate(ids[:-1]) if i in self._tokens.extra and n + 1 != first
            )


def without_special(text: str, encoding: Encoding, start: int = 0) -> str:
    """A text from one of its characters on, without its special tokens."""
    parts, at = [], start
    for (a, b), special in zip(encoding.spans, encoding.special, strict=True):
        if special and a < b and a >= at:
            parts.append(text[at:a])
            at = b
    return "".join([*parts, text[at:]])


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
