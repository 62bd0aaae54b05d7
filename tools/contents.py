"""Write the contents, links, badges and install cell of the notebooks from one place.

In: the notebooks' headings, and the repository's address in pyproject.toml. Out: the parts between
markers in README.md and notebooks/README.md, and the first cell of every notebook. `make contents`
runs it; with an address, `make address URL=https://github.com/owner/name`, it sets that first.

    python tools/contents.py [--url URL] [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import jupytext

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
#: The notebooks that run on Binder, with 2 GB of memory and no GPU.
BINDER = ("00", "01", "03", "04", "05")
INSTALL = "install"


def address() -> str:
    """Where the repository lives, as pyproject.toml says."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^Repository = "(.+)"$', text, re.M).group(1)  # type: ignore[union-attr]


def set_address(url: str) -> None:
    """Write where the repository lives into pyproject.toml."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or len(parts.path.strip("/").split("/")) != 2:
        sys.exit(f"The address must look like https://github.com/owner/name, found {url!r}.")
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r'^Repository = ".+"$', f'Repository = "{url.rstrip("/")}"', text, flags=re.M),
        encoding="utf-8",
    )


def notebooks() -> list[tuple[Path, str]]:
    """Every notebook in reading order, with its first heading."""
    found = []
    for path in sorted(FOLDER.glob("[0-9][0-9]_*.py")):
        heading = re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.M)
        found.append((path, heading.group(1) if heading else path.stem))
    return found


def install_cell() -> str:
    """The code of the first cell: installs moe_viz where it is missing, and leaves torch alone."""
    return (
        "# Installs moe_viz where it is missing (Colab, Binder); a torch that is there stays.\n"
        "import importlib.util\nimport subprocess\nimport sys\n\n"
        'if importlib.util.find_spec("moe_viz") is None:\n'
        f'    source = "moe-viz[model,arrow,analysis] @ git+{address()}"\n'
        '    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)'
    )


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
    """The table of notebooks."""
    url = address()
    where = url.removeprefix("https://github.com/")
    rows = ["| | notebook | run it | |", "|---|---|---|---|"]
    for path, heading in notebooks():
        name = f"{path.stem}.ipynb"
        number = path.stem[:2]
        colab = (
            f"[Colab](https://colab.research.google.com/github/{where}/blob/main/notebooks/{name})"
        )
        binder = f"[Binder](https://mybinder.org/v2/gh/{where}/HEAD?labpath=notebooks/{name})"
        rows.append(
            f"| {number} | [{heading}]({name}) | {colab} | {binder if number in BINDER else ''} |"
        )
    return "\n".join(rows)


def badges() -> str:
    """The line of links under the first picture of the README."""
    where = address().removeprefix("https://github.com/")
    start = "notebooks/00_start_here.ipynb"
    return (
        f"[Open in Colab](https://colab.research.google.com/github/{where}/blob/main/{start}) · "
        f"[Open on Binder](https://mybinder.org/v2/gh/{where}/HEAD?labpath={start}) · "
        f'`pip install "moe-viz[lab] @ git+{address()}"`'
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
        if path.suffix == ".py":
            jupytext.write(jupytext.read(path), path.with_suffix(".ipynb"))
    print(f"{len(stale)} files changed; the address is {address()}")


if __name__ == "__main__":
    main()
