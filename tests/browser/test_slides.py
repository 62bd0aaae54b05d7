# SPDX-License-Identifier: Apache-2.0
"""A deck presented in headless Chromium, by keys and by pointer, and the exports of nbconvert."""

from __future__ import annotations

import re
from functools import partial

import pytest

import moe_viz as mv
from moe_viz.view.pages.pdf import save_pdf
from moe_viz.view.pages.slides import save_slides
from tests.browser.conftest import until
from tests.browser.seen import SMALL
from tests.browser.test_charts import DRAWN, colours
from tests.unit.test_slides import cell, shown, write

pytest.importorskip("sphinx_revealjs")
pytestmark = pytest.mark.browser
WAIT = 120  # seconds: a busy machine draws when it can
TEXT = "Good morning, world. Two of eight experts work on every token, and a router picks them."
AT = "(({ h, v, f }) => [h, v ?? 0, f ?? null])(Reveal.getIndices())"
FORGOTTEN = (
    "Array.from(document.querySelectorAll('.stack')).every((e) => !+e.dataset.previousIndexv)"
)


@pytest.fixture(scope="module")
def trace():
    return mv.record(mv.load("8x7m"), [TEXT, *"wxyz"], labels=["en", *"wxyz"])


@pytest.fixture(scope="module")
def notebook(trace, tmp_path_factory):
    """A talk that was run: explorer and chart, fragments, notes, code, a table, a solution."""
    chart = mv.chart(mv.analysis.load(trace))
    return write(
        tmp_path_factory.mktemp("deck") / "talk.ipynb",
        cell("markdown", "# A talk\n\n$k=2$ of $E=8$ for $5.\n\n$$p = e^{z}$$", "slide"),
        cell("markdown", "Remember the *coffee*.", "notes"),
        cell("markdown", "## The explorer", "slide"),
        cell("code", "explore(trace)", "", ["hide_code"], [shown(mv.explore(trace).to_html())]),
        cell("markdown", "## Steps\n\n- first\n\n> `code` and $x_1$", "slide"),
        cell("markdown", "second, later", "fragment"),
        cell("code", "x = [1]  # shown", "subslide", ["show_code"], [shown("<p>An output.</p>")]),
        cell("markdown", "## A chart", "slide"),
        cell("code", "chart(found)", "", [], [shown(chart.to_html())]),
        cell("code", "again", "subslide", ["hide_code"], [shown(chart.to_html())]),
        cell("markdown", "## A table\n\n| a | b |\n|---|---|\n| 1 | $x$ |", "slide"),
        cell("code", "never()", "", ["solution"]),
    )


SLIDES = [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0)]


@pytest.fixture(scope="module")
def deck(notebook):
    return save_slides([notebook], notebook.with_suffix(".html"), execute=False)


@pytest.fixture
def opened(presented, deck):
    """Opens the deck in a window of some size."""
    return partial(presented, deck)


def turn(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def at(page, *place) -> None:
    until(lambda: page.evaluate(AT)[: len(place)] == list(place), WAIT)


def test_keys_turn_the_slides_and_nothing_is_asked_for(opened):
    page = opened()
    assert page.evaluate("Reveal.getTotalSlides()") == len(SLIDES)
    at(page, 0, 0)
    steps = "Right 1 0, Right 2 0 -1, Down 2 0 0, Down 2 1, Right 3 0, Down 3 1, Up 3 0, Left 2"
    for step in steps.split(", "):
        key, *place = step.split()
        turn(page, f"Arrow{key}")
        at(page, *map(int, place))
    turn(page, "Home")
    # On the first slide reveal forgets how far down each stack one was, when its timer comes round.
    page.wait_for_function(FORGOTTEN)
    for place in [(0, 0), (1, 0), (2, 0, -1), (2, 0, 0), (2, 1)]:
        turn(page, *([" "] if place[0] else []))
        at(page, *place)
    text = page.locator("body").inner_html()
    assert "never()" not in text
    assert page.locator("math").count() == 5


def use_explorer(page, trace, sentence) -> None:
    """Tab to the explorer, move by arrows, leave it by Tab."""
    here = "document.activeElement?.classList.contains('moe-viz') ?? false"
    for _ in range(30):
        if page.evaluate(here):
            break
        turn(page, "Tab")
    assert page.evaluate(here)
    tokens = trace.prompts[0]
    first = next(t for t in range(tokens.start, tokens.stop) if not trace.special[t])
    turn(page, "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    token = first + 2
    expert = trace.experts[2, token, 0]
    said = f"In layer 2, ‘{trace.tokens[token].replace('▁', '').strip()}’ goes to expert {expert} "
    until(lambda: sentence.inner_text().startswith(said), WAIT)
    turn(page, "ArrowUp", "3", "Escape", " ", "PageDown", "PageUp", "Home", "End", "?")
    until(lambda: sentence.inner_text().startswith("In layer 1,"), WAIT)
    for _ in range(80):
        turn(page, "Tab")
        if not page.evaluate(here):
            break
    assert not page.evaluate(here)


def test_the_explorer_on_a_slide_is_used_by_keys_alone(opened, trace):
    page = opened()
    turn(page, "ArrowRight")
    at(page, 1, 0)
    sentence = page.locator(".sentence")
    sentence.wait_for()
    use_explorer(page, trace, sentence)
    at(page, 1, 0)
    turn(page, "ArrowRight")
    at(page, 2, 0)


def test_escape_undoes_and_then_leaves_the_explorer_for_the_slides(opened):
    page = opened(at="#/1")
    page.locator(".sentence").wait_for()
    page.locator(".moe-viz .mv").focus()
    turn(page, "3", "Escape")
    until(lambda: page.locator(".tok.faded").count() == 0, WAIT)
    turn(page, "ArrowRight")
    at(page, 1, 0)
    turn(page, "Escape", "ArrowRight")
    at(page, 2, 0)


@pytest.mark.parametrize("size", [(1280, 720), (1600, 900), (1024, 576)], ids=str)
def test_the_pointer_finds_its_token_under_reveal_s_scaling(opened, trace, size):
    page = opened(*size, at="#/1")
    page.locator(".sentence").wait_for()
    tokens, chosen = page.locator(".tok"), page.locator(".tok.chosen")
    for n in (3, 11, 20, 7):
        tokens.nth(n).scroll_into_view_if_needed()
        box = tokens.nth(n).bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(2, 2)
        until(lambda n=n: tokens.nth(n).get_attribute("class").split().count("chosen") == 1, WAIT)
        assert chosen.count() == 1
    number, rows = trace.prompts[0].stop - trace.prompts[0].start, len(trace.layers)
    box = page.locator(".stack .marks").bounding_box()
    for n, layer in ((5, 0), (number - 3, rows - 1), (9, 2)):
        page.mouse.click(box["x"] + (n + 0.5) * box["width"] / number,
                         box["y"] + (layer + 0.5) * box["height"] / rows)  # fmt: skip
        page.mouse.move(2, 2)
        until(lambda n=n: "chosen" in tokens.nth(n).get_attribute("class").split(), WAIT)
        said = f"In layer {layer}, "
        until(lambda s=said: page.locator(".sentence").inner_text().startswith(s), WAIT)
    at(page, 1, 0)


@pytest.mark.parametrize("size", [(1280, 720), (1600, 900)], ids=str)
def test_a_chart_on_a_later_slide_is_as_wide_as_its_slide(opened, size, tmp_path):
    page = opened(*size)
    for place in ((3, 0), (3, 1)):
        page.evaluate(f"Reveal.slide{place}")
        at(page, *place)
        chart = page.locator("section.present:not(.stack) .moe-viz-chart")
        until(lambda c=chart: c.get_attribute("data-ready") == "yes", WAIT)
        drawing = chart.locator(".moe-viz-plot")
        box = drawing.bounding_box()
        assert all(w == pytest.approx(box["width"], abs=2) for w in drawing.evaluate(DRAWN))
        assert box["width"] > 0.85 * size[0]
        assert colours(drawing.screenshot(), tmp_path) >= 4
        whole = chart.bounding_box()
        assert whole["y"] + whole["height"] <= size[1]


def test_arrows_in_a_chart_change_its_layer_and_no_slide(opened):
    page = opened(at="#/3")
    drawing = page.locator("section.present:not(.stack) .moe-viz-plot")
    until(lambda: drawing.get_attribute("tabindex") == "0", WAIT)
    focused = "e => e === document.activeElement"
    for _ in range(30):
        turn(page, "Tab")
        if drawing.evaluate(focused):
            break
    assert drawing.evaluate(focused)
    turn(page, "ArrowRight", "ArrowRight", "ArrowLeft")
    until(lambda: drawing.evaluate("e => e.layout.sliders[0].active") == 1, WAIT)
    at(page, 3, 0)


def test_the_speaker_s_window_follows_the_deck_and_turns_it(opened):
    page = opened()
    with page.expect_popup() as popup:
        turn(page, "s")
    window = popup.value
    notes, now = window.locator(".notes > div"), window.locator(".now .frame")
    assert notes.inner_text().strip() == "Remember the coffee."
    assert notes.locator("em").inner_text() == "coffee"
    assert "A talk" in now.inner_text()
    assert "Remember" not in now.inner_text()
    assert "The explorer" in window.locator(".coming .frame").inner_text()
    turn(page, "ArrowRight")
    at(page, 1, 0)
    until(lambda: notes.inner_text() == "No notes on this slide.", WAIT)
    until(lambda: window.locator(".now .frame .tok").count() > 10, WAIT)  # the picture as it is
    turn(window, "ArrowRight")
    at(page, 2, 0)
    turn(window, "PageUp")
    at(page, 1, 0)
    page.evaluate("Reveal.slide(3)")
    plots = "(e) => [...e.querySelectorAll('.main-svg')].map((s) => s.getBoundingClientRect().y)"
    drawn = window.locator(".now .moe-viz-plot")
    until(lambda: drawn.count() and len(set(drawn.evaluate(plots))) == 1, WAIT)  # on each other
    page.evaluate("Reveal.slide(4)")
    until(lambda: window.locator(".coming").inner_text().endswith("the last slide."), WAIT)
    until(lambda: window.locator(".now .frame").count() == 1, WAIT)
    assert len(window.frames) == 1
    boxes = [window.locator(f".{part}").bounding_box() for part in ("now", "clock", "notes")]
    size = window.evaluate("[innerWidth, innerHeight]")
    assert all(b["x"] + b["width"] <= size[0] and b["y"] + b["height"] <= size[1] for b in boxes)
    passed = window.locator(".clock > div")
    until(lambda: not passed.inner_text().endswith("· 00:00"), WAIT)
    window.locator("button").click()
    assert passed.inner_text().endswith("· 00:00")
    window.close()
    turn(page, "Home")  # and goes on without it
    at(page, 0, 0)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_text_on_a_slide_is_under_18_px(opened, scheme):
    page, small = opened(color_scheme=scheme), {}
    for place in SLIDES:
        page.evaluate(f"Reveal.slide{(*place, 0)}")
        at(page, *place)
        for figure in page.locator("section.present:not(.stack) .moe-viz-chart").all():
            until(lambda f=figure: f.get_attribute("data-ready") == "yes", WAIT)
        for whose, *what in page.evaluate(SMALL):
            small.setdefault(whose, []).append((place, *what))
        # The deck is light whatever the system is, and so are its pictures.
        for figure in page.locator("section.present:not(.stack) .moe-viz-chart, .mv:visible").all():
            ground = figure.evaluate("e => getComputedStyle(e).backgroundColor")
            assert ground == "rgb(255, 255, 255)"
    assert small == {}


def test_the_pdf_has_a_page_for_each_slide(deck, tmp_path):
    printed = save_pdf(deck, tmp_path / "talk.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == len(SLIDES)
