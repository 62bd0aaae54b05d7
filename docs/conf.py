# SPDX-License-Identifier: Apache-2.0
"""How the documentation is built: `make docs`, into out/docs.

Sphinx reads the repository itself, so that the links of README and the course lead to pages. What
follows from the code is made here and put between markers as pages are read: the map of the rooms,
the commands, the course's contents.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import typer.main
from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from typer.cli import get_docs_for_click
from typer.core import TyperGroup

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import moe_viz  # noqa: E402
from moe_viz.cli import app as commands  # noqa: E402
from tools import draw_rooms  # noqa: E402

project = "moe_viz"
author = "the moe_viz authors"
release = version = moe_viz.__version__

sys.path.insert(0, str(ROOT / "docs"))
extensions = ["myst_parser", "sphinx.ext.autodoc", "notebook_pages"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/**.md",
    "notebooks/*.md",
    "notebooks/*.ipynb",
    "benchmarks/*.md",
    "weights/**.md",
]
exclude_patterns = [".*", "out", "build", "dist", "tests", "moe_viz", "node_modules", "**/.*"]

# Docstrings are read in Python first: `name` is code, and a link where it names something.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "dollarmath"]
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "moe_viz"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("theme.js", {"loading_method": "defer"})]
html_show_search_summary = False  # its script would fetch pages, which no folder allows
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5c73", "color-brand-content": "#0b5c73"},
    "dark_css_variables": {"color-brand-primary": "#7cc7de", "color-brand-content": "#7cc7de"},
}

#: What stands in the sidebar, below the README, which opens the site.
CONTENTS = """

```{toctree}
:hidden:
:glob:
:caption: Learn

notebooks/README
docs/lab
notebooks/[0-9]*
notebooks/GLOSSARY
notebooks/READING
notebooks/INSTRUCTORS
```

```{toctree}
:hidden:
:caption: Use

docs/api/index
docs/commands
docs/scale
docs/families
weights/8x7m/README
weights/recipe/README
benchmarks/README
```

```{toctree}
:hidden:
:caption: Understand and change

docs/architecture
CONTRIBUTING
SECURITY
CODE_OF_CONDUCT
CHANGELOG
weights/recipe/SOURCES
```
"""


def rooms() -> str:
    """The map of the rooms."""
    return f'<div class="map">{draw_rooms.svg()}</div>'


def command_line() -> str:
    """Every command as typer describes it, below the page's own heading, each with an anchor."""
    program = typer.main.get_command(commands)
    assert isinstance(program, TyperGroup)
    context = typer.Context(program, info_name="moe-viz")
    said = get_docs_for_click(obj=program, ctx=context, name="moe-viz")
    said = said[said.index("## ") :]  # its own list of commands cuts sentences short
    said = re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", said)
    said = re.sub(r"^## `moe-viz (\S+)`$", r"(moe-viz-\1)=\n## `moe-viz \1`", said, flags=re.M)
    listed = (
        f"- [`moe-viz {name}`](#moe-viz-{name}): {(command.help or '').splitlines()[0]}"
        for name, command in program.commands.items()
    )
    return "\n".join(listed) + "\n\n" + said


MADE = {
    "rooms": rooms,
    "rooms-table": draw_rooms.table,
    "commands": command_line,
}


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what is made here in the places that a page's markers name."""
    if docname == root_doc:
        source[0] += CONTENTS
    elif docname.startswith("docs/"):
        said = re.sub(r"<!-- made: (\S+) -->", lambda m: MADE[m[1]](), source[0])
        # Pages of our own that lie in docs/static open; MyST would offer them as downloads.
        source[0] = re.sub(r"\[([^]]+)]\(static/(\S+)\)", r'<a href="../_static/\2">\1</a>', said)


def describe_fields(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """A dataclass says what its fields are in comments behind them: they become a list."""
    if not isinstance(obj, type) or not is_dataclass(obj):
        return
    said = dict(re.findall(r"^    (\w+): [^#\n]*?  # (.+)$", inspect.getsource(obj), re.M))
    listed = [field.name for field in fields(obj) if field.name in said]
    lines += ["", *(f"- ``{field}``: {said[field]}".replace("@", r"\@") for field in listed), ""]


def shorten_defaults(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    back: str | None,
) -> tuple[str | None, str | None]:
    """`<factory>` is no Python, and Sphinx would cut the signature at its commas."""
    return signature and signature.replace("<factory>", "..."), back


def find_class(app: Sphinx, env: BuildEnvironment, node: Element, text: Element) -> Element | None:
    """A docstring may name a class of another module by its own name alone."""
    name = node.get("reftarget", "")
    if node.get("reftype") != "obj" or not re.fullmatch(r"[A-Z]\w+", name):
        return None
    known = env.domains.python_domain.objects.items()
    found = [(full, at) for full, at in known if full.endswith(f".{name}") and not at.aliased]
    if len(found) != 1:
        return None
    (full, at), *_ = found
    return make_refnode(app.builder, node["refdoc"], at.docname, at.node_id, text, full)


def escape_bars(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """|S| is a size in our docstrings, and a substitution in reStructuredText."""
    example = False
    for n, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example:
            lines[n] = re.sub(r"(`[^`]*`)|\|", lambda m: m[1] or r"\|", line)


def front_page(app: Sphinx, exception: Exception | None) -> None:
    """Browsers look for index.html."""
    if exception is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> None:
    """Attach these to Sphinx."""
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", describe_fields)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("missing-reference", find_class)
    app.connect("build-finished", front_page)
