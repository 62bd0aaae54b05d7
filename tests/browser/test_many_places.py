# SPDX-License-Identifier: Apache-2.0
"""Eight experts, 64 and 256 in the four places where pictures stand: used by keyboard alone.

A page of their own, a page of a notebook, a deck, and JupyterLab; light and dark.
"""

from __future__ import annotations

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from moe_viz.view.pages.slides import save_slides
from tests.browser.conftest import drawn, listen, until
from tests.browser.jupyter import Lab, home, lab, of_ours, run  # noqa: F401
from tests.browser.seen import synthetic
from tests.unit.test_slides import cell, shown, write

pytestmark = pytest.mark.browser
SHAPES = [(8, 2), (64, 8), (256, 8)]
LAYERS = (2, 5, 9)
IDS = [f"{E} experts" for E, _ in SHAPES]


def used(page, trace, place: str) -> None:
    """By keys: another layer and token, an expert alone, the other map, columns, play; and back."""
    root = page.locator(".mv:visible").first
    sentence = page.locator(".sentence:visible").first
    root.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    word = trace.tokens[2].replace("␣", "")
    until(lambda: "In layer 5" in sentence.inner_text() and word in sentence.inner_text())
    assert f"goes to expert {int(trace.experts[1, 2, 0])} (" in sentence.inner_text()
    page.keyboard.press("1")
    faded = page.locator(".mv:visible .tok.faded")
    until(lambda: faded.count() > 0)
    page.keyboard.press("Escape")
    until(lambda: faded.count() == 0)
    chosen = ("Map", "Colour of the map", "Compare with")
    fields = [page.locator(".mv:visible").get_by_label(name, exact=True) for name in chosen]
    if place == "slide":  # what it shows was chosen beforehand
        assert [field.count() for field in fields] == [0, 0, 0]
    else:
        choice = fields[0]
        choice.focus()
        page.keyboard.type("experts ×")
        page.locator(".grid:visible canvas").first.wait_for()
        choice.select_option("tokens")
        sort = page.locator(".mv:visible").get_by_role("button", name="Sort by expert")
        sort.focus()
        page.keyboard.press("Enter")
        page.locator(".columns:visible").wait_for()
        sort.focus()
        page.keyboard.press("Enter")
        until(lambda: page.locator(".columns:visible").count() == 0)
    root.focus()
    before = sentence.inner_text()
    page.keyboard.press("Space")
    until(lambda: sentence.inner_text() != before)
    page.keyboard.press("Space")
    drawn(page)


def notebook(folder, shape: tuple[int, int]) -> tuple:
    E, k = shape
    trace = synthetic(E, k, LAYERS)
    path = write(
        folder / "many.ipynb",
        cell("markdown", "## Experts", "slide"),
        cell("code", "explore(trace)", "", ["hide_code"], [shown(mv.explore(trace).to_html())]),
    )
    return path, trace


@pytest.fixture(params=SHAPES, ids=IDS)
def shape(request):
    return request.param


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["page", "html", "slide"])
def test_in_files(browser, tmp_path, shape, place, scheme):
    path, trace = notebook(tmp_path, shape)
    if place == "page":
        path = mv.save_page(trace, tmp_path / "page.html")
    elif place == "slide":
        path = save_slides([path], tmp_path / "deck.html", execute=False)
    else:
        run("nbconvert", "--to=html", str(path), home=tmp_path)
        path = path.with_suffix(".html")
    context = browser.new_context(offline=True, color_scheme=scheme, bypass_csp=True)
    noise, page = listen(context), context.new_page()
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    page.locator(".sentence:not(:empty)").wait_for()
    if place == "slide":
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.locator(".mv:visible").wait_for()
        assert page.evaluate("Reveal.getCurrentSlide().scrollHeight") <= 720
    used(page, trace, place)
    found = Axe().run(page, ".moe-viz").response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []
    # nbconvert's own template asks for scripts of others; the picture asks for nothing.
    theirs = "https://cdnjs.cloudflare.com/"
    assert [text for text, where in noise.errors if not where.startswith(theirs)] == []
    assert [u for u in noise.outside("file:") if not u.startswith(theirs)] == []
    context.close()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_in_jupyterlab(browser, lab: Lab, shape, theme):  # noqa: F811
    path, trace = notebook(lab.home / "nb", shape)
    read = nbformat.read(path, as_version=4)  # without a kernel's name, JupyterLab asks for one
    read.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(read, path)
    run("nbformat.sign", str(path), home=lab.home)
    with lab.open(browser, "many.ipynb", theme) as (page, noise):
        page.locator(".sentence:not(:empty)").wait_for()
        page.wait_for_timeout(500)  # cells are replaced while a notebook opens
        page.locator(".moe-viz .tok").nth(1).click()
        used(page, trace, "notebook")
        assert of_ours(noise, lab.url) == []
        assert noise.outside(lab.url) == []
