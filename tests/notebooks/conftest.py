# SPDX-License-Identifier: Apache-2.0
"""Every notebook is run once, as a kernel would; its outputs and its memory serve all tests.

Also those of another process: files of tests run side by side, and a run is minutes of work.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

nbclient = pytest.importorskip("nbclient")
jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@dataclass
class Run:
    """A notebook with its outputs, and what running it took."""

    notebook: Any
    path: Path  # where it was saved with its outputs
    seconds: float
    processor: float  # seconds of all cores
    peak: int  # bytes of the kernel's resident memory, at most


def processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


class Runner:
    """Notebooks with their outputs, in a folder that all processes of these tests share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder

    def __call__(self, path: Path) -> Run:
        saved, took = self.folder / path.name, self.folder / f"{path.stem}.json"
        with FileLock(f"{took}.lock"):
            if not took.exists():
                took.write_text(json.dumps(self.run(path, saved)))
        return Run(nbformat.read(saved, 4), saved, **json.loads(took.read_text()))

    def run(self, path: Path, saved: Path) -> dict[str, float]:
        notebook = jupytext.read(path)
        client = nbclient.NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": FOLDER}}
        )
        with client.setup_kernel():
            pid = client.km.provisioner.pid
            began = time.perf_counter()
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
            seconds = time.perf_counter() - began
            processor, peak = processor_time(pid), peak_memory(pid)
        nbformat.write(notebook, saved)
        return {"seconds": seconds, "processor": processor, "peak": peak}


@pytest.fixture(scope="session")
def ran(tmp_path_factory) -> Runner:
    base = tmp_path_factory.getbasetemp()
    together = "PYTEST_XDIST_WORKER" in os.environ  # each process has a folder in the common one
    return Runner((base.parent if together else base) / "executed")
