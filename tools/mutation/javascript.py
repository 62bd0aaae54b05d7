# SPDX-License-Identifier: Apache-2.0
"""Small breakages of JavaScript, by regular expression on what is neither comment nor string.

In: the text of a script. Out: replacements as start, stop, new text, and the operator's name.
There is no parser here: one for JavaScript would be one more thing to install.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_SIGNS = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", "===": "!==", "!==": "===",
    "&&": "||", "||": "&&", "??": "&&", " + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ",
    " % ": " * ", " ** ": " * ", "+=": "-=", "-=": "+=", " & ": " | ",
}  # fmt: skip
_WORDS = {
    "Math.max": "Math.min", "Math.min": "Math.max", "Math.floor": "Math.ceil",
    "Math.round": "Math.ceil", "Math.ceil": "Math.floor", "true": "false", "false": "true",
    ".some(": ".every(", ".every(": ".some(", ".first": ".last", "continue": "",
    ".add(": ".delete(", ".push(": ".unshift(", "Infinity": "0", "isNaN": "isFinite",
    ".abs(": ".sign(",
}  # fmt: skip
_OPERATORS: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("sign", "|".join(map(re.escape, sorted(_SIGNS, key=len, reverse=True))), _SIGNS.__getitem__),
    (
        "word",
        r"(?<![\w$])(?:" + "|".join(re.escape(w) for w in _WORDS if w[0] != ".") + r")(?![\w$])"
        "|" + "|".join(re.escape(w) + r"(?!\w)" for w in _WORDS if w[0] == "."),
        _WORDS.__getitem__,
    ),
    ("not", r"!(?=[\w$(])", lambda _: ""),
    ("number", r"(?<![\w.$#])\d+(?:\.\d+)?(?![\w.])", lambda n: str(float(n) + 1 if "." in n
                                                                    else int(n) + 1)),
    ("index", r"(?<=\[)[A-Za-z]\w*(?=\])", lambda name: f"{name} + 1"),
)  # fmt: skip
_REGEX_AFTER = "(,=:!|&?{};\n"  # a slash after one of these begins a regular expression


def javascript(source: str) -> Iterator[tuple[int, int, str, str]]:
    """Every replacement in a script.

    >>> [new for *_, new, _ in javascript("f(a < 2, 'a < 2'); // a < 2")]
    [' <= ', '3']
    """
    code = code_only(source)
    for operator, pattern, new in _OPERATORS:
        for found in re.finditer(pattern, code):
            row = code[code.rfind("\n", 0, found.start()) + 1 : found.start()].lstrip()
            if not row.startswith(("import ", "export {")):
                yield found.start(), found.end(), new(found[0]), operator


def code_only(source: str) -> str:
    """The script with comments, strings, text of templates and regular expressions blanked.

    >>> code_only("a = `b${c + 1}d`; // e")
    'a = ⎵⎵⎵⎵c + 1⎵⎵⎵; ⎵⎵⎵⎵'
    """
    out, at, depth, templates = list(source), 0, 0, list[int]()

    def blank(stop: int) -> int:
        out[at:stop] = ["\n" if c == "\n" else "⎵" for c in source[at:stop]]
        return stop

    while at < len(source):
        c, two = source[at], source[at : at + 2]
        if two == "//":
            at = blank(_end(source, "\n", at))
        elif two == "/*":
            at = blank(_end(source, "*/", at) + 2)
        elif c in "'\"":
            at = blank(at + (_match(rf"{c}(?:\\.|[^\\{c}\n])*{c}?", source, at) or 1))
        elif c == "/" and source[:at].rstrip(" ")[-1:] in _REGEX_AFTER:
            at = blank(at + (_match(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/\w*", source, at)
                             or 1))  # fmt: skip
        elif c == "`" or (c == "}" and templates and templates[-1] == depth):
            if c == "}":
                templates.pop()
            at = blank(at + 1)
            at = blank(at + _match(r"(?:\\.|\$(?!\{)|[^`\\$])*", source, at))
            if source.startswith("${", at):
                at = blank(at + 2)
                templates.append(depth)
            elif at < len(source):
                at = blank(at + 1)
        else:
            depth += (c == "{") - (c == "}")
            at += 1
    return "".join(out)


def _end(source: str, mark: str, at: int) -> int:
    found = source.find(mark, at)
    return len(source) if found < 0 else found


def _match(pattern: str, source: str, at: int) -> int:
    found = re.compile(pattern, re.S).match(source, at)
    return len(found[0]) if found else 0
