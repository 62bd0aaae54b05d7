# SPDX-License-Identifier: Apache-2.0
"""The switchboard of a page with a model in it: used by keys, and what is off is crossed out."""

from __future__ import annotations

import re

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.view.palette import LIGHT
from tests.browser.conftest import drawn, until
from tests.browser.lab import FRENCH, OFF, mode, select, shown, type_in
from tests.browser.seen import picture, rgb
from tests.browser.test_grid import GRID

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def intact(model):
    return mv.record(model, FRENCH)


def test_an_expert_that_is_off_is_crossed_out(opened, intact):
    page = opened()
    type_in(page, FRENCH, len(intact))
    mode(page, "Change")
    drawn(page)
    assert crossed(page) == set()
    assert "Crossed out: off." not in page.locator(".grid").inner_text()
    select(page, *OFF)
    page.get_by_role("button", name="Switch off").click()
    until(lambda: crossed(page) == {OFF})
    assert "Crossed out: off." in page.locator(".grid").inner_text()
    select(page, 1, 0)
    page.get_by_role("button", name="Switch off").click()
    until(lambda: crossed(page) == {OFF, (1, 0)})
    page.get_by_role("button", name="Switch on").click()
    until(lambda: crossed(page) == {OFF})


def crossed(page) -> set[tuple[int, int]]:
    """Cells of the second map with ink on both of their diagonals, away from the middle."""
    seen = page.evaluate(GRID)
    pixels = picture(seen["marks"])
    scale, cell = pixels.shape[0] / seen["high"], pixels.shape[1] / 8
    high = (np.diff(seen["axis"])[0] - 1) * scale
    found = set()
    for layer, middle in enumerate(seen["axis"]):
        for expert in range(8):
            inked = []
            for right, down in [(-1, -1), (-1, 1), (1, -1), (1, 1)]:
                x = round((expert + 0.5 + 0.3 * right) * cell)
                y = round(middle * scale + 0.3 * down * high)
                near = pixels[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
                inked.append(np.abs(near - rgb(LIGHT.ink)).max(axis=1).min() < 40)
            if all(inked):
                found.add((layer, expert))
    return found


# ---- Keys


def test_the_switchboard_is_used_by_keys(opened, model, intact):
    """Keys in a panel are the panel's: they neither move nor play the picture."""
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    mode(page, "Change")
    select(page, *OFF)
    for key, said in (
        ("Enter", "Changed: off: 5/6 (layer/expert)."),
        ("Space", "Nothing is changed."),
    ):
        page.get_by_role("button", name=re.compile("Switch o(ff|n)")).focus()
        page.keyboard.press(key)
        page.get_by_text(said).wait_for(timeout=3000)
    page.locator(".panel summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("the chosen count equally").focus()
    page.keyboard.press("Space")
    page.get_by_text("Changed: uniform gates.").wait_for(timeout=3000)
    page.get_by_role("button", name="undo").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Nothing is changed.").wait_for(timeout=3000)
    page.get_by_label("Experts a token").focus()
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    page.get_by_text("Changed: top-3.").wait_for(timeout=3000)


def test_numbers_are_typed_into_the_fields_of_panels(opened, intact):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    mode(page, "Change")
    page.get_by_text("more", exact=True).click()
    before = {name: shown(page)[name] for name in ("layer", "isolated")}
    field = page.get_by_label("temperature: higher")
    field.focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("0.5")
    assert field.input_value() == "0.5"
    page.keyboard.press("Enter")
    page.get_by_text("Changed: router temperature 0.5.").wait_for(timeout=3000)
    page.keyboard.press("ArrowUp")
    assert field.input_value() == "0.6"
    mode(page, "Write")
    for name, typed in (("Tokens", "12"), ("Temperature", "0"), ("Seed", "345")):
        field = page.get_by_label(name, exact=True)
        field.focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(typed)
        assert field.input_value() == typed, name
    assert {name: shown(page)[name] for name in before} == before
    page.get_by_role("button", name="Continue").focus()
    page.keyboard.press("Enter")
    until(lambda: page.locator(".text .tok.generated").count() == 12)
