# SPDX-License-Identifier: Apache-2.0
"""What stands on the map of experts × layers and below it: the way, the frame, the scale, names."""

from __future__ import annotations

import numpy as np
import pytest

import moe_viz as mv
from tests.browser.conftest import drawn, listen
from tests.browser.seen import GROUNDS, looking, mixed, near, picture, shot, synthetic
from tests.browser.test_grid import GRID, INK, LAYERS, STATE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("marks")) as look:
        yield look


@pytest.fixture(scope="module", params=[(8, 2), (64, 8), (256, 8)], ids=lambda p: f"{p[0]} experts")
def scene(request, look):
    E, k = request.param
    trace = synthetic(E, k, LAYERS)
    return trace, look(trace, layer=5, token=2, view="experts")  # light: its marks are dark


def test_the_way_joins_the_first_choices(scene):
    trace, page = scene
    seen, E = page.evaluate(GRID), trace.expert_count
    pixels = picture(seen["marks"])
    scale = pixels.shape[0] / seen["high"]
    x = (trace.experts[:, 2, 0] + 0.5) * pixels.shape[1] / E
    y = np.array(seen["axis"]) * scale
    for row in range(len(LAYERS) - 1):
        for share in (0.35, 0.65):  # above and below the frame of the layer looked at
            across = round(x[row] + share * (x[row + 1] - x[row]))
            down = round(y[row] + share * (y[row + 1] - y[row]))
            assert pixels[down - 1 : down + 2, across - 1 : across + 2].min() < 120


def test_the_isolated_expert_is_framed_in_the_layer_looked_at(scene):
    trace, page = scene
    before = picture(page.evaluate(GRID)["marks"])
    swatch = page.locator(".legend .swatch").first
    swatch.click()
    drawn(page)
    seen, e = page.evaluate(GRID), int(swatch.inner_text())
    pixels = picture(seen["marks"])
    down, across = np.nonzero(np.abs(pixels - before).max(axis=2) > 40)
    scale, high = pixels.shape[0] / seen["high"], np.diff(seen["axis"])[0] - 1
    middle, cell = seen["axis"][1] * scale, pixels.shape[1] / trace.expert_count
    assert down.min() == pytest.approx(middle - high / 2 - 3, abs=3)  # px
    assert down.max() == pytest.approx(middle + high / 2 + 3, abs=3)
    assert (across.min() + across.max()) / 2 == pytest.approx((e + 0.5) * cell, abs=3)
    swatch.click()
    drawn(page)


def test_the_scale_of_loads_grows_to_the_right_and_an_even_one_is_marked(scene):
    _, page = scene
    scale = page.locator(".grid .gradient")
    even = scale.evaluate("e => [parseFloat(getComputedStyle(e, '::after').left), e.clientWidth]")
    assert even[0] == pytest.approx(even[1] / 4, abs=0.6), "an even load is a quarter of the most"
    pixels = shot(scale)
    middle, wide = pixels[pixels.shape[0] // 2], pixels.shape[1]
    x = np.array([3, wide // 2, 3 * wide // 4, wide - 4])  # within the border, off the mark
    shades = [mixed(INK["light"], GROUNDS["light"], 0.04 + 0.9 * (n - 0.5) / (wide - 2)) for n in x]
    near(middle[x], np.array(shades), 6)


def test_the_numbers_of_experts_stand_below_their_columns(scene):
    trace, page = scene
    box, E = page.locator(".grid .stack").bounding_box(), trace.expert_count
    names = page.locator(".grid .experts span")
    step = {8: 1, 64: 8, 256: 32}[E]
    assert [int(name) for name in names.all_inner_texts()] == list(range(0, E, step))
    middles = names.evaluate_all("""all => all.map((e) => {
      const { left, right } = e.getBoundingClientRect(); return (left + right) / 2; })""")
    expected = box["x"] + (np.arange(0, E, step) + 0.5) * box["width"] / E
    assert middles == pytest.approx(expected.tolist(), abs=1)


def test_play_takes_four_steps_in_a_second(browser, tmp_path):
    context = browser.new_context()
    noise, page = listen(context), context.new_page()
    page.clock.install()
    page.goto(mv.save_page(synthetic(), tmp_path / "page.html", token=1).as_uri())
    page.locator(".sentence:not(:empty)").wait_for()
    page.locator(".mv").focus()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    page.keyboard.press(" ")
    page.clock.run_for(2050)
    assert page.evaluate(STATE)["at"] == 1 + 8
    assert noise.errors == []
    context.close()
