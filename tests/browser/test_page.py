# SPDX-License-Identifier: Apache-2.0
"""The saved page in headless Chromium: it draws, reacts, asks for nothing, and runs no prompt."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from moe_viz.view.palette import DARK, LIGHT, rgb
from tests.browser.conftest import drawn, listen, until
from tests.browser.seen import GROUND, MISFITS

pytestmark = pytest.mark.browser
SIZES = [(1366, 768), (1920, 1080), (1024, 768), (390, 844)]


@pytest.fixture(scope="module")
def opened(browser, saved):
    """The saved page, opened, with every request and console error it made."""
    path, trace = saved
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator(".sentence").wait_for()
    yield page, trace, noise
    context.close()


def test_the_decision_in_words_is_the_trace_s(opened):
    page, trace, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    drawn(page)
    first = int(trace.experts[0, 1, 0])
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()


def test_keys_move_the_layer(opened):
    page, trace, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("ArrowDown")
    drawn(page)
    sentence = page.locator(".sentence").inner_text()
    assert sentence.startswith("In layer 1,")
    assert f"expert {int(trace.experts[1, 1, 0])} " in sentence


def test_the_pointer_previews_and_a_click_pins(opened):
    page, _, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    drawn(page)
    sentence, ringed = page.locator(".sentence"), page.locator(".tok.chosen")
    before = sentence.inner_text()
    word = page.locator(".tok").nth(9)
    word.hover()
    drawn(page)
    assert ringed.all_inner_texts() == [word.inner_text()]
    assert sentence.inner_text() != before
    page.locator("footer").hover()
    drawn(page)
    assert sentence.inner_text() == before
    word.click()
    page.locator("footer").hover()
    drawn(page)
    assert sentence.inner_text() != before
    assert ringed.all_inner_texts() == [word.inner_text()]


def test_a_swatch_fades_the_tokens_of_other_experts(opened):
    page, trace, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator(".mv").focus()
    page.keyboard.press("3")
    page.wait_for_timeout(200)
    passage = trace.select(label="passage")
    layer = int(page.locator("header b").inner_text())
    involved = (passage.experts[layer] == 3).any(axis=1)
    assert 0 < involved.sum() < len(passage)
    until(lambda: page.locator(".tok.faded").count() == (~involved).sum())
    page.keyboard.press("Escape")
    until(lambda: page.locator(".tok.faded").count() == 0)


def test_what_is_looked_at_stands_in_the_address(browser, saved):
    path, trace = saved
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=3&layer=2&token=5&mode=entropy")
    page.locator(".sentence").wait_for()
    start = trace.prompts[3].start
    said = page.locator(".sentence").inner_text()
    assert said.startswith(f"In layer 2, ‘{trace.tokens[start + 5]}’ goes to expert ")
    assert page.locator("select[aria-label='Colour of the map']").input_value() == "entropy"
    page.locator(".mv").focus()
    page.keyboard.press("ArrowRight")
    address = "#prompt=3&layer=2&token=6&mode=entropy"
    until(lambda: page.evaluate("location.hash") == address)
    # An address that is asked for while ours is about to be written is not lost.
    page.evaluate("""() => {
      location.hash = '#prompt=3&layer=2&token=9&mode=entropy';
      history.replaceState(null, '', '#prompt=3&layer=2&token=6&mode=entropy');
    }""")
    until(lambda: f"‘{trace.tokens[start + 9]}’" in page.locator(".sentence").inner_text())
    until(lambda: "token=9" in page.evaluate("location.hash"))
    # What no page has is left alone, and nothing of it is believed.
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=99&layer=x&token=-1&mode=<script>&beside=prompt 77")
    page.locator(".sentence").wait_for()
    assert page.locator(".sentence").inner_text().startswith("In layer 0,")
    context.close()


def test_a_character_of_several_byte_tokens_is_one_chip_that_stands_for_all(browser, saved):
    path, trace = saved
    prompt = trace.prompts[2]
    spans = [tuple(span) for span in trace.spans[prompt.start : prompt.stop].tolist()]
    shared = [span for span in dict.fromkeys(spans) if spans.count(span) > 1]
    assert shared, "every character is one token: this test does not test"
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=2")
    page.locator(".tok.bytes").first.wait_for()
    assert page.locator(".tok").count() == len(set(spans))
    assert page.locator(".tok.bytes").count() == len(shared)
    assert page.locator(".tok.bytes").all_inner_texts() == [prompt.text[a:b] for a, b in shared]
    assert noise.errors == []
    context.close()


def test_two_prompts_stand_side_by_side(opened):
    page, trace, noise = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator("select[aria-label='Compare with']").select_option("prompt 0")
    beside = page.locator(".beside")
    until(lambda: "Good morning." in "".join(beside.locator(".text").all_inner_texts()))
    # The same sentence, of a token over there.
    beside.locator(".tok").nth(1).hover()
    drawn(page)
    layer = int(page.locator("header b").inner_text())
    first = trace.experts[layer, trace.prompts[0].start + 1, 0]
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()
    # Loads differ by what the two texts' shares differ.
    k = trace.experts.shape[2]
    shares = []
    for prompt in (trace.prompts[3], trace.prompts[0]):
        chosen = trace.experts[layer, prompt.start + 1 : prompt.stop]
        shares.append([(chosen == e).sum() / (k * len(chosen)) for e in range(8)])
    shown = [float(x.replace("−", "-")) for x in page.locator(".difference").all_inner_texts()]
    assert shown == pytest.approx([100 * (a - b) for a, b in zip(*shares, strict=True)], abs=0.06)
    beside.locator(".tok").nth(1).click()  # changes sides
    until(lambda: page.locator("select[aria-label=Label]").input_value() == "en")
    until(lambda: "router picks them" in beside.locator(".text").inner_text())
    page.locator("select[aria-label='Compare with']").select_option("")
    until(beside.is_hidden)
    assert noise.errors == []


def test_finding_marks_the_tokens_of_a_word_and_goes_there(opened):
    page, _, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator(".mv").focus()
    page.keyboard.press("/")
    page.keyboard.type("ROUTER p")  # across two tokens or more, whatever the case
    hits = page.locator(".tok.hit")
    until(lambda: "".join(hits.all_inner_texts()).replace(" ", "").count("routerp") == 8)
    assert page.locator(".tok.chosen").inner_text() == hits.first.inner_text()
    page.keyboard.press("Enter")
    drawn(page)
    assert page.locator(".tok.chosen").count() == 1
    page.keyboard.press("3")  # typed into the box, and not an expert
    assert page.locator(".tok.faded").count() == 0
    page.keyboard.press("Escape")
    until(lambda: page.locator(".tok.hit").count() == 0)
    assert (
        page.evaluate("document.querySelector('.moe-viz').shadowRoot.activeElement.className")
        == "mv page"
    )


def test_the_probability_of_one_expert(opened):
    page, _, noise = opened
    page.locator("select[aria-label='Colour of the map']").select_option("expert")
    watched = page.locator("select[aria-label='Expert whose probability is shown']")
    until(watched.is_visible)
    watched.select_option("5")
    drawn(page)
    page.locator("select[aria-label='Colour of the map']").select_option("first")
    until(watched.is_hidden)
    assert noise.errors == []


def test_a_hostile_prompt_is_text(opened):
    page, _, noise = opened
    page.locator("select[aria-label=Label]").select_option("x<b>")
    drawn(page)
    assert "window.hacked=1" in page.locator(".text").inner_text()
    assert page.evaluate("window.hacked") is None
    assert noise.errors == []
    assert noise.outside("file:") == []


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_screen_in_both_themes(opened, size):
    page, _, noise = opened
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for scheme, theme in (("light", LIGHT), ("dark", DARK)):
        page.emulate_media(color_scheme=scheme)
        for label in ("passage", "python"):
            page.locator("select[aria-label=Label]").select_option(label)
            page.wait_for_timeout(200)
            assert page.evaluate(MISFITS) == []
            assert page.locator(".legend .swatch").count() == 8
        assert page.locator(".mv").evaluate(GROUND) == "rgb({}, {}, {})".format(*rgb(theme.ground))
    assert noise.errors == []
    assert noise.outside("file:") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, saved, scheme):
    """axe-core, the accessibility checker, on the page with everything open."""
    path, _ = saved
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=3&mode=entropy&beside=prompt 0")
    page.locator(".beside .tok").first.wait_for()
    found = Axe().run(page).response["violations"]
    assert [v for v in found if v["impact"] in ("serious", "critical")] == []
    assert [v["id"] for v in found] == []
    context.close()
