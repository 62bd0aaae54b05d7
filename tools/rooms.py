# SPDX-License-Identifier: Apache-2.0
"""The house as its imports draw it: rooms, what each imports, and circles (there should be none).

    python tools/rooms.py        print the counts and what each room imports

Imports inside functions, and those that only type checkers see, count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "moe_viz"

#: What may import what, from the source of the data to the page; each imports only earlier ones.
FLOW = (
    ("errors", "machine", "progress"),
    ("files", "configfile"),
    ("tensorfile",),
    ("tokenization",),
    ("config", "prompts"),
    ("costs", "trace"),
    ("routing",),
    ("model", "analysis"),
    ("checkpoint",),
    ("placement", "view"),
    ("guests",),
    ("recording",),
    ("intervention",),
    ("exploring", "living", "reporting", "doctor"),
    ("cli",),
)


def modules() -> list[Path]:
    """Every module of the package; the curated programs are texts."""
    return sorted(p for p in PACKAGE.rglob("*.py") if "texts" not in p.parts)


def name_of(path: Path) -> str:
    """`moe_viz/trace/file.py` → trace.file; a room's `__init__` has the room's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, nested: bool = True, typing: bool = True) -> Iterator[str]:
    """What a file imports, by absolute name (ours begin with moe_viz).

    `nested`: in functions too; `typing`: what only type checkers see too.

    A name that is imported from one of our packages counts as that module where it is one.
    """
    package = ["moe_viz", *path.relative_to(PACKAGE).parent.parts]
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not nested:
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = PACKAGE.parent / f"{stem}.{alias.name}".replace(".", "/")
                is_module = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
                yield f"{stem}.{alias.name}" if is_module else stem
        todo.extend(ast.iter_child_nodes(node))


def ours(path: Path) -> set[str]:
    """Our own modules that a file imports."""
    found = {n.removeprefix("moe_viz").lstrip(".") for n in imports(path) if ours_is(n)}
    return found - {"", name_of(path)}


def ours_is(name: str) -> bool:
    """Whether an absolute name is ours."""
    return name == "moe_viz" or name.startswith("moe_viz.")


def room(module: str) -> str:
    """The room, or the module at the top, that a module belongs to: `model.moe` → model."""
    return module.split(".")[0]


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of two or more that reach each other (Tarjan's strongly connected components).

    >>> circles({"a": ["b"], "b": ["a", "c"], "c": []})
    [['a', 'b']]
    """
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in arrows.get(node, ()):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            start = stack.index(node)
            group = sorted(stack[start:])
            del stack[start:]
            if len(group) > 1:
                found.append(group)

    for node in arrows:
        if node not in number:
            visit(node)
    return found


def house() -> dict[str, set[str]]:
    """Every module, with those of ours that it imports; the package's lazy table is left out."""
    return {name: ours(path) for path in modules() if (name := name_of(path))}


def rooms(of: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """The same by rooms."""
    result: dict[str, set[str]] = {}
    for module, known in of.items():
        result.setdefault(room(module), set()).update({room(k) for k in known} - {room(module)})
    return result


def main() -> None:
    """Print the counts, and each room in the order of the flow."""
    whole = house()
    by_room = rooms(whole)
    at_top = [p.name for p in PACKAGE.glob("*.py")]
    inside = [p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()]
    print(
        f"{len(circles(whole))} circles of modules, {len(circles(by_room))} of rooms; "
        f"{len(at_top)} modules and {len(inside)} rooms at the top of moe_viz"
    )
    for level in FLOW:
        for name in level:
            print(f"{name:14}imports {', '.join(sorted(by_room.get(name, ()))) or 'nothing'}")


if __name__ == "__main__":
    main()
