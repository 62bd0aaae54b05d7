"""The saved page in headless Chromium: it draws, reacts, asks for nothing, and runs no prompt."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.view.palette import DARK, LIGHT, rgb
from tests.browser.conftest import listen
from tests.conftest import random_model

pytestmark = pytest.mark.browser
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\u202e"
PASSAGE = " ".join(["Two of eight experts work on every token, and a router picks them."] * 8)
CODE = '"""Count."""\n\n\ndef count(items):\n    return sum(1 for item in items if item)\n'
SIZES = [(1366, 768), (1920, 1080), (1024, 768), (390, 844)]

#: What stands out of the frame to the right, and text cut off within its own box.
MISFITS = """() => {
  const root = document.querySelector('.moe-viz').shadowRoot.querySelector('.mv');
  const edge = root.getBoundingClientRect().right + 0.5, found = [];
  for (const e of root.querySelectorAll('*')) {
    const name = e.tagName + ' ' + e.className, words = 'h2, h3, .value, .n, .swatch, footer';
    if (e.getBoundingClientRect().right > edge) found.push('stands out: ' + name);
    if (e.matches(words) && e.scrollWidth > e.clientWidth + 1) found.push('cut off: ' + name);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  return found;
}"""
GROUND = "e => getComputedStyle(e).backgroundColor"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A page of five prompts, and its trace."""
    texts = ["Good morning.", HOSTILE, "naïve 中", PASSAGE, CODE]
    trace = mv.record(mv.load("8x7m"), texts, labels=["en", "x<b>", "en", "passage", "python"])
    return mv.save_page(trace, tmp_path_factory.mktemp("page") / "routing.html"), trace


@pytest.fixture(scope="module")
def opened(browser, saved):
    """That page, opened, with every request and console error it made."""
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
    page.wait_for_timeout(100)
    first = int(trace.experts[0, 1, 0])
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()


def test_keys_move_the_layer(opened):
    page, trace, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    sentence = page.locator(".sentence").inner_text()
    assert sentence.startswith("In layer 1,")
    assert f"expert {int(trace.experts[1, 1, 0])} " in sentence


def test_the_pointer_previews_and_a_click_pins(opened):
    page, _, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.wait_for_timeout(100)
    sentence, ringed = page.locator(".sentence"), page.locator(".tok.chosen")
    before = sentence.inner_text()
    word = page.locator(".tok").nth(9)
    word.hover()
    page.wait_for_timeout(100)
    assert ringed.all_inner_texts() == [word.inner_text()]
    assert sentence.inner_text() != before
    page.locator("footer").hover()
    page.wait_for_timeout(100)
    assert sentence.inner_text() == before
    word.click()
    page.locator("footer").hover()
    page.wait_for_timeout(100)
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
    assert page.locator(".tok.faded").count() == (~involved).sum()
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    assert page.locator(".tok.faded").count() == 0


def test_a_hostile_prompt_is_text(opened):
    page, _, noise = opened
    page.locator("select[aria-label=Label]").select_option("x<b>")
    page.wait_for_timeout(100)
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


def test_without_scripts_the_fallback_is_there(browser, saved):
    path, trace = saved
    context = browser.new_context(java_script_enabled=False)
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri())
    shown = page.locator(".moe-viz")
    assert page.get_by_text("Scripts are off here.").is_visible()
    assert "Good morning." in shown.inner_text()
    assert f"{trace.provenance.model}, not Mixtral 8x7B" in shown.inner_text()
    assert shown.locator("img").bounding_box()["height"] > 100
    assert noise.outside("file:") == []
    context.close()


def test_random_weights_carry_a_banner(tmp_path):
    trace = mv.record(random_model(), [[1, 2, 3]])
    page = mv.save_page(trace, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "random weights, seed 0" in page
