# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without a warning, needs no network, and every public name is on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

import moe_viz as mv
from moe_viz.cli import app
from tools import draw_rooms, rooms

pytest.importorskip("furo")
pytest.importorskip("myst_parser")
inventory = pytest.importorskip("sphinx.util.inventory")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, as `make docs` builds it, with notebooks that were not run."""
    (command,) = re.findall(r"python (-m sphinx .+)", (ROOT / "Makefile").read_text("utf-8"))
    folder = tmp_path_factory.mktemp("site")
    *arguments, out = command.split()
    assert out == "out/docs"
    done = subprocess.run(
        [sys.executable, *arguments, "-d", str(folder / "read"), str(folder / "html")],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env=os.environ | {"MOE_VIZ_RAN": str(folder)},  # nothing: notebooks as they are committed
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def anchors(site) -> set[str]:
    """Every name that other sites could link to."""
    found = inventory.InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind in found.data.values() for name in kind}


def handed_on(module) -> set[str]:
    """What a module offers to its users: names with a capital, and functions, of our own."""
    return {
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and (callable(value) or name.isupper())
    }


def test_every_public_name_is_an_anchor(anchors):
    names = {f"moe_viz.{name}" for name in mv.__all__}
    for module in (mv.analysis, mv.errors, mv.prompts):
        assert len(handed_on(module)) > 5, module
        names |= handed_on(module)
    assert names <= anchors, sorted(names - anchors)


def test_every_command_is_an_anchor(anchors):
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    assert {f"moe-viz-{name}" for name in program.commands} <= anchors


def test_no_page_loads_anything_from_the_network(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 20
    loads = (
        r'<(?:script|img|iframe|source|video|audio|link)\b[^>]*?(?:src|href)="((?:https?:)?//[^"]+)'
    )
    for path in pages:
        assert not re.findall(loads, path.read_text("utf-8")), path
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", path.read_text("utf-8"))


def test_links_between_pages_lead_to_files(site):
    for path in site.rglob("*.html"):
        if "_static" in path.parts:
            continue
        for link in re.findall(r'(?:src|href)="([^"]+)"', path.read_text("utf-8")):
            target = link.partition("#")[0].partition("?")[0]
            if target and not re.match(r"[a-z]+:", target):
                assert (path.parent / target).exists(), f"{path.name}: {link}"


def test_doctests_and_fields_are_shown(site):
    page = (site / "docs/api/trace.html").read_text("utf-8")
    assert "before any softmax" in page  # a comment behind a field of Trace
    assert "&gt;&gt;&gt; " in page
    assert "`" not in re.sub(
        r"<[^>]*>", "", page.partition("<article")[2].partition("</article")[0]
    )


def test_the_map_draws_every_room_and_no_arrow_that_others_imply():
    known = rooms.rooms(rooms.house())
    drawn = draw_rooms.svg()
    assert {*re.findall(r'href="#room-(\w+)"', drawn)} == set(known)
    arrows = draw_rooms.reduced(known)
    assert drawn.split("</g>")[0].count("<path d=") == 1 + sum(map(len, arrows.values()))

    @cache
    def beyond(name: str) -> set[str]:
        return arrows[name].union(*map(beyond, arrows[name]))

    for name, others in known.items():
        assert others <= beyond(name), name  # what was left out can still be reached
        for other in arrows[name]:  # and what was drawn cannot be reached otherwise
            assert all(other not in beyond(between) for between in arrows[name]), (name, other)


def test_no_box_of_the_map_lies_on_another():
    boxes = re.findall(r'<rect class="\w+" x="([\d.-]+)" y="(\d+)" width="(\d+)"', draw_rooms.svg())
    assert len(boxes) > 15
    for n, (x, y, wide) in enumerate(boxes):
        for other, level, width in boxes[:n]:
            if y == level:
                assert float(x) > float(other) + int(width) or float(x) + int(wide) < float(other)
