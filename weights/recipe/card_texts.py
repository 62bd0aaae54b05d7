# SPDX-License-Identifier: Apache-2.0
"""The model card's tables of everyday text: prose, openings and continuations.

In: what `shown.py` found. Out: Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from markdown_tables import number, numbers, table


def tables(found: dict[str, Any] | None) -> list[str]:
    """What `shown.py` found, where it has been run."""
    if not found:
        return []
    return [
        beside(found["prose"], "Prose that is no manual, held out: no version was trained on it"),
        beside(
            found["everyday"],
            "This project's own passages and programs, which no version was trained on",
        ),
        openings(found["openings"], found["openings before"]),
        continuations(found["continuations"], found["sampling"]),
    ]


def beside(kinds: dict[str, Any], title: str) -> str:
    """Bits per byte of some kinds of text, under this version and the one before."""

    def between(bounds: Sequence[float]) -> str:
        return " to ".join(number(x, 2) for x in bounds)

    columns = list(kinds.values())
    rows = [
        numbers("8x7m", (c["model"] for c in columns), 2),
        ["95 % interval", *(between(c["model, interval"]) for c in columns)],
        numbers("second version", (c["before"] for c in columns), 2),
        ["95 % interval", *(between(c["before, interval"]) for c in columns)],
        numbers("second version less 8x7m", (c["better by"] for c in columns), 2),
        ["95 % interval", *(between(c["interval"]) for c in columns)],
        ["kB", *(round(c["bytes"] / 1e3) for c in columns)],
        ["documents", *(c["documents"] for c in columns)],
    ]
    said = "bits per byte beside the second version's; intervals are bootstraps over documents."
    return f"**{title}**: {said}\n\n" + table(["", *kinds], rows)


def openings(found: Sequence[dict[str, Any]], before: Sequence[int]) -> str:
    """All of them, with the first three guesses."""

    def among(ranks: Iterable[int], n: int) -> int:
        return sum(rank <= n for rank in ranks)

    ranks = [g["rank"] for g in found]
    rows = [
        [verbatim(g["text"]), verbatim(g["word"]), g["rank"], " ".join(map(verbatim, g["guesses"]))]
        for g in found
    ]
    return (
        f"**Forty openings, their last word withheld** (`openings.py`, fixed before the training): "
        f"its first piece is the first guess in {among(ranks, 1)} (second version: "
        f"{among(before, 1)}) and among the first three in {among(ranks, 3)} ({among(before, 3)}). "
        "All of them, with its rank and the first three guesses:\n\n"
        + table(["opening", "withheld", "rank", "guesses"], rows)
    )


def continuations(found: Sequence[dict[str, Any]], sampling: dict[str, Any]) -> str:
    """All of them, as they were written."""
    texts = (
        f"- seed {c['seed']}: {verbatim(c['beginning'])} … {verbatim(c['continuation'])}"
        for c in found
    )
    return (
        f"**{len(found)} continuations** (temperature {sampling['temperature']}, at most "
        f"{sampling['tokens']} tokens; none left out; line ends are written as ⏎, | as ¦):\n\n"
        + "\n".join(texts)
    )


def verbatim(text: str) -> str:
    """A text as code on one line, also in a table; around backticks stand more of them."""
    line = text.replace("\r", "").replace("\n", "⏎").replace("|", "¦")
    if not line.strip():
        return "(nothing)" if not line else "(space)"
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"
