# SPDX-License-Identifier: Apache-2.0
"""Decide what of the cleaned text is kept: language, boilerplate, duplicates, generated code.

In: text from cleaners.py.  Out: the same text with paragraphs left out, or None where a whole
document is of no use.  Which documents are held out is decided in corpus.py.
"""

from __future__ import annotations

import hashlib
import re

_STOP = {
    "en": "the of and to in is that for it with as on be are this by not or from an at which you "
    "can will was have has if but they when all there been would more your its any he she",
    "fr": "le la les des et une du est dans que pour pas sur qui par avec vous au ce ne plus sont "
    "être cette ou il elle aux ces votre se son sa si peut mais été nous même comme",
    "de": "der die und das ist nicht den von mit sie ein eine zu für auf dem werden des wird im "
    "als auch sich oder wenn aus kann es bei nach wir ihr nur wie an durch zum zur hat",
    "es": "el la los las de y que en una del es para con por no se un al como su más este esta si "
    "lo son puede pero sus ser está cuando también sin todo muy hay fue donde",
    "it": "il la di che e è per un una non del con sono nel dei della delle in le gli si come da "
    "questo questa alla più essere anche se può ma viene nella al lo tutti suo quando ed",
}
_STOP = {language: frozenset(words.split()) for language, words in _STOP.items()}
_WORD = re.compile(r"[^\W\d_]+")


def _stopwords(text: str) -> tuple[dict[str, int], int]:
    words = [w.lower() for w in _WORD.findall(text)]
    return {language: sum(w in stop for w in words) for language, stop in _STOP.items()}, len(words)


_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


def without_addresses(text: str) -> str:
    """Drop paragraphs that name a person's e-mail address: credits, which nobody should learn."""
    return "\n\n".join(p for p in text.split("\n\n") if not _ADDRESS.search(p))


def in_language(text: str, language: str) -> str | None:
    """Drop paragraphs that score higher in another language; None where the document is foreign.

    Short paragraphs (headings, commands) cannot be judged and follow the paragraph before them.
    """
    kept, own_words, words, keep = [], 0, 0, True
    for paragraph in text.split("\n\n"):
        scores, count = _stopwords(paragraph)
        if count >= 6:
            own = scores[language]
            keep = own >= max(scores.values()) and (own > 0 or count < 12)
            own_words += own if keep else 0
            words += count if keep else 0
        if keep:
            kept.append(paragraph)
    if words < 20 or own_words < 0.12 * words:
        return None
    return "\n\n".join(kept)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def paragraph_key(paragraph: str) -> bytes:
    """The same for paragraphs that differ only in case, digits, spaces and punctuation."""
    letters = "".join(_WORD.findall(paragraph)).lower()
    return _digest(letters or paragraph)


class Paragraphs:
    """Paragraph-level exact de-duplication over one language.

    Count every document first (`count`), then filter (`first_only`): a long paragraph is kept the
    first time only, one that occurs `boilerplate` times or more (licence texts, navigation) never.
    """

    boilerplate = 8
    short = 40  # characters; a heading may recur, a navigation label may not recur for ever
    short_repeats = 12

    def __init__(self) -> None:
        self.total: dict[bytes, int] = {}
        self.seen: dict[bytes, int] = {}

    def count(self, text: str) -> None:
        """Note the paragraphs of one document."""
        for paragraph in text.split("\n\n"):
            key = paragraph_key(paragraph)
            self.total[key] = self.total.get(key, 0) + 1

    def first_only(self, text: str) -> str:
        """The document without paragraphs that came before or are boilerplate."""
        kept = []
        for paragraph in text.split("\n\n"):
            key = paragraph_key(paragraph)
            earlier = self.seen.get(key, 0)
            self.seen[key] = earlier + 1
            if len(paragraph) < self.short:
                keep = earlier < self.short_repeats
            else:
                keep = earlier == 0 and self.total[key] < self.boilerplate
            if keep:
                kept.append(paragraph)
        return "\n\n".join(kept)


class Lines:
    """Near-de-duplication of files of code: most lines already seen means a copy or a variant."""

    def __init__(self, limit: float = 0.6) -> None:
        self.seen: set[int] = set()
        self.limit = limit

    def is_new(self, text: str) -> bool:
        """True, and the lines are noted, where at most `limit` of them came before."""
        lines = {hash(line.strip()) for line in text.split("\n") if len(line.strip()) > 12}
        if not lines or len(lines & self.seen) > self.limit * len(lines):
            return False
        self.seen |= lines
        return True


_GENERATED = re.compile(
    r"@generated|do not edit|generated (?:by|from|file|automatically)|"
    r"automatically generated|auto-generated",
    re.I,
)


def is_written_by_hand(text: str, domain: str) -> bool:
    """False for minified, generated and table-like files; rough, and meant to be."""
    if domain == "html":  # generators keep a paragraph on one line
        return max(map(len, text.split("\n"))) < 5000
    lines = text.split("\n")
    in_long_lines = sum(len(line) for line in lines if len(line) > 400)
    if in_long_lines > 0.1 * len(text) or len(text) > 90 * len(lines) or len(text) > 600_000:
        return False
    if _GENERATED.search(text[:600]):
        return False
    return sum(c.isalpha() for c in text) > 0.4 * len(re.sub(r"\s", "", text))
