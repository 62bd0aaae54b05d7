# SPDX-License-Identifier: Apache-2.0
"""Markdown as HTML by nbconvert's parser, with formulas as MathML.

In: the text of a cell or an output. Out: HTML that draws its formulas without MathJax. nbconvert
leaves formulas to MathJax, and takes "$5 and $6" for one; both are what this module changes.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathInlineParser,
)

_INLINE = re.compile(r"(?<![$\\\w])\$(?P<math_inline_tex>[^\s$](?:[^$\n]*[^\s$\\])?)\$(?![\w$])")
#: A line of a table, in which a bar ends a cell, within a formula too.
_ROW = re.compile(r"^ {0,3}\|.*$", re.M)


class _Formulas(MathInlineParser):
    """Which dollars hold a formula: no space within them, no letter or digit around them."""

    SPECIFICATION: ClassVar[dict[str, str]] = {
        **MathInlineParser.SPECIFICATION,
        "inline_math_tex": _INLINE.pattern,
        "block_math_tex": r"(?s:(?<!\\)\$\$(?P<math_block_tex>.+?)(?<!\\)\$\$)",
    }


class _Renderer(IPythonRenderer):
    """HTML whose formulas are MathML, and whose headings can be linked to."""

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        bare = super().heading(text, level, **attrs).partition(">")[2]
        name = quote(self._plain(text).replace(" ", "-"))
        return f'<h{level} id="{name}">{bare}' if name else f"<h{level}>{bare}"

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # pictures are put in afterwards: see cleaned.py

    def block_math(self, body: str) -> str:
        return formula(body, block=True) or f"$${escape(body, quote=False)}$$"

    def inline_math(self, body: str) -> str:
        return formula(body) or f"${escape(body, quote=False)}$"

    def latex_environment(self, name: str, body: str) -> str:
        source = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        bare = name.rstrip("*")  # numbers of equations are left out, so a star changes nothing
        alone = bare in ("equation", "displaymath", "math")
        known = body if alone else f"\\begin{{{bare}}}{body}\\end{{{bare}}}"
        return formula(known, block=True) or f"<pre>{escape(source, quote=False)}</pre>"

    @staticmethod
    def _plain(html: str) -> str:
        from bs4 import BeautifulSoup

        return BeautifulSoup(html, "html.parser").get_text()


def formula(tex: str, block: bool = False) -> str:
    """A formula of LaTeX as MathML, or nothing where it is none.

    >>> formula("x_1")[:5], formula(r"\\frac{")
    ('<math', '')
    """
    try:
        return convert(tex.strip(), display="block" if block else "inline")
    except Exception:  # latex2mathml raises many kinds
        return ""


def rendered(markdown: str) -> str:
    """Markdown as HTML; `$…$`, `$$…$$` and LaTeX's environments become MathML.

    >>> rendered("**bold**")
    '<p><strong>bold</strong></p>\\n'
    >>> "<math" in rendered("so $k=2$ of $E=8$"), "$" in rendered("so $k=2$ of $E=8$")
    (True, False)
    """
    rows = _ROW.sub(lambda row: _INLINE.sub(_barred, row[0]), markdown)
    parser = MarkdownWithMath(
        _Renderer(escape=False, exclude_anchor_links=True), inline=_Formulas(hard_wrap=False)
    )
    return parser.render(rows)


def _barred(formula: re.Match[str]) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", formula[0])
