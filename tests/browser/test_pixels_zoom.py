# SPDX-License-Identifier: Apache-2.0
"""The map zoomed out, zoomed in, and of many layers: its pixels are the trace's all the same."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from tests.browser.conftest import until
from tests.browser.seen import (
    GROUNDS,
    MODES,
    NOW,
    TOOLS,
    cells,
    cividis,
    first_choices,
    full,
    looking,
    mixed,
    near,
    picture,
    rgb,
    same,
    shown,
    softmax,
    synthetic,
    tops,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("seen")) as look:
        yield look


def test_a_column_of_several_tokens_shows_the_commonest_paler_by_its_share(look):
    trace = synthetic(prompts=(("long", 2400),))
    page = look(trace)
    first = page.evaluate(MODES, ["first", "entropy"])
    pixels = picture(first["first"]["map"])
    columns = pixels.shape[1]  # one for each pixel
    assert 600 < columns < 1200
    bounds = [c * 2400 // columns for c in range(columns + 1)]
    found = cells(pixels, tops(pixels, 3), columns)
    entropy = picture(first["entropy"]["map"])
    p = softmax(trace.router_logits)
    values = -(p * np.log(p)).sum(axis=2) / np.log(8)
    ground = GROUNDS["light"]
    for layer in range(3):
        for c, (a, b) in enumerate(list(pairwise(bounds))[1:], 1):
            chosen = trace.experts[layer, a:b, 0]
            counts = {e: int((chosen == e).sum()) for e in range(8)}
            most = max(counts.values())
            share = 0.25 + 0.75 * most / (b - a)
            among = [mixed("#{:02x}{:02x}{:02x}".format(*full(e).astype(int)), ground, share)
                     for e, n in counts.items() if n == most > 0] or [rgb(ground)]  # fmt: skip
            apart = min(np.abs(found[layer, c] - x).max() for x in among)
            assert apart <= 2.5, (layer, c, counts)  # shares in steps of a 64th
        means = [cividis(values[layer, a:b].mean()) for a, b in pairwise(bounds)]
        near(cells(entropy, [tops(entropy, 3)[layer]], columns)[0], np.array(means), 4)
    strip = picture(first["first"]["strip"])
    near(strip[8, 3:-3], found[0, 3:-3])


def zoomed(page) -> tuple[dict, int, int]:
    """Zoom into the map: what is drawn then, and the tokens named at its ends."""
    page.locator(".stack .marks").click(position={"x": 300, "y": 10})
    for _ in range(4):
        page.mouse.wheel(0, -100)
    until(lambda: "token" in page.evaluate(NOW)["ends"][0].removeprefix("first token"))
    drawn = page.evaluate(NOW)
    start, last = (int(re.findall(r"\d+", end)[0]) for end in drawn["ends"])
    assert 0 < start < last < 59
    return drawn, start, last


def test_a_key_that_leaves_the_zoomed_map_moves_it_and_its_token_is_in_the_middle(look):
    page = look(synthetic(prompts=(("en", 9), ("fr", 60))), prompt=1)
    _, start, last = zoomed(page)
    size = last + 1 - start
    left = int(start - 1 - size / 2 + 0.5)
    assert 0 < left < start
    for word, key, ends in (
        (start, "ArrowLeft", [f"token {left}", f"token {left + size - 1}"]),
        (58, "ArrowRight", [f"token {60 - size}", "last token"]),
        (1, "ArrowRight", ["first token", f"token {size - 1}"]),
    ):
        page.locator(".text .tok").nth(word).click()  # moves no map
        page.locator(".mv").focus()
        page.keyboard.press(key)
        until(lambda ends=ends: page.evaluate(NOW)["ends"] == ends)


def test_a_press_in_the_strip_takes_the_zoomed_map_there(look):
    page = look(synthetic(prompts=(("en", 9), ("fr", 60))), prompt=1)
    _, start, last = zoomed(page)
    size = last + 1 - start
    strip = page.locator("canvas.overview")
    box = strip.bounding_box()
    for share in (0.3, 0.7):
        strip.click(position={"x": share * box["width"], "y": box["height"] / 2})
        a = int(60 * share - size / 2 + 0.5)
        near = [[f"token {n}", f"token {n + size - 1}"] for n in (a - 1, a, a + 1)]  # of a pixel
        until(lambda near=near: page.evaluate(NOW)["ends"] in near)


@pytest.mark.parametrize("number", [0, 1])
def test_zoomed_in_the_cells_are_those_of_the_tokens_named_at_both_ends(look, number):
    prompts = (("en", 60), ("fr", 9))
    trace = synthetic(prompts=prompts[::-1] if number else prompts)
    page = look(trace, prompt=number)
    drawn, start, last = zoomed(page)
    expected = first_choices(trace, number)[:, start : last + 1]
    near(shown(drawn, trace, last + 1 - start), expected)
    # The strip still holds all of the prompt, and a frame says where this is.
    frame = f"async () => {{ {TOOLS} return root.querySelector('.stack').offsetWidth; }}"
    wide, strip = page.evaluate(frame), picture(drawn["strip"])
    near(cells(strip, [8], 60)[:, 1:start], first_choices(trace, number)[:1, 1:start])
    dark = np.flatnonzero((strip[0:2] <= rgb("#1b1f24") + 60).all(axis=(0, 2)))
    assert dark[0] == pytest.approx(start / 60 * wide, abs=2)
    assert dark[-1] == pytest.approx((last + 1) / 60 * wide, abs=2)


def test_many_layers_are_rows_of_few_pixels_with_a_gap_after_every_eighth(look):
    layers = tuple(range(1, 64, 2))  # 32 of them, every other one
    trace = synthetic(layers=layers, prompts=(("en", 9),))
    page = look(trace)
    drawn = page.evaluate(NOW)
    pixels = picture(drawn["map"])
    assert [name for name, _ in drawn["axis"]] == [str(layers[n]) for n in (0, 8, 16, 24, 31)]
    step = (pixels.shape[0] - 3 * 3) / 32
    rows = [n * step + 3 * (n // 8) for n in range(32)]
    assert [y for _, y in drawn["axis"]] == [rows[n] + step / 2 for n in (0, 8, 16, 24, 31)]
    same(cells(pixels, [y + step / 2 for y in rows], 9), first_choices(trace, 0))
    gaps = [int(rows[n]) - 2 for n in (8, 16, 24)]
    near(pixels[gaps], np.broadcast_to(rgb("#ffffff"), pixels[gaps].shape))
    page.locator("input[type=range]").fill("13")  # the layer that is shown has its name as well
    named = [str(layers[n]) for n in (0, 8, 13, 16, 24, 31)]
    until(lambda: [name for name, _ in page.evaluate(NOW)["axis"]] == named)
    here = page.locator(".axis .here")
    assert here.inner_text() == str(layers[13])
