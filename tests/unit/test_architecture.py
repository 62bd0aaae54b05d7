# SPDX-License-Identifier: Apache-2.0
"""The house stays as it is drawn: data flows one way, and viewing a trace never imports torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import moe_viz as mv
from tests.conftest import random_model
from tools import rooms

PACKAGE = rooms.PACKAGE
MODULES = rooms.modules()
HEAVY = {
    "torch",
    "scipy",
    "sklearn",
    "pyarrow",
    "plotly",
    "pandas",
    "sentencepiece",
    "tokenizers",
    "jinja2",
    "nbformat",
    "nbclient",
    "transformers",
    "psutil",
    "huggingface_hub",
}

#: What opens, counts, draws and explains a recorded trace.
TORCH_FREE = {"trace", "analysis", "view", "costs", "config", "prompts", "reporting"}
RANK = {name: rank for rank, names in enumerate(rooms.FLOW) for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_knows_only_what_comes_before_it(path):
    """Also inside functions, and for type checkers."""
    home = rooms.room(rooms.name_of(path))
    if not home:
        return  # hands out names lazily
    later = {
        m for m in rooms.ours(path) if rooms.room(m) != home and RANK[rooms.room(m)] >= RANK[home]
    }
    assert not later, f"{home} imports {later}"


def test_no_imports_run_in_circles():
    house = rooms.house()
    assert rooms.circles(house) == []
    # Nor do the parts of a room: view's explorer, charts and pages, say.
    inner = {m: m.rpartition(".")[0] for m in house if m.count(".") == 2}
    parts: dict[str, set[str]] = {}
    for module, part in inner.items():
        known = {inner[k] for k in house[module] if k in inner}
        parts.setdefault(part, set()).update(known)
    assert rooms.circles(parts) == []


def test_a_circle_is_found():
    assert rooms.circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    found = set(rooms.imports(Path(rooms.__file__).parents[1] / "moe_viz/exploring.py"))
    assert {
        "moe_viz.guests.guest",
        "moe_viz.recording",
    } <= found  # for checkers; in a function


def test_the_top_of_the_house_is_no_hallway():
    assert len(list(PACKAGE.glob("*.py"))) <= 13
    assert len([p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()]) <= 13


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=rooms.name_of)
def test_what_opens_a_room_only_hands_names_on(path):
    if path.parent == PACKAGE:
        return  # the lazy table
    docstring, *rest = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom) for node in rest)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_viewing_needs_no_torch_and_heavy_packages_load_late(path):
    home = rooms.room(rooms.name_of(path))
    roots = {module.split(".")[0] for module in rooms.imports(path)}
    at_top = {module.split(".")[0] for module in rooms.imports(path, nested=False, typing=False)}
    if home in TORCH_FREE:
        assert "torch" not in roots
    assert not at_top & (HEAVY - {"torch"})


def test_a_module_stays_short_enough_to_read():
    long = {p.name: n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, moe_viz; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not (HEAVY | {"numpy"}) & set(run.stdout.split())


def test_a_trace_opens_and_is_drawn_without_torch(tmp_path):
    mv.record(random_model(), [[1, 2, 3]]).save(tmp_path / "t.safetensors")
    program = (
        "import sys; sys.modules['torch'] = sys.modules['sentencepiece'] = None\n"
        "import moe_viz as mv\n"
        f"mv.save_page(mv.Trace.load({str(tmp_path / 't.safetensors')!r}), "
        f"{str(tmp_path / 'p.html')!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "p.html").stat().st_size > 20_000
