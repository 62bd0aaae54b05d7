# SPDX-License-Identifier: Apache-2.0
"""Turn one file of a package into plain text.

In: the bytes of a file.  Out: text whose paragraphs are separated by one empty line; source code
and HTML kept as code keep every character of their indentation.  What is worth keeping (language,
duplicates, generated files) is decided in corpus.py.
"""

from __future__ import annotations

import bz2
import gettext
import io
import lzma
import re
import zlib
from html.parser import HTMLParser

from roff import page_text

_TAGS = {
    # start and end a paragraph
    "block": "p div h1 h2 h3 h4 h5 h6 table ul ol dl pre blockquote section article hr body main "
    "para simpara formalpara title subtitle sect1 sect2 sect3 chapter itemizedlist orderedlist "
    "variablelist note tip warning caution important screen programlisting literallayout page "
    "steps list terms example informalexample figure media",
    # start a line
    "line": "li dt dd tr br item term listitem varlistentry",
    "cell": "td th entry",
    "verbatim": "pre screen programlisting literallayout code-block synopsis",
    # navigation, scripts, and front matter that is the same in every file
    "skip": "script style head nav header footer form button select svg math bookinfo articleinfo "
    "legalnotice authorgroup info credit license years revision indexterm keywordset copyright",
}
_TAGS = {kind: frozenset(names.split()) for kind, names in _TAGS.items()}


class _Text(HTMLParser):
    """Collects the text of HTML, DocBook and Mallard alike: they differ only in tag names."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.skip: list[str] = []
        self.pre = 0

    def handle_starttag(self, tag, attrs):
        if self.skip:
            if tag == self.skip[-1]:
                self.skip.append(tag)
        elif tag in _TAGS["skip"]:
            self.skip.append(tag)
        elif tag in _TAGS["block"]:
            self.out.append("\n\n")
        elif tag in _TAGS["line"]:
            self.out.append("\n")
        elif tag in _TAGS["cell"]:
            self.handle_data(" ")
        if tag in _TAGS["verbatim"]:
            self.pre += 1

    def handle_startendtag(self, tag, attrs):
        if tag in _TAGS["line"] and not self.skip:
            self.out.append("\n")

    def handle_endtag(self, tag):
        if self.skip:
            if tag == self.skip[-1]:
                self.skip.pop()
        elif tag in _TAGS["block"]:
            self.out.append("\n\n")
        if tag in _TAGS["verbatim"] and self.pre:
            self.pre -= 1

    def handle_data(self, data):
        if self.skip:
            return
        if not self.pre:
            data = re.sub(r"\s+", " ", data)
            if not self.out or self.out[-1][-1:].isspace():
                data = data.lstrip()
        if data:
            self.out.append(data)


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tidy(text: str, empty_lines: int = 1) -> str:
    """Spaces at line ends and longer runs of empty lines go; newlines and indentation stay."""
    text = text.replace("\u00ad", "").replace("\u200b", "")
    text = re.sub(r"[ \t\f\v]+\n", "\n", text)
    most = "\n" * (empty_lines + 1)
    return re.sub(most + "\n+", most, text).strip("\n")


def html(data: bytes) -> str:
    """The text of an HTML page."""
    parser = _Text()
    parser.feed(_decode(data))
    parser.close()
    text = "".join(parser.out)
    text = re.sub(r"\n ?(?=\S)", "\n", text).replace("\u00b6", "")
    text = re.sub(r"^\[ <.*\]$", "", text, flags=re.M)  # the navigation bars of Texinfo
    return tidy(re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"(?<=\S)  +(?=\S)", " ", text)))


def docbook(data: bytes) -> str:
    """The text of a DocBook or Mallard file; the entity of a product becomes its name."""
    text = re.sub(r"<!DOCTYPE[^\[>]*(\[.*?\]\s*)?>", "", _decode(data), count=1, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"&(?!amp;|lt;|gt;|quot;|apos;|nbsp;|#)([\w.-]+);", r"\1", text)
    return html(text.encode())


def man(data: bytes) -> str:
    """The text of a man(7) page."""
    return tidy(page_text(_decode(data)))


def catalogue(data: bytes) -> list[tuple[str, str]]:
    """The originals and translations of a compiled message catalogue."""
    # gettext offers look-up only; its table of all strings is private but has been there since 2.0
    strings = vars(gettext.GNUTranslations(io.BytesIO(data)))["_catalog"]
    return [
        ((k if isinstance(k, str) else k[0]).split("\x04")[-1], v) for k, v in strings.items() if k
    ]


def readable(string: str) -> str:
    """A string without mark-up and accelerators, or nothing where it has fewer than 40 characters.

    >>> readable("<b>_Open</b> the file that was closed by somebody &else")
    'Open the file that was closed by somebody else'
    """
    s = re.sub(r"</?[a-zA-Z][^<>]*>", "", string).replace("&&", "\0")
    s = re.sub(r"&(?=\w)|(?<!\w)_(?=[^\W_])", "", s).replace("\0", "&")
    s = re.sub(r"^[\w: -]{1,40}\^", "", s)  # a context such as "female^", for translators only
    return s.strip() if len(s) >= 40 and " " in s else ""


def _paragraphs(strings: list[str]) -> str:
    return tidy("\n\n".join(filter(None, map(readable, strings))))


def messages(data: bytes) -> str:
    """The translations of a compiled message catalogue that differ from the original."""
    return _paragraphs([v for k, v in catalogue(data) if v != k])


def messages_source(data: bytes) -> str:
    """The English originals of a compiled message catalogue."""
    return _paragraphs([k for k, _ in catalogue(data)])


def novels(data: bytes) -> str:
    """The strings of an R lazy-load database: blocks of length, (kind,) compressed data.

    A CHARSXP is a flag word ending in 9, a length and the bytes; a vector of lines is a run of
    them, so scanning for that shape needs no reader of R's format.
    """
    lines, at = [], 0
    while at + 5 < len(data):
        for start, unpack in (
            (4, zlib.decompressobj),
            (5, bz2.BZ2Decompressor),
            (5, lzma.LZMADecompressor),
        ):
            try:
                machine = unpack()
                block = machine.decompress(data[at + start :])
            except (zlib.error, OSError, lzma.LZMAError):
                continue
            break
        else:
            break
        at = len(data) - len(machine.unused_data)
        for m in re.finditer(rb"\x00[\x04-\x06]\x00\x09\x00\x00(..)", block, re.S):
            size = int.from_bytes(m[1], "big")
            lines.append(block[m.end() : m.end() + size].decode("utf-8", "replace"))
        lines.append("")
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    return tidy("\n\n".join(re.sub(r"\s+", " ", p).strip() for p in paragraphs))


_LINE_COMMENTS = r"\s*(?:(?://|#(?!!|include|if|define)).*\n)+\s*?\n"


def code(data: bytes) -> str:
    """Source code as it stands, without a leading licence comment."""
    text = _decode(data)
    comment = r"\s*/\*.*?\*/\s*?\n" if text.lstrip()[:2] == "/*" else _LINE_COMMENTS
    header = re.match(comment, text, re.S if comment is not _LINE_COMMENTS else 0)
    if header and len(header[0]) > 200 and re.search(r"licen[sc]e|copyright", header[0], re.I):
        text = text[header.end() :]
    return tidy(text, empty_lines=2) + "\n"


def html_source(data: bytes) -> str:
    """HTML as it stands, without longer scripts and styles, which repeat in every file."""
    blocks = re.compile(rb"<(script|style)\b[^>]*>.*?</\1>\n?", re.I | re.S)
    return code(blocks.sub(lambda m: b"" if len(m[0]) > 200 else m[0], data))
