# SPDX-License-Identifier: Apache-2.0
"""Write the contents, links, badges and install cell of the notebooks from one place.

In: the notebooks' headings, and the repository's address in pyproject.toml, if it has one. Out: the
parts between markers in README.md and notebooks/README.md, and the first cell of every notebook.
`make contents` runs it; `make address URL=https://github.com/owner/name` sets the address first.
Without an address nothing names one: whoever took a made-up name would decide what readers install.

    python tools/contents.py [--url URL] [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import jupytext.cli

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
#: The notebooks that run on Binder, with 2 GB of memory and no GPU.
BINDER = ("00", "01", "03", "04", "05")
INSTALL = "install"


def address() -> str | None:
    """Where the repository lives, as pyproject.toml says; None until that is settled."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "(.+)"$', text, re.M)
    return found and found[1]


def set_address(url: str) -> None:
    """Write where the repository lives into pyproject.toml."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or len(parts.path.strip("/").split("/")) != 2:
        sys.exit(f"The address must look like https://github.com/owner/name, found {url!r}.")
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    bare = re.sub(r'^\[project\.urls\]\nRepository = ".+"\n\n', "", text, flags=re.M)
    urls = f'[project.urls]\nRepository = "{url.rstrip("/")}"\n\n'
    path.write_text(bare.replace("[project.scripts]", urls + "[project.scripts]"), "utf-8")


def notebooks() -> list[tuple[Path, str]]:
    """Every notebook in reading order, with its first heading."""
    found = []
    for path in sorted(FOLDER.glob("[0-9][0-9]_*.py")):
        heading = re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.M)
        found.append((path, heading.group(1) if heading else path.stem))
    return found


#: The first cell, where the repository has an address, and where it has none.
FROM_ADDRESS = """\
# Installs moe_viz where it is missing (Colab, Binder); pip keeps the torch that is there.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("moe_viz") is None:
    source = "moe-viz[model,arrow,analysis] @ git+ADDRESS"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)"""
FROM_CLONE = """\
# Installs moe_viz where it is missing, from the clone that this notebook lies in.
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("moe_viz") is None:
    clone = Path.cwd().parent
    if not (clone / "moe_viz" / "__init__.py").exists():
        sys.exit("moe_viz is missing. Open this notebook in a clone of its repository.")
    source = f"{clone}[model,arrow,analysis]"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)"""


def install_cell() -> str:
    """The code of the first cell: installs moe_viz where it is missing, and leaves torch alone."""
    url = address()
    return FROM_ADDRESS.replace("ADDRESS", url) if url else FROM_CLONE


def with_install_cell(path: Path) -> str:
    """A notebook's script with that cell first."""
    notebook = jupytext.read(path)
    cells = [c for c in notebook.cells if INSTALL not in c.metadata.get("tags", [])]
    cell = jupytext.reads("# %%\n" + install_cell(), fmt="py:percent").cells[0]
    cell.metadata = {
        "tags": [INSTALL, "hide_code"],
        "jupyter": {"source_hidden": True},
        "slideshow": {"slide_type": "skip"},
    }
    notebook.cells = [cells[0], cell, *cells[1:]]  # below the heading
    return jupytext.writes(notebook, fmt="py:percent")


def contents() -> str:
    """The table of notebooks; with an address, also where each can be run."""
    url = address()
    rows = (
        ["| | notebook | run it | |", "|---|---|---|---|"]
        if url
        else ["| | notebook |", "|---|---|"]
    )
    for path, heading in notebooks():
        name, number = f"{path.stem}.ipynb", path.stem[:2]
        row = f"| {number} | [{heading}]({name}) |"
        if url:
            colab, binder = hosts(url, f"notebooks/{name}")
            there = f"[Binder]({binder})" if number in BINDER else ""
            row += f" [Colab]({colab}) | {there} |"
        rows.append(row)
    return "\n".join(rows)


def badges() -> str:
    """The line under the first picture of the README: how to try it without `make`."""
    url, start = address(), "notebooks/00_start_here.ipynb"
    if url is None:
        return (
            "In a clone, `make lab` opens the course in JupyterLab, and `pip install -e '.[lab]'` "
            "installs moe_viz into an environment of your own."
        )
    colab, binder = hosts(url, start)
    install = f'`pip install "moe-viz[lab] @ git+{url}"`'
    return f"[Open in Colab]({colab}) · [Open on Binder]({binder}) · {install}"


def hosts(url: str, path: str) -> tuple[str, str]:
    """Where a notebook of the repository runs: on Colab, and on Binder."""
    where = url.removeprefix("https://github.com/")
    return (
        f"https://colab.research.google.com/github/{where}/blob/main/{path}",
        f"https://mybinder.org/v2/gh/{where}/HEAD?labpath={path}",
    )


def between(text: str, name: str, new: str) -> str:
    """The text, with the part between the markers of this name replaced."""
    start, stop = f"<!-- {name} -->", f"<!-- /{name} -->"
    if start not in text or stop not in text:
        sys.exit(f"The markers {start} and {stop} are missing.")
    return text[: text.index(start) + len(start)] + f"\n{new}\n" + text[text.index(stop) :]


def wanted() -> dict[Path, str]:
    """Every file that follows from notebooks and address, as it should be."""
    files = {}
    for path, make in ((FOLDER / "README.md", contents), (ROOT / "README.md", badges)):
        text = path.read_text(encoding="utf-8")
        files[path] = between(text, make.__name__, make())
    for path, _ in notebooks():
        script = with_install_cell(path)
        files[path] = script
    return files


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="set the repository's address first")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it would")
    args = parser.parse_args()
    if args.url:
        set_address(args.url)
    stale = [path for path, text in wanted().items() if path.read_text(encoding="utf-8") != text]
    if args.check:
        sys.exit(
            f"Out of date: {', '.join(p.name for p in stale)}. Run make contents." if stale else 0
        )
    for path, text in wanted().items():
        path.write_text(text, encoding="utf-8")
    scripts = [path for path in stale if path.suffix == ".py"]
    if scripts:  # updated, not written anew: cells keep their ids
        jupytext.cli.jupytext(["--quiet", "--update", "--to", "ipynb", *map(str, scripts)])
    print(f"{len(stale)} files changed; the address is {address() or 'not settled'}")


if __name__ == "__main__":
    main()
