# SPDX-License-Identifier: Apache-2.0
"""A deck asks: answers are picked by pointer and by number, and named where they are answered."""

from __future__ import annotations

import pytest

from moe_viz.view.pages.slides import save_slides
from tests.browser.conftest import listen, until
from tests.unit.test_slides import cell, write

pytest.importorskip("sphinx_revealjs")
pytestmark = pytest.mark.browser
ANSWERS = "- two\n- about half\n- all **eight**"
ASKED = f"<!-- slide\n## How many of *eight* will run?\n\n{ANSWERS}\n-->\n"
CODE = "a = 1\nb = '''x\ny'''\nc = 3\nd = 4"


@pytest.fixture(scope="module")
def deck(tmp_path_factory):
    path = write(
        tmp_path_factory.mktemp("asked") / "03_a.ipynb",
        cell("markdown", "# A talk", "slide"),
        cell("markdown", ASKED + "## 2 · One\n\n**Write down** a number.", "slide", ["prediction"]),
        cell("markdown", "<!-- slide\n## All of them\n-->\nProse.", "slide"),
        cell("markdown", "## 3 · Code", "slide"),
        cell("code", CODE, "", ["show_code", "lit:1|2-3|5"]),
        cell("markdown", "<!-- slide\n## The end\n-->", "slide"),
    )
    return save_slides([path], path.with_suffix(".html"))


@pytest.fixture
def page(browser, deck):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    noise, page = listen(context), context.new_page()
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    yield page
    assert noise.errors == []
    context.close()


def test_long_answers_stand_below_each_other_and_are_equally_wide(presented, tmp_path):
    asked = {
        "short": ANSWERS,
        "long": "- the first, in every layer of it\n- another one, which is a long answer\n- none",
    }
    cells = [cell("markdown", "# A talk", "slide")]
    for name, answers in asked.items():
        source = f"<!-- slide\n## {name}?\n\n{answers}\n-->\n## {name}"
        cells.append(cell("markdown", source, "slide", ["prediction"]))
    notebook = write(tmp_path / "asked.ipynb", *cells)
    page, boxes = presented(save_slides([notebook], tmp_path / "asked.html")), {}
    for n, name in enumerate(asked, 1):
        page.evaluate(f"Reveal.slide({n})")
        buttons = page.locator("section.present.prediction button")
        buttons.first.wait_for()
        boxes[name] = [button.bounding_box() for button in buttons.all()]
    assert len({round(box["y"]) for box in boxes["short"]}) == 1
    assert len({round(box["y"]) for box in boxes["long"]}) == 3
    assert len({round(box["width"]) for box in boxes["long"]}) == 1


def said(page) -> str:
    return page.locator(".reveal > .said").evaluate("e => e.hidden ? '' : e.textContent")


def pressed(page) -> list[str]:
    return page.locator("section.prediction button[aria-pressed=true]").all_inner_texts()


def test_an_answer_is_picked_and_named_on_the_slides_of_its_section(page):
    page.keyboard.press("ArrowRight")
    buttons = page.locator("section.prediction button")
    assert buttons.all_inner_texts() == ["two", "about half", "all eight"]
    assert page.locator("section.prediction h2 em").inner_text() == "eight"
    assert said(page) == ""
    buttons.nth(1).click()
    assert pressed(page) == ["about half"]
    page.keyboard.press("3")  # by its number, and instead of the other
    assert pressed(page) == ["all eight"]
    page.keyboard.press("9")
    assert pressed(page) == ["all eight"]
    assert said(page) == ""  # not beside the question itself
    page.keyboard.press("ArrowRight")
    until(lambda: said(page) == "You said: all eight")
    page.keyboard.press("1")  # on another slide a number picks nothing
    page.keyboard.press("ArrowRight")
    until(lambda: said(page) == "")  # another section
    page.keyboard.press("ArrowLeft")
    until(lambda: said(page) == "You said: all eight")


def test_nothing_is_named_where_nothing_was_said(page):
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    until(lambda: "All of them" in page.evaluate("Reveal.getCurrentSlide().innerText"))
    assert said(page) == ""


def test_lines_of_code_are_lit_step_by_step(page):
    page.evaluate("Reveal.slide(3)")
    lines = page.locator("[data-lit] .line")
    assert lines.all_inner_texts() == CODE.split("\n")  # a long string is cut where its lines end
    dim = "es => es.map((e, n) => e.classList.contains('dim') ? n + 1 : 0).filter(Boolean)"
    steps = [[], [2, 3, 4, 5], [1, 4, 5], [1, 2, 3, 4]]
    for n, expected in enumerate(steps):
        if n:
            page.keyboard.press("ArrowRight")
        until(lambda e=expected: lines.evaluate_all(dim) == e)
    assert page.evaluate("Reveal.getIndices().h") == 3
    page.keyboard.press("ArrowLeft")
    until(lambda: lines.evaluate_all(dim) == steps[2])
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    until(lambda: page.evaluate("Reveal.getIndices().h") == 4)
