# SPDX-License-Identifier: Apache-2.0
"""Held-out passages that say the same in five languages: message catalogues and handbooks.

In: DIR/corpus, DIR/clean and DIR/extract.  Out: passages, each a text per language.  A catalogue is
aligned by its own keys, string by string.  A handbook's page is, where it and all its translations
have as many paragraphs.  Only files that are held out in all five languages count.

    python weights/recipe/aligned.py --work DIR      # how many there are, from where
"""

from __future__ import annotations

import argparse
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import archives
from cleaners import catalogue, readable
from corpus import read
from held_out import any_language
from sources import LANGUAGES

CATALOGUES = "LC_MESSAGES"  # in the path of a compiled message catalogue
LONG = 400  # characters of English that make a passage
Passage = dict[str, str]  # a text for each language


def passages(work: Path) -> Iterator[tuple[str, Passage]]:
    """Every passage, with the file it is from, whatever its language (`*`)."""
    pages = _pages(work)
    for file, names in _held_out_in_all(work).items():
        if CATALOGUES in file:
            pieces = _strings(work, names)
        else:
            pieces = paragraphs([pages[language, names[language]] for language in LANGUAGES])
        for passage in joined(pieces):
            yield file, passage


def paragraphs(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The paragraphs of a page in all languages; none where their numbers differ.

    >>> paragraphs(["One.\\n\\nTwo.", "Un.\\n\\nDeux."])
    [('One.', 'Un.'), ('Two.', 'Deux.')]
    >>> paragraphs(["One.\\n\\nTwo.", "Un, deux."])
    []
    """
    cut = [text.split("\n\n") for text in texts]
    return list(zip(*cut, strict=True)) if len(set(map(len, cut))) == 1 else []


def strings(catalogues: Sequence[bytes]) -> list[tuple[str, ...]]:
    """The English originals that all these catalogues translate, and their translations.

    Of those that have 40 characters and more in every language.
    """
    tables = [dict(catalogue(data)) for data in catalogues]
    common = [key for key in tables[0] if all(table.get(key, key) != key for table in tables)]
    rows = ([readable(s) for s in (key, *(t[key] for t in tables))] for key in common)
    return [tuple(row) for row in rows if all(row)]


def joined(pieces: Sequence[tuple[str, ...]]) -> list[Passage]:
    """Neighbouring pieces as passages of `LONG` characters of English; the rest is left out."""
    found, open_ = [], list[tuple[str, ...]]()
    for piece in pieces:
        open_.append(piece)
        if sum(len(own) for own, *_ in open_) >= LONG:
            texts = ("\n\n".join(column) for column in zip(*open_, strict=True))
            found.append(dict(zip(LANGUAGES, texts, strict=True)))
            open_ = []
    return found


def _held_out_in_all(work: Path) -> dict[str, dict[str, str]]:
    """Files that are held out in every language: their names in each, by their common name."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for language in LANGUAGES:
        for document in read(work / "corpus" / language / "held_out.jsonl"):
            found[any_language(document["file"])][language] = document["file"]
    return {file: names for file, names in found.items() if len(names) == len(LANGUAGES)}


def _pages(work: Path) -> dict[tuple[str, str], str]:
    """All clean texts of prose, as they were before what they repeat was removed."""
    return {
        (language, document["file"]): document["text"]
        for language in LANGUAGES
        for path in sorted((work / "clean" / language).glob("*.jsonl"))
        for document in read(path)
    }


def _strings(work: Path, names: dict[str, str]) -> list[tuple[str, ...]]:
    data = []
    for language in LANGUAGES[1:]:  # English stands in each of them
        package, _, path = names[language].partition("/")
        with zipfile.ZipFile(archives.zip_path(work, "deb", package)) as files:
            data.append(files.read(path))
    return strings(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the aligned passages.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    counts = Counter(file for file, _ in passages(parser.parse_args().work))
    for file, number in counts.most_common():
        print(f"{number:5}  {file}")
    print(f"{counts.total():5}  passages in {len(counts)} files")


if __name__ == "__main__":
    main()
