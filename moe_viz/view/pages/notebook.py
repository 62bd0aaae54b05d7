"""A notebook as pieces of HTML: what pages and slides are put together from.

In: notebook files, run here where they have no outputs. Out: `Piece`s, one for each cell, with
mathematics as MathML and code coloured, so that nothing has to be fetched to show them. Plotly's
script, which an exported page or deck holds once, is taken out of the single outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError

#: Seconds that one cell may take when a notebook is run for export.
TIMEOUT = 600
_PLOTLY = re.compile(r'<script type="text/plain" class="moe-viz-plotly">.*?</script>\n?', re.S)


@dataclass(frozen=True)
class Piece:
    """One cell, as HTML."""

    kind: str  # "markdown" or "code"
    source: str  # markdown, or code, as HTML
    outputs: str  # of code, as HTML
    tags: frozenset[str]
    slide: str  # its slide type: slide, subslide, fragment, skip, notes, or ""
    text: str  # the cell as it was written


def read_notebook(path: str | Path, execute: bool | None = None) -> Any:
    """A notebook with outputs; run where it has none, or where `execute` says so.

    Raises `InputError` for a file that is not a notebook, and for a cell that fails.
    """
    nbformat, path = _needed("nbformat"), Path(path)
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such notebook.") from None
    except Exception as error:  # nbformat raises many kinds
        raise InputError(f"{path}: is not a notebook ({str(error).splitlines()[0]}).") from error
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    wanted = not any(cell.get("outputs") for cell in code) if execute is None else execute
    if wanted and code:
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
            last = _plain(str(error)).strip().splitlines()[-1]
            raise InputError(f"{path}: a cell failed: {last}") from error
        except Exception as error:  # no such kernel, or it died, or took too long
            raise InputError(
                f"{path}: cannot be run here ({type(error).__name__}: {error}). Run it in Jupyter, "
                "save it, and export it as it is (execute=False, --as-is)."
            ) from error
    return notebook


def pieces(notebook: Any) -> Iterator[Piece]:
    """The cells of a notebook, in order; raw cells and empty ones are left out."""
    for cell in notebook.cells:
        if cell.cell_type not in ("markdown", "code") or not cell.source.strip():
            continue
        tags = frozenset(cell.metadata.get("tags", []))
        slide = cell.metadata.get("slideshow", {}).get("slide_type", "") or ""
        markdown = cell.cell_type == "markdown"
        yield Piece(
            kind=cell.cell_type,
            source=rendered(cell.source) if markdown else coloured(cell.source),
            outputs="" if markdown else "".join(_output(o) for o in cell.get("outputs", [])),
            tags=tags,
            slide="" if slide == "-" else slide,
            text=cell.source,
        )


def title_of(notebook: Any, path: Path) -> str:
    """Its first heading, or its file's name."""
    for cell in notebook.cells:
        found = re.search(r"^# +(.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if found:
            return found.group(1).strip()
    return path.stem.replace("_", " ")


def rendered(markdown: str) -> str:
    """Markdown as HTML; `$…$` and `$$…$$` become MathML, which browsers draw by themselves.

    >>> rendered("**bold**")
    '<p><strong>bold</strong></p>\\n'
    >>> "<math" in rendered("so $k=2$ of $E=8$"), "$" in rendered("so $k=2$ of $E=8$")
    (True, False)
    """
    kept: list[str] = []

    def keep(html: str) -> str:
        kept.append(html)
        return f"\x02{len(kept) - 1}\x03"

    def maths(found: re.Match[str]) -> str:
        if found.group("code"):
            return found.group(0)
        block = found.group("block")
        convert = _needed("latex2mathml.converter").convert
        try:
            html = convert(block or found.group("inline"), display="block" if block else "inline")
        except Exception:  # latex2mathml raises many kinds; what is not a formula stays
            return found.group(0)
        return keep(html)

    text = re.sub(
        r"(?P<code>```.*?```|~~~.*?~~~"  # left alone: code, and elements of HTML
        r"|(?P<ticks>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=ticks)(?!`)|<[a-z][^>]*>)"
        r"|\$\$(?P<block>.+?)\$\$"
        r"|(?<![\\\w$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\w)",
        maths,
        markdown.replace("\x02", ""),
        flags=re.S,
    )
    html = (
        _needed("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    )
    return re.sub("\x02(\\d+)\x03", lambda found: kept[int(found.group(1))], html)


def coloured(code: str) -> str:
    """Python as HTML, coloured by classes (see `code_style`)."""
    pygments = _needed("pygments")
    lexer = _needed("pygments.lexers").PythonLexer()
    formatter = _needed("pygments.formatters").HtmlFormatter(nowrap=True)
    return f"<pre class=code><code>{pygments.highlight(code, lexer, formatter)}</code></pre>"


@cache
def code_style(dark: bool = True) -> str:
    """The style sheet of coloured code, for light and (where the page can be) dark."""
    formatter = _needed("pygments.formatters").HtmlFormatter
    light = formatter(style="default").get_style_defs(".code")
    night = formatter(style="github-dark").get_style_defs(".code") if dark else ""
    both = f"{light}\n@media (prefers-color-scheme: dark) {{\n{night}\n}}"
    return re.sub(r"^.*\bbackground: ?#[0-9a-f]+ ?;?.*$", "", both, flags=re.M | re.I)


def without_plotly(html: str) -> tuple[str, str]:
    """HTML without plotly's script in every output, and that script once, where there was one."""
    found = _PLOTLY.search(html)
    return _PLOTLY.sub("", html), found.group(0) if found else ""


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return (
            f"<pre class=out>{escape(_plain(output.text))}</pre>" if output.name == "stdout" else ""
        )
    if output.output_type == "error":
        return f"<pre class=out>{escape(output.ename)}: {escape(output.evalue)}</pre>"
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return "<p class=note>A prompt box lives here while the notebook runs.</p>"
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return f"<div class=output>{data[kind]}</div>" if data[kind] else ""
    if "image/png" in data:
        alt = escape(str(data.get("text/plain", "figure")))
        return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/markdown" in data:
        return rendered(data["text/markdown"])
    return f"<pre class=out>{escape(_plain(data.get('text/plain', '')))}</pre>"


def _plain(text: str) -> str:
    """Without terminal colour codes, and without what a carriage return overwrote."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))


def _needed(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise MissingDependencyError(
            f"Pages and slides of notebooks need the package {package}: "
            "pip install 'moe-viz[slides]'."
        ) from error
