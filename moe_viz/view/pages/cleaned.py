# SPDX-License-Identifier: Apache-2.0
"""HTML of other people's notebooks, made fit for one offline file.

In: the HTML of a cell or an output, and the folder its notebook lies in. Out: the same with its
pictures inside and without what reaches elsewhere, and a line for each thing that is missing. This
is the one place that decides what such HTML may hold.

nbconvert can embed pictures too, in Markdown alone: it ends at an attachment that is missing, and
finds no file whose name is percent-encoded. Its sanitiser takes every script out, the pictures' own
among them.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString

#: What a text runs by: its own direction. What stands within one of these follows it.
TEXTS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "table")
#: Elements that show another document, or send something to one.
FRAMES = {
    **dict.fromkeys(("iframe", "frame", "portal"), "a frame"),
    **dict.fromkeys(("object", "embed", "applet"), "an object"),
    "video": "a video",
    "audio": "a sound",
}
#: A film or a sound that is in the output itself, as matplotlib's animations are.
FILMS = ("data:video/", "data:audio/")
#: A script that fetches another: a loader in an output, an import of a module.
_FETCHES = re.compile(
    r"createElement\(\s*['\"]script|\bimport\s*\(?\s*['\"]https?:|\bfrom\s*['\"]https?:"
    r"|\bimportScripts\s*\(|\brequire(?:js)?\.config\s*\("
)
#: What a style fetches: a picture, a font, another sheet.
_STYLED = re.compile(
    r"(?:@import\s+(?:url\()?|url\()\s*['\"]?((?:https?:)?//[^'\")\s;]+)['\"]?\s*\)?[^;}\n]*", re.I
)
_ADDRESS = re.compile(r"https?://[\w.-]+[^\s\"'`<>\\]*")
#: Attributes that fetch, of any element: a picture's sources, a table's ground, parts of SVG.
_FETCHED = ("src", "srcset", "background", "poster", "href", "xlink:href")
#: Kinds of scripts that run, or only hold data. Rules for what to fetch before it is asked for
#: (speculationrules), and maps of modules, are others.
_SCRIPTS = re.compile(
    r"|module|(?:text|application)/(?:x-)?(?:java|ecma)script|text/plain|text/template"
    r"|(?:application|text)/(?:[\w.-]+\+)?json"
)
#: Longer scripts are libraries, which speak of loading scripts and do without.
LOADER = 100_000


def cleaned(
    html: str,
    folder: Path,
    attachments: Mapping[str, Mapping[str, str]] | None = None,
    written: bool = False,
) -> tuple[str, list[str]]:
    """HTML that needs nothing from elsewhere, and what is missing in it.

    `written` is a text of Markdown: each of its paragraphs runs the way its first letter does.

    >>> cleaned('<p>a</p><script src="https://x.org/a.js"></script>', Path())
    ('<p>a</p>', ['a script from https://x.org/a.js'])
    """
    soup, missing = BeautifulSoup(html, "html.parser"), []
    for remark in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        remark.extract()  # a browser may see its end earlier, and elements in it
    for element in soup.find_all(True):
        if element.decomposed:  # within another
            continue
        name = element.name
        missing += _unstyled(element)
        if name == "script":
            where, kind = _fetched(element), str(element.get("type", "")).strip().lower()
            if where:
                missing.append(f"a script from {where}")
                element.decompose()
            elif not _SCRIPTS.fullmatch(kind) or element.find_parent(("svg", "math")):
                missing.append(f"a script of the kind {kind or 'svg':.40}")
                element.decompose()
        elif name == "style" and "<" in element.get_text():  # in a picture, it would be elements
            missing.append("a style that holds elements")
            element.decompose()
        elif name in FRAMES and not _source(element).startswith(FILMS):
            missing.append(FRAMES[name] + _from(_source(element)))
            element.decompose()
        elif name == "form":
            missing.append("a form" + _from(str(element.get("action", ""))))
            element.unwrap()
        elif name in ("meta", "base", "link"):
            if name == "link" and element.get("href"):
                missing.append(f"a style sheet from {element['href']}")
            if str(element.get("http-equiv", "")).lower() == "refresh":
                missing.append("a redirection to another page")
            element.decompose()
        elif name in ("img", "image"):
            missing += _embed(element, folder, attachments or {})
        elif gone := _unfetched(element):
            missing += gone
        elif written and name in TEXTS and not element.find_parent(TEXTS):
            element.attrs.setdefault("dir", "auto")
    return str(soup), list(dict.fromkeys(missing))


def embedded(source: str, folder: Path) -> str | None:
    """A picture in the notebook's folder, or below it, as an address that holds it; else None."""
    named = unquote(re.split(r"[?#]", source, maxsplit=1)[0])
    home = folder.resolve()
    for name in (named, named.removeprefix("files/")):  # as old notebooks write it
        kind = mimetypes.guess_type(name)[0] or ""
        if not kind.startswith("image/") or Path(name).is_absolute():
            continue
        try:
            path = (home / name).resolve()  # of a link: what it leads to
            if path.is_relative_to(home) and path.is_file():
                return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
        except (OSError, ValueError):
            continue
    return None


def _embed(image: Tag, folder: Path, attachments: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Put a picture into its element, or say that it is missing, and leave what describes it."""
    image.attrs.pop("srcset", None)
    place = next((a for a in ("src", "href", "xlink:href") if image.get(a)), "src")
    source = str(image.get(place, ""))
    if not source and image.get("id"):  # a script of the output's own draws in it
        return []
    if source.startswith("data:image/") or (image.name == "image" and source.startswith("#")):
        return []
    if source.startswith("attachment:"):
        name = source.removeprefix("attachment:")
        bundle = attachments.get(name) or attachments.get(unquote(name)) or {}
        found = next((f"data:{kind};base64,{data}" for kind, data in bundle.items()
                      if kind.startswith("image/")), None)  # fmt: skip
        what = f"an attached picture, {unquote(name)}"
    elif urlsplit(source).scheme or source.startswith("//"):
        found, what = None, f"a picture from {source[:200]}"
    else:
        found = embedded(source, folder)
        what = f"a picture, {unquote(source)[:200]}: it is not in the notebook's folder"
    if found:
        image[place] = found
        if image.name == "img":
            image.attrs.setdefault("alt", "")
        return []
    if image.get("alt"):
        image.replace_with(str(image["alt"]))
    else:
        image.decompose()
    return [what]


def _unfetched(element: Tag) -> list[str]:
    """Take out what any other element but a link would fetch, and say what that is."""
    found = []
    for name in _FETCHED if element.name not in ("a", "area") else ():
        address = str(element.get(name, ""))
        if address and not address.startswith(("data:", "#")):
            found.append(f"what <{element.name}> takes from {address[:200]}")
            del element[name]
    return found


def _unstyled(element: Tag) -> list[str]:
    """Take out of an element's style what it would fetch, and say what that is."""
    text = element.string if element.name == "style" else element.get("style")
    found = _STYLED.findall(str(text or ""))
    if found and element.name == "style":
        element.string = _STYLED.sub("", str(text))
    elif found:
        element["style"] = _STYLED.sub("none", str(text))
    return [f"what a style takes from {address[:200]}" for address in found]


def _fetched(script: Tag) -> str:
    """Where a script comes from, or fetches another from; nothing where it keeps to the page."""
    if script.get("src"):
        return str(script["src"])[:200]
    code = script.get_text()
    if len(code) > LOADER or not _FETCHES.search(code):
        return ""
    address = _ADDRESS.search(code)
    return address.group(0)[:200] if address else ""


def _source(element: Tag) -> str:
    """What a frame or a video shows: its own address, or that of a source within it."""
    inner = element.find("source") if element.name in ("video", "audio") else None
    for one in (element, inner):
        for name in ("src", "data"):
            if one and one.get(name):
                return str(one[name])
    return ""


def _from(source: str) -> str:
    address = urlsplit(source) if not source.startswith("data:") else None
    return f" from {source[:200]}" if address and (address.netloc or address.path) else ""
