# SPDX-License-Identifier: Apache-2.0
"""Notebooks as pages of the site: run, searchable, their pictures alive without a network.

In: a notebook of the course. Out: Markdown for MyST, whose text Sphinx can search and link, and
whose outputs are HTML. What every page needs is in the site once, as classic scripts beside its
pages, since pages opened from a folder may fetch nothing: plotly, and the model of live cells.

Notebooks are run where the folder that MOE_VIZ_RAN names has none that were; `make docs` keeps them
in out/ran, by what decides their outputs.
"""

from __future__ import annotations

import hashlib
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

from moe_viz.files import embedded_folder
from moe_viz.living import held, opening
from moe_viz.view.document import write
from moe_viz.view.live.page import in_page, live_page
from moe_viz.view.pages.alive import alive
from moe_viz.view.pages.deck import frame, slide_type, tags, without_short
from moe_viz.view.pages.markdown import formula
from moe_viz.view.pages.notebook import exported, read_notebook, without_plotly
from moe_viz.view.script import inert

ROOT = Path(__file__).parents[1]
#: Stands between the outputs of one cell and the next, while they are one text.
_BETWEEN = "<!-- next cell -->"
MODEL, PLOTLY, LAB = "model.js", "plotly.js", "lab.html"


class NotebookParser(MystParser):
    """Reads a notebook as MyST reads Markdown."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Run the notebook that the page is of, and read what it became."""
        env = document.settings.env
        page = _Page(Path(env.doc2path(env.docname)), Path(env.app.outdir))
        super().parse(page.markdown(), document)


class _Page:
    """One notebook as Markdown; what pages share is written beside them."""

    def __init__(self, path: Path, out: Path) -> None:
        self.path, self.static = path, out / "_static"

    def markdown(self) -> str:
        """Cells of text as they are, those of code as HTML."""
        notebook = deepcopy(ran(self.path))
        told = [cell for cell in notebook.cells if _shown(cell)]
        blocks = iter(self._outputs(notebook).split(_BETWEEN)[1:])
        parts = [
            without_short(cell.source) if cell.cell_type == "markdown" else _raw(next(blocks))
            for cell in told
        ]
        return "\n\n".join([*parts, *map(_raw, blocks)])

    def _outputs(self, notebook: Any) -> str:
        """Code and outputs of all cells of code, each after a mark, and then what runs them."""

        def arrange(cells: list[Any]) -> list[Any]:
            kept = [cell for cell in cells if cell.cell_type == "code" and _shown(cell)]
            for cell in kept:
                hidden = "source_hidden" in cell.metadata.get("jupyter", {})
                code = "folded" if hidden or "hide_code" in tags(cell) else "shown"
                before, after = f'{_BETWEEN}<div class="cell">', "</div>"
                if "solution" in tags(cell):
                    before += "<details class=solution><summary>A solution</summary>"
                    after = "</details>" + after
                frame(cell, before, after, code)
            return kept

        body = exported(notebook, self.path.parent, arrange).html
        body, _ = alive(body, held, print, lambda model: self._shared(MODEL, in_page(model)))
        body, plotly = without_plotly(body)
        before = self._shared(PLOTLY, plotly) if plotly else ""
        first, mark, rest = body.partition(_BETWEEN)
        return f"{first}{mark}{before}{rest}"

    def _shared(self, name: str, html: str) -> str:
        """Write what pages share as a script, once; the element that takes it in."""
        path = self.static / name
        if not path.exists():
            write(path, _as_script(html))
        return f'<script src="../_static/{name}"></script>'


def _as_script(html: str) -> str:
    """HTML as a classic script that puts its data into the page and runs its scripts."""
    running = re.compile(r"<script>(.*?)</script>\n?", re.S)
    data = running.sub("", html)
    code = "\n".join(running.findall(html))
    return f'document.head.insertAdjacentHTML("beforeend", {inert(data)});\n{code}\n'


def ran(path: Path) -> Any:
    """The notebook with outputs: those that are kept, or made now and kept."""
    kept = os.environ.get("MOE_VIZ_RAN")
    if kept:
        found = Path(kept) / path.name
        return nbformat.read(found if found.exists() else path, 4)
    decides = hashlib.sha256(path.read_bytes())
    for part in sorted((ROOT / "moe_viz").rglob("*.*")):  # outputs hold scripts and styles, too
        if part.is_file() and part.suffix != ".pyc":
            decides.update(part.read_bytes())
    decides.update((embedded_folder() / "evaluation.json").read_bytes())
    found = ROOT / "out" / "ran" / f"{path.stem}-{decides.hexdigest()[:16]}.ipynb"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        notebook = read_notebook(path, execute=True)
        for old in found.parent.glob(f"{path.stem}-*.ipynb"):
            old.unlink()
        nbformat.write(notebook, found)
    return nbformat.read(found, 4)


def _shown(cell: Any) -> bool:
    """Whether a page has it: all but notes for teachers, and what installs this package."""
    return slide_type(cell) != "notes" and "install" not in tags(cell) and bool(cell.source.strip())


def _raw(html: str) -> str:
    """HTML as a block that MyST passes on, in a fence longer than any within it."""
    longest = max(map(len, re.findall(r"`+", html)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{{raw}} html\n{html}\n{fence}"


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(formula(node.astext()))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.Element) -> None:
    self.body.append(f"<p>{formula(node.astext(), block=True)}</p>")
    raise nodes.SkipNode


def write_lab(app: Sphinx, exception: Exception | None) -> None:
    """The page that runs the model, beside the others, with the weights that they share."""
    if exception is None and app.builder.format == "html":
        static = Path(app.outdir, "_static")
        model = held("8x7m")
        write(static / MODEL, _as_script(in_page(model)))  # of an earlier build it may be another's
        size = (static / MODEL).stat().st_size / 1e6
        lies = f'<script src="_static/{MODEL}"></script>'
        write(Path(app.outdir, LAB), live_page(model, opening("8x7m"), lambda _: lies))
        print(f"The lab's weights, once for all pages: _static/{MODEL}, {size:.0f} MB")


def setup(app: Sphinx) -> None:
    """Attach notebooks, and formulas as MathML, to Sphinx."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("build-finished", write_lab)
