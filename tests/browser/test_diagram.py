# SPDX-License-Identifier: Apache-2.0
"""A layer's drawing in headless Chromium: its numbers, its six steps, what a learner changes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from moe_viz.view.pages.slides import save_slides
from tests.browser.conftest import drawn, listen, until
from tests.browser.seen import SMALL
from tests.unit.test_slides import cell, shown, write

pytestmark = pytest.mark.browser
ROOT = "document.querySelector('.moe-viz-diagram').shadowRoot"
#: Texts of the drawing by class, widths of bars and wires, and whether parts are pale.
SEEN = f"""() => {{ const root = {ROOT};
  const texts = (cls) => [...root.querySelectorAll('text.' + cls)].map((t) => t.textContent);
  return {{ digits: texts('digit'), values: texts('value'), inside: texts('inside'),
    labels: texts('label'), sentence: root.querySelector('.sentence').innerText,
    now: root.querySelector('.now').innerText,
    bars: [...root.querySelectorAll('rect.bar')].map((r) => Number(r.getAttribute('width'))),
    wires: [...root.querySelectorAll('svg line[style]')]
      .map((l) => parseFloat(l.style.strokeWidth)),
    off: root.querySelectorAll('.off').length, out: root.querySelectorAll('.out').length,
    pressed: [...root.querySelectorAll('.steps button')]
      .findIndex((b) => b.ariaPressed === 'true') }}; }}"""
MISFITS = f"""() => {{ const root = {ROOT}, found = [];
  const frame = root.querySelector('svg').getBoundingClientRect();
  for (const t of root.querySelectorAll('svg text')) {{
    const box = t.getBoundingClientRect();
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
      found.push('stands out: ' + t.textContent);
  }}
  for (const group of root.querySelectorAll('svg g')) {{
    const box = group.querySelector(':scope > rect.block, :scope > rect.expert:last-of-type');
    const text = group.querySelector(':scope > text.inside');
    if (box && text && text.getBoundingClientRect().width > box.getBoundingClientRect().width + 1)
      found.push('too long: ' + text.textContent);
  }}
  const words = root.querySelector('.words').getBoundingClientRect();
  const edge = root.querySelector('.mv').getBoundingClientRect();
  if (words.right > edge.right) found.push('words stand out');
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  return found; }}"""


@pytest.fixture(scope="module")
def trace():
    return mv.record(mv.load("8x7m"), ["Light takes a little over a second to reach us."])


@pytest.fixture(scope="module")
def drawings(trace):
    transformers = pytest.importorskip("transformers")
    return {
        "8x7m": mv.diagram("8x7m", trace, layer=3, token=4),
        "mixtral": mv.diagram("mixtral-8x7b"),
        "olmoe": mv.diagram(transformers.OlmoeConfig(intermediate_size=1024)),
        "deepseek": mv.diagram(transformers.DeepseekV3Config()),
    }


@pytest.fixture
def opened(browser, tmp_path, drawings):
    """Opens a drawing's page; afterwards there were no errors and no requests."""
    made = []

    def open_one(which: str, theme: str = "light", size=(1000, 760)):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=theme
        )
        made.append((context, listen(context)))
        page = context.new_page()
        page.goto(drawings[which].save(tmp_path / f"{which}.html").as_uri())
        until(lambda: page.evaluate(f"{ROOT}.querySelectorAll('svg text').length") > 5)
        return page

    yield open_one
    for context, noise in made:
        assert noise.errors == []
        assert noise.outside("file:") == []
        context.close()


def press(page, step: int) -> dict:
    page.locator(".steps button").nth(step).click()
    drawn(page)
    return page.evaluate(SEEN)


def test_it_shows_a_token_s_own_numbers(opened, trace):
    page = opened("8x7m")
    seen = page.evaluate(SEEN)
    logits, experts, gates = (
        trace.router_logits[3, 4], trace.experts[3, 4].tolist(), trace.gates[3, 4],
    )  # fmt: skip
    assert seen["digits"] == [str(e) for e in range(8)]
    values = [float(x.replace("−", "-")) for x in seen["values"]]
    assert values == pytest.approx(logits.tolist(), abs=0.006)
    longest = np.argsort(seen["bars"])[::-1][:2].tolist()
    assert longest == experts
    shares = [f"{100 * g:.0f}\u00a0%" for g in gates]
    assert seen["now"].startswith(f"Kept: {experts[0]} ({shares[0]}), {experts[1]} ({shares[1]}); ")
    rest = sorted(set(range(8)) - set(experts), key=lambda e: -logits[e])
    gap = logits[experts].min() - logits[rest[0]]
    assert seen["now"].endswith(f"{rest[0]} missed by {gap:.2f}.")
    inside = [x for x in seen["inside"] if x.startswith("×")]
    assert sorted(inside) == sorted(f"× {s}" for s in shares)
    wide = sorted(seen["wires"][1::2])
    assert wide == pytest.approx(sorted(1 + 13 * g for g in gates), abs=0.1)
    assert "norm, 256" in seen["inside"]
    assert "attention, 197\u00a0K" in seen["inside"]
    assert "router, 2,048" in seen["inside"]
    assert f"experts, {393_216 / 1000:.0f}\u00a0K each" in seen["labels"]


def test_six_steps_are_walked_by_buttons_and_by_keys(opened, drawings):
    page = opened("mixtral")
    whole = page.evaluate(SEEN)
    assert (whole["pressed"], whole["off"]) == (0, 0)
    for n, (_, sentence) in enumerate(drawings["mixtral"].steps, 1):
        seen = press(page, n)
        assert seen["sentence"] == sentence
        assert seen["off"] > 0
        assert (len(seen["bars"]) == 8) == (n >= 2), "scores are there once they are made"
        assert (seen["out"] > 0) == (n >= 3), "the others fade once two are kept"
        assert ("not run" in seen["inside"]) == (n >= 4)
        assert any(x.startswith("×") for x in seen["inside"]) == (n >= 5)
        assert bool(seen["wires"]) == (n >= 4)
    page.locator(".mv").focus()
    page.keyboard.press("ArrowLeft")
    drawn(page)
    assert page.evaluate(SEEN)["pressed"] == 5
    page.keyboard.press("0")
    drawn(page)
    assert page.evaluate(SEEN)["pressed"] == 0
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("3")
    drawn(page)
    assert page.evaluate(SEEN)["pressed"] == 3


def test_a_changed_score_makes_the_last_place_change_hands(opened):
    page = opened("mixtral")
    before = page.evaluate(SEEN)["now"]
    first, second, third = re.findall(r"(?:Kept: |, |; )(\d+)", before)
    number = page.get_by_label("Expert whose score is changed")
    assert number.input_value() == third, "the first that missed"
    slider = page.get_by_label("Its score")
    slider.fill(slider.get_attribute("max"))
    drawn(page)
    seen = page.evaluate(SEEN)
    assert seen["now"].startswith(f"Kept: {third} (")
    assert f"The last place has changed hands: {second} is out." in seen["now"]
    page.get_by_role("button", name="as it was").click()
    drawn(page)
    assert page.evaluate(SEEN)["now"] == before
    page.locator("g.score").nth(int(first)).click()  # another bar
    drawn(page)
    assert number.input_value() == first
    slider.fill(slider.get_attribute("min"))
    drawn(page)
    assert f"{first} is out" in page.evaluate(SEEN)["now"]
    number.fill("99")
    number.blur()
    drawn(page)
    assert number.input_value() == first, "there is no expert 99"


@pytest.mark.parametrize(("which", "rest"), [("olmoe", 55), ("deepseek", 247)])
def test_of_many_the_chosen_and_the_next_have_rows_and_the_rest_is_a_stack(opened, which, rest):
    page = opened(which)
    seen = page.evaluate(SEEN)
    assert len(seen["digits"]) == 9
    assert f"{rest} more: not run" in seen["inside"]
    assert [x.startswith("×") for x in seen["inside"]].count(True) == 8
    assert ("shared, 44.0\u00a0M" in seen["inside"]) == (which == "deepseek")
    number = page.get_by_label("Expert whose score is changed")
    number.fill("0")
    number.blur()
    drawn(page)
    assert "0" in page.evaluate(SEEN)["digits"], "what is changed has a row"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("which", ["8x7m", "deepseek"])
def test_every_screen_and_axe(opened, which, theme):
    page = opened(which, theme)
    for size in [(1920, 1080), (1366, 768), (934, 600), (390, 844)]:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for step in (0, 4, 6):
            press(page, step)
            until(lambda: page.evaluate(MISFITS) == [])
    page.locator(".steps button").first.click()
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:90] for n in v["nodes"]]) for v in found] == []
    ground = page.locator(".mv").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[theme]


def test_it_fits_on_a_slide_and_keys_walk_it_there(browser, tmp_path, drawings):
    notebook = write(
        tmp_path / "talk.ipynb",
        *(
            part
            for name in ("mixtral", "deepseek")
            for part in (
                cell("markdown", f"## {name}", "slide"),
                cell("code", "diagram(m)", "", ["hide_code"], [shown(drawings[name].to_html())]),
            )
        ),
    )
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    noise, page = listen(context), context.new_page()
    page.goto(save_slides([notebook], tmp_path / "deck.html", execute=False).as_uri())
    for n in range(2):
        until(lambda n=n: page.evaluate("Reveal.getIndices().h") == n)
        page.locator(".moe-viz-diagram").nth(n).locator("svg").wait_for()
        until(lambda: page.evaluate("Reveal.getCurrentSlide().scrollHeight") <= 720)
        assert page.evaluate(SMALL) == []
        root = page.locator(".moe-viz-diagram").nth(n).locator(".mv")
        root.focus()
        page.keyboard.press("ArrowRight")
        drawn(page)
        assert page.evaluate("Reveal.getIndices().h") == n, "the slide has turned"
        assert root.locator("button[aria-pressed=true]").inner_text() == "1 read"
        page.evaluate("document.activeElement.blur()")
        page.evaluate("Reveal.next()")
    assert noise.errors == []
    context.close()


def test_without_scripts_the_steps_remain_in_words(browser, tmp_path, drawings):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(drawings["mixtral"].save(tmp_path / "d.html").as_uri())
    assert page.locator("ol li").count() == 6
    assert "352 M of 1.41 B parameters" in page.locator("ol").inner_text()
    context.close()
