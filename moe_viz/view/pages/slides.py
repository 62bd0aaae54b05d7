"""Notebooks as slides, or as a page: one offline file whose pictures stay interactive.

In: notebooks. Out: a deck of reveal.js with all it needs inside, taken from installed packages; or
a page to read. A cell's slide type decides what is a slide; where no cell has one, every heading of
the first two levels begins one.

Tags: `hide_code` leaves a cell's code out, `show_code` shows it on its slide (else it is folded),
`solution` is left out of slides and folded on pages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ...errors import InputError, MissingDependencyError, OutputError
from ...files import atomic_path, package_text
from ..charts.chart import page
from ..document import CHARTS, document, write
from .notebook import Piece, code_style, pieces, read_notebook, title_of, without_plotly

#: What a deck is laid out for, in CSS pixels; reveal scales it to the screen.
WIDTH, HEIGHT = 1280, 720
DECK = f"""Reveal.initialize({{
  width: {WIDTH}, height: {HEIGHT}, margin: 0, center: false, hash: true, slideNumber: "c/t",
  transition: "none", controls: false, plugins: [RevealNotes], pdfSeparateFragments: false,
}});
// Tab does not reach what is on other slides, which are out of sight.
const reach = () => document.querySelectorAll(".slides section:not(.stack)").forEach((slide) => {{
  slide.inert = slide !== Reveal.getCurrentSlide() && !Reveal.isPrintView();
}});
Reveal.on("ready", reach);
Reveal.on("slidechanged", reach);
"""
#: Chromium now and then prints an empty page, before it has read the deck.
TRIES = 4
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def save_slides(
    notebooks: Sequence[str | Path], path: str | Path, execute: bool | None = None
) -> Path:
    """Write notebooks as one deck that needs no network. Speaker notes open with the key S.

    Raises `InputError` for a file that is not a notebook or fails, `MissingDependencyError` without
    the extra `slides`, `OutputError` where the file cannot be written.
    """
    if not notebooks:
        raise InputError("There is no notebook to make slides of: name at least one.")
    groups, titles = [], []
    for name in notebooks:
        notebook = read_notebook(name, execute)
        titles.append(title_of(notebook, Path(name)))
        groups.append(_stacks(list(pieces(notebook))))
    body = "\n".join(_stack(stack) for stacks in groups for stack in stacks)
    body, plotly = without_plotly(body)
    body = body.replace('class="moe-viz"', 'class="moe-viz" data-scale="1.5"')
    own = package_text("view/pages/slides.css")
    style = "\n".join([_reveal("dist/reveal.css"), code_style(dark=False), own])
    scripts = "\n".join(
        f"<script>{_safe(_reveal(name))}</script>"
        for name in ("dist/reveal.js", "plugin/notes/notes.js")
    )
    # The deck's ground is light, whatever the system's: said the way JupyterLab says it, which
    # pictures listen to. Only the deck itself is framed, by the window of speaker notes.
    body = f"""<script>document.body.dataset.jpThemeLight = "true";</script>
{plotly}{scripts}
<div class="reveal"><div class="slides">
{body}
</div></div>
<script>
{DECK}</script>"""
    policy = CHARTS | {"frame-src": "'self' file:"}
    return write(path, document(" · ".join(titles), style, body, policy))


def save_notebook_page(
    notebooks: Sequence[str | Path], path: str | Path, execute: bool | None = None
) -> Path:
    """Write notebooks as one page to read, which needs no network; see `save_slides`."""
    if not notebooks:
        raise InputError("There is no notebook to make a page of: name at least one.")
    parts, titles = [], []
    for name in notebooks:
        notebook = read_notebook(name, execute)
        titles.append(title_of(notebook, Path(name)))
        parts += [_read(piece) for piece in pieces(notebook)]
    body, plotly = without_plotly("\n".join(parts))
    style = f"<style>{code_style()}\n{package_text('view/pages/notebook.css')}</style>"
    return write(path, page(" · ".join(titles), style + plotly + body))


def save_pdf(deck: str | Path, path: str | Path) -> Path:
    """Print a deck to PDF with the Chromium that is installed here, a page for each slide.

    Raises `MissingDependencyError` without one, and `OutputError` where printing fails.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise MissingDependencyError(
            f"A PDF is printed by Chromium or Chrome, and none of {', '.join(BROWSERS)} is here. "
            "Install one, or open the deck in any browser with ?print-pdf and print it."
        )
    try:
        html = Path(deck).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{deck}: there is no deck to print ({error.strerror}).") from error
    slides = len(re.findall(r"<section>(?!<section>)", html.partition('<div class="slides">')[2]))
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--no-pdf-header-footer", "--virtual-time-budget=30000",
            f"--print-to-pdf={temporary}", f"{Path(deck).resolve().as_uri()}?print-pdf",
        ]  # fmt: skip
        for again in reversed(range(TRIES)):
            run = subprocess.run(command, capture_output=True, text=True, timeout=300)
            pages = len(re.findall(rb"/Type\s*/Page\b", temporary.read_bytes()))
            if run.returncode == 0 and pages >= max(slides, 1):
                break
            if again:
                continue
            raise OutputError(
                f"{path}: {browser} printed {pages} of {slides} pages: {run.stderr.strip()[-300:]}."
                " Open the deck with ?print-pdf in a browser, and print it there."
            )
    return Path(path)


def _stacks(found: list[Piece]) -> list[list[list[Piece]]]:
    """Slides that lie side by side, each a stack of slides below each other, each of pieces."""
    if not any(piece.slide for piece in found):
        found = [_headed(piece) for piece in found]
    stacks: list[list[list[Piece]]] = []
    for piece in found:
        if piece.slide == "skip" or "solution" in piece.tags:
            continue
        if piece.slide == "slide" or not stacks:
            stacks.append([[]])
        elif piece.slide == "subslide":
            stacks[-1].append([])
        stacks[-1][-1].append(piece)
    return stacks


def _headed(piece: Piece) -> Piece:
    """Where no slide types are given: a heading begins a slide."""
    begins = piece.kind == "markdown" and re.match(r"#{1,2} ", piece.text)
    slide = "slide" if begins else ""
    return replace(piece, slide=slide)


def _stack(stack: list[list[Piece]]) -> str:
    slides = [f"<section>{_slide(slide)}</section>" for slide in stack]
    return slides[0] if len(slides) == 1 else f"<section>{''.join(slides)}</section>"


def _slide(slide: list[Piece]) -> str:
    """The cells of a slide; those without a type of their own appear with the one before."""
    html, inside = [], False
    for piece in slide:
        if inside and piece.slide in ("fragment", "notes"):
            html.append("</div>")
            inside = False
        if piece.slide == "fragment":
            html.append('<div class="fragment">')
            inside = True
        html.append(_shown(piece))
    return "".join(html) + ("</div>" if inside else "")


def _shown(piece: Piece) -> str:
    """A cell on its slide."""
    if piece.slide == "notes":
        # Folded in a notebook, where students read too; open for the speaker.
        notes = re.sub(r"</?details>\s*|<summary>.*?</summary>\s*", "", piece.source)
        return f'<aside class="notes">{notes}</aside>'
    html = piece.source
    if piece.kind == "code":
        code = "" if "hide_code" in piece.tags else piece.source
        if code and "show_code" not in piece.tags:
            code = f"<details class=fold><summary>code</summary>{code}</details>"
        html = code + piece.outputs
    return html


def _read(piece: Piece) -> str:
    """A cell on a page."""
    if piece.kind == "markdown":
        return "" if piece.slide == "notes" else piece.source
    code = "" if "hide_code" in piece.tags else piece.source
    html = code + piece.outputs
    if "solution" in piece.tags:
        return f"<details class=solution><summary>A solution</summary>{html}</details>"
    return html


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


def _safe(script: str) -> str:
    """A script that cannot end the element it stands in."""
    return script.replace("</script", "<\\/script")
