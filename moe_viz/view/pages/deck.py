# SPDX-License-Identifier: Apache-2.0
"""The cells of a notebook as slides: what is on each, how it is laid out, what the speaker says.

In: cells. Out: those that a deck shows, each with the elements that open and close its slide.

A page is read, a slide is looked at. So a cell of text may hold a short form of itself, in a
comment that no notebook shows:

    <!-- slide
    ## Is a comma a comma in five languages?
    -->

Then the slide shows the short form, and the text itself goes to the speaker's notes, as do cells of
text between slides. Such a notebook's code is on its slides only where it is tagged `show_code`;
other notebooks have theirs folded. Slides of sections whose heading ends in "· further" hang below
the slide before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ...errors import InputError
from .alive import AFTER, BEFORE, TAG

#: How a slide may be laid out: as the tag of this name says, else as is seen from what is on it.
LAYOUTS = ("title", "prediction", "statement", "columns", "picture", "table", "code", "text")
#: Begins a tag that says which lines of code are lit together, step by step: `lit:1-3|5`.
LIT = "lit:"
_SHORT = re.compile(r"<!-- slide\n(.*?)\n?-->\n*", re.S)
_SECTION = re.compile(r"^## (\d+) · .*?( · further)?$", re.M)
_APART = re.compile(r"^## (Exercises|Go on|Solutions|What to take home)$", re.M)
_SENTENCE = re.compile(r'<p class="moe-viz-sentence"[^>]*>(.*?)</p>', re.S)
_PICTURE = re.compile(r'class="moe-viz(?:-chart|-diagram|-figure)?"|<img\b|<svg\b|<canvas\b')
_FOLDED = ("slide", "subslide")


@dataclass
class Slide:
    """Cells that are shown together."""

    cells: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)  # what the speaker may say: cells of notes
    section: str = ""  # its number in the notebook
    below: bool = False  # hangs below the slide before it
    minute: int | None = None  # of a lecture, at which it begins

    @property
    def heading(self) -> str:
        """What it is called: its first heading."""
        for cell in self.cells:
            if cell.cell_type == "markdown" and slide_type(cell) != "notes":
                found = re.search(r"^#{1,2} +(.+)$", cell.source, re.M)
                if found:
                    return found[1].strip()
        return ""

    @property
    def pictured(self) -> list[str]:
        """What its charts say of themselves, as HTML: on a slide the speaker says it."""
        outputs = [output for cell in self.cells for output in cell.get("outputs", [])]
        html = (str(output.get("data", {}).get("text/html", "")) for output in outputs)
        return [sentence for part in html for sentence in _SENTENCE.findall(part)]

    @property
    def layout(self) -> str:
        """One of `LAYOUTS`."""
        for cell in self.cells:
            said = [name for name in LAYOUTS if name in tags(cell)]
            if said:
                return said[0]
        shown = [cell for cell in self.cells if slide_type(cell) != "notes"]
        outputs = [output.get("data", {}) for cell in shown for output in cell.get("outputs", [])]
        html = "".join(str(data.get("text/html", "")) for data in outputs)
        pictures = any(kind.startswith("image/") or "plotly" in kind for d in outputs for kind in d)
        if pictures or _PICTURE.search(html):
            return "picture"
        if any(cell.cell_type == "markdown" and cell.source.startswith("# ") for cell in shown[:1]):
            return "title"
        if any("show_code" in tags(cell) for cell in shown):
            return "code"
        written = "\n".join(cell.source for cell in shown if cell.cell_type == "markdown")
        if "<table" in html or re.search(r"^\|.*\|$", written, re.M):
            return "table"
        return "statement" if any("short" in cell.metadata for cell in shown) else "text"


def deck(cells: Sequence[Any], name: str = "") -> list[Slide]:
    """The slides of a notebook, in order. `name` is put before the numbers of its sections."""
    typed = any(map(slide_type, cells))
    designed = any(_SHORT.search(cell.source) for cell in cells if cell.cell_type == "markdown")
    slides: list[Slide] = []
    section, further, over = "", False, False
    for cell in map(deepcopy, cells):
        text = cell.source if cell.cell_type == "markdown" else ""
        short, prose = _SHORT.search(text), without_short(text)
        if found := _SECTION.search(prose):
            section, further = found[1], bool(found[2])
        if found := _APART.search(prose):
            further, over = False, found[1] != "What to take home"
        kind = slide_type(cell) if typed else _headed(cell)
        if "solution" in tags(cell):
            continue
        if kind == "skip":  # what a reader is told between slides, the speaker may tell
            if designed and not over and slides and _says(prose):
                slides[-1].told.append(_note(cell, prose))
            continue
        if kind in _FOLDED or not slides:
            below = kind == "subslide" or (further and bool(slides))
            slides.append(Slide(section=f"{name}/{section}", below=below))
        if short:
            cell.source = short[1]
            cell.metadata.short = True
        cell.metadata.folded = not designed
        if cell.cell_type != "markdown" or cell.source.strip():
            slides[-1].cells.append(cell)
        if short and _says(prose):
            slides[-1].told.append(_note(cell, prose))
    return [slide for slide in slides if slide.cells or slide.told]


def chosen(slides: Sequence[Slide], headings: Sequence[str], where: str) -> list[Slide]:
    """The slides with these headings, in this order, side by side; raises `InputError` for none."""
    known = {slide.heading: slide for slide in slides}
    for heading in headings:
        if heading not in known:
            raise InputError(
                f"{where} has no slide with the heading {heading!r}; it has: "
                f"{'; '.join(filter(None, known))}."
            )
    picked = [deepcopy(known[heading]) for heading in headings]
    asked, since = "", 0
    for slide in picked:
        slide.below = False
        # Of a notebook's sections a talk may leave out what lies between question and answer: the
        # two slides after a question are taken to answer it.
        asked, since = (slide.section, 0) if slide.layout == "prediction" else (asked, since + 1)
        if asked and since <= 2:
            slide.section = asked
    return picked


def tell(slide: Slide, text: str) -> None:
    """Give the speaker this text, in place of what the notebook says."""
    slide.cells = [cell for cell in slide.cells if slide_type(cell) != "notes"]
    slide.told = [_note((slide.cells or slide.told)[0], text)]


def arranged(slides: Sequence[Slide], source: str = "") -> list[Any]:
    """The cells of slides, each with the elements before and after it; `source` is at the foot."""
    for number, slide in enumerate(slides):
        slide.cells += slide.told
        _framed(slide)
        inside = number + 1 < len(slides) and slides[number + 1].below
        opening, closing = slide.cells[0].metadata, slide.cells[-1].metadata
        about = f'class="{slide.layout}" data-section="{escape(slide.section)}"'
        begins = f'<section {about}><div class="slide">'
        ends = "</div>" + (f'<p class="source">{escape(source)}</p>' if source else "")
        notes = [f"<p><i>{sentence}</i></p>" for sentence in slide.pictured]
        if slide.minute is not None:
            notes.append(f"<p><b>Minute {slide.minute}</b></p>")
        ends += f'<aside class="notes">{"".join(notes)}</aside>' if notes else ""
        ends += "</section>"
        # A stack has an element of its own where it has several slides.
        opening.before = "<section>" * (inside and not slide.below) + begins + opening.before
        closing.after += ends + "</section>" * (slide.below and not inside)
    return [cell for slide in slides for cell in slide.cells]


def _framed(slide: Slide) -> None:
    """Say of each cell what stands around it; those without a type appear with the one before."""
    inside = False
    for cell in slide.cells:
        kind, before, after, told = slide_type(cell), "", "", tags(cell)
        if inside and kind in ("fragment", "notes"):
            before, inside = "</div>", False
        if kind == "fragment":
            before, inside = before + '<div class="fragment">', True
        code = "folded" if cell.metadata.get("folded", True) else "hidden"
        code = "shown" if "show_code" in told else "hidden" if "hide_code" in told else code
        for tag in told:
            if tag.startswith(LIT):
                cell.metadata.lit = tag.removeprefix(LIT)
        if kind == "notes":
            before, after, code = before + '<aside class="notes">', "</aside>", "alone"
        frame(cell, before, after + ("</div>" if inside and cell is slide.cells[-1] else ""), code)


def frame(cell: Any, before: str, after: str, code: str) -> None:
    """Put these elements around a cell, and those of a live one."""
    if TAG in tags(cell):
        before, after = before + BEFORE, AFTER + after
    cell.metadata.before, cell.metadata.after, cell.metadata.code = before, after, code


def tags(cell: Any) -> frozenset[str]:
    """The tags of a cell."""
    return frozenset(cell.metadata.get("tags", []))


def slide_type(cell: Any) -> str:
    """slide, subslide, fragment, skip, notes, or nothing."""
    kind = cell.metadata.get("slideshow", {}).get("slide_type", "") or ""
    return "" if kind == "-" else kind


def without_short(text: str) -> str:
    """A text without the short form of it that a slide shows.

    >>> without_short("<!-- slide\\n## Short\\n-->\\nLong.")
    'Long.'
    """
    return _SHORT.sub("", text)


def _says(prose: str) -> bool:
    """Whether a text is more than a heading."""
    return bool(re.sub(r"^#+ .*$", "", prose, flags=re.M).strip())


def _note(cell: Any, prose: str) -> Any:
    """A cell of notes with this text."""
    note = deepcopy(cell)
    note.cell_type, note.source = "markdown", prose.strip()
    note.metadata.slideshow = {"slide_type": "notes"}
    note.metadata.pop("short", None)
    note.metadata.pop("tags", None)
    return note


def _headed(cell: Any) -> str:
    """Where no slide types are given: a heading begins a slide."""
    begins = cell.cell_type == "markdown" and re.match(r"#{1,2} ", cell.source)
    return "slide" if begins else ""
