# SPDX-License-Identifier: Apache-2.0
"""Slides: what is on each, how it is laid out, what the speaker is told, what a talk takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.pages.deck import chosen, deck
from moe_viz.view.pages.slides import Part, save_notebook_page, save_slides
from tests.unit.test_slides import cell, shown, write

pytest.importorskip("sphinx_revealjs")
SHORT = "<!-- slide\n## A comma?\n\nIn five languages.\n-->\n"
LONG = "## 5 · The same tokens\n\nMuch, but of *what*?"


def parsed(path: Path) -> Any:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def slide_texts(soup: Any) -> list[str]:
    """The words of each slide, without its notes and its foot."""
    found = []
    for slide in soup.select(".slides section .slide"):
        for note in slide.select("aside"):
            note.extract()
        found.append(" ".join(slide.stripped_strings))
    return found


def test_a_slide_shows_the_short_form_and_the_speaker_is_told_the_text(tmp_path):
    path = write(
        tmp_path / "a.ipynb",
        cell("markdown", SHORT + LONG, "slide"),
        cell("code", "hidden = 1", "", outputs=[shown("<table><tr><td>7</table>")]),
        cell("code", "shown = 2", "", ["show_code"]),
        cell("markdown", "Between slides.", "skip"),
        cell("code", "never = 3", "skip"),
        cell("markdown", "## Exercises\n\nTry.", "skip"),
        cell("markdown", "### Exercise 1", "skip"),
    )
    soup = parsed(save_slides([path], tmp_path / "deck.html"))
    notes = [" ".join(note.stripped_strings) for note in soup.select("aside.notes")]
    assert notes == ["5 · The same tokens Much, but of what ?", "Between slides."]
    assert soup.select_one("aside.notes em").text == "what"  # written as in the notebook
    assert slide_texts(soup) == ["A comma? In five languages. 7 shown = 2"]
    # A page, and the notebook's own view, have the text alone.
    page = parsed(save_notebook_page([path], tmp_path / "page.html")).get_text()
    assert "Much, but of what?" in page
    assert "A comma?" not in page


def test_what_is_known_of_a_slide_decides_how_it_is_laid_out():
    picture = shown('<div class="moe-viz-chart"></div>')
    table = shown(mv.table({"a": [1]}, ["b"]).to_html())
    slides = deck([
        cell("markdown", "# Title", "slide"),
        cell("markdown", "<!-- slide\n## Why?\n-->", "slide", ["prediction"]),
        cell("markdown", "## Look", "slide"), cell("code", "x", outputs=[picture]),
        cell("markdown", "## Numbers", "slide"), cell("code", "x", outputs=[table]),
        cell("markdown", "## Both", "slide"),
        cell("code", "x", tags=["show_code"], outputs=[table]),
        cell("markdown", "## Written\n\n| a |\n| - |\n| b |", "slide"),
        cell("markdown", "<!-- slide\n## Said\n-->", "slide"),
        cell("markdown", "## Side by side", "slide", ["columns"]),
        cell("code", "x", outputs=[picture]),
        cell("markdown", "## As it is", "slide"),
    ])  # fmt: skip
    assert [(slide.heading, slide.layout) for slide in slides] == [
        *[("Title", "title"), ("Why?", "prediction"), ("Look", "picture"), ("Numbers", "table")],
        *[("Both", "code"), ("Written", "table"), ("Said", "statement")],
        *[("Side by side", "columns"), ("As it is", "text")],
    ]


def test_sections_marked_further_hang_below(tmp_path):
    path = write(
        tmp_path / "05_a.ipynb",
        cell("markdown", "# T", "slide"),
        cell("markdown", "## 1 · One", "slide"),
        cell("markdown", "<!-- slide\n## Short\n-->\n## 2 · Two · further", "slide"),
        cell("markdown", "## More of it", "slide"),
        cell("markdown", "## 3 · Three", "slide"),
        cell("markdown", "## 4 · Four · further", "slide"),
        cell("markdown", "## What to take home", "slide"),
    )
    soup = parsed(save_slides([path], tmp_path / "deck.html"))
    stacks = soup.select_one(".slides").find_all("section", recursive=False)
    found = [[s.h2.text if s.h2 else s.h1.text for s in (stack.select("section") or [stack])]
             for stack in stacks]  # fmt: skip
    assert found == [
        ["T"],
        ["1 · One", "Short", "More of it"],
        ["3 · Three", "4 · Four · further"],
        ["What to take home"],
    ]
    sections = [s["data-section"] for s in soup.select(".slides section[class]")]
    assert sections == [f"05/{n}" for n in ("", 1, 2, 2, 3, 4, 4)]


def test_a_talk_takes_slides_by_their_headings_and_its_minutes_run_on(tmp_path):
    texts = "# One", SHORT + LONG, "## Left out"
    one = write(tmp_path / "01_a.ipynb", *[cell("markdown", text, "slide") for text in texts])
    further = cell("markdown", "## 1 · x · further", "subslide")
    two = write(tmp_path / "02_b.ipynb", cell("markdown", "# Two", "slide"), further)
    talk = [
        Part(one, ("A comma?",), 5),
        Part(two, ("1 · x · further", "Two"), 6),
        Part(one, ("One",), 1),
    ]
    soup = parsed(save_slides(talk, tmp_path / "talk.html", title="A talk"))
    assert soup.title.text == "A talk"
    heads = [s.find(["h1", "h2"]).text for s in soup.select(".slides > section")]
    assert heads == ["A talk", "A comma?", "1 · x · further", "Two", "One"]
    minutes = [re.findall(r"Minute (\d+)", str(s)) for s in soup.select(".slides > section")]
    assert minutes == [[], ["0"], ["5"], ["8"], ["11"]]
    with pytest.raises(InputError, match=r"01_a\.ipynb has no slide .*'Missing'; it has: One; A"):
        save_slides([Part(one, ("Missing",), 1)], tmp_path / "talk.html")
    slides = deck([cell("markdown", "## 1 · a", "slide"), cell("markdown", "## b", "subslide")])
    assert [s.below for s in chosen(slides, ["b"], "x")] == [False]
    asked = cell("markdown", "## 3 · How many?\n\n- one\n- two", "slide", ["prediction"])
    names = ["7 · c", "8 · d", "9 · e"]
    later = [cell("markdown", f"## {name}", "slide") for name in names]
    picked = chosen(deck([asked, *later], "00"), ["3 · How many?", *names], "x")
    assert [s.section for s in picked] == ["00/3", "00/3", "00/3", "00/9"]
    assert slides[1].below  # what was chosen is a copy


def test_in_a_talk_the_speaker_has_a_text_of_its_own_and_what_charts_say(tmp_path):
    trace = mv.record(mv.load("8x7m", device="cpu"), mv.prompts.passages().select("en")[:2])
    chart = mv.chart(mv.analysis.load(trace))
    path = write(
        tmp_path / "05_talk.ipynb",
        cell("markdown", "<!-- slide\n## One\n-->\nFor *readers*, section 3.", "slide"),
        cell("code", "chart", "", outputs=[shown(chart.to_html())]),
        cell("markdown", "## Counted", "skip"),  # a heading is nothing to say
        cell("markdown", "Between slides.", "skip"),
        cell("markdown", "<!-- slide\n## Two\n-->\nThe text of two.", "slide"),
    )

    def notes(soup: Any) -> list[str]:
        slides = soup.select(".slides section:not(:has(section))")
        return [" ".join(" ".join(n.stripped_strings) for n in s.select("aside")) for s in slides]

    one, two = notes(parsed(save_slides([path], tmp_path / "deck.html")))
    assert one == f"For readers , section 3. Between slides. {chart.sentence}"
    assert two == "The text of two."
    part = Part(path, ("One", "Two"), 4, {"One": "Look at the *left*."})
    talk = save_slides([part], tmp_path / "talk.html", title="A talk", opening="Two **models**.")
    opening, one, two = notes(parsed(talk))
    assert opening == "Two models ."
    assert one == f"Look at the left . {chart.sentence} Minute 0"
    assert two == "The text of two. Minute 2"


def test_a_slide_without_anything_is_none(tmp_path):
    path = write(tmp_path / "a.ipynb", cell("markdown", "# A", "slide"),
                 cell("markdown", "<!-- slide\n-->", "slide"))  # fmt: skip
    soup = parsed(save_slides([path], tmp_path / "a.html"))
    assert len(soup.select(".slides section")) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_deck_is_light_or_dark_whatever_the_system_is(tmp_path, theme):
    path = write(tmp_path / "a.ipynb", cell("code", "x = 1", tags=["show_code"]))
    html = save_slides([path], tmp_path / "a.html", theme=theme).read_text("utf-8")
    assert f'jpThemeLight = "{str(theme == "light").lower()}"' in html
    assert f"color-scheme: {theme}; }}" in html
    assert "prefers-color-scheme: dark) {" not in html.partition("<body>")[0]
    with pytest.raises(InputError, match="theme must be one of light, dark, found 'grey'"):
        save_slides([path], tmp_path / "a.html", theme="grey")


def test_lines_of_code_are_lit_as_a_tag_says(tmp_path):
    path = write(tmp_path / "a.ipynb", cell("code", "a = 1", "slide", ["show_code", "lit:1|2-3"]))
    soup = parsed(save_slides([path], tmp_path / "a.html"))
    assert [e["data-lit"] for e in soup.select("[data-lit]")] == ["1|2-3"]
