# SPDX-License-Identifier: Apache-2.0
"""What each id of a model is: what vocabulary, other files and config say, put together.

In: a vocabulary, settings, and how many ids there are. Out: names and spelling of every id, which
are special, which begin and end a text. An id that nothing names is drawn as its number.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InputError
from .alignment import visible
from .vocabulary import Added, Settings, Vocabulary


class Tokens:
    """The ids of a model."""

    def __init__(self, vocabulary: Vocabulary, settings: Settings, count: int | None) -> None:
        self.settings = settings
        self._vocabulary = vocabulary
        # Some files name a token that the weights were never resized for; its name stays text.
        self.added: tuple[Added, ...] = tuple(
            t for t in self._all_added() if count is None or t.id < count
        )
        self.control: tuple[Added, ...] = tuple(vocabulary.control)
        self.extra: dict[int, Added] = {t.id: t for t in self.added}
        self.count: int = count or max([len(vocabulary.pieces), *(n + 1 for n in self.extra)])
        pieces = {piece: n for n, piece in enumerate(vocabulary.pieces) if piece is not None}
        self._ids: dict[str, int] = pieces | {t.content: t.id for t in self.added}
        self.bos: int | None = self._settled(settings.bos, vocabulary.bos)
        self.eos: int | None = self._settled(settings.eos, vocabulary.eos)
        written = "".join(settings.templates.values())
        added = {t.id for t in self.added if t.special or t.content in written}
        self.special: frozenset[int] = frozenset(added | {t.id for t in self.control})

    def _all_added(self) -> Iterable[Added]:
        """Those of the vocabulary, of other files, and pieces that these call BOS, EOS or so."""
        vocabulary, settings = self._vocabulary, self.settings
        taken = {t.content for t in (*vocabulary.control, *vocabulary.added)}
        named = set(settings.names.values()) - taken
        pieces = [Added(p, n) for n, p in enumerate(vocabulary.pieces) if p in named and p]
        yield from vocabulary.added
        for token in (*settings.added, *pieces):
            if token.content not in taken:
                taken.add(token.content)
                yield token

    def _settled(self, said: str | int | None, known: int | None) -> int | None:
        """The token that other files name, or the vocabulary's own, or the one they number."""
        if isinstance(said, str):
            known, said = self._ids.get(said, known), None
        found = said if known is None else known
        return found if found is not None and 0 <= found < self.count else None

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """Ids before and behind a text."""
        before, behind = self._vocabulary.around
        if self.settings.add_bos is not None:
            before = [self.bos] if self.settings.add_bos and self.bos is not None else []
        if self.settings.add_eos is not None:
            behind = [self.eos] if self.settings.add_eos and self.eos is not None else []
        return before, behind

    @property
    def template(self) -> str | None:
        """The chat template, if files bring one; of several, the one called default."""
        templates = self.settings.templates
        if not templates or "default" in templates:
            return templates.get("default")
        if len(templates) > 1:
            raise InputError(
                f"{self._vocabulary.where}: there are several chat templates, "
                f"{', '.join(templates)}, and none is called default. Give the text or token ids "
                "instead."
            )
        return next(iter(templates.values()))

    def spelled(self, token: int) -> bytes:
        """What a token spells, in UTF-8 or a part of it; nothing if it is a control token's."""
        if token in self.extra:
            return self.extra[token].content.encode("utf-8")
        contents = self._vocabulary.contents
        return contents[token] if token < len(contents) else b""

    def name(self, token: int) -> str:
        """The name that files give a token, or its number."""
        if token in self.extra:
            return self.extra[token].content
        pieces = self._vocabulary.pieces
        return (pieces[token] if token < len(pieces) else None) or str(token)

    def shown(self, token: int) -> str:
        """The name as a person reads it."""
        return visible(self.name(token))
