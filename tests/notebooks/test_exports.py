# SPDX-License-Identifier: Apache-2.0
"""Every notebook as a page and as slides, opened without a network: alive, whole, readable."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from moe_viz.view.pages.pdf import save_pdf
from moe_viz.view.pages.slides import save_notebook_page, save_slides
from tests.browser.conftest import browser, listen, until  # noqa: F401 (a fixture)

from .conftest import NOTEBOOKS, every_notebook

pytestmark = pytest.mark.browser

#: Text of the slide that is shown, and how large it is drawn; what is folded away does not count,
#: nor do indices in formulas.
SMALL = """() => {
  const found = [], scale = Reveal.getScale();
  const walk = (node) => {
    if (node.nodeType === 3) {
      const at = node.parentElement;
      if (!node.textContent.trim() || !at || at.closest("math, script, style, aside")) return;
      if (!at.checkVisibility({ visibilityProperty: true })) return;
      const drawn = at.ownerSVGElement?.getBoundingClientRect().width;  // a drawing may be enlarged
      const own = at.ownerSVGElement?.viewBox.baseVal?.width;
      const size = parseFloat(getComputedStyle(at).fontSize) * (own ? drawn / own : scale);
      if (size < 17.9) found.push([size, node.textContent.trim().slice(0, 40)]);
      return;
    }
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.childNodes) walk(child);
  };
  walk(Reveal.getCurrentSlide());
  return found;
}"""
HEIGHT = """() => {
  // The slide within its section ends above the foot.
  const both = [Reveal.getCurrentSlide(), Reveal.getCurrentSlide().querySelector(".slide")];
  return [Math.max(...both.map((e) => e.scrollHeight - e.clientHeight)),
    Math.max(...both.map((e) => e.scrollWidth - e.clientWidth))];
}"""
FIGURES = ".moe-viz, .moe-viz-plot"


@pytest.fixture
def opened(browser):  # noqa: F811
    """Opens a file offline; afterwards: it asked for nothing else, and complained of nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    noise, page = listen(context), context.new_page()

    def go(path: Path):
        page.goto(path.as_uri())
        return page

    yield go
    assert not noise.errors
    assert not noise.outside("file:")
    context.close()


def is_blank(picture: bytes) -> bool:
    colours = Image.open(BytesIO(picture)).convert("RGB").getcolors(1_000_000) or []
    return len(colours) < 8


def drawn(figure) -> bool:
    """Whether a picture has been drawn: the explorer's shadow, or a chart that says it is ready."""
    return figure.evaluate(
        "e => e.shadowRoot ? !!e.shadowRoot.querySelector('canvas')"
        " : e.closest('.moe-viz-chart').dataset.ready === 'yes'"
    )


@every_notebook
def test_the_page_of_a_notebook_is_alive_offline(path, ran, opened, tmp_path):
    page = opened(save_notebook_page([ran(path).path], tmp_path / "page.html", execute=False))
    figures = page.locator(FIGURES)
    assert figures.count()
    for n in range(figures.count()):
        figure = figures.nth(n)
        if figure.evaluate("e => !e.checkVisibility()"):  # in a folded solution
            continue
        figure.scroll_into_view_if_needed()
        until(lambda figure=figure: drawn(figure))
        assert not is_blank(figure.screenshot()), f"figure {n}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@every_notebook
def test_the_slides_of_a_notebook_fit_and_can_be_read(path, ran, opened, tmp_path):
    page = opened(save_slides([ran(path).path], tmp_path / "deck.html", execute=False))
    until(lambda: page.evaluate("window.Reveal && Reveal.isReady()"))
    too_high, too_small, shown = [], [], 0
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        if number:
            before = page.evaluate("Reveal.getSlidePastCount()")
            while page.evaluate("Reveal.getSlidePastCount()") == before:
                page.keyboard.press("Space")  # past the slide's fragments to the next one
        figures = page.locator("section.present:not(.stack)").last.locator(FIGURES)
        for n in range(figures.count()):
            figure = figures.nth(n)
            until(lambda figure=figure: drawn(figure))
            assert not is_blank(figure.screenshot()), f"slide {number + 1}, figure {n}"
            shown += 1
        down, across = page.evaluate(HEIGHT)
        if down > 2 or across > 2:
            too_high.append((number + 1, down, across))
        small = page.evaluate(SMALL)
        if small:
            too_small.append((number + 1, small[:3]))
    assert not too_high, f"slide, pixels too high, too wide: {too_high}"
    assert not too_small, too_small
    assert shown, "no picture on any slide"


def test_the_deck_of_the_heatmaps_prints_a_page_for_each_slide(ran, opened, tmp_path):
    path = next(p for p in NOTEBOOKS if p.name.startswith("04"))
    deck = save_slides([ran(path).path], tmp_path / "deck.html", execute=False)
    slides = opened(deck).evaluate("Reveal.getTotalSlides()")
    printed = save_pdf(deck, tmp_path / "deck.pdf").read_bytes()
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= slides
