# SPDX-License-Identifier: Apache-2.0
"""The map of the rooms: what `tools/rooms.py` finds, as a drawing and as a table.

In: who imports whom. Out: an SVG in the page's own colours, levels of the flow from top to bottom,
and a Markdown table. Each build of the documentation draws it again, so that it stays true.

    python -m tools.draw_rooms > rooms.svg
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from itertools import pairwise

from tools.rooms import FLOW, PACKAGE, house, rooms

WIDE, HIGH, LEVEL, GAP = 8.2, 28, 62, 16  # pixels: a letter, a box, a level, between boxes
SWEEPS = 24

Node = tuple[int, str]  # level and name; an arrow passing through a level is a node without a box


def reduced(known: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """The arrows that no path through others implies: the transitive reduction of a graph.

    >>> reduced({"c": ["a", "b"], "b": ["a"], "a": []})
    {'c': {'b'}, 'b': {'a'}, 'a': set()}
    """

    @cache
    def beyond(name: str) -> set[str]:
        return set(known.get(name, ())).union(*map(beyond, known.get(name, ())))

    return {
        name: {o for o in others if not any(o in beyond(between) for between in others)}
        for name, others in known.items()
    }


def chains(arrows: Mapping[str, Iterable[str]], level: Mapping[str, int]) -> list[list[Node]]:
    """Each arrow as the nodes it passes, one in each level from the importer up."""
    found = []
    for name, others in sorted(arrows.items()):
        for other in sorted(others):
            between = [(n, f"{name}>{other}") for n in range(level[name] - 1, level[other], -1)]
            found.append([(level[name], name), *between, (level[other], other)])
    return found


def width(node: Node) -> float:
    """The width of a box, from its name; an arrow takes little."""
    return 6 if ">" in node[1] else 24 + WIDE * len(node[1])


def spread(row: Sequence[Node], wanted: Mapping[Node, float]) -> dict[Node, float]:
    """Centres as near to the wanted ones as boxes in this order allow without overlapping."""
    room = [(width(a) + width(b)) / 2 + GAP for a, b in pairwise(row)]
    right, left = [wanted[node] for node in row], [wanted[node] for node in row]
    for n in range(1, len(row)):
        right[n] = max(right[n], right[n - 1] + room[n - 1])
    for n in range(len(row) - 2, -1, -1):
        left[n] = min(left[n], left[n + 1] - room[n])
    return {node: (a + b) / 2 for node, a, b in zip(row, right, left, strict=True)}


def placed(paths: Sequence[Sequence[Node]], boxes: Iterable[Node]) -> dict[Node, float]:
    """A centre for each node: every level in turn is ordered and drawn towards its neighbours."""
    near: dict[Node, list[Node]] = {node: [] for node in boxes}
    for path in paths:
        for a, b in pairwise(path):
            near.setdefault(a, []).append(b)
            near.setdefault(b, []).append(a)
    levels: dict[int, list[Node]] = {}
    for node in near:
        levels.setdefault(node[0], []).append(node)
    at = {node: 60.0 * n for row in levels.values() for n, node in enumerate(row)}
    best, fewest = at, float("inf")
    for sweep in range(SWEEPS):
        order = sorted(levels, reverse=sweep % 2 == 1)
        for n in order:
            row = levels[n]
            wanted = {
                node: sum(at[o] for o in near[node]) / len(near[node]) if near[node] else at[node]
                for node in row
            }
            row.sort(key=lambda node: (wanted[node], node))
            at = at | spread(row, wanted)
        cost = sum(abs(at[a] - at[b]) for path in paths for a, b in pairwise(path))
        if (cost := cost + 400 * crossings(paths, at)) < fewest:
            best, fewest = at, cost
    return best


def crossings(paths: Sequence[Sequence[Node]], at: Mapping[Node, float]) -> int:
    """How often arrows cross, level by level."""
    steps: dict[int, list[tuple[float, float]]] = {}
    for a, b in {step for path in paths for step in pairwise(path)}:
        steps.setdefault(a[0], []).append((at[a], at[b]))
    return sum(
        (one[0] - two[0]) * (one[1] - two[1]) < 0
        for level in steps.values()
        for n, one in enumerate(level)
        for two in level[:n]
    )


def svg() -> str:
    """The drawing, for a page: it takes the page's colours, and boxes link to the table's rows."""
    known = rooms(house())
    level = {name: n for n, names in enumerate(FLOW) for name in names if name in known}
    paths = chains(reduced(known), level)
    boxes = [(n, name) for name, n in level.items()]
    at = placed(paths, boxes)
    left = min(x - width(node) / 2 for node, x in at.items()) - 4
    right = max(x + width(node) / 2 for node, x in at.items()) + 4
    high = LEVEL * (len(FLOW) - 1) + HIGH + 8
    lines = "".join(f'<path d="{curve(path, at)}"/>' for path in paths)
    drawn = "".join(box(node, at[node]) for node in boxes)
    return (
        '<svg class="rooms" role="img" aria-labelledby="rooms-title" '
        f'xmlns="http://www.w3.org/2000/svg" width="{right - left:.0f}" '
        f'viewBox="{left:.0f} -4 {right - left:.0f} {high}">'
        '<title id="rooms-title">The rooms of moe_viz, and which of them each one imports; '
        "the table below says the same.</title>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f'<g class="arrows">{lines}</g>{drawn}</svg>'
    )


def curve(path: Sequence[Node], at: Mapping[Node, float]) -> str:
    """From the importer's upper edge to the lower edge of what it imports."""
    said = f"M{at[path[0]]:.1f} {path[0][0] * LEVEL}"
    for below, above in pairwise(path):
        start, stop = below[0] * LEVEL, above[0] * LEVEL + HIGH
        middle = (start + stop) / 2
        said += f"C{at[below]:.1f} {middle} {at[above]:.1f} {middle} {at[above]:.1f} {stop}"
        if above is not path[-1]:
            said += f"V{above[0] * LEVEL}"
    return said


def box(node: Node, x: float) -> str:
    """A room, or a module by itself, with its name; packages are filled."""
    (n, name), w = node, width(node)
    kind = "package" if (PACKAGE / name).is_dir() else "module"
    return (
        f'<a href="#room-{name}"><rect class="{kind}" x="{x - w / 2:.1f}" y="{n * LEVEL}" '
        f'width="{w:.0f}" height="{HIGH}" rx="5"/><text x="{x:.1f}" y="{n * LEVEL + 18.5}">'
        f"{escape(name)}</text></a>"
    )


def purpose(name: str) -> str:
    """The first sentence of a room's docstring."""
    path = PACKAGE / name / "__init__.py"
    path = path if path.is_file() else PACKAGE / f"{name}.py"
    said = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[.?])\s", said)[0]


def table() -> str:
    """The rooms in the order of the flow: what each is for, and what it imports."""
    known = rooms(house())
    rows = ["| room | what it is for | imports |", "|---|---|---|"]
    for name in (name for level in FLOW for name in level if name in known):
        others = ", ".join(f"[{o}](#room-{o})" for o in sorted(known[name])) or "nothing"
        rows.append(f"| [`{name}`]{{#room-{name}}} | {purpose(name)} | {others} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(svg())
