# SPDX-License-Identifier: Apache-2.0
"""Files of games, books and speeches as blocks of plain text.

In: the bytes of a file.  Out: blocks, each a name and its paragraphs in order.  The name is the
same in all languages where the file says the same in all: so a block and its translations are held
out together (`prose.py`).  A string of a catalogue is kept where it reads as a sentence.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable

import cleaners

Blocks = list[tuple[str, list[str]]]

BLOCK = 10_000  # characters of a long text that make a block
BUCKETS = 64  # blocks of a catalogue that does not say where its strings are from
_TAG = re.compile(
    r"</?(?:b|i|u|p|br|em|strong|small|big|span|font|color\w*|info|good|bad)\b[^<>]*>"
)
_PLACEHOLDER = re.compile(r"[%{}$@\\|<>~^=_]|\[\[|::")


def sentence(string: str) -> str:
    """A string without mark-up where it is prose, else nothing.

    Prose: at least four words, a full stop or the like at its end, and nothing that a program
    would fill in.

    >>> sentence("I have <b>never</b> seen a fish like you.")
    'I have never seen a fish like you.'
    >>> sentence("You cannot buy %s here, %s."), sentence("Save the game")
    ('', '')
    """
    s = re.sub(r"\s+", " ", _TAG.sub("", string.replace("\\n", "\n"))).strip()
    if _PLACEHOLDER.search(s) or len(s.split()) < 4:
        return ""
    return s if re.search(r"[.!?…:;][\"'»”’)*]*$", s) and s[:1].isprintable() else ""


def _sentences(strings: Iterable[tuple[str, str]]) -> Blocks:
    """Strings with the block each belongs to, in their order."""
    found = defaultdict(list)
    for block, string in strings:
        if text := sentence(string):
            found[block].append(text)
    return list(found.items())


def _cut(paragraphs: Iterable[str]) -> Blocks:
    """A long text in blocks of about `BLOCK` characters, one after the other."""
    blocks, open_, size = [], [], 0
    for paragraph in paragraphs:
        open_.append(paragraph)
        size += len(paragraph)
        if size >= BLOCK:
            blocks.append((f"{len(blocks):03}", open_))
            open_, size = [], 0
    return [*blocks, (f"{len(blocks):03}", open_)] if open_ else blocks


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig").replace("\r\n", "\n")


def _quoted(lines: str) -> str:
    """The string of one entry of a .po file: quoted parts, one a line."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', lines)
    return re.sub(r'\\(["\\])', r"\1", "".join(parts))


def _po(data: bytes) -> Iterable[tuple[str, str, str]]:
    """File that a string is from, original and translation, in the catalogue's order."""
    for entry in _text(data).split("\n\n"):
        where = re.search(r"^#: (\S+?)(?::\d+)?(?:\s|$)", entry, re.M)
        original = re.search(r'^msgid ((?:".*"\n?)+)', entry, re.M)
        translation = re.search(r'^msgstr(?:\[0\])? ((?:".*"\n?)+)', entry, re.M)
        if original and translation and "fuzzy" not in entry.split("msgid")[0]:
            yield where[1] if where else "", _quoted(original[1]), _quoted(translation[1])


def po(data: bytes) -> Blocks:
    """The translations of a .po file; a block is what comes from one file of the program."""
    return _sentences((where, t) for where, original, t in _po(data) if t and t != original)


def po_source(data: bytes) -> Blocks:
    """The originals of a .po file."""
    return _sentences((where, original) for where, original, _ in _po(data))


def bucket(original: str) -> str:
    """A block for strings whose file is not known: the same for all that begin alike.

    So "You cut the …" is not on both sides of the split a hundred times.
    """
    words = " ".join(re.findall(r"\w+", original.lower())[:3])
    return f"{int(hashlib.blake2b(words.encode(), digest_size=4).hexdigest(), 16) % BUCKETS:02}"


def mo(data: bytes) -> Blocks:
    """The translations of a compiled catalogue."""
    return _sentences((bucket(k), v) for k, v in cleaners.catalogue(data) if v != k)


def mo_source(data: bytes) -> Blocks:
    """The originals of a compiled catalogue."""
    return _sentences((bucket(k), k) for k, _ in cleaners.catalogue(data))


_LUA_ROW = re.compile(r'^\s*\["((?:[^"\\]|\\.)*)"\] = "((?:[^"\\]|\\.)*)"', re.M)


def lua_table(data: bytes) -> Blocks:
    """Translations in a Lua table (hedgewars)."""
    return _sentences((bucket(k), v) for k, v in _LUA_ROW.findall(_text(data)))


def lua_table_source(data: bytes) -> Blocks:
    """The originals of a Lua table."""
    return _sentences((bucket(k), k) for k, _ in _LUA_ROW.findall(_text(data)))


def fish(data: bytes) -> Blocks:
    """What the two fish of fillets-ng say to each other."""
    return [("", re.findall(r'^dialogStr\("(.*)"\)', _text(data).replace('\\"', '"'), re.M))]


def fish_source(data: bytes) -> Blocks:
    """The same in English."""
    said = r'^dialogId\("[^"]*", "[^"]*", "(.*)"\)'
    return [("", re.findall(said, _text(data).replace('\\"', '"'), re.M))]


def string_table(data: bytes) -> Blocks:
    """freeorion: a name, and on the next line its text, between three quotes where it is long."""
    rows = re.findall(r"^([A-Z][A-Z0-9_]+)[^\n]*\n('''.*?'''|[^\n]*)", _text(data), re.M | re.S)
    texts = ((k, re.sub(r"\[\[(?:[^\]|]*\|)?([^\]|]*)\]\]", "", v.strip("'"))) for k, v in rows)
    return _sentences((bucket(k.replace("_", " ")), v) for k, v in texts)


def properties(data: bytes) -> Blocks:
    """freecol: name = text."""
    rows = re.findall(r"^([\w.]+)\s*=\s*(.+)$", _text(data), re.M)
    return _sentences((bucket(k.replace(".", " ")), v) for k, v in rows)


def entries(data: bytes) -> Blocks:
    """Dungeon Crawl: entries between lines of %%%%, a name and its description."""
    rows = (e.strip().split("\n", 1) for e in re.split(r"^%%%%.*$", _text(data), flags=re.M))
    pairs = ((row[0], p) for row in rows if len(row) > 1 for p in row[1].split("\n\n"))
    return _sentences((bucket(k), p) for k, p in pairs)


def backticks(data: bytes) -> Blocks:
    """Endless Sky: conversations are between backticks, one paragraph each."""
    return _cut(filter(None, map(sentence, re.findall(r"`\s*([^`]+)`", _text(data)))))


def map_messages(data: bytes) -> Blocks:
    """Crossfire: what people on a map say, and what is written there."""
    said = re.findall(r"^msg\n(.*?)^endmsg", _text(data), re.M | re.S)
    lines = (re.sub(r"^@.*$|^\s*(?:Created|Modified):.*$", "", m, flags=re.M) for m in said)
    return [("", list(filter(None, (sentence(p) for m in lines for p in m.split("\n\n")))))]


def page(data: bytes) -> Blocks:
    """An HTML page, in blocks."""
    return _cut(cleaners.html(data).split("\n\n"))


def plain(data: bytes) -> Blocks:
    """A chapter or a speech as it stands."""
    return _cut(re.sub(r"\s+", " ", p).strip() for p in _text(data).split("\n\n"))


def heredoc(data: bytes) -> Blocks:
    """The book in a PHP class; where lines are long, each is a paragraph of its own."""
    book = re.search(r"<<<'EOT'\n(.*?)^EOT;", _text(data), re.M | re.S)
    if not book:
        return []
    whole = max(map(len, book[1].split("\n"))) > 200
    paragraphs = book[1].split("\n" if whole else "\n\n")
    return _cut(filter(None, (re.sub(r"\s+", " ", p).strip() for p in paragraphs)))


def speeches(data: bytes) -> Blocks:
    """A sample of speeches in parliament: a CSV file in a ZIP file; a day is a block."""
    days = defaultdict(list)
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        for name in files.namelist():
            for row in csv.DictReader(io.StringIO(_text(files.read(name)))):
                text = re.sub(r" ([.,;:!?)])", r"\1", re.sub(r"\s+", " ", row["text"])).strip()
                if len(text) > 200:
                    days[row["date"]].append(text)
    return sorted(days.items())


def _words(node: dict) -> str:
    own = node.get("text", "")
    return own + "".join(map(_words, node.get("children", ())))


def leaflet(data: bytes) -> Blocks:
    """service-public.fr: the paragraphs of a leaflet, wherever they stand in its tree."""
    found: list[str] = []

    def walk(node: dict) -> None:
        if node.get("name") == "Paragraphe":
            found.append(re.sub(r"\s+", " ", _words(node)).strip())
            return
        for child in node.get("children", ()):
            walk(child)

    walk(json.loads(data))
    return [("", [p for p in found if len(p.split()) > 8])]
