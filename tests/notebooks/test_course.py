# SPDX-License-Identifier: Apache-2.0
"""The course as a whole: links lead somewhere, words are spelled, it fits where readers run it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote
from urllib.request import urlopen

import pytest

from moe_viz.view.pages.deck import without_short
from tests.browser.conftest import until

from .conftest import FOLDER, NOTEBOOKS, every_notebook, peak_memory

ROOT = FOLDER.parent
jupytext = pytest.importorskip("jupytext")
#: Those that Binder shows, which gives 2 GB to server and kernel together.
BINDER = [path for path in NOTEBOOKS if path.name[:2] in ("00", "01", "03", "04", "05")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(FOLDER.glob("*.md"))]
#: Real words that the spelling list takes for others.
WORDS = "nd,te,ot,als,fo,ue,ist,mis,ser,sie,oder,des,alle,und,mit"


def texts() -> list[tuple[Path, str]]:
    found = [(path, path.read_text(encoding="utf-8")) for path in PAGES]
    for path in NOTEBOOKS:
        cells = [c.source for c in jupytext.read(path).cells if c.cell_type == "markdown"]
        found.append((path, "\n".join(cells)))
    return found


def test_the_course_is_whole():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02}" for n in range(11)]


@pytest.mark.parametrize(("path", "text"), texts(), ids=[path.name for path, _ in texts()])
def test_links_lead_somewhere(path, text):
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("https://", "http://", "#")):
            assert " " not in link
            continue
        target = (path.parent / unquote(link.partition("#")[0])).resolve()
        assert target.exists(), f"{path.name}: {link}"


def test_every_notebook_leads_on_and_back():
    prose = dict(texts())
    for before, after in pairwise(NOTEBOOKS):
        assert f"({after.name})" in prose[before], f"{before.name} does not lead on"
        assert f"({before.name})" in prose[after], f"{after.name} does not lead back"


def test_prose_is_spelled(tmp_path):
    for path, text in texts():
        (tmp_path / f"{path.stem}.md").write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "-L", WORDS, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert not run.stdout, run.stdout


def test_contents_badges_and_install_cells_follow_from_one_place():
    run = subprocess.run(
        [sys.executable, ROOT / "tools" / "contents.py", "--check"], capture_output=True, text=True
    )
    assert not run.returncode, run.stderr


def test_what_is_installed_names_the_address_that_is_set_or_none(monkeypatch):
    """Whoever took a made-up name on GitHub or PyPI would decide what readers install."""
    from tools import contents

    for address in (None, "https://github.com/a/b"):
        monkeypatch.setattr(contents, "address", lambda address=address: address)
        made = (contents.install_cell, contents.contents, contents.badges)
        everything = "\n".join(make() for make in made)
        assert ("http" in everything) == ("git+" in everything) == (address is not None)
        for url in re.findall(r"https://[^\s)\"`]+", everything):
            assert "a/b" in url


@every_notebook
def test_it_begins_with_one_heading_and_says_what_it_teaches(path):
    cells = jupytext.read(path).cells
    assert cells[0].cell_type == "markdown"
    assert re.match(r"# \S", without_short(cells[0].source))
    whole = "\n".join(without_short(c.source) for c in cells if c.cell_type == "markdown")
    assert len(re.findall(r"^# ", whole, re.M)) == 1


def reading(path) -> tuple[float, float]:
    """Minutes for the core and for what is marked *further*: at 200 words and 12 lines of open code
    a minute, exercises and notes for teachers left out, pictures not counted."""
    minutes, part = {"core": 0.0, "further": 0.0}, "core"
    for cell in jupytext.read(path).cells:
        prose = re.sub(r"<details>.*?</details>", "", without_short(cell.source), flags=re.S)
        if cell.cell_type == "markdown":
            if re.match(r"## (Exercises|Go on|Solutions)", prose):
                break
            if heading := re.match(r"## (\d+ · .+|What to take home)", prose):
                part = "further" if heading[1].endswith(" · further") else "core"
            minutes[part] += len(re.findall(r"\w+", prose)) / 200
        elif "source_hidden" not in cell.metadata.get("jupyter", {}):
            lines = map(str.strip, cell.source.splitlines())
            minutes[part] += sum(bool(line) and line[0] != "#" for line in lines) / 12
    return minutes["core"], minutes["further"]


@every_notebook
def test_its_core_is_read_in_a_quarter_of_an_hour(path):
    core, further = reading(path)
    print(f"{path.stem}: {core:.1f} min, further {further:.1f} min")
    beginning = jupytext.read(path).cells[0].source
    assert "Ten minutes" in beginning if core < 8.5 else "quarter of an hour" in beginning.lower()
    assert core <= 13  # pictures are looked at, too
    assert further <= 10
    assert ("*further*" in beginning) == (further > 0)


@pytest.mark.timeout(1800)  # all ten, on a machine that does other things as well
def test_the_notebooks_are_quick_enough_for_a_class(ran):
    """Under 45 s each and 6 min together on two cores: in time of the processor, since other work
    on the machine makes no notebook longer."""
    seconds = {path.stem: ran(path).processor for path in NOTEBOOKS}
    print({path.stem: (round(ran(path).seconds), round(seconds[path.stem])) for path in NOTEBOOKS})
    assert max(seconds.values()) < 2 * 45, seconds
    assert sum(seconds.values()) < 2 * 6 * 60, seconds


def answers(address: str) -> bool:
    try:
        return urlopen(address, timeout=30).status == 200
    except OSError:
        return False


def test_binder_notebooks_fit_into_two_gigabytes(ran):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
         "--allow-root", "--ServerApp.token=test", f"--notebook-dir={FOLDER}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/lab?token=test"), 120)
        memory = peak_memory(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)
    for path in BINDER:
        both = ran(path).peak + memory
        print(f"{path.stem}: kernel {ran(path).peak / 1e9:.2f} GB, server {memory / 1e9:.2f} GB")
        assert both < 2e9, path.name


def test_the_glossary_is_in_order_and_has_the_words_of_the_field():
    terms = re.findall(r"^\*\*(.+?)\.?\*\*", (FOLDER / "GLOSSARY.md").read_text("utf-8"), re.M)
    plain = [re.sub(r"[^a-z0-9 ]", "", term.lower()) for term in terms]
    assert plain == sorted(plain)
    wanted = (
        "softmax", "hidden state", "residual stream", "feedforward block", "collapse", "capacity",
        "shared expert", "finegrained", "expert parallelism", "expert choice", "upcycling",
    )  # fmt: skip
    assert set(wanted) <= set(plain)


def test_the_sections_that_answer_questions_are_there():
    text = (FOLDER / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| .+\? \| (\[.+?) \| ([\d ,;to]+) \|$", text, re.M)
    assert len(rows) >= 20
    prose = {path.name: text for path, text in texts()}
    for links, sections in rows:
        names = re.findall(r"\]\(([^)]+)\)", links)
        asked = sections.split(";")
        assert len(names) == len(asked), links
        for name, each in zip(names, asked, strict=True):
            for number in re.findall(r"\d+", each):
                assert re.search(rf"^## {number} · ", prose[name], re.M), f"{name}: {number}"
