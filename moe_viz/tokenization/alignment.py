# SPDX-License-Identifier: Apache-2.0
"""Which characters each token stands for, and what it looks like on a page.

In: what each token spells, in bytes. Out: texts, pieces and spans. A character of several byte
tokens is shown by all of them, who share its span. Nothing here knows a file format.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .vocabulary import Added

#: How whitespace and control characters are drawn, so that every token is visible.
_VISIBLE = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x00": "␀", "\u00a0": "⍽"}

#: Bytes of invalid UTF-8, as `surrogateescape` reads them.
_INVALID = re.compile("[\ud800-\udfff]")
_WHITESPACE = re.compile(rb"\s*")

Span = tuple[int, int]


@dataclass(frozen=True)
class Encoding:
    """One text as tokens; four lists of equal length."""

    ids: list[int]
    pieces: list[str]  # as a person reads them
    spans: list[Span]  # characters of the text, start and stop
    special: list[bool]  # control tokens: BOS, EOS, those of a chat template


def spelled(contents: Sequence[bytes]) -> tuple[str, list[Span]]:
    """The text that tokens spell, and the part of it that each stands for.

    Each byte of invalid UTF-8, which a model may well write, counts as one character.

    >>> spelled([b"a ", b"\\xc3", b"\\xa9", b""])
    ('a é', [(0, 2), (2, 3), (2, 3), (3, 3)])
    """
    # surrogateescape keeps one character for each invalid byte, so that counting stays exact.
    text = b"".join(contents).decode("utf-8", "surrogateescape")
    if text.isascii():
        character_at: Sequence[int] = range(len(text))
    else:
        sizes = [len(c.encode("utf-8", "surrogateescape")) for c in text]
        character_at = [n for n, size in enumerate(sizes) for _ in range(size)]
        text = _INVALID.sub("\ufffd", text)
    spans, at, stop = [], 0, 0  # byte and character where the next token begins
    for content in contents:
        start = stop
        if content:
            start, at = character_at[at], at + len(content)
            stop = character_at[at - 1] + 1
        spans.append((start, stop))
    return text, spans


def fitted(
    text: str, contents: Sequence[bytes], names: Sequence[Added | None]
) -> list[bytes] | None:
    """What each token stands for in this text, which it was made from: together, all of it.

    `names` says which tokens were found by their name. Between two of them, a vocabulary may have
    put a space first that stands for no character. None where the tokens spell another text.

    >>> fitted("Good", [b" Go", b"od"], [None, None])
    [b'Go', b'od']
    """
    raw, found = text.encode("utf-8"), list(contents)
    at = start = 0  # byte of the text, and token
    for stop in [*(n for n, name in enumerate(names) if name), len(names)]:
        name = names[stop] if stop < len(names) else None
        run = b"".join(contents[start:stop])
        for space in (0, 1)[: 1 + run.startswith(b" ")]:  # the space in front is text, or it is not
            end = at + len(run) - space
            if raw[at:end] == run[space:] and (after := _behind(raw, end, name)) is not None:
                break
        else:
            return None
        if space:
            first = next(n for n in range(start, stop) if contents[n])
            found[first] = contents[first][1:]
        if name:
            found[stop] = raw[end:after]
        at, start = after, stop + 1
    return found


def _behind(raw: bytes, at: int, name: Added | None) -> int | None:
    """Where the text goes on behind a name that should be here; None if it is not here."""
    if name is None:
        return at if at == len(raw) else None
    start = _past_whitespace(raw, at) if name.lstrip else at
    content = name.content.encode("utf-8")
    if not raw.startswith(content, start):
        return None
    end = start + len(content)
    return _past_whitespace(raw, end) if name.rstrip else end


def _past_whitespace(raw: bytes, at: int) -> int:
    match = _WHITESPACE.match(raw, at)
    return match.end() if match else at


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
