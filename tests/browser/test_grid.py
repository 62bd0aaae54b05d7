# SPDX-License-Identifier: Apache-2.0
"""The map of experts × layers, what is touched, play, and the text in columns: all the trace's."""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.view.palette import EXPERTS
from tests.browser.conftest import drawn, until
from tests.browser.seen import (
    GROUNDS,
    TOOLS,
    colours,
    full,
    looking,
    mixed,
    near,
    part,
    picture,
    synthetic,
)

pytestmark = pytest.mark.browser
INK = {"light": "#1b1f24", "dark": "#f2f4f6"}
LIT = {"light": "#f2c230", "dark": "#7d6210"}
UNLIT = {"light": "#d5d9de", "dark": "#3a4047"}
LAYERS = (2, 5, 9)
SHAPES = [(8, 2, "light"), (64, 8, "dark"), (256, 8, "light")]
#: The second map and its marks, what stands below it, and the layers' heights.
GRID = f"""async () => {{ {TOOLS} await settled();
  return {{ map: url('.grid .stack canvas'), marks: url('.grid canvas.marks'),
    said: root.querySelector('.grid .row').innerText,
    label: root.querySelector('.grid .stack canvas').ariaLabel,
    axis: [...root.querySelectorAll('.grid .axis span')].map((s) => parseFloat(s.style.top)),
    high: root.querySelector('.grid .stack').offsetHeight }}; }}"""
#: What outlines each token in its column.
OUTLINES = """() => [...document.querySelector('.moe-viz').shadowRoot
  .querySelectorAll('.pile .tok')].map((t) => [t.textContent.trim(),
    t.style.getPropertyValue('--second'), getComputedStyle(t).boxShadow])"""
PILES = """() => [...document.querySelector('.moe-viz').shadowRoot.querySelectorAll('.pile')]
  .map((p) => [p.querySelector('b').innerText, Number(p.querySelector('.muted').innerText),
    [...p.querySelectorAll('.tok')].map((t) => t.textContent.trim())])"""
#: The colours of the columns' heads: each its ground, and its digits.
HEADS = """() => [...document.querySelector('.moe-viz').shadowRoot
  .querySelectorAll('.pile:not(.others) b')].map((b) => {
    const { backgroundImage, color } = getComputedStyle(b);
    return [b.innerText, backgroundImage, color]; })"""
STATE = """() => { const root = document.querySelector('.moe-viz').shadowRoot;
  const tokens = [...root.querySelectorAll('.body .text .tok')];
  return { at: tokens.findIndex((t) => t.matches('.chosen')),
    ahead: tokens.filter((t) => t.matches('.ahead')).length,
    button: root.querySelector('.play').innerText,
    counter: root.querySelector('.counter')?.innerText ?? '' }; }"""


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("grid")) as look:
        yield look


@pytest.fixture(scope="module", params=SHAPES, ids=lambda p: f"{p[0]} experts")
def scene(request, look):
    E, k, theme = request.param
    trace = synthetic(E, k, LAYERS)
    return trace, theme, look(trace, theme, layer=5, token=2, view="experts")


def choose(page, name: str, value: str) -> None:
    page.get_by_label(name, exact=True).select_option(value)
    drawn(page)


def counts(trace, prompts: list[int]) -> np.ndarray:
    """Assignments (L, E), special tokens left out."""
    found = np.zeros((len(trace.layers), trace.expert_count))
    for number in prompts:
        where = part(trace, number)
        for row, layer in enumerate(trace.experts[:, where][:, ~trace.special[where]]):
            for e in layer[layer >= 0]:
                found[row, e] += 1
    return found


def cells_of(pixels: np.ndarray, seen: dict, E: int) -> np.ndarray:
    """The colour of each cell, (L, E, 3): in its middle, or of wide cells where no line goes."""
    axis = np.array(seen["axis"], float)
    right, up = (0.25, 0.4 * np.diff(axis).min()) if E == 8 else (0.5, 0)
    y = ((axis - up) * pixels.shape[0] / seen["high"]).astype(int)
    x = ((np.arange(E) + right) * pixels.shape[1] / E).astype(int)
    return pixels[y[:, None], x[None, :]]


@pytest.mark.parametrize(
    ("scope", "prompts"), [("prompt", [0]), ("label", [0, 2]), ("all", [0, 1, 2])]
)
def test_a_cell_is_as_dark_as_its_expert_is_busy(scene, scope, prompts):
    trace, theme, page = scene
    choose(page, "Load of", scope)
    seen, E = page.evaluate(GRID), trace.expert_count
    loads = counts(trace, prompts)
    loads /= loads.sum(axis=1, keepdims=True)
    steps = np.rint(255 * np.minimum(loads * E / 4, 1)) / 255
    expected = [[mixed(INK[theme], GROUNDS[theme], 0.04 + 0.9 * x) for x in row] for row in steps]
    near(cells_of(picture(seen["map"]), seen, E), np.array(expected), 2)
    assert len({round(x, 3) for x in steps.ravel()}) > 2, "all alike: this test does not test"
    most = {8: "50.0", 64: "6.3", 256: "1.6"}[E]  # four times an even one
    said = f"{most}\u00a0% or more; even, {100 / E:.1f}\u00a0%, is marked"
    assert said in " ".join(seen["said"].split(" "))
    label = (
        f"Map of {E} experts by 3 layers of made-up, layer 2 on top; stronger for a larger load."
    )
    assert seen["label"] == label


def test_the_selected_token_s_experts_are_marked_in_every_layer(scene):
    trace, theme, page = scene
    seen, E = page.evaluate(GRID), trace.expert_count
    marks = cells_of(picture(seen["marks"]), seen, E)
    for row in range(len(LAYERS)):
        chosen = {int(e) for e in trace.experts[row, 2]}
        if E == 8:
            for e in chosen:
                near(marks[row, e][None], full(e)[None])
            first, pixels = int(trace.experts[row, 2, 0]), picture(seen["marks"])
            x = round((first + 0.5) * pixels.shape[1] / E)
            y = int(seen["axis"][row] * pixels.shape[0] / seen["high"])
            across = np.abs(pixels[y, x - 3 : x + 4].astype(int) - full(first)).max(axis=1)
            assert across.max() > 60, "the line through the first choices is seen within cells, too"
        painted = np.abs(marks[row] - 255).max(axis=1) > 8
        if theme == "light" and E < 100:  # transparent is white here; the line crosses some cells
            assert chosen <= set(np.flatnonzero(painted).tolist()) | {int(trace.experts[row, 2, 0])}


def test_a_click_on_a_cell_isolates_that_expert_in_that_layer(scene):
    trace, _, page = scene
    choose(page, "Load of", "all")
    loads = counts(trace, [0, 1, 2])
    e = int(loads[2].argmax())
    box = page.locator(".grid .stack").bounding_box()
    seen = page.evaluate(GRID)
    at = ((e + 0.5) * box["width"] / trace.expert_count, seen["axis"][2])
    page.mouse.move(box["x"] + at[0], box["y"] + at[1])
    load = loads[2, e] / loads[2].sum()
    said = f"layer 9, expert {e}: {100 * load:.1f}\u00a0%, {load * trace.expert_count:.1f} × even"
    until(lambda: page.locator(".said").inner_text() == said)
    page.locator(".grid .stack").click(position={"x": at[0], "y": at[1]})
    page.get_by_text(f"Expert {e} of layer 9 takes").wait_for()
    assert page.locator("header b").inner_text() == "9"
    assert page.locator(".swatch[aria-pressed=true]").inner_text() == str(e)
    page.keyboard.press("Escape")
    page.locator("footer").hover()
    until(lambda: page.locator(".swatch[aria-pressed=true]").count() == 0)
    page.keyboard.press("ArrowUp")
    drawn(page)


def test_bricks_are_lit_once_a_token_has_used_them(scene):
    trace, theme, page = scene
    choose(page, "Map", "touched")
    E, (L, _, k) = trace.expert_count, trace.experts.shape
    page.locator(".mv").focus()
    before = page.evaluate(STATE)["at"]
    for _ in range(3):
        seen, at = page.evaluate(GRID), page.evaluate(STATE)["at"]
        used = np.zeros((L, E), bool)
        for row in range(L):
            chosen = trace.experts[row, : at + 1].ravel()
            used[row, chosen[chosen >= 0]] = True
        shades = {True: LIT[theme], False: UNLIT[theme]}
        expected = [[mixed(shades[bool(x)], "#000000", 1) for x in row] for row in used]
        near(cells_of(picture(seen["map"]), seen, E), np.array(expected))
        tokens = f"{at + 1} token" + ("s" if at else "")
        counter = f"{used.sum():,} of {L * E:,} experts read after {tokens}"
        assert page.evaluate(STATE)["counter"] == f"{counter}; {k} a layer computed for each"
        page.keyboard.press("ArrowRight")
        drawn(page)
    for _ in range(page.evaluate(STATE)["at"] - before):
        page.keyboard.press("ArrowLeft")
    choose(page, "Map", "experts")


def test_play_walks_the_prompt_four_tokens_a_second_and_ends_with_it(scene):
    trace, _, page = scene
    last = trace.prompts[0].stop - 1
    page.locator(".mv").focus()
    for _ in range(last - 3 - page.evaluate(STATE)["at"]):
        page.keyboard.press("ArrowRight")
    drawn(page)
    page.keyboard.press(" ")
    page.wait_for_function(
        "() => document.querySelector('.moe-viz').shadowRoot.querySelector('.tok.ahead')"
    )
    seen = page.evaluate(STATE)
    assert seen["button"] == "❚❚ Stop"
    assert seen["ahead"] == last - seen["at"]
    times = page.evaluate("""async () => {
      const root = document.querySelector('.moe-viz').shadowRoot, times = [];
      const at = () => [...root.querySelectorAll('.body .text .tok')]
        .findIndex((t) => t.matches('.chosen'));
      let now = at();
      while (root.querySelector('.play').innerText.includes('Stop')) {
        await new Promise(requestAnimationFrame);
        if (at() !== now) { times.push(performance.now()); now = at(); }
      }
      return times; }""")
    steps = np.diff(times)
    assert all(100 < step < 600 for step in steps), steps
    assert page.evaluate(STATE) == {"at": last, "ahead": 0, "button": "▶ Play", "counter": ""}
    page.get_by_role("button", name="Play").click()  # from the beginning again
    until(lambda: page.evaluate(STATE)["at"] <= 1)
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    until(lambda: page.evaluate(STATE)["button"] == "▶ Play")
    at = page.evaluate(STATE)["at"]
    page.wait_for_timeout(600)
    assert page.evaluate(STATE)["at"] == at, "it walks on"
    page.evaluate("location.hash = '#prompt=0&layer=5&token=2&view=experts'")
    until(lambda: page.evaluate(STATE)["at"] == 2)


def test_sorted_each_token_stands_below_its_first_choice(scene):
    trace, _, page = scene
    page.get_by_role("button", name="Sort by expert").click()
    page.locator(".pile").first.wait_for()
    words = [t.removeprefix("␣") for t in trace.tokens]
    for layer in (1, 2):
        piles = page.evaluate(PILES)
        where = part(trace, 0)
        firsts = {t: int(trace.experts[layer, t, 0]) for t in range(where.start, where.stop)}
        shown = {t: e for t, e in firsts.items() if e >= 0 and not trace.special[t]}
        names = [name for name, _, _ in piles]
        if trace.expert_count == 8:
            assert names == [str(e) for e in range(8)]
        else:
            assert len(names) == 8
            assert names[-1] == f"the other {trace.expert_count - 7}"
        named = {int(name) for name in names if name.isdigit()}
        for name, number, tokens in piles:
            mine = [
                t
                for t, e in shown.items()
                if (str(e) == name if name.isdigit() else e not in named)
            ]
            assert number == len(tokens) == len(mine)
            assert tokens == [words[t] for t in mine]
        if trace.expert_count == 8:
            seconds = {words[t]: int(trace.experts[layer, t, 1]) for t in shown}
            for word, second, shadow in page.evaluate(OUTLINES):
                wanted = "transparent" if seconds[word] < 0 else EXPERTS[seconds[word]]
                assert second == wanted, "outlined in the colour of its second choice"
                assert shadow.endswith("inset")
        own = counts(trace, [0, 1, 2])[layer]
        hues = sorted(range(trace.expert_count), key=lambda e, own=own: (-own[e], e))[:7]
        for name, ground, digits in page.evaluate(HEADS):
            hue = int(name) if trace.expert_count == 8 else hues.index(int(name))
            near(np.array(colours(ground)[-1:]), full(hue)[None])
            assert colours(digits) == [(255, 255, 255) if hue in (0, 3) else (0, 0, 0)]
        page.locator(".mv").focus()
        page.keyboard.press("ArrowDown")
        drawn(page)
    page.keyboard.press("ArrowUp")
    page.get_by_role("button", name="Sort by expert").click()
    until(lambda: page.locator(".pile").count() == 0)
    text = page.locator(".body .text").first.inner_text()
    assert text.split() == ["<s>", *trace.prompts[0].text.split()]
