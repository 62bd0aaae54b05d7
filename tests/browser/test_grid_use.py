# SPDX-License-Identifier: Apache-2.0
"""Both maps on every screen, by keyboard, by address, with and without motion; and axe on all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from tests.browser.conftest import drawn, listen, until
from tests.browser.seen import MISFITS, looking, synthetic
from tests.browser.test_grid import LAYERS, STATE, choose, counts

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("use")) as look:
        yield look


def test_tokens_do_not_move_where_motion_is_unwanted(browser, tmp_path):
    trace = synthetic()
    moved = {}
    for wish in ("reduce", "no-preference"):
        context = browser.new_context(reduced_motion=wish)
        noise = listen(context)
        context.add_init_script("""window.moved = 0; const animate = Element.prototype.animate;
          Element.prototype.animate = function (...a) { window.moved = Math.max(window.moved,
            a[1].duration); return animate.apply(this, a); };""")
        page = context.new_page()
        page.goto(mv.save_page(trace, tmp_path / "page.html").as_uri())
        page.locator(".sentence:not(:empty)").wait_for()
        page.get_by_role("button", name="Sort by expert").click()
        page.locator(".pile").first.wait_for()
        moved[wish] = page.evaluate("window.moved")
        assert noise.errors == []
        context.close()
    assert moved["reduce"] == 0
    assert 0 < moved["no-preference"] <= 400


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("E", [8, 64, 256])
def test_axe_finds_nothing_in_any_view_and_nothing_overflows(look, E, theme):
    trace = synthetic(E, 2 if E == 8 else 8, LAYERS)
    trace = replace(trace, model_layers=10, mixtures=LAYERS)
    page = look(trace, theme)
    for view in ("tokens", "experts", "touched"):
        choose(page, "Map", view)
        page.locator(".legend .swatch").first.click()
        page.locator(".taken").wait_for()
        found = Axe().run(page).response["violations"]
        assert [(v["id"], [n["html"][:90] for n in v["nodes"]]) for v in found] == []
        page.locator(".legend .swatch").first.click()
        until(lambda: page.locator(".taken").count() == 0)
        for size in [(1920, 1080), (1366, 768), (934, 600), (390, 844)]:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            drawn(page)
            until(lambda: page.evaluate(MISFITS) == [])
        page.set_viewport_size({"width": 1366, "height": 900})
    page.get_by_role("button", name="Sort by expert").click()
    page.locator(".pile").first.wait_for()
    assert page.evaluate(MISFITS) == []
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:90] for n in v["nodes"]]) for v in found] == []


def test_with_the_keyboard_alone(look):
    trace = synthetic(64, 8, LAYERS)
    page = look(trace, layer=2)
    reached = Counter()
    page.keyboard.press("Tab")
    for _ in range(20):
        name = page.evaluate("""() => { const e = document.querySelector('.moe-viz').shadowRoot
          .activeElement; return e ? e.ariaLabel || e.innerText.slice(0, 20) : ''; }""")
        reached[name] += 1
        page.keyboard.press("Tab")
    for wanted in ("Map", "Colour of the map", "▶ Play", "Sort by expert", "Load of", "Layer"):
        assert reached[wanted], (wanted, reached)
    page.get_by_label("Map", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.locator(".grid").wait_for()
    page.locator(".mv").focus()
    for key in ("ArrowRight", "ArrowDown", "1"):
        page.keyboard.press(key)
    page.locator(".taken").wait_for()
    assert page.locator("header b").inner_text() == "5"
    busiest = counts(trace, [0, 1, 2])[1]
    second = sorted(range(64), key=lambda e: (-busiest[e], e))[1]
    assert page.get_by_text(f"Expert {second} of layer 5 takes").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press(" ")
    until(lambda: page.evaluate(STATE)["button"] == "❚❚ Stop")
    page.keyboard.press(" ")
    until(lambda: page.evaluate(STATE)["button"] == "▶ Play")


def test_the_address_opens_the_second_map(browser, tmp_path):
    path = mv.save_page(synthetic(), tmp_path / "page.html")
    page = browser.new_page()
    page.goto(path.as_uri() + "#view=touched&token=3")
    page.locator(".grid").wait_for()
    assert "read after 4 tokens" in page.locator(".counter").inner_text()
    page.get_by_label("Map", exact=True).select_option("tokens")
    until(lambda: "view" not in page.evaluate("location.hash"))
    page.get_by_label("Map", exact=True).select_option("experts")
    until(lambda: "view=experts" in page.evaluate("location.hash"))
    page.close()
