# SPDX-License-Identifier: Apache-2.0
"""Choose what is held out, by file and before anything is cut into windows.

In: the cleaned documents of one domain.  Out: the names of the files to hold out, and documents cut
to a length that fits in memory.  A file is never in both splits, nor are its translations.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

DOCUMENT_CAP = 200_000  # bytes; longer files become several documents of the same file
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.03, 300_000, 600_000


def size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text.encode())


def any_language(file: str) -> str:
    """The name that a file and its translations share.

    >>> any_language("gimp-help-de/usr/share/gimp/2.0/help/de/tool.html")
    'gimp-help/usr/share/gimp/2.0/help/*/tool.html'
    """
    name = re.sub(r"(?<=[/.])(?:C|(?:en|fr|de|es|it)(?:-[A-Za-z]{2})?)(?=[/.])", "*", file)
    return re.sub(r"^([\w.-]+?)-(?:en|fr|de|es|it)(?:-us|-dev)?/", r"\1/", name)


def hash_of(document: dict) -> str:
    """The key that orders files; a file and its translations share it.

    So a manual page held out in German is held out in French as well: no leak through parallel
    text, and held-out passages that are aligned across languages (`aligned.py`).
    """
    name = any_language(document["file"])
    return hashlib.blake2b(f"{document['source']}:{name}".encode(), digest_size=8).hexdigest()


def parts(document: dict) -> Iterator[dict]:
    """Cut a long file at paragraph ends (at line ends where there are none)."""
    text = document["text"]
    while len(text) > DOCUMENT_CAP:
        cut = max(text.rfind("\n\n", 1, DOCUMENT_CAP), text.rfind("\n", 1, DOCUMENT_CAP) // 2)
        yield {**document, "text": text[:cut].strip("\n")}
        text = text[cut:].strip("\n")
    yield {**document, "text": text}


def held_out(documents: list[dict]) -> set[str]:
    """Names of the files to hold out: in hash order, of every source its share, no giant file."""
    per_source = Counter()
    for document in documents:
        per_source[document["source"]] += size(document["text"])
    total = per_source.total()
    target = min(max(HELD_OUT_SHARE * total, HELD_OUT_LEAST), 0.9 * HELD_OUT_MOST)
    chosen, taken = set(), Counter()
    for document in sorted(documents, key=hash_of):
        bytes_, source = size(document["text"]), document["source"]
        quota = target * per_source[source] / total
        room = HELD_OUT_MOST - taken.total()
        if bytes_ <= min(target / 6, room) and taken[source] < quota:
            chosen.add(document["file"])
            taken[source] += bytes_
    return chosen
