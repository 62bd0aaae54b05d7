# SPDX-License-Identifier: Apache-2.0
"""After a change of layer all that comes into sight is the new layer's, however late it is painted.

The page paints the tokens in sight at once and the others when they come into sight, or when there
is time; here there never is. Expected colours come from the trace and the palette.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.view.palette import LIGHT, expert_colour, mix, rgb, token_share
from tests.browser.conftest import listen, until

pytestmark = pytest.mark.browser
PASSAGE = " ".join(["Two of eight experts work on every token, and a router picks them."] * 18)
OTHER = "Good morning, and good night."

#: No timer of a tenth of a second or more ever ends: nothing is painted because time has passed.
NO_TIME = """const wait = window.setTimeout;
window.setTimeout = (f, ms, ...rest) => (ms >= 100 ? 0 : wait(f, ms, ...rest));"""
#: Of each token at least half in sight (or of all): its number, ground, image, and classes.
TOKENS = """all => {
  const box = document.querySelector('.moe-viz').shadowRoot.querySelector('.text');
  const frame = box.getBoundingClientRect(), found = [];
  box.querySelectorAll('.tok').forEach((chip, n) => {
    const { top, bottom } = chip.getBoundingClientRect(), middle = (top + bottom) / 2;
    if (!all && (middle < frame.top || middle > frame.bottom)) return;
    const style = getComputedStyle(chip);
    found.push([n, style.backgroundColor, style.backgroundImage, chip.className]);
  });
  return found;
}"""
SCROLL = """to => {
  const box = document.querySelector('.moe-viz').shadowRoot.querySelector('.text');
  box.scrollTop = to * (box.scrollHeight - box.clientHeight);
}"""


def triples(css: str) -> list[tuple[int, ...]]:
    """Every colour named in a computed style, in order."""
    return [tuple(map(int, c)) for c in re.findall(r"rgb\((\d+), (\d+), (\d+)\)", css)]


def wrong(trace, layer: int, tokens: list) -> list[int]:
    """Tokens whose ground or bar is not this layer's."""
    found = []
    for n, ground, image, _ in tokens:
        if trace.special[n]:
            continue
        first, *_ = chosen = [int(e) for e in trace.experts[layer, n]]
        gate = float(np.float16(trace.gates[layer, n, 0]))  # as the page carries it
        share = token_share(gate, len(chosen))
        expected = rgb(mix(expert_colour(first), LIGHT.ground, share))
        near = all(np.abs(np.subtract(c, expected)).max() <= 1 for c in triples(ground))
        bar = list(dict.fromkeys(triples(image)))
        if not triples(ground) or not near or bar != [rgb(expert_colour(e)) for e in chosen]:
            found.append(n)
    return found


@pytest.fixture(scope="module")
def trace():
    trace = mv.record(mv.load("8x7m"), [PASSAGE, OTHER], labels=["long", "short"])
    assert trace.prompts[0].stop <= 400, "the whole first prompt is drawn"
    return trace


@pytest.fixture
def opened(browser, tmp_path, trace):
    context = browser.new_context(viewport={"width": 1024, "height": 700}, color_scheme="light")
    context.add_init_script(NO_TIME)
    noise = listen(context)
    page = context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "page.html", layer=1).as_uri())
    page.locator(".sentence:not(:empty)").wait_for()
    page.locator(".mv").focus()
    yield page
    assert noise.errors == []
    context.close()


def shows(page, trace, layer: int, some_of: bool = True) -> None:
    """Wait until all tokens in sight are of this layer (and that they are neither none nor all)."""

    def holds():
        tokens = page.evaluate(TOKENS, not some_of)
        drawn = trace.prompts[0].stop
        assert len(tokens) == drawn if not some_of else 30 < len(tokens) < 0.8 * drawn
        plain = [token for token in tokens if "faded" not in token[3].split()]  # and ungrounded
        return wrong(trace, layer, plain) == []

    until(holds)


def test_tokens_that_come_into_sight_have_the_new_layer_s_colours(opened, trace):
    shows(opened, trace, 1)
    opened.keyboard.press("ArrowDown")
    shows(opened, trace, 2)
    rest = wrong(trace, 2, opened.evaluate(TOKENS, True))
    assert rest, "what is out of sight has been painted: this test does not test what it is for"
    for place in (1, 0.5, 0.75, 0):
        opened.evaluate(SCROLL, place)
        shows(opened, trace, 2)
    opened.evaluate(SCROLL, 1)
    opened.keyboard.press("ArrowUp")  # where it stands scrolled
    shows(opened, trace, 1)
    opened.evaluate(SCROLL, 0)
    shows(opened, trace, 1)


def test_many_layers_in_a_row_end_at_the_last(opened, trace):
    for key in ["ArrowDown"] * 4 + ["ArrowUp"] * 2 + ["ArrowDown"]:
        opened.keyboard.press(key)
    shows(opened, trace, 4)
    opened.evaluate(SCROLL, 1)
    shows(opened, trace, 4)


def test_paper_shows_every_token_of_the_new_layer(opened, trace):
    opened.keyboard.press("ArrowDown")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")  # before it is drawn, even
    shows(opened, trace, 2, some_of=False)


def test_an_isolated_expert_and_a_search_reach_what_comes_into_sight(opened, trace):
    opened.keyboard.press("3")
    opened.keyboard.press("ArrowDown")
    shows(opened, trace, 2)
    opened.evaluate(SCROLL, 1)

    def faded():
        tokens = opened.evaluate(TOKENS, False)
        involved = (trace.experts[2] == 3).any(axis=1)
        return all(("faded" in kind.split()) != involved[n] for n, _, _, kind in tokens)

    until(faded)
    opened.keyboard.press("Escape")
    opened.keyboard.press("/")
    opened.keyboard.type("router")
    opened.evaluate(SCROLL, 1)

    def found():
        tokens = opened.evaluate(TOKENS, False)
        words = "".join(trace.tokens[n] for n, _, _, kind in tokens if "hit" in kind.split())
        assert words.replace("router", "").strip() == "" or "hit" not in str(tokens[0])
        return "router" in words and not any("faded" in kind.split() for *_, kind in tokens)

    until(found)


def test_bars_are_the_new_layer_s_and_forget_a_comparison(opened, trace):
    """Rows of bars are kept from layer to layer: nothing of what they said before may stay."""
    figures = opened.locator(".bars .value")
    probabilities, prompt = np.exp(trace.router_logits.astype(np.float64)), trace.prompts[0]
    probabilities /= probabilities.sum(axis=2, keepdims=True)

    def said(layer: int) -> list[str]:
        chosen = trace.experts[layer, prompt.start + 1 : prompt.stop]
        loads = [(chosen == e).sum() / chosen.size for e in range(8)]
        return [f"{100 * x:.1f}\u00a0%" for x in [*probabilities[layer, 1], *loads]]

    def are(layer: int) -> bool:
        shown = [float(x.split("\u00a0")[0]) for x in figures.all_text_contents()]
        expected = [float(x.split("\u00a0")[0]) for x in said(layer)]
        return shown == pytest.approx(expected, abs=0.11)

    until(lambda: are(1))
    opened.locator("select[aria-label='Compare with']").select_option("prompt 1")
    until(lambda: opened.locator(".difference").count() == 8)
    assert opened.locator(".there:not([hidden])").count() == 8
    opened.locator("select[aria-label='Compare with']").select_option("")
    opened.locator(".mv").focus()
    opened.keyboard.press("ArrowDown")
    until(lambda: are(2))
    assert opened.locator(".difference").count() == 0
    assert opened.locator(".there:not([hidden])").count() == 0
    assert opened.locator(".path button[aria-current=true]").count() == 1
    # The chosen bars are full, the others pale.
    full = (
        opened.locator(".bars")
        .first.locator(".fill")
        .evaluate_all(
            "bars => bars.flatMap((bar, n) => bar.classList.contains('other') ? [] : [n])"
        )
    )
    assert full == sorted(int(e) for e in trace.experts[2, 1])
