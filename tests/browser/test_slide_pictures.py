# SPDX-License-Identifier: Apache-2.0
"""The explorer on a slide: what a back row reads is there and dark, what it cannot read is away."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.view.pages.slides import save_slides
from tests.browser.conftest import until
from tests.browser.seen import SMALL
from tests.unit.test_slides import cell, shown, write

pytest.importorskip("sphinx_revealjs")
pytestmark = pytest.mark.browser
#: Colours of all words in the picture on this slide, without tokens and what stands on a colour.
WORDS = """() => {
  const root = Reveal.getCurrentSlide().querySelector('.moe-viz').shadowRoot;
  const words = [...root.querySelectorAll('span, p, h2, h3, label, figcaption, div')].filter((e) =>
    e.checkVisibility() && e.getBoundingClientRect().width && !e.closest('.tok, .cell, .sr') &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) &&
    getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)');
  return words.map((e) => [e.textContent.trim().slice(0, 40), getComputedStyle(e).color]);
}"""


@pytest.fixture
def on_a_slide(presented, tmp_path):
    """A deck whose one slide is a picture of a trace."""

    def on_a_slide(trace, **options):
        picture = mv.explore(trace, **options).to_html()
        notebook = write(
            tmp_path / "picture.ipynb",
            cell("markdown", "## A picture", "slide"),
            cell("code", "explore(trace)", "", ["hide_code"], [shown(picture)]),
        )
        return presented(save_slides([notebook], tmp_path / "deck.html", execute=False))

    return on_a_slide


@pytest.fixture(scope="module")
def passages():
    return mv.record(mv.load("8x7m"), mv.prompts.passages().parallel("cat"))


@pytest.fixture(scope="module")
def unlike():
    """Texts that are no translations of each other."""
    return mv.record(mv.load("8x7m"), ["Good morning, world.", "Press any key."], labels=["a", "b"])


def lightness(colour: str) -> int:
    return max(int(part) for part in colour.strip("rgb()").split(","))


def test_all_words_on_a_slide_are_dark(on_a_slide, passages):
    page = on_a_slide(passages)
    page.locator(".sentence:not(:empty)").wait_for()
    words = page.evaluate(WORDS)
    assert len(words) > 10
    assert [word for word in words if lightness(word[1]) > 64] == []


def test_tokens_on_a_slide_have_no_bar_of_their_gates(on_a_slide, passages, browser, tmp_path):
    gates = "[...document.querySelectorAll('.moe-viz')].map((e) => getComputedStyle("
    gates += "e.shadowRoot.querySelectorAll('.tok')[3]).backgroundSize)[0]"
    page = on_a_slide(passages)
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.evaluate(gates).startswith("0px 0px")
    alone = browser.new_page()
    alone.goto(mv.save_page(passages, tmp_path / "page.html").as_uri())
    alone.locator(".sentence:not(:empty)").wait_for()
    assert not alone.evaluate(gates).startswith("0px 0px")  # on a page they have
    alone.close()


def test_texts_are_picked_by_their_parallels_or_from_a_list(on_a_slide, passages, unlike):
    page = on_a_slide(passages)
    page.locator(".sentence:not(:empty)").wait_for()
    assert not page.locator(".prompts").is_visible()
    page.get_by_role("button", name="de", exact=True).click()
    until(lambda: "Katze" in page.locator(".text:visible").inner_text())
    page = on_a_slide(unlike)
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.locator(".prompts").is_visible()


@pytest.mark.parametrize("beside", [1, "fr"])
def test_a_comparison_fits_on_a_slide(on_a_slide, beside):
    passages = mv.prompts.passages().parallel("cat").select(["en", "fr"])
    page = on_a_slide(mv.record(mv.load("8x7m"), passages), beside=beside)
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.evaluate("Reveal.getCurrentSlide().scrollHeight") <= 720
    assert page.evaluate(SMALL) == []
    maps = [box.bounding_box() for box in page.locator(".stack:visible").all()]
    texts = [box.bounding_box() for box in page.locator(".text:visible").all()]
    theirs = page.locator(".there:visible").count()
    if beside == "fr":  # a label is compared by its loads
        assert (len(maps), len(texts), theirs) == (1, 1, 8)
        return
    assert (len(maps), len(texts), theirs) == (2, 2, 0)
    for here, there in (maps, texts):
        assert here["y"] == pytest.approx(there["y"], abs=1)
        assert here["x"] + here["width"] < there["x"]
        assert here["width"] == pytest.approx(there["width"], rel=0.02)
