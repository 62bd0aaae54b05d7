# SPDX-License-Identifier: Apache-2.0
"""The model in decks and pages of notebooks: behind the picture of a cell that is tagged `live`."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.living import held
from moe_viz.view.pages.slides import save_notebook_page, save_slides
from tests.browser.conftest import drawn, listen, until
from tests.browser.seen import SMALL
from tests.unit.test_slides import cell, shown, write

pytest.importorskip("sphinx_revealjs")
pytestmark = pytest.mark.browser
TEXT = "Our cat answers to no name, but she knows the sound of the fridge through two doors."
READY = re.compile(r"\d+ tokens\. Nothing that you type leaves this page\.")
ADDRESS = "https://example.org/lab.html"


@pytest.fixture(scope="module")
def notebook(model, tmp_path_factory):
    pictures = [shown(mv.explore(mv.record(model, TEXT)).to_html()) for _ in range(2)]
    first, second = (
        cell("code", "mv.explore(trace)", "", ["live", "hide_code"], [picture])
        for picture in pictures
    )
    return write(
        tmp_path_factory.mktemp("live") / "talk.ipynb",
        cell("markdown", "# A talk", "slide"),
        cell("markdown", "## The model on a slide", "slide"),
        first,
        cell("markdown", "# The end", "slide"),
        second,
    )


@pytest.fixture(scope="module")
def files(notebook):
    get = partial(held, address=ADDRESS)
    folder = notebook.parent
    return {
        "deck": save_slides([notebook], folder / "deck.html", held=get),
        "page": save_notebook_page([notebook], folder / "page.html", held=get),
    }


@pytest.fixture
def opened(browser, files):
    contexts = []

    def open_page(kind: str, where: str = "", **options):
        context = browser.new_context(**{"offline": True} | options)
        noise, page = listen(context), context.new_page()
        contexts.append((context, noise))
        page.goto(files[kind].as_uri() + where)
        page.get_by_text(READY).first.wait_for()
        return page

    yield open_page
    for context, noise in contexts:
        assert noise.errors == []
        assert noise.outside("file:") == []
        context.close()


SLIDE = {"viewport": {"width": 1280, "height": 720}}


def test_the_model_runs_on_a_slide_and_letters_turn_none(opened, model):
    page = opened("deck", "#/1", **SLIDE)
    box = page.get_by_label("Your text").first
    box.click()
    box.fill("")
    page.keyboard.type("Good morning n p f s o ? world. ")
    for key in ("ArrowLeft", "Home", "PageDown", "End", "Space"):
        page.keyboard.press(key)
    typed = box.input_value()
    assert "n p f s o ? world." in typed
    trace = mv.record(model, typed)
    page.get_by_text(re.compile(rf"^{len(trace)} tokens\.")).first.wait_for()
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_label("Experts a token").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_label("Experts a token").select_option("3")
    page.get_by_text("Changed: top-3").wait_for()
    page.get_by_role("button", name="Write", exact=True).click()
    for field in ("Tokens", "Temperature", "Seed"):
        page.get_by_label(field, exact=True).press("ArrowDown")
    page.get_by_text("Share", exact=True).first.click()
    page.get_by_label("A code to open").first.press("n")
    page.get_by_label("A code to open").first.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1
    page.locator("section.present .mv").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1


@pytest.mark.parametrize("name", ["Look", "Change", "Write"])
def test_every_mode_fits_a_slide_in_type_that_can_be_read(opened, name):
    page = opened("deck", "#/1", **SLIDE, bypass_csp=True)
    page.get_by_role("button", name=name, exact=True).click()
    if name == "Change":
        box = page.locator(".grid .stack").bounding_box()
        page.locator(".grid .stack").click(
            position={"x": 6.3 * box["width"] / 8, "y": 5.3 * box["height"] / 6}
        )
        page.get_by_role("button", name="Switch off").click()
        page.locator(".scores .guess").nth(4).wait_for()
    drawn(page)
    page.wait_for_timeout(300)
    bottom = page.locator("section.present .moe-viz").evaluate(
        "e => e.getBoundingClientRect().bottom"
    )
    assert bottom <= 720
    assert page.evaluate(SMALL) == []
    found = Axe().run(page, "section.present .moe-viz-live").response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


def test_a_slide_that_is_not_shown_unpacks_nothing_and_each_has_its_own_text(opened, model):
    page = opened("deck", "#/1", **SLIDE)
    assert len(page.workers) == 1
    page.get_by_label("Your text").first.fill("Bonjour.")
    page.get_by_text(re.compile(rf"^{len(mv.record(model, 'Bonjour.'))} tokens")).first.wait_for()
    with page.expect_event("worker"):
        page.evaluate("Reveal.next()")
    page.locator("section.present .status", has_text="Nothing that you type").wait_for()
    assert page.get_by_label("Your text").nth(1).input_value() == TEXT


def test_the_weights_are_in_a_file_once(files):
    for path in files.values():
        html = path.read_text(encoding="utf-8")
        assert html.count('id="moe-viz-held-weights-data"') == 1
        assert html.count("function moeVizModel(") == html.count("function moeVizLab(") == 1
        assert len(html) < 33e6
        assert "worker-src blob:" in html
        assert "connect-src" not in html


def test_a_page_of_a_notebook_runs_it_too(opened, model):
    page = opened("page")
    box = page.get_by_label("Your text").first
    trace = mv.record(model, "Guten Morgen, Welt.")
    box.fill("Guten Morgen, Welt.")
    page.get_by_text(re.compile(rf"^{len(trace)} tokens\.")).first.wait_for()
    until(lambda: page.locator(".moe-viz").first.locator(".text .tok").count() == len(trace))
    with mv.intervene(model, top_k=1):
        single = mv.record(model, "Guten Morgen, Welt.")
    page.get_by_role("button", name="Change", exact=True).first.click()
    page.get_by_label("Experts a token").first.select_option("1")
    page.get_by_text("Changed: top-1.").wait_for()
    first = page.locator(".moe-viz").first
    first.get_by_label("Map", exact=True).select_option("tokens")
    page.get_by_role("button", name="Look", exact=True).first.click()
    expert = int(single.experts[0, 1, 0])
    until(lambda: f"goes to expert {expert} (100" in first.locator(".sentence").inner_text())


def test_a_slide_shows_where_the_page_is_hosted(opened):
    page = opened("deck", "#/1", **SLIDE)
    page.get_by_text("Share", exact=True).first.click()
    code = page.get_by_role("img", name=f"QR code of {ADDRESS}").first
    code.wait_for()
    box = code.bounding_box()
    assert box["width"] >= 250
    assert box["y"] + box["height"] <= 720
    assert page.get_by_label("What is shown, as a code").first.input_value().startswith(ADDRESS)


def test_the_qr_code_says_the_address(files):
    segno = pytest.importorskip("segno")
    modules = np.array(segno.make(ADDRESS, error="m", micro=False).matrix)
    from moe_viz.view.live.page import _qr

    assert str(len(modules) + 8) in _qr(ADDRESS)
    assert _qr(ADDRESS) != _qr(ADDRESS.replace("lab", "bal"))


def test_other_models_and_other_cells_stay_as_they_were_recorded(notebook, model, tmp_path):
    said: list[str] = []
    plain = save_slides([notebook], tmp_path / "plain.html", said=said.append)
    assert "moeVizLab" not in plain.read_text(encoding="utf-8")
    assert "given no model" in said[0]
    del said[:]
    text = write(tmp_path / "t.ipynb", cell("code", "1", "", ["live"]), cell("markdown", "x"))
    path = save_notebook_page([text], tmp_path / "t.html", said=said.append, held=held)
    assert "it shows no picture of a trace" in path.read_text(encoding="utf-8")
    assert "it shows no picture of a trace" in "".join(said)
    with pytest.raises(InputError, match=r"mixtral does not come with moe_viz, 8x7m does"):
        held("mixtral")
