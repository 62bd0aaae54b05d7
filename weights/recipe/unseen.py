# SPDX-License-Identifier: Apache-2.0
"""What the model must not have read: curated passages, notebooks, the withheld openings.

In: this repository.  Out: whether a paragraph shares eight words in a row with any of them.

    python weights/recipe/unseen.py --work DIR      # how many documents of the corpus share some
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from corpus import read
from openings import OPENINGS
from sources import DOMAINS, LANGUAGES

import moe_viz as mv

ROOT = Path(__file__).parents[2]
ROW = 8  # words in a row
_WORD = re.compile(r"[^\W_]+")


def rows_of(text: str) -> Iterator[tuple[str, ...]]:
    """Every `ROW` words that follow each other, without case and punctuation; no rows of numbers.

    >>> len(list(rows_of("One two three four; five six seven, EIGHT nine.")))
    2
    """
    words = [w.lower() for w in _WORD.findall(text)]
    for row in zip(*(words[n:] for n in range(ROW)), strict=False):
        if not all(map(str.isdecimal, row)):
            yield row


def our_texts() -> list[str]:
    """All curated prompts, the text of all notebooks, and the openings with their last words."""
    notebooks = sorted((ROOT / "notebooks").glob("*.py"))
    return [
        *mv.prompts.curated().texts,
        *(path.read_text(encoding="utf-8") for path in notebooks),
        *(opening.whole for opening in OPENINGS),
    ]


class Unseen:
    """Tells whether a text shares `ROW` words in a row with ours, and counts those that do."""

    def __init__(self) -> None:
        self.rows = {row for text in our_texts() for row in rows_of(text)}
        # Openings may be shorter: these must not occur at all.
        self.openings = [_plain(o.whole) for o in OPENINGS]
        self.found = 0

    def shares(self, text: str) -> bool:
        """True where the text has some of ours."""
        plain = _plain(text)
        shares = any(row in self.rows for row in rows_of(text)) or any(
            opening in plain for opening in self.openings
        )
        self.found += shares
        return shares


def _plain(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def main() -> None:
    parser = argparse.ArgumentParser(description="Search the training text for our own texts.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    work, ours = parser.parse_args().work, Unseen()
    folders = [work / "corpus" / domain for domain in DOMAINS]
    for folder in folders + [work / "prose" / language for language in LANGUAGES]:
        shared = []
        for document in read(folder / "train.jsonl"):
            shared += [
                (document["file"], " ".join(row))
                for row in rows_of(document["text"])
                if row in ours.rows
            ]
            plain = _plain(document["text"])
            shared += [(document["file"], o) for o in ours.openings if o in plain]
        print(f"{folder.parent.name} {folder.name}: {len({f for f, _ in shared})} documents")
        for file, row in shared[:10]:
            print(f"    {file}: {row}")


if __name__ == "__main__":
    main()
