# SPDX-License-Identifier: Apache-2.0
"""Talks out of the course: one file each, of slides of many notebooks, and a page of questions.

In: notebooks/lectures.toml, which names the slides of each talk by their headings. Out:
out/lecture-45.html and out/lecture-45-questions.html, and so on. Neither needs a network; the model
is in a talk once. The notebooks are run first.

    python tools/lectures.py [--check] [--theme dark] [45 …]
"""

from __future__ import annotations

import argparse
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from moe_viz.living import held
from moe_viz.view.charts.chart import page
from moe_viz.view.document import write
from moe_viz.view.pages.deck import Slide, chosen, tags
from moe_viz.view.pages.notebook import read_notebook
from moe_viz.view.pages.slides import THEMES, Part, save_slides, slides_in

ROOT = Path(__file__).parents[1]
FOLDER, OUT = ROOT / "notebooks", ROOT / "out"
#: The most slides that a talk of so many minutes may have, with the one that names it.
MOST = {10: 8, 45: 22, 90: 40}


@dataclass(frozen=True)
class Lecture:
    """A talk: its length in minutes, its title, and its parts in order."""

    minutes: int
    title: str
    opening: str  # what the speaker says first
    questions: int  # minutes left for them at the end
    parts: tuple[Part, ...]

    def slides(self) -> list[Slide]:
        """Its slides, without what running the notebooks puts on them."""
        return [
            slide
            for part in self.parts
            for slide in chosen(
                _slides(Path(part.notebook)), part.headings, Path(part.notebook).name
            )
        ]


def lectures() -> dict[int, Lecture]:
    """Every talk that the file has, by its length."""
    found, held = {}, tomllib.loads((FOLDER / "lectures.toml").read_text("utf-8"))
    for said in held["lecture"]:
        parts = tuple(
            Part(
                _notebook(part["notebook"]),
                tuple(part["slides"]),
                part["minutes"],
                held["says"].get(part["notebook"], {}),
            )
            for part in said["part"]
        )
        found[said["minutes"]] = Lecture(
            said["minutes"], said["title"], said["opening"], said["questions"], parts
        )
    return found


def questions(lecture: Lecture) -> list[tuple[str, list[str]]]:
    """What the audience is asked, each with the answers to choose from."""
    asked = []
    for slide in lecture.slides():
        if slide.layout == "prediction":
            text = "\n".join(cell.source for cell in slide.cells if cell.cell_type == "markdown")
            asked.append((slide.heading, re.findall(r"^- (.+)$", text, re.M)))
    return asked


def handout(lecture: Lecture, path: Path) -> Path:
    """A page to print: the questions, each with boxes to tick, and room for what was the case."""
    from moe_viz.view.pages.markdown import rendered

    def inline(text: str) -> str:
        return re.sub(r"^<p>|</p>$", "", rendered(text).strip())

    blocks = [
        f"<h2>{n}. {inline(question)}</h2><p>{boxes}</p><p class=was>It was: </p>"
        for n, (question, answers) in enumerate(questions(lecture), 1)
        for boxes in ["".join(f"<span class=box>☐ {inline(a)}</span> " for a in answers)]
    ]
    style = (
        "<style>.box { display: inline-block; margin: 0 2em 4px 0; } h2 { border: 0; padding: 0; "
        "margin: 28px 0 4px; break-inside: avoid; } .was { border-bottom: 1px solid var(--line); "
        "max-width: none; padding-bottom: 20px; color: var(--muted); }</style>"
    )
    head = (
        f"<h1>{escape(lecture.title)}</h1><p>Tick an answer before the slide turns. Measured is "
        "of 8x7m, a small model of Mixtral's shape, unless the slide says Mixtral.</p>"
    )
    return write(path, page(f"{lecture.title}: questions", style + head + "".join(blocks)))


def check() -> None:
    """Raise where a talk is not as it says: slides, minutes, live stops, a text for each slide."""
    for minutes, lecture in lectures().items():
        slides = lecture.slides()
        taken = sum(part.minutes for part in lecture.parts) + lecture.questions
        silent = [h for part in lecture.parts for h in part.headings if h not in part.says]
        live = sum(any("live" in tags(cell) for cell in slide.cells) for slide in slides)
        print(
            f"{minutes} minutes: {len(slides)} slides, {live} live, {len(questions(lecture))} asked"
        )
        assert len(slides) < MOST[minutes], (minutes, len(slides))
        assert taken == minutes, (minutes, taken)
        assert live == 2, (minutes, live)
        assert not silent, (minutes, silent)
    parts = [part for lecture in lectures().values() for part in lecture.parts]
    unused = {h for part in parts for h in part.says} - {h for part in parts for h in part.headings}
    assert not unused, unused


@cache
def _slides(path: Path) -> list[Slide]:
    return slides_in(path, read_notebook(path, execute=False))


def _notebook(number: str) -> Path:
    [path] = FOLDER.glob(f"{number}_*.ipynb")
    return path


def main() -> None:
    """Write the talks that are named, or all of them."""
    parser = argparse.ArgumentParser(description="Talks out of the course.")
    parser.add_argument("minutes", nargs="*", type=int)
    parser.add_argument("--check", action="store_true", help="only look whether they are as named")
    parser.add_argument("--theme", choices=THEMES, default="light")
    given = parser.parse_args()
    check()
    if given.check:
        return
    known = lectures()
    OUT.mkdir(exist_ok=True)
    for minutes in given.minutes or known:
        lecture = known[minutes]
        path = OUT / f"lecture-{minutes}.html"
        how = {"theme": given.theme, "title": lecture.title, "opening": lecture.opening}
        save_slides(lecture.parts, path, True, print, held, **how)
        paper = handout(lecture, OUT / f"lecture-{minutes}-questions.html")
        print(f"written: {path} ({path.stat().st_size / 1e6:.0f} MB), {paper.name}")


if __name__ == "__main__":
    main()
