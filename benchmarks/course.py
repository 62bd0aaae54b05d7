# SPDX-License-Identifier: Apache-2.0
"""How long the notebooks take, beside what each says of itself in its first cell.

    python benchmarks/course.py [--repeats 3] [05 07 …]

Each runs from top to bottom in a kernel of its own, as *Run All* does, on all cores; the seconds of
the wall count, the kernel's start included, and the median of the repeats. What a notebook says has
to lie within a quarter of it on a quiet machine with two cores.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

import jupytext
import nbclient
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[1] / "notebooks"
WITHIN = 0.25


def said(path: Path) -> float:
    """Seconds that the notebook names in its first cell: "12 seconds on two cores"."""
    first = " ".join(jupytext.read(path).cells[0].source.split())
    found = re.search(r"(\d+) seconds on two cores", first)
    if not found:
        raise SystemExit(f"{path.name}: its first cell does not say how many seconds it takes.")
    return float(found[1])


def seconds(path: Path) -> float:
    """Seconds of the wall from a new kernel to the last output."""
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": FOLDER}}
    )
    began = time.perf_counter()
    client.execute()
    return time.perf_counter() - began


def main() -> None:
    """Run them in turns, and say which say something else."""
    parser = argparse.ArgumentParser(description="Seconds of the notebooks.")
    parser.add_argument("notebooks", nargs="*", help="their numbers; all")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    paths = [
        path
        for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
        if not given.notebooks or path.name[:2] in given.notebooks
    ]
    taken: dict[Path, list[float]] = {path: [] for path in paths}
    for _ in range(given.repeats):
        for path in paths:
            taken[path].append(seconds(path))
    table = Table("notebook", "says, s", "takes, s", "least … most", "ratio", "")
    for path, times in taken.items():
        middle, claimed = statistics.median(times), said(path)
        fits = abs(claimed / middle - 1) <= WITHIN
        table.add_row(
            path.stem[:2], f"{claimed:.0f}", f"{middle:.1f}",
            f"{min(times):.1f} … {max(times):.1f}",
            f"{claimed / middle:.2f}", "" if fits else "says something else",
        )  # fmt: skip
    Console().print(table)
    print(f"all: {sum(map(statistics.median, taken.values())):.0f} s")


if __name__ == "__main__":
    main()
