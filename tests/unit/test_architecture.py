"""The house stays as it is drawn: data flows one way, and viewing a trace never imports torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import moe_viz as mv
from tests.conftest import random_model

PACKAGE = Path(mv.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "texts" not in p.parts)
HEAVY = {
    "torch",
    "scipy",
    "sklearn",
    "pyarrow",
    "plotly",
    "pandas",
    "sentencepiece",
    "nbformat",
    "nbclient",
    "transformers",
}

#: Who may know whom, from the source of the data to the page; each knows those before it.
FLOW = [
    {"errors", "files", "embedded", "configfile", "progress"},
    {"config", "tokenization", "prompts"},
    {"costs", "routing", "trace"},
    {"model", "analysis"},
    {"checkpoint"},
    {"placement", "view"},
    {"recording"},
    {"intervention"},
    {"exploring", "reporting", "doctor"},
    {"cli"},
]
#: What opens, counts, draws and explains a recorded trace.
TORCH_FREE = {"trace", "analysis", "view", "costs", "config", "prompts", "reporting"}
RANK = {name: rank for rank, names in enumerate(FLOW) for name in names}


def imports(path: Path, nested: bool = True) -> Iterator[str]:
    """Names of what a file imports, ours as `moe_viz.x`; `nested`: inside functions as well.

    What only type checkers see does not count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["moe_viz", *path.relative_to(PACKAGE).parent.parts]
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.FunctionDef) and not nested:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ([stem] if node.module else [f"{stem}.{a.name}" for a in node.names])
        todo.extend(ast.iter_child_nodes(node))


def part(module: str) -> str:
    """The part of the house a module of ours belongs to: `moe_viz.model.moe` → model."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_knows_only_what_comes_before_it(path):
    home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if home == "__init__":
        return  # hands out names lazily; see below
    known = {part(m) for m in imports(path, nested=False) if m.startswith("moe_viz.")} - {home}
    later = {name for name in known if RANK[name] > RANK[home]}
    assert not later, f"{home} imports {later}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_viewing_needs_no_torch_and_heavy_packages_load_late(path):
    home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    roots = {module.split(".")[0] for module in imports(path)}
    at_top = {module.split(".")[0] for module in imports(path, nested=False)}
    if home in (
        "trace",
        "analysis",
        "view",
        "costs",
        "config",
        "prompts",
        "exploring",
        "reporting",
    ):
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
