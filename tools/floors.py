# SPDX-License-Identifier: Apache-2.0
"""The oldest version of everything that pyproject.toml allows, as constraints for pip.

In: pyproject.toml, and constraints.txt for what is held (`[tool.floors]`). Out: one pin a line.
`make floors` installs them and passes the unit tests; a floor that fails there is raised.

    python tools/floors.py > out/floors.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?(?:>=(?P<floor>[\w.]+))?")


def floors(project: dict[str, Any], held: dict[str, str]) -> dict[str, str]:
    """Each package that a table of pyproject.toml asks for, at its floor, or where it is held.

    Raises `ValueError` for a requirement without a floor, for one with more than a floor, for two
    floors of one package, and for one held that nothing pins.

    >>> asked = {"dependencies": ["numpy>=1.26"], "optional-dependencies": {"m": ["torch>=2.5"]}}
    >>> floors({"project": {"name": "x", **asked}}, {"torch": "2.13.0"})
    {'numpy': '1.26', 'torch': '2.13.0'}
    """
    own = project["project"]
    extras = own.get("optional-dependencies", {}).values()
    found: dict[str, str] = {}
    for requirement in [*own["dependencies"], *(one for extra in extras for one in extra)]:
        read = REQUIREMENT.fullmatch(requirement)
        if read is None:
            raise ValueError(f"{requirement!r}: expected a name and a floor, like numpy>=1.26.")
        name, floor = read["name"], read["floor"]
        if name == own["name"]:  # its own extras, which are read anyway
            continue
        if floor is None:
            raise ValueError(f"{requirement!r}: has no floor; write the oldest version that works.")
        if found.setdefault(name, floor) != floor:
            raise ValueError(f"{name}: has two floors, {found[name]} and {floor}.")
    return found | held


def pinned(constraints: str, names: list[str]) -> dict[str, str]:
    """What a file of constraints pins, of these names.

    >>> pinned("# why\\ntorch==2.13.0\\nother==1\\n", ["torch"])
    {'torch': '2.13.0'}
    """
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", constraints, re.M))
    absent = [name for name in names if name not in pins]
    if absent:
        raise ValueError(f"{', '.join(absent)}: held in pyproject.toml, not in constraints.txt.")
    return {name: pins[name] for name in names}


def main() -> None:
    """Print the pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    held = pinned(constraints, project["tool"]["floors"]["held"])
    for name, version in sorted(floors(project, held).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
