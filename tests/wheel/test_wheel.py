# SPDX-License-Identifier: Apache-2.0
"""What a person gets: the wheel, built here and installed into environments outside this house.

Two of them. The bare one has the base dependencies, from the package index, and no torch. The full
one has nothing but the wheel, and borrows torch and the rest from the environment of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv

ROOT = Path(__file__).parents[2]
TEXTS, LABELS = ["Good morning.", "Schönen Tag, 中!"], ["en", "de"]


@dataclass(frozen=True)
class Environment:
    """A virtual environment with moe_viz from the wheel, and a folder to work in."""

    folder: Path
    python: Path
    site: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, in a folder that knows nothing of the repository."""
        desk = self.folder / "desk"
        desk.mkdir(exist_ok=True)
        program = [str(self.python.parent / command[0]), *map(str, command[1:])]
        return subprocess.run(
            program, cwd=desk, env=_surroundings(), capture_output=True, text=True, timeout=300
        )

    def says(self, *command: str | Path) -> str:
        """What a program prints; it must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *arguments: str | Path) -> None:
        _pip("--python", self.python, *arguments)


def _surroundings() -> dict[str, str]:
    """Nothing that would lead Python back here, and output that is as wide as it needs to be."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONUTF8": "1", "COLUMNS": "200", "TERM": "dumb"}


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, env=_surroundings(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(folder: Path) -> Environment:
    """An environment with nothing in it, not even pip."""
    builder = venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False)
    builder.create(folder)
    python = Path(builder.ensure_directories(folder).env_exe)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    return Environment(folder, python, Path(site.stdout.strip()))


def _wheel(folder: Path) -> Path:
    """The wheel, built as an installer builds it."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path


def _bare(folder: Path, wheel: Path) -> Environment:
    """The wheel and its base dependencies: `pip install moe-viz`."""
    environment = _environment(folder)
    environment.pip("install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    return environment


def _full(folder: Path, wheel: Path) -> Environment:
    """The wheel, and the packages that the tests run with behind it.

    A folder that a .pth file names comes after this environment's own, and its own .pth files are
    not read: the editable moe_viz that the tests use stays out. It is named after pip is done, so
    that pip never sees it.
    """
    environment = _environment(folder)
    environment.pip("install", "--quiet", "--no-deps", wheel)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    borrowed |= {str(Path(str(module.__file__)).parents[1]) for module in (np, torch)}
    lines = "".join(f"{place}\n" for place in sorted(borrowed))
    (environment.site / "borrowed.pth").write_text(lines, encoding="utf-8")
    return environment


@dataclass(frozen=True)
class Installed:
    """The wheel, both environments, and what the repository's own moe_viz recorded."""

    wheel: Path
    bare: Environment
    full: Environment
    recorded: mv.Trace


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("installed").resolve()
    assert not folder.is_relative_to(ROOT)
    (folder / "dist").mkdir()
    wheel = _wheel(folder / "dist")
    recorded = mv.record(mv.load("8x7m"), TEXTS, labels=LABELS)
    return Installed(wheel, _bare(folder / "bare", wheel), _full(folder / "full", wheel), recorded)


def test_the_wheel_holds_the_package_and_the_embedded_model_and_nothing_else(installed):
    package, weights = ROOT / "moe_viz", ROOT / "weights" / "8x7m"
    expected = {
        f"moe_viz/{path.relative_to(package).as_posix()}": path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"moe_viz/weights/8x7m/{path.name}": path for path in weights.iterdir()}
    expected["moe_viz/weights/8x7m/SOURCES.md"] = weights.parent / "recipe" / "SOURCES.md"
    with zipfile.ZipFile(installed.wheel) as archive:
        metadata = f"moe_viz-{mv.__version__}.dist-info/"
        held = {name for name in archive.namelist() if not name.startswith(metadata)}
        assert held == set(expected)
        for name, path in expected.items():
            assert archive.read(name) == path.read_bytes(), name
        assert f"{metadata}licenses/LICENSE" in archive.namelist()
    # Spelt out, because the comparison above would follow a mistake in the tree.
    assert "moe_viz/weights/8x7m/model.safetensors" in held
    assert "moe_viz/weights/8x7m/tokenizer.model" in held
    assert "moe_viz/py.typed" in held  # type checkers read our annotations only then
    assert {name.split("/")[0] for name in held} == {"moe_viz"}
    assert not {"tests", "recipe", "notebooks", "benchmarks"} & {
        part for name in held for part in name.split("/")
    }


def test_without_torch_a_trace_opens_and_becomes_a_page(installed, tmp_path):
    trace, page = installed.recorded.save(tmp_path / "t.safetensors"), tmp_path / "p.html"
    program = f"""
import sys, moe_viz as mv
assert mv.__file__.startswith({str(installed.bare.site)!r}), mv.__file__
assert not any(path.startswith({str(ROOT)!r}) for path in sys.path), sys.path
try:
    import torch
except ModuleNotFoundError as error:
    assert error.name == "torch"
else:
    raise AssertionError("torch is here: " + torch.__file__)
trace = mv.Trace.load({str(trace)!r})
mv.save_page(trace, {str(page)!r})
print(trace.experts.sum(), trace.provenance.title, ascii("".join(trace.tokens)), sep="|")
"""
    experts, title, tokens = installed.bare.says("python", "-c", program).strip().split("|")
    assert int(experts) == installed.recorded.experts.sum()
    assert title == "8x7m · float32"
    assert tokens == ascii("".join(installed.recorded.tokens))
    html = page.read_text(encoding="utf-8")
    assert title in html
    assert "moeVizExplorer(" in html
    assert "data:image/png" in html


@pytest.mark.parametrize("call", ["mv.load('8x7m')", "mv.record", "mv.generate"])
def test_without_torch_running_a_model_says_what_to_install(installed, call):
    program = f"""
import moe_viz as mv
try:
    {call}
except mv.errors.MoeVizError as error:
    print(type(error).__name__, error)
"""
    said = installed.bare.says("python", "-c", program)
    assert said.startswith("MissingDependencyError ")
    assert "torch" in said
    assert "pip install 'moe-viz[model]'" in said


def test_without_torch_the_program_shows_traces_and_says_what_else_needs(installed, tmp_path):
    trace = installed.recorded.save(tmp_path / "t.safetensors")
    installed.bare.says("moe-viz", "explore", trace, "--no-browser", "-o", tmp_path / "t.html")
    assert (tmp_path / "t.html").stat().st_size > 20_000
    assert "46,702,792,704" in installed.bare.says("moe-viz", "ledger")
    assert "48.6 MB" in installed.bare.says("moe-viz", "doctor")
    refused = installed.bare.run("moe-viz", "record", "Good morning.")
    assert refused.returncode == 1
    assert "pip install 'moe-viz[model]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_with_torch_the_wheel_records_what_the_repository_does(installed, tmp_path):
    package = installed.full.site / "moe_viz"
    program = f"""
import moe_viz as mv, torch
from moe_viz.files import embedded_folder
assert mv.__file__.startswith({str(package)!r}), mv.__file__
assert str(embedded_folder()).startswith({str(package)!r}), embedded_folder()
trace = mv.record(mv.load("8x7m"), {TEXTS!a}, labels={LABELS!r})
trace.save({str(tmp_path / "t.safetensors")!r})
mv.save_page(trace, {str(tmp_path / "p.html")!r})
print(torch.__file__)
"""
    assert installed.full.says("python", "-c", program).strip() == torch.__file__
    trace = mv.Trace.load(tmp_path / "t.safetensors")
    assert trace.tokens == installed.recorded.tokens
    assert trace.labels == installed.recorded.labels
    np.testing.assert_allclose(
        trace.router_logits, installed.recorded.router_logits, rtol=0, atol=1e-4
    )
    np.testing.assert_array_equal(trace.experts, installed.recorded.experts)
    assert "data:image/png" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_with_torch_the_program_records_and_explores(installed, tmp_path):
    trace = tmp_path / "t.safetensors"
    labels = [argument for label in LABELS for argument in ("-l", label)]
    assert "written to" in installed.full.says("moe-viz", "record", *TEXTS, *labels, "-o", trace)
    installed.full.says("moe-viz", "explore", trace, "--no-browser", "-o", tmp_path / "t.html")
    assert (tmp_path / "t.html").stat().st_size > 20_000
    assert mv.Trace.load(trace).tokens == installed.recorded.tokens
