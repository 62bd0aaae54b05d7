# SPDX-License-Identifier: Apache-2.0
"""The atlas on every screen, in light and dark, on paper; and of 14,848 experts, in parts."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from moe_viz.view.atlas.page import save_atlas
from tests.browser.atlas_seen import FOUND, check_grid, shown, takers_of_piece
from tests.browser.atlases import made
from tests.browser.conftest import drawn, until

pytestmark = pytest.mark.browser

SIZES = [(1920, 1080), (1366, 768), (934, 600), (390, 844)]
#: What can be pressed and is smaller than 24 px, or stands out of the window.
MISFITS = """() => { const found = [];
  const pressed = 'a[href], button, select, input, summary, [role=option]';
  for (const e of document.querySelectorAll(pressed)) {
    if (!e.checkVisibility()) continue;
    const box = e.getBoundingClientRect();
    if (box.height < 24 || box.width < 24) found.push('small: ' + e.outerHTML.slice(0, 80));
    if (box.right > innerWidth + 0.5 && !e.closest('.wide'))
      found.push('out: ' + e.outerHTML.slice(0, 80));
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  return found; }"""
#: The overview, with what a search for a piece and for a label finds, and an entry.
VIEWS = ["#", "#any/the", "#label/fr", "#3/1"]
#: A name of which an address has to be careful.
NAME = "an atlas #1, 50%"
UNFOLD = "document.querySelectorAll('details').forEach((d) => (d.open = true))"


#: Numbers of what a search found that are cut off, or stand below their expert's.
CUT = """() => [...document.querySelectorAll('.found .taker > *')].filter((e) => {
  const box = e.getBoundingClientRect(), room = e.closest('.wide').getBoundingClientRect();
  return box.right > room.right + 0.5;
}).map((e) => e.textContent)"""


def violations(page) -> list:
    found = Axe().run(page).response["violations"]
    return [(v["id"], [n["html"][:90] for n in v["nodes"]]) for v in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(6, 8, 2), (4, 64, 8), (4, 256, 8)], ids=str)
def test_axe_finds_nothing_and_nothing_overflows(browser, tmp_path, size, theme):
    path = save_atlas(made(*size), tmp_path / "page.html")
    with shown(browser, path, color_scheme=theme) as page:
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[theme]
        for hash in VIEWS:
            page.evaluate("hash => (location.hash = hash)", hash)
            drawn(page)
            page.evaluate(UNFOLD)
            drawn(page)
            assert violations(page) == [], hash
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                drawn(page)
                until(lambda: page.evaluate(MISFITS) == [], 5)
            page.set_viewport_size({"width": 1366, "height": 900})
        page.evaluate("location.hash = ''")
        page.get_by_role("combobox", name="Find a piece").fill("t")
        page.locator(".combo [role=option]").first.wait_for()
        assert violations(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        until(lambda: page.evaluate(MISFITS) == [], 5)


def test_on_paper_all_is_unfolded_and_no_control_is_there(browser, tmp_path):
    path = save_atlas(made(3, 8), tmp_path / "page.html")
    with shown(browser, path, "#3/1") as page:
        page.locator("p.said").wait_for()
        assert page.locator(".folds table").first.is_hidden()
        page.evaluate("location.hash = '#any/the'")
        page.locator(".taker").first.wait_for()
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        until(lambda: page.locator("canvas").bounding_box()["width"] < 681)
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        until(lambda: page.locator("canvas").bounding_box()["width"] > 1000)
        page.evaluate("location.hash = '#3/1'")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        until(lambda: all(t.is_visible() for t in page.locator(".folds table").all()))
        assert page.locator("nav").is_hidden()
        assert page.locator(".finder").is_hidden()


@pytest.mark.parametrize("width", [1440, 1280, 1000, 390])
def test_no_number_of_a_result_is_cut_off(browser, tmp_path, width):
    path = save_atlas(made(4, 256, 8), tmp_path / "page.html")
    with shown(browser, path, "#any/fr", viewport={"width": width, "height": 800}) as page:
        page.locator(".found section").nth(1).locator(".taker").first.wait_for()
        assert page.evaluate(CUT) == []


def test_on_a_phone_a_row_keeps_its_name_while_it_is_scrolled(browser, tmp_path):
    path = save_atlas(made(3, 8), tmp_path / "page.html")
    with shown(browser, path, "#3/1", viewport={"width": 390, "height": 844}) as page:
        page.locator("details.pieces").evaluate("d => (d.open = true)")
        wide = page.locator("details.pieces .wide")
        assert wide.evaluate("e => e.scrollWidth <= e.clientWidth")
        wide.evaluate("e => { e.style.width = '240px'; e.scrollLeft = 9999; }")
        drawn(page)
        assert wide.evaluate("e => e.scrollLeft") > 0
        name, room = wide.locator("tbody th").first.bounding_box(), wide.bounding_box()
        assert name["x"] == pytest.approx(room["x"], abs=1)


def test_the_frame_of_a_cell_at_the_edge_is_whole(browser, tmp_path):
    path = save_atlas(made(6, 8), tmp_path / "page.html")
    with shown(browser, path) as page:
        page.locator("canvas").focus()
        page.keyboard.press("Control+End")
        ring, panel = page.locator(".ring").bounding_box(), page.locator(".panel").bounding_box()
        for start, size in (("x", "width"), ("y", "height")):
            assert ring[start] + ring[size] + 2 <= panel[start] + panel[size]


def test_a_finger_meets_small_cells_before_it_opens_them(browser, tmp_path):
    path = save_atlas(made(4, 256, 8), tmp_path / "page.html")
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    with shown(browser, path, **options) as page:
        box = page.locator("canvas").bounding_box()
        page.touchscreen.tap(box["x"] + 20.5 * box["width"] / 256, box["y"] + 5)
        link = page.get_by_role("link", name="Open expert 20 of layer 1")
        assert page.locator("article").is_hidden()
        link.tap()
        page.get_by_role("heading", name="Expert 20 of layer 1").wait_for()
    path = save_atlas(made(6, 8), tmp_path / "small.html")
    with shown(browser, path, **options) as page:
        box = page.locator("canvas").bounding_box()
        page.touchscreen.tap(box["x"] + 2.5 * box["width"] / 8, box["y"] + 5)
        page.get_by_role("heading", name="Expert 2 of layer 1").wait_for()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An atlas of 58 layers of 256 experts, and its page with its parts beside it."""
    atlas = made(58, 256, 8)
    return atlas, save_atlas(atlas, tmp_path_factory.mktemp("large") / f"{NAME}.html")


def layers_asked(requests: list[str]) -> list[str]:
    return [r.rpartition("/")[2] for r in requests if r.endswith(".js")]


def test_of_14848_experts_the_page_loads_what_is_looked_at(browser, large):
    atlas, path = large
    assert len(list(path.with_name(f"{NAME}-parts").iterdir())) == 58
    with shown(browser, path) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for choice in ("load", "1", "found"):
            check_grid(atlas, page, choice)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            drawn(page)
            until(lambda: page.evaluate(MISFITS) == [], 5)
        # At 390 px the panel scrolls, the page does not; a key brings its cell into view.
        page.locator("canvas").focus()
        page.keyboard.press("Control+End")
        ring, panel = page.locator(".ring").bounding_box(), page.locator(".panel").bounding_box()
        assert panel["x"] <= ring["x"] <= panel["x"] + panel["width"] - ring["width"] + 1
        assert asked == []
        page.keyboard.press("Enter")
        page.locator("p.said", has_text="of layer 115").wait_for()
        assert layers_asked(asked) == ["layer-115.js"]
        page.get_by_role("link", name="← expert 254").click()
        page.locator("p.said", has_text="xpert 254").wait_for()
        assert len(asked) == 1
        page.set_viewport_size({"width": 1366, "height": 900})
        page.get_by_role("combobox", name="Find a piece").fill("␣le")
        page.keyboard.press("Enter")
        until(lambda: page.evaluate(FOUND) == [takers_of_piece(atlas, "␣le")], 60)
        assert sorted(layers_asked(asked)) == [f"layer-{n:03}.js" for n in range(1, 116, 2)]
        assert page.locator(".results [role=status]").inner_text() == ""
        assert violations(page) == []
        # What a search needs stays in memory; entries of a few layers do.
        page.get_by_role("combobox", name="Find a piece").fill("the")
        page.keyboard.press("Enter")
        until(lambda: len(page.evaluate(FOUND)) == 2)
        assert len(asked) == 58


def test_a_part_that_is_missing_or_foreign_is_named(browser, large, tmp_path):
    _, path = large
    page_alone = tmp_path / path.name
    page_alone.write_bytes(path.read_bytes())
    parts = tmp_path / f"{NAME}-parts"
    parts.mkdir()
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_alone.as_uri() + "#7/3")
    missing = (
        f"Layer 7’s file, {NAME}-parts/layer-007.js, is not beside this page: "
        f"copy the folder {NAME}-parts too."
    )
    page.get_by_text(missing, exact=True).wait_for()
    whole = path.with_name(f"{NAME}-parts")
    seven = (whole / "layer-007.js").read_text(encoding="utf-8")
    (parts / "layer-007.js").write_text(seven, encoding="utf-8")
    (parts / "layer-009.js").write_text(seven, encoding="utf-8")
    eleven = (whole / "layer-011.js").read_text(encoding="utf-8")
    other = eleven.replace('"layer":11,', '"layer":12,', 1)  # as of another model
    (parts / "layer-011.js").write_text(other, encoding="utf-8")
    page.get_by_role("link", name="expert 4 →").click()
    page.locator("p.said", has_text="xpert 4 of layer 7").wait_for()
    page.get_by_role("link", name="↓ layer 9").click()
    page.get_by_text("layer-009.js does not hold layer 9 of this atlas").wait_for()
    page.get_by_role("link", name="↓ layer 11").click()
    page.get_by_text("layer-011.js does not hold layer 11 of this atlas").wait_for()
    page.get_by_role("combobox", name="Find a piece").fill("␣le")
    page.keyboard.press("Enter")
    page.locator(".results .error", has_text="Layer 1’s file").wait_for()
    rows = page.locator(".found tbody tr").all_inner_texts()
    assert sum("not here" in row for row in rows) == 57
    context.close()
