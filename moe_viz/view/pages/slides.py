# SPDX-License-Identifier: Apache-2.0
"""Notebooks as slides, or as a page: one offline file whose pictures stay interactive.

In: notebooks. Out: a deck of reveal.js with all it needs inside, taken from installed packages; or
a page to read. A cell's slide type decides what is a slide; where no cell has one, every heading of
the first two levels begins one.

Tags: `hide_code` leaves a cell's code out, `show_code` shows it on its slide (else it is folded),
`solution` is left out of slides and folded on pages; behind the picture of a cell that is tagged
`live` the model runs, in the deck or page itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError
from ...files import package_text
from ..charts.chart import page
from ..document import CHARTS, document, write
from ..script import script
from .alive import AFTER, BEFORE, TAG, Held, alive
from .notebook import code_style, exported, read_notebook, title_of, unrun, without_plotly

#: What a deck is laid out for, in CSS pixels; reveal scales it to the screen.
WIDTH, HEIGHT = 1280, 720
SPEAKER = ("view/pages/speaker.js", "offerNotes", "moeVizNotes")
DECK = f"""Reveal.initialize({{
  width: {WIDTH}, height: {HEIGHT}, margin: 0, center: false, hash: true, slideNumber: "c/t",
  transition: "none", controls: false, pdfSeparateFragments: false,
}});
// Tab does not reach what is on other slides, which are out of sight.
const reach = () => document.querySelectorAll(".slides section:not(.stack)").forEach((slide) => {{
  slide.inert = slide !== Reveal.getCurrentSlide() && !Reveal.isPrintView();
}});
Reveal.on("ready", reach);
Reveal.on("slidechanged", reach);
"""


def save_slides(
    notebooks: Sequence[str | Path],
    path: str | Path,
    execute: bool | None = None,
    said: Callable[[str], object] | None = None,
    held: Held | None = None,
) -> Path:
    """Write notebooks as one deck that needs no network. Speaker notes open with the key S.

    What a deck cannot show, a widget or a script from elsewhere, is named on its slide, and told to
    `said`.

    Notebooks are run first if `execute` says so, or if they belong to this package's course and
    have no outputs; others are taken as they are. `held` gives what a page holds of the model of a
    name (`moe_viz.living.held`), for cells tagged `live`; without it they stay as recorded.

    Raises `InputError` for a file that is not a notebook or fails, `MissingDependencyError` without
    the extra `slides`, `OutputError` where the file cannot be written.
    """
    if not notebooks:
        raise InputError("There is no notebook to make slides of: name at least one.")
    body, title = _joined(notebooks, execute, _deck, said)
    body, workers = alive(body, held, said)
    body, plotly = without_plotly(body)
    for host in ("moe-viz", "moe-viz-diagram"):
        body = body.replace(f'class="{host}"', f'class="{host}" data-scale="1.5"')
    own = package_text("view/pages/slides.css") + package_text("view/pages/ansi.css")
    style = "\n".join([_reveal("dist/reveal.css"), code_style(dark=False), own])
    reveal = _reveal("dist/reveal.js").replace("</script", "<\\/script")
    notes = json.dumps(package_text("view/pages/speaker.css"))
    # The deck's ground is light, whatever the system's: said the way JupyterLab says it, which
    # pictures listen to.
    body = f"""<script>document.body.dataset.jpThemeLight = "true";</script>
{plotly}<script>{reveal}</script>
<div class="reveal"><div class="slides">
{body}
</div></div>
<script>
{script(*SPEAKER)}
{DECK}moeVizNotes(Reveal, {notes});
</script>"""
    return write(path, document(title, style, body, CHARTS | workers))


def save_notebook_page(
    notebooks: Sequence[str | Path],
    path: str | Path,
    execute: bool | None = None,
    said: Callable[[str], object] | None = None,
    held: Held | None = None,
) -> Path:
    """Write notebooks as one page to read, which needs no network; see `save_slides`."""
    if not notebooks:
        raise InputError("There is no notebook to make a page of: name at least one.")
    body, title = _joined(notebooks, execute, _page, said)
    body, workers = alive(body, held, said)
    body, plotly = without_plotly(body)
    own = package_text("view/pages/notebook.css") + package_text("view/pages/ansi.css")
    style = f"<style>{code_style()}\n{own}</style>"
    return write(path, page(title, style + plotly + body, workers))


def _joined(
    notebooks: Sequence[str | Path],
    execute: bool | None,
    arrange: Callable[[list[Any]], list[Any]],
    said: Callable[[str], object] | None,
) -> tuple[str, str]:
    """The cells of all notebooks, one after the other, and the title of all."""
    parts, titles = [], []
    for path in map(Path, notebooks):
        notebook = read_notebook(path, execute)
        if said is not None and execute is None and unrun(notebook):
            said(f"{path}: has no outputs, and was not run: --execute runs it, its author's code.")
        titles.append(title_of(notebook, path))
        made = exported(notebook, path.parent, arrange)
        parts.append(made.html)
        if said is not None:
            for line in made.missing:
                said(f"{path}, {line}")
    return "\n".join(parts), " · ".join(titles)


def _page(cells: list[Any]) -> list[Any]:
    """What a page shows: all but notes for the speaker; solutions are folded."""
    kept = [cell for cell in cells if _readable(cell) and _slide_type(cell) != "notes"]
    for cell in kept:
        solution = cell.cell_type == "code" and "solution" in _tags(cell)
        folded = "<details class=solution><summary>A solution</summary>", "</details>"
        before, after = folded if solution else ("", "")
        _frame(cell, before, after, "hidden" if "hide_code" in _tags(cell) else "shown")
    return kept


def _deck(cells: list[Any]) -> list[Any]:
    """What a deck shows, each cell with the elements that open and close its slide and stack."""
    stacks = _stacks([cell for cell in cells if _readable(cell)])
    for stack in stacks:
        for place, slide in enumerate(stack):
            first, last = place == 0, place == len(stack) - 1
            around = len(stack) > 1  # a stack has an element of its own where it has several slides
            _fragments(slide)
            opening, closing = slide[0].metadata, slide[-1].metadata
            opening.before = "<section>" * (1 + (around and first)) + opening.before
            closing.after += "</section>" * (1 + (around and last))
    return [cell for stack in stacks for slide in stack for cell in slide]


def _stacks(cells: list[Any]) -> list[list[list[Any]]]:
    """Slides that lie side by side, each a stack of slides below each other, each of cells."""
    typed = any(map(_slide_type, cells))
    stacks: list[list[list[Any]]] = []
    for cell in cells:
        kind = _slide_type(cell) if typed else _headed(cell)
        if kind == "skip" or "solution" in _tags(cell):
            continue
        if kind == "slide" or not stacks:
            stacks.append([[]])
        elif kind == "subslide":
            stacks[-1].append([])
        stacks[-1][-1].append(cell)
    return stacks


def _headed(cell: Any) -> str:
    """Where no slide types are given: a heading begins a slide."""
    begins = cell.cell_type == "markdown" and re.match(r"#{1,2} ", cell.source)
    return "slide" if begins else ""


def _fragments(slide: list[Any]) -> None:
    """Cells of one slide; those without a type of their own appear with the one before."""
    inside = False
    for cell in slide:
        kind, before, after, tags = _slide_type(cell), "", "", _tags(cell)
        if inside and kind in ("fragment", "notes"):
            before, inside = "</div>", False
        if kind == "fragment":
            before, inside = before + '<div class="fragment">', True
        code = "shown" if "show_code" in tags else "folded"
        code = "hidden" if "hide_code" in tags else code
        if kind == "notes":
            before, after, code = before + '<aside class="notes">', "</aside>", "alone"
        _frame(cell, before, after + ("</div>" if inside and cell is slide[-1] else ""), code)


def _frame(cell: Any, before: str, after: str, code: str) -> None:
    if TAG in _tags(cell):
        before, after = before + BEFORE, AFTER + after
    cell.metadata.before, cell.metadata.after, cell.metadata.code = before, after, code


def _readable(cell: Any) -> bool:
    """Raw cells are for other programs, but for those that hold HTML."""
    kind = cell.metadata.get("raw_mimetype") or cell.metadata.get("format")
    return cell.cell_type in ("markdown", "code") or kind == "text/html"


def _tags(cell: Any) -> frozenset[str]:
    return frozenset(cell.metadata.get("tags", []))


def _slide_type(cell: Any) -> str:
    """slide, subslide, fragment, skip, notes, or nothing."""
    kind = cell.metadata.get("slideshow", {}).get("slide_type", "") or ""
    return "" if kind == "-" else kind


@cache
def _reveal(name: str) -> str:
    """A file of reveal.js, from the package that contains it."""
    spec = find_spec("sphinx_revealjs")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "Slides need reveal.js, which the package sphinx-revealjs contains: "
            "pip install 'moe-viz[slides]'."
        )
    return (Path(spec.submodule_search_locations[0]) / "_static/revealjs" / name).read_text("utf-8")
