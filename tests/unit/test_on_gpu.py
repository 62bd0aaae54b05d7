# SPDX-License-Identifier: Apache-2.0
"""The script for a machine with a GPU, tried without one: that it runs, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def on_gpu(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script, with this Python, its results in a folder."""
    if os.name == "nt" or shutil.which("sh") is None or not (ROOT / "benchmarks").is_dir():
        pytest.skip("needs a shell, and a clone")
    return subprocess.run(
        ["sh", str(ROOT / "tools/on_gpu.sh"), str(folder)], capture_output=True, text=True,
        env=os.environ | {"PYTHON": sys.executable} | environment,
    )  # fmt: skip


def test_it_runs_on_the_cpu_and_leaves_figures_and_a_table(tmp_path):
    pytest.importorskip("transformers")
    arguments = "--tiny --repeats 1 --dtypes float32"
    ended = on_gpu(tmp_path, DEVICE="cpu", ARGUMENTS=arguments)
    assert ended.returncode == 0, ended.stderr[-2000:]
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures["machine"]["device"]
    wide = next(part for name, part in figures.items() if name.startswith("4 layers"))
    for part in (figures["8x7m"], wide):
        ratios = [found["ratio"] for found in part.values() if isinstance(found, dict)]
        assert len(ratios) == 2
        assert all(ratio > 0 for ratio in ratios)
    (offload,) = (part for name, part in figures.items() if name.startswith("offload"))
    assert offload["choices as when resident"] == 1.0
    (stream,) = (part for name, part in figures.items() if name.startswith("stream"))
    assert stream["GB/s"] > 0
    table = (tmp_path / "gpu.md").read_text()
    assert "| part | what | figure |" in table
    assert re.search(r"record .* float32: times as fast as transformers \| [\d.]+ \|", table)


def test_without_a_gpu_it_says_so_at_once(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    ended = on_gpu(tmp_path)
    assert ended.returncode != 0
    assert "sees no GPU here" in ended.stderr


def test_the_list_of_wheels_holds_all_that_is_needed_beside_torch():
    """No index is asked there, and nothing is looked for: what is not listed is missing."""
    listed = {
        canonicalize_name(line)
        for line in (ROOT / "tools/on_gpu.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["model"]]
    asked += ["transformers", "pytest", "hypothesis"]
    missing = closure([Requirement(line).name for line in asked]) - listed - closure(["torch"])
    assert not missing
    assert "torch" not in listed


def closure(names: list[str]) -> set[str]:
    """Packages, with all that they need here."""
    found, coming = set[str](), names
    while coming:
        name = canonicalize_name(coming.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or [])
            coming += [
                r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})
            ]
    return found
