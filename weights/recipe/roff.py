# SPDX-License-Identifier: Apache-2.0
"""The text of manual pages: as much of man(7) and roff as pages in Debian use.

In: the source of a page, decoded.  Out: its text, filled lines joined, paragraphs separated by an
empty line.  Tables are left out, and pages in the other macro package, mdoc(7), give ''.
"""

from __future__ import annotations

import re

# fmt: off
_GLYPHS = {"aq": "'", "dq": '"', "cq": "’", "oq": "‘", "lq": "“", "rq": "”", "em": "—",
           "en": "–", "bu": "•", "co": "©", "ga": "`", "ha": "^", "ti": "~", "rs": "\\",
           "Fo": "«", "Fc": "»", "mu": "×", "->": "→", "<-": "←", "hy": "-", "bv": "|"}


_ESCAPES = {r"\-": "-", r"\ ": " ", r"\~": " ", r"\0": " ", r"\'": "'", r"\`": "`", r"\e": "\\"}
# fmt: on


def _inline(text: str) -> str:
    """Resolve the roff escapes inside one line."""
    text = re.sub(r'\\".*', "", text)
    text = re.sub(r"\\f(?:\[[^]]*\]|\(..|.)|\\s[-+]?\d|\\[&%/,:|^)]|\\m\[[^]]*\]", "", text)
    text = re.sub(r"\\\*\((..)|\\\*\[([^]]*)\]|\\\*(.)", "", text)
    text = re.sub(r"\\\((..)|\\\[([^]]+)\]", lambda m: _GLYPHS.get(m[1] or m[2], ""), text)
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text


def _arguments(rest: str) -> list[str]:
    return [
        a[1:-1].replace('""', '"') if a[:1] == '"' else a
        for a in re.findall(r'"(?:[^"]|"")*"|(?:\\ |\S)+', rest)
    ]


def page_text(text: str) -> str:
    """The text of a man(7) page; mdoc pages and redirects give ''."""
    if re.search(r"^\.(Dd|so) ", text, re.M):
        return ""
    out: list[str] = []
    fill, skip = True, ""
    for line in text.replace("\\\n", "").split("\n"):
        request, _, rest = line[1:].strip().partition(" ")
        if skip:
            if line.startswith(skip):
                skip = ""
            continue
        if line[:1] not in (".", "'"):
            line = _inline(line)
            out.append(line + (" " if fill else "\n") if line.strip() else "\n\n")
        elif request in ("TS", "ig", "de", "de1"):
            skip = ".TE" if request == "TS" else ".."
        elif request in ("nf", "EX"):
            out.append("\n\n")
            fill = False
        elif request in ("fi", "EE"):
            out.append("\n\n")
            fill = True
        elif request in ("SH", "SS", "PP", "P", "LP", "TP", "IP", "sp", "TQ", "HP", "RS", "RE"):
            words = [_inline(a) for a in _arguments(rest)]
            out.append("\n\n")
            if request in ("SH", "SS") and words:
                out.append(" ".join(words) + "\n\n")
            elif request == "IP" and words:
                out.append(words[0] + " ")
        elif request == "br":
            out.append("\n")
        elif request in ("B", "I", "SM", "SB"):
            out.append(" ".join(_inline(a) for a in _arguments(rest)) + (" " if fill else "\n"))
        elif request in ("BR", "RB", "BI", "IB", "IR", "RI"):
            out.append("".join(_inline(a) for a in _arguments(rest)) + (" " if fill else "\n"))
    text = re.sub(r"(?<=\S) {2,}(?=\S)", " ", "".join(out))
    return re.sub(r" *\n *\n\s*\n*", "\n\n", text)
