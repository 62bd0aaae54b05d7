# SPDX-License-Identifier: Apache-2.0
"""Notebooks as slides, or as a page: one offline file whose pictures stay interactive.

In: notebooks. Out: a deck of reveal.js with all it needs inside, taken from installed packages; or
a page to read. A cell's slide type decides what is a slide; where no cell has one, every heading of
the first two levels begins one. What a slide shows, and how: deck.py.

Tags: `hide_code` leaves a cell's code out, `show_code` shows it on its slide, `solution` is left
out of slides and folded on pages; behind the picture of a cell that is tagged `live` the model
runs, in the deck or page itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError
from ...files import package_text
from .. import palette
from ..charts.chart import page
from ..document import CHARTS, document, write
from ..script import script
from .alive import Held, alive
from .deck import Slide, arranged, chosen, deck, frame, slide_type, tags, tell, without_short
from .notebook import code_style, exported, read_notebook, title_of, unrun, without_plotly

#: What a deck is laid out for, in CSS pixels; reveal scales it to the screen.
WIDTH, HEIGHT = 1280, 720
#: The entry modules, their functions, and what the joined scripts call those.
SPEAKER = ("view/pages/speaker.js", "offerNotes", "moeVizNotes")
DECK = ("view/pages/deck.js", "present", "moeVizDeck")
THEMES = {"light": palette.LIGHT, "dark": palette.DARK}


@dataclass(frozen=True)
class Part:
    """Some slides of a notebook, as a part of a talk."""

    notebook: str | Path
    headings: tuple[str, ...]  # of the slides, in the order in which they are shown
    minutes: float  # that they take together
    says: Mapping[str, str] = field(default_factory=dict)  # heading: what the speaker says instead


def save_slides(
    notebooks: Sequence[str | Path | Part],
    path: str | Path,
    execute: bool | None = None,
    said: Callable[[str], object] | None = None,
    held: Held | None = None,
    theme: str = "light",
    title: str = "",
    opening: str = "",
) -> Path:
    """Write notebooks as one deck that needs no network. Speaker notes open with the key S.

    Of a `Part` the named slides are shown, after one with the `title`, at which the speaker says
    the `opening`; notes say at which minute each slide begins. What a deck cannot show, a widget or
    a script from elsewhere, is named on its slide, and told to `said`.

    Notebooks are run first if `execute` says so, or if they belong to this package's course and
    have no outputs; others are taken as they are. `held` gives what a page holds of the model of a
    name (`moe_viz.living.held`), for cells tagged `live`; without it they stay as recorded.
    `theme` is light or dark, for a dark room; `title` is the file's, the notebooks' own otherwise.

    Raises `InputError` for a file that is not a notebook or fails, for a heading that no slide has
    and for another theme; `MissingDependencyError` without the extra `slides`; `OutputError` where
    the file cannot be written.
    """
    if not notebooks:
        raise InputError("There is no notebook to make slides of: name at least one.")
    if theme not in THEMES:
        raise InputError(f"theme must be one of {', '.join(THEMES)}, found {theme!r}.")
    body, titles = _joined(notebooks, execute, _Deck(), said)
    if title and isinstance(notebooks[0], Part):
        from .markdown import rendered

        said_first = f'<aside class="notes">{rendered(opening)}</aside>' if opening else ""
        shown = f'<div class="slide"><h1>{escape(title)}</h1></div>'
        body = f'<section class="title">{shown}{said_first}</section>\n{body}'
    body, workers = alive(body, held, said)
    body, plotly = without_plotly(body)
    for host in ("moe-viz", "moe-viz-diagram"):
        body = body.replace(f'class="{host}"', f'class="{host}" data-scale="1.5"')
    style = "\n".join([
        _reveal("dist/reveal.css"),
        code_style(dark=theme == "dark", light=theme == "light"),
        package_text("view/pages/ansi.css"),
        _colours(theme),
        package_text("view/pages/slides.css"),
    ])  # fmt: skip
    reveal = _reveal("dist/reveal.js").replace("</script", "<\\/script")
    notes = json.dumps(package_text("view/pages/speaker.css"))
    size = json.dumps([WIDTH, HEIGHT])
    # The deck's ground is its theme's, whatever the system's: said the way JupyterLab says it,
    # which pictures listen to.
    light = json.dumps(str(theme == "light").lower())
    body = f"""<script>document.body.dataset.jpThemeLight = {light};</script>
{plotly}<script>{reveal}</script>
<div class="reveal"><div class="slides">
{body}
</div></div>
<script>
{script(*SPEAKER)}
{script(*DECK)}
moeVizDeck(Reveal, {size});
moeVizNotes(Reveal, {notes});
</script>"""
    return write(path, document(title or titles, style, body, CHARTS | workers))


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
    body, title = _joined(notebooks, execute, lambda cells, *_: _page(cells), said)
    body, workers = alive(body, held, said)
    body, plotly = without_plotly(body)
    own = package_text("view/pages/notebook.css") + package_text("view/pages/ansi.css")
    style = f"<style>{code_style()}\n{own}</style>"
    return write(path, page(title, style + plotly + body, workers))


def slides_in(path: str | Path, notebook: Any) -> list[Slide]:
    """The slides of a notebook that was read."""
    return deck([cell for cell in notebook.cells if _readable(cell)], Path(path).stem[:2])


def _joined(
    notebooks: Sequence[str | Path | Part],
    execute: bool | None,
    arrange: Callable[[list[Any], str, Path, Part | None], list[Any]],
    said: Callable[[str], object] | None,
) -> tuple[str, str]:
    """The cells of all notebooks, one after the other, and the title of all."""
    parts, titles, read = [], {}, {}
    for given in notebooks:
        part = given if isinstance(given, Part) else None
        path = Path(part.notebook if part else given)  # type: ignore[arg-type]
        if path not in read:
            read[path] = read_notebook(path, execute)
            if said is not None and execute is None and unrun(read[path]):
                said(f"{path}: has no outputs, and was not run: --execute runs its author's code.")
        notebook = deepcopy(read[path])
        title = titles[path] = title_of(notebook, path)
        made = exported(
            notebook,
            path.parent,
            lambda cells, title=title, path=path, part=part: arrange(cells, title, path, part),
        )
        parts.append(made.html)
        if said is not None:
            for line in made.missing:
                said(f"{path}, {line}")
    return "\n".join(parts), " · ".join(titles.values())


class _Deck:
    """Arranges the notebooks of one deck, one after the other; a talk's minutes run on."""

    def __init__(self) -> None:
        self.minute = 0.0

    def __call__(self, cells: list[Any], title: str, path: Path, part: Part | None) -> list[Any]:
        slides = deck([cell for cell in cells if _readable(cell)], path.stem[:2])
        if part:
            slides = chosen(slides, part.headings, path.name)
            for slide in slides:
                if slide.heading in part.says:
                    tell(slide, part.says[slide.heading])
                slide.minute = round(self.minute)
                self.minute += part.minutes / len(slides)
        return arranged(slides, title)


def _page(cells: list[Any]) -> list[Any]:
    """What a page shows: all but notes for the speaker; solutions are folded."""
    kept = [cell for cell in cells if _readable(cell) and slide_type(cell) != "notes"]
    for cell in kept:
        solution = cell.cell_type == "code" and "solution" in tags(cell)
        folded = "<details class=solution><summary>A solution</summary>", "</details>"
        before, after = folded if solution else ("", "")
        frame(cell, before, after, "hidden" if "hide_code" in tags(cell) else "shown")
        if cell.cell_type == "markdown":
            cell.source = without_short(cell.source)
    return kept


def _readable(cell: Any) -> bool:
    """Raw cells are for other programs, but for those that hold HTML."""
    kind = cell.metadata.get("raw_mimetype") or cell.metadata.get("format")
    return cell.cell_type in ("markdown", "code") or kind == "text/html"


def _colours(theme: str) -> str:
    """The colours of a deck, by the names that its style sheet gives them."""
    own = THEMES[theme]
    accent = palette.EXPERTS[0] if theme == "light" else palette.EXPERTS[4]
    colours = {"ground": own.ground, "ink": own.ink, "line": own.line, "muted": own.muted,
               "accent": accent}  # fmt: skip
    said = " ".join(f"--{name}: {colour};" for name, colour in colours.items())
    return f":root {{ {said} color-scheme: {theme}; }}"


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
