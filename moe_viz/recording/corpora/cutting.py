# SPDX-License-Identifier: Apache-2.0
"""Documents longer than the context, cut into parts that fit: at a space or a line's end if one is
near, else between two tokens."""

from __future__ import annotations

from collections.abc import Iterator

from ...tokenization import Tokenizer

#: Tokens of a part that its first and last words may cost more than in the whole text.
ROOM = 8


def parts_of(text: str, tokenizer: Tokenizer, context: int) -> list[str]:
    """The text in parts of at most `context` tokens, which are the text when put together.

    >>> import moe_viz as mv
    >>> words = "one two three four five six seven eight nine ten " * 5
    >>> parts = parts_of(words, mv.load("8x7m").tokenizer, context=40)
    >>> len(parts) > 1, "".join(parts) == words, parts[1][:1]
    (True, True, ' ')
    """
    encoding = tokenizer.encode(text)
    if len(encoding.ids) <= context:
        return [text]
    starts = sorted({a for a, b in encoding.spans if b > a} - {0})
    most = max(1, context - ROOM)
    return [
        part
        for piece in _pieces(text, [0, *starts], most)
        for part in _halved(piece, tokenizer, context)
    ]


def _pieces(text: str, starts: list[int], most: int) -> Iterator[str]:
    """The text, cut before every `most`th token or a little earlier."""
    at = 0
    while len(starts) - at > most:
        end = at + most
        near = range(end, max(at + 1, end - most // 8) - 1, -1)
        end = next((n for n in near if text[starts[n]].isspace()), end)
        yield text[starts[at] : starts[end]]
        at = end
    yield text[starts[at] :]


def _halved(text: str, tokenizer: Tokenizer, context: int) -> Iterator[str]:
    """The text if it fits, else its halves: a part by itself may take more tokens."""
    if len(text) < 2 or len(tokenizer.encode(text).ids) <= context:
        yield text
    else:
        yield from _halved(text[: len(text) // 2], tokenizer, context)
        yield from _halved(text[len(text) // 2 :], tokenizer, context)
