# SPDX-License-Identifier: Apache-2.0
"""A notebook as HTML, by nbconvert: what pages and slides are put together from.

In: notebook files, run here where they have no outputs. Out: the cells as one string, in our
template, and a line for each thing that is missing in it. Nothing has to be fetched to show them:
mathematics is MathML, code is coloured, pictures are inside. Plotly's script, which an exported
page or deck holds once, is taken out of the single outputs.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError, MoeVizError, first_line
from ...files import package_text, small_text

#: Seconds that one cell may take when a notebook is run for export.
TIMEOUT = 600
#: Its element as charts write it, and as it is written again after cleaning: attributes by name.
_PLOTLY = re.compile(
    r'<script (?:type="text/plain" )?class="moe-viz-plotly"(?: type="text/plain")?>.*?</script>\n?',
    re.S,
)
#: What nbconvert does to a notebook before ours: `%%html` is HTML, pieces of a stream are one.
_BEFORE = ("HighlightMagicsPreprocessor", "CoalesceStreamsPreprocessor")


@dataclass(frozen=True)
class Exported:
    """The cells of a notebook as HTML, and what of them could not be shown."""

    html: str
    missing: list[str]  # "cell 3: not in the page: a script from …"


def read_notebook(path: str | Path, execute: bool | None = None) -> Any:
    """A notebook with outputs, run where `execute` says so: that is running its author's code.

    Where `execute` says nothing, a notebook of this package's own course is run if it has no
    outputs; nobody else's is.

    Raises `InputError` for a file that is not a notebook, and for a cell that fails.
    """
    nbformat, path = _needed("nbformat"), Path(path)
    try:
        notebook = nbformat.reads(small_text(path), as_version=4)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such notebook.") from None
    except Exception as error:  # nbformat raises many kinds
        raise InputError(f"{path}: is not a notebook ({first_line(error)}).") from error
    _tidy(notebook, path)
    wanted = unrun(notebook) and _of_the_course(path) if execute is None else execute
    if wanted and any(_code(notebook)):
        nbclient = _needed("nbclient")
        runner = nbclient.NotebookClient(
            notebook,
            timeout=TIMEOUT,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            runner.execute()
        except nbclient.exceptions.CellExecutionError as error:
            last = _bare(str(error)).strip().splitlines()[-1]
            raise InputError(f"{path}: a cell failed: {last}") from error
        except Exception as error:  # no such kernel, or it died, or took too long
            raise InputError(
                f"{path}: cannot be run here ({type(error).__name__}: {error}). Run it in Jupyter, "
                "save it, and export it as it is (execute=False, --as-is)."
            ) from error
    return notebook


def unrun(notebook: Any) -> bool:
    """Whether a notebook has code, and not one output."""
    code = _code(notebook)
    return bool(code) and not any(cell.get("outputs") for cell in code)


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _of_the_course(path: Path) -> bool:
    """Whether a notebook lies in the course of the clone that this package runs from."""
    clone = Path(__file__).resolve().parents[3]
    course = clone / "notebooks"
    return path.resolve().parent == course and (clone / "pyproject.toml").is_file()


#: What every cell has, and of what kind.
_CELL = {"cell_type": str, "source": str, "metadata": dict}


def _tidy(notebook: Any, path: Path) -> None:
    """Drop metadata that is not what the format says, where it is read here.

    Raises `InputError` for a notebook without cells, or a cell without a type, a text or metadata.
    """
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not isinstance(notebook.get("metadata"), dict):
        raise InputError(f"{path}: is not a notebook: it has no list of cells, or no metadata.")
    for number, found in enumerate(cells, start=1):
        said: Any = found if isinstance(found, dict) else {}
        for key, kind in _CELL.items():
            if not isinstance(said.get(key), kind):
                raise InputError(
                    f"{path}: cell {number} has no {key}, or not as the format says. Open the "
                    "notebook in Jupyter, and save it again."
                )
    for cell in notebook.cells:
        tags, slideshow = cell.metadata.get("tags"), cell.metadata.get("slideshow")
        if not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            cell.metadata.pop("tags", None)
        if not isinstance(slideshow, dict) or not isinstance(slideshow.get("slide_type"), str):
            cell.metadata.pop("slideshow", None)


def exported(notebook: Any, folder: Path, arrange: Callable[[list[Any]], list[Any]]) -> Exported:
    """The cells that `arrange` keeps, as HTML; pictures are taken from the notebook's folder.

    `arrange` says of each cell, in its metadata, what stands `before` and `after` it, and whether
    its `code` is shown, folded or hidden.
    """
    for name in ("bs4", "latex2mathml"):
        _needed(name)
    exporters = _needed("nbconvert.exporters")
    from .cells import present

    missing: list[str] = []

    def prepared(notebook: Any, resources: Any) -> tuple[Any, Any]:
        cells = [cell for cell in notebook.cells if cell.source.strip()]
        for number, cell in enumerate(notebook.cells, 1):
            cell.metadata.number = number
        notebook.cells = arrange(cells)
        state = notebook.metadata.get("widgets", {})
        for cell in notebook.cells:
            missing.extend(
                f"cell {cell.metadata.number}: {it}" for it in present(cell, folder, state)
            )
        return notebook, resources

    exporter = exporters.TemplateExporter(
        raw_template=package_text("view/pages/cells.html.j2"),
        default_preprocessors=[],
        preprocessors=[*(f"nbconvert.preprocessors.{name}" for name in _BEFORE), prepared],
    )
    exporter.template_paths = []  # no template is taken from the folder that this runs in
    language = _language(notebook)
    highlight = _needed("nbconvert.filters.highlight").Highlight2HTML(pygments_lexer=language)
    exporter.register_filter("highlight_code", highlight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a language that has no colours
        try:
            html, _ = exporter.from_notebook_node(notebook)
        except MoeVizError:
            raise
        except Exception as error:  # the format leaves much open, and nbconvert raises many kinds
            raise InputError(
                f"A notebook in {folder} cannot be made into a page: it is not what its format "
                f"says ({first_line(error)})."
            ) from error
    return Exported(html, missing)


def _language(notebook: Any) -> str:
    """What the code is coloured as; nbconvert's own exporter reads the same."""
    said = notebook.metadata.get("language_info", {})
    kernel = notebook.metadata.get("kernelspec", {}).get("language")
    language = said.get("pygments_lexer") or said.get("name") or kernel
    return language if isinstance(language, str) and language != "python" else "ipython3"


def title_of(notebook: Any, path: Path) -> str:
    """Its first heading, or its file's name."""
    for cell in notebook.cells:
        found = re.search(r"^# +(.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if found:
            return found.group(1).strip()
    return path.stem.replace("_", " ")


@cache
def code_style(light: bool = True, dark: bool = True) -> str:
    """The style sheet of coloured code: of a page that is light, dark, or as the system is."""
    formatter = _needed("pygments.formatters").HtmlFormatter
    day = formatter(style="default").get_style_defs(".highlight") if light else ""
    night = formatter(style="github-dark").get_style_defs(".highlight") if dark else ""
    if light and dark:
        night = f"@media (prefers-color-scheme: dark) {{\n{night}\n}}"
    both = f"{day}\n{night}"
    return re.sub(r"^.*\bbackground: ?#[0-9a-f]+ ?;?.*$", "", both, flags=re.M | re.I)


def without_plotly(html: str) -> tuple[str, str]:
    """HTML without plotly's script in every output, and that script once, where there was one."""
    found = _PLOTLY.search(html)
    return _PLOTLY.sub("", html), found.group(0) if found else ""


def _bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = {"bs4": "beautifulsoup4"}.get(error.name or name, error.name or name)
        raise MissingDependencyError(
            f"Pages and slides of notebooks need the package {package.partition('.')[0]}: "
            "pip install 'moe-viz[slides]'."
        ) from error
