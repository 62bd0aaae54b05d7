# SPDX-License-Identifier: Apache-2.0
"""The course's decks: one sentence and one thing to look at, half of them pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from moe_viz.view.pages.deck import Slide, slide_type, tags
from moe_viz.view.pages.slides import save_slides, slides_in
from tests.browser.conftest import browser, listen, until  # noqa: F401 (a fixture)

from .conftest import FOLDER, Run, every_notebook

#: Text of every slide whose colour is too near that of its ground: both, their contrast, the text.
FAINT = """() => {
  // What color-mix gives is said as color(srgb 0.9 0.9 0.9), all else as rgb(230, 230, 230).
  const rgb = (said) => said.match(/[\\d.]+/g).map(Number)
    .map((x, n) => said.startsWith("color") && n < 3 ? 255 * x : x);
  const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
    .map((x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, n) => sum + x * [0.2126, 0.7152, 0.0722][n], 0);
  const found = [];
  const texts = ".slides section :is(h1, h2, p, li, td, th, code, span, b)";
  for (const e of document.querySelectorAll(texts)) {
    if (e.closest("aside, .moe-viz, .moe-viz-diagram, .moe-viz-chart, math")) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    let ground = rgb(getComputedStyle(document.body).backgroundColor);
    const behind = [];
    for (let at = e; at && at !== document.body; at = at.parentElement) behind.unshift(at);
    for (const at of behind) {
      const [r, g, b, a = 1] = rgb(getComputedStyle(at).backgroundColor);
      ground = ground.slice(0, 3).map((x, n) => x * (1 - a) + [r, g, b][n] * a);
    }
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push([contrast.toFixed(1), e.textContent.trim().slice(0, 30)]);
  }
  return found;
}"""


def shown(slide: Slide) -> str:
    """The text that a slide shows."""
    cells = [cell for cell in slide.cells if slide_type(cell) != "notes"]
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def slides_of(run: Run) -> list[Slide]:
    return slides_in(run.path, run.notebook)


@every_notebook
def test_a_deck_has_a_dozen_main_slides_and_half_of_them_are_pictures(path, ran):
    slides = slides_of(ran(path))
    main = [slide for slide in slides if not slide.below]
    pictures = [slide for slide in main if slide.layout == "picture"]
    print(f"{path.stem}: {len(slides)} slides, {len(main)} main, {len(pictures)} with a picture")
    assert 12 <= len(main) <= 16
    assert 2 * len(pictures) >= len(main)
    assert [main[0].layout, main[-1].layout] == ["title", "statement"]
    assert len({slide.heading for slide in slides}) == len(slides)  # a talk names them by it


@every_notebook
def test_a_slide_says_one_thing(path, ran):
    for slide in slides_of(ran(path)):
        text, about = shown(slide), f"{path.stem}: {slide.heading}"
        assert slide.layout != "text", about  # it has a short form
        assert slide.layout == "title" or len(slide.heading.split()) >= 4, about  # a sentence
        assert len(re.findall(r"^#{1,2} ", text, re.M)) == 1, about
        points = re.findall(r"^(?:\d\.|-) ", text, re.M)
        words = len(re.sub(r"<small>.*?</small>|^\|.*$|^#.*$", "", text, flags=re.M | re.S).split())
        if slide.layout == "prediction":
            assert slide.heading.rstrip("*`").endswith("?"), about
            assert 2 <= len(points) <= 5, about
        else:
            assert len(points) <= 4, about
            assert words <= 70, (about, words)
        code = [c for c in slide.cells if c.cell_type == "code" and "show_code" in tags(c)]
        assert sum(len(c.source.splitlines()) for c in code) <= 14, about


@every_notebook
def test_the_speaker_is_told_what_the_notebook_says(path, ran):
    slides = slides_of(ran(path))
    told = [slide for slide in slides if slide.told]
    assert len(told) > len(slides) / 2


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@every_notebook
def test_text_stands_out_from_its_ground(path, theme, ran, browser, tmp_path):  # noqa: F811
    deck = save_slides([ran(path).path], tmp_path / "deck.html", execute=False, theme=theme)
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    noise, page = listen(context), context.new_page()
    page.goto(deck.as_uri())
    until(lambda: page.evaluate("window.Reveal && Reveal.isReady()"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[theme]  # fmt: skip
    assert page.evaluate(FAINT) == []
    assert not noise.errors
    context.close()


def test_talks_are_as_long_as_they_say_and_name_slides_that_are_there():
    done = subprocess.run(
        [sys.executable, "tools/lectures.py", "--check"],
        cwd=FOLDER.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_talk_is_put_together_with_its_questions(ran, tmp_path):
    from dataclasses import replace

    from tools.lectures import handout, lectures, questions

    lecture = lectures()[10]
    there = {part.notebook: ran(Path(part.notebook)).path for part in lecture.parts}
    parts = [replace(part, notebook=there[part.notebook]) for part in lecture.parts]
    how = {"execute": False, "title": lecture.title, "opening": lecture.opening}
    deck = save_slides(parts, tmp_path / "talk.html", **how)
    html = deck.read_text("utf-8")
    assert "It writes nonsense, but it runs inside this file" in html
    assert "Eight of it would be 57.9 billion" not in html  # of another talk
    for part in parts:
        for heading in part.headings:
            first = re.sub(r"[*`].*", "", part.says[heading].strip()).split("\n")[0]
            assert first in html, heading
    minutes = [int(n) for n in re.findall(r"<b>Minute (\d+)</b>", html)]
    assert minutes == sorted(minutes)
    assert minutes[0] == 0
    assert len(minutes) == sum(len(part.headings) for part in parts)
    paper = handout(lecture, tmp_path / "questions.html").read_text("utf-8")
    asked = questions(lecture)
    assert len(asked) == 2
    assert paper.count("☐") == sum(len(answers) for _, answers in asked)


def test_what_is_said_of_others_names_its_source():
    done = subprocess.run(
        [sys.executable, "tools/links.py"], cwd=FOLDER.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
