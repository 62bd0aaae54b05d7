# SPDX-License-Identifier: Apache-2.0
"""What a vocabulary has to offer, whatever file it came from, and what files beside it say.

In: nothing; these are forms. `Tokenizer` knows vocabularies by this protocol alone: what each id
spells, which tokens have a name that texts may hold, and how a text is split. The two that satisfy
it are `SentencePieceVocabulary` and `JSONVocabulary`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Ids beyond any vocabulary: a file that names one is damaged.
MOST_IDS = 2**22


@dataclass(frozen=True)
class Added:
    """A token with a name of its own, which is looked for in texts before they are split.

    The flags are those of Hugging Face's files: `lstrip` and `rstrip` take the whitespace beside
    the name along, `single_word` wants no letters beside it, and a `normalized` name is looked for
    after the text was prepared.
    """

    content: str
    id: int
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


class Vocabulary(Protocol):
    """The tokens of a model, and how texts are split into them."""

    @property
    def where(self) -> str:
        """The file, as messages name it."""
        ...

    @property
    def pieces(self) -> Sequence[str | None]:
        """The name of each token, by id; None where there is no such token."""
        ...

    @property
    def contents(self) -> Sequence[bytes]:
        """What each token spells, in UTF-8 or a part of it, by id; control tokens spell nothing."""
        ...

    @property
    def control(self) -> Sequence[Added]:
        """The vocabulary's own control tokens: `<s>` typed in a text is text."""
        ...

    @property
    def added(self) -> Sequence[Added]:
        """Tokens that were added to the vocabulary: their names in a text stand for them."""
        ...

    @property
    def space(self) -> str:
        """How the vocabulary writes a space; this character in a text reads as one."""
        ...

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """Ids that belong before and behind every text."""
        ...

    @property
    def bos(self) -> int | None:
        """The token that begins a text, if the file knows one."""
        ...

    @property
    def eos(self) -> int | None:
        """The token that ends a text, if the file knows one."""
        ...

    def encode(self, text: str, names: Sequence[Added]) -> list[int]:
        """The ids of a text, in which these names stand for their tokens."""
        ...

    def offsets(self, text: str, names: Sequence[Added]) -> list[tuple[int, int]]:
        """About which characters each of those ids stands for, where `contents` do not tell."""
        ...


@dataclass(frozen=True)
class Settings:
    """What the files beside a vocabulary say about it; None where they say nothing."""

    added: tuple[Added, ...] = ()
    bos: str | int | None = None
    eos: str | int | None = None
    add_bos: bool | None = None
    add_eos: bool | None = None
    names: Mapping[str, str] = field(default_factory=dict)  # bos_token → <s>, as templates ask
    templates: Mapping[str, str] = field(default_factory=dict)  # of conversations, in Jinja
