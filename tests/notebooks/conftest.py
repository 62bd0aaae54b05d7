"""Every notebook is run once, as a kernel would; its outputs and its memory serve all tests."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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
    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, {}

    def __call__(self, path: Path) -> Run:
        if path not in self.done:
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
            saved = self.folder / path.name
            nbformat.write(notebook, saved)
            self.done[path] = Run(notebook, saved, seconds, processor, peak)
        return self.done[path]


@pytest.fixture(scope="session")
def ran(tmp_path_factory) -> Runner:
    return Runner(tmp_path_factory.mktemp("executed"))
