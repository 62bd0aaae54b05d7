# SPDX-License-Identifier: Apache-2.0
"""The files around the package agree with each other, and the repository stays light."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import moe_viz as mv

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = 5_000_000  # bytes, as in .pre-commit-config.yaml


def floors(*extras: str) -> dict[str, SpecifierSet]:
    """What the package asks for, by name: its base and these extras."""
    lines = [*PROJECT["dependencies"]]
    lines += [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    asked = [Requirement(line) for line in lines]
    return {r.name: r.specifier for r in asked if r.name != PROJECT["name"]}


def tracked(pattern: str = "*") -> list[Path]:
    """The files that git knows here and that are still there."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--", pattern]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_there_is_one_version():
    assert PROJECT["version"] == mv.__version__


def test_every_public_name_is_there():
    assert len(mv.__all__) == len(set(mv.__all__))
    assert set(mv.__all__) == {*mv._WHERE, *mv._MODULES, "__version__"}
    assert all(getattr(mv, name) is not None for name in mv.__all__)


SOURCES = ("*.py", "*.js", "*.ts", "*.css", "*.sh", "*.j2", "Makefile", ".ci/run")
TEXTS = ("moe_viz/prompts/texts/", "notebooks/")  # recorded as they are; read as a course


@pytest.mark.parametrize("pattern", SOURCES)
def test_every_source_names_its_licence(pattern):
    paths = [p.relative_to(ROOT).as_posix() for p in tracked(pattern)]
    ours = [path for path in paths if not path.startswith(TEXTS)]
    assert ours
    for path in ours:
        head = (ROOT / path).read_text(encoding="utf-8").splitlines()[:3]
        assert any("SPDX-License-Identifier: Apache-2.0" in line for line in head), path


def test_what_is_asked_for_has_floors_and_no_pins():
    for name, specifiers in floors(*PROJECT["optional-dependencies"]).items():
        assert [s.operator for s in specifiers] == [">="], name


def test_constraints_pin_torch_and_lie_above_the_floors():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {r.name: r.specifier for r in map(Requirement, filter(None, map(uncommented, lines)))}
    assert str(pins["torch"]) == "==2.13.0"
    asked = floors(*PROJECT["optional-dependencies"])
    for name, specifiers in pins.items():
        (pin,) = specifiers
        assert pin.operator == "==", name
        assert Version(pin.version) in asked.get(name, SpecifierSet()), name


def uncommented(line: str) -> str:
    return line.partition("#")[0].strip()


def test_the_conda_environment_gives_what_the_lab_needs_and_installs_moe_viz():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    (pip,) = [line for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip == {"pip": ["-e ."]}
    python, lines = lines[0], lines[1:]
    assert python.startswith("python=")
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["requires-python"])
    lines.remove("pip")
    given = {r.name: r.specifier for r in map(Requirement, lines)}
    given["torch"] = given.pop("pytorch-cpu")  # conda-forge's name of the variant without CUDA
    assert given == floors("model", "arrow", "analysis", "lab")


def test_no_notebook_is_tracked_with_outputs():
    notebooks = tracked("*.ipynb")
    assert notebooks
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_no_large_file_is_tracked_outside_weights():
    light = [path for path in tracked() if not path.is_relative_to(ROOT / "weights")]
    assert light
    assert {path: path.stat().st_size for path in light if path.stat().st_size > HEAVY} == {}
