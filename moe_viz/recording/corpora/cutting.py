# SPDX-License-Identifier: Apache-2.0
"""Documents longer than the context, cut into parts that fit: at a space or a line's end if one is
near, else between two tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

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
    # Where the text can be cut, and how many tokens lie before: several may spell one character.
    before: dict[int, int] = {}
    for number, (start, _) in enumerate(encoding.spans):
        before.setdefault(start, number)
    cuts = sorted(before.items())[1:]
    places, counts = [place for place, _ in cuts], [count for _, count in cuts]
    return [
        part
        for piece in _pieces(text, places, counts, len(encoding.ids), max(1, context - ROOM))
        for part in _halved(piece, tokenizer, context)
    ]


def _pieces(
    text: str, places: Sequence[int], counts: Sequence[int], total: int, most: int
) -> Iterator[str]:
    """The text, cut after at most `most` tokens, or a little earlier where a blank begins.

    It can be cut at these `places`, before which lie so many tokens; it has `total`.
    """
    begin, done = 0, 0
    while total - done > most:
        end = bisect_right(counts, done + most) - 1
        if end < 0 or counts[end] <= done:  # one character of more tokens than that
            end = bisect_right(counts, done)
        if end == len(counts):
            break
        near = range(end, bisect_right(counts, done + most * 7 // 8) - 1, -1)
        end = next((n for n in near if text[places[n]].isspace()), end)
        yield text[begin : places[end]]
        begin, done = places[end], counts[end]
    yield text[begin:]


def _halved(text: str, tokenizer: Tokenizer, context: int) -> Iterator[str]:
    """The text if it fits, else its halves: a part by itself may take more tokens."""
    if len(text) < 2 or len(tokenizer.encode(text).ids) <= context:
        yield text
    else:
        yield from _halved(text[: len(text) // 2], tokenizer, context)
        yield from _halved(text[len(text) // 2 :], tokenizer, context)
