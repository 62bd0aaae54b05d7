# SPDX-License-Identifier: Apache-2.0
"""Sixteen experts and more: what is coloured, named and listed is the trace's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.browser.conftest import drawn, until
from tests.browser.seen import (
    GROUNDS,
    MODES,
    NOW,
    TOOLS,
    colours,
    full,
    looking,
    mixed,
    near,
    part,
    picture,
    rgb,
    same,
    synthetic,
)

pytestmark = pytest.mark.browser
OTHERS = {"light": "#d9dce2", "dark": "#474d55"}
INK = {"light": "#1b1f24", "dark": "#f2f4f6"}
SHARED = {"light": "#f2c230", "dark": "#7d6210"}
LAYERS = (1, 2, 4, 5)
GROUNDS_OF_TOKENS = f"""async () => {{ {TOOLS} await settled();
  return [...root.querySelectorAll('.body .text .tok')].map((t) => [
    getComputedStyle(t).backgroundColor, getComputedStyle(t).backgroundImage]); }}"""
#: A strip: its picture, and what it says.
STRIPS = f"""async () => {{ {TOOLS} await settled();
  return [...root.querySelectorAll('.strip')].map((s) => [
    s.querySelector('canvas').toDataURL('image/png'), s.querySelector('.muted').innerText]); }}"""


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("many")) as look:
        yield look


@pytest.fixture(scope="module", params=[(20, 2, "dark"), (64, 8, "light"), (256, 8, "light")],
                ids=lambda p: f"{p[0]} experts")  # fmt: skip
def scene(request, look):
    E, k, theme = request.param
    trace = synthetic(E, k, LAYERS)
    trace = replace(trace, model_layers=7, mixtures=LAYERS)  # 0, 3 and 6 are dense
    return trace, theme, look(trace, theme, layer=2, token=2)


def assigned(trace, row: int, prompts: list[int]) -> Counter:
    """How many choices each expert of a layer had, special tokens left out."""
    found: Counter = Counter()
    for number in prompts:
        where = part(trace, number)
        chosen = trace.experts[row, where][~trace.special[where]]
        found.update(int(e) for e in chosen.ravel() if e >= 0)
    return found


def busiest(trace, row: int, prompts: list[int]) -> list[int]:
    counts = assigned(trace, row, prompts)
    return sorted(range(trace.expert_count), key=lambda e: (-counts[e], e))


def sharing(trace, row: int, token: int) -> np.ndarray:
    """How many experts each token has in common with one."""
    own = {int(e) for e in trace.experts[row, token] if e >= 0}
    return np.array([len(own & set(map(int, chosen))) for chosen in trace.experts[row]])


def tint(share: float, theme: str) -> np.ndarray:
    return mixed(SHARED[theme], GROUNDS[theme], 0.2 + 0.8 * share if share > 0 else 0)


def test_the_picture_opens_on_what_tokens_share(scene):
    trace, theme, page = scene
    drawn_now, k = page.evaluate(NOW), trace.experts.shape[2]
    where = part(trace, 0)
    expected = np.array([[tint(n / k, theme) for n in sharing(trace, row, 2)[where]]
                         for row in range(len(LAYERS))])  # fmt: skip
    pixels = picture(drawn_now["map"])
    rows = map_rows(pixels, page)
    x = ((np.arange(where.stop) + 0.5) * pixels.shape[1] / where.stop).astype(int)
    near(pixels[np.array(rows)[:, None], x[None, :]], expected, 2)
    tokens = page.evaluate(GROUNDS_OF_TOKENS)
    ground = rgb(GROUNDS[theme])
    for t, (ground_of, image) in enumerate(tokens):
        if trace.special[t] or trace.experts[1, t, 0] < 0:
            continue
        found = colours(ground_of)[0] if colours(ground_of) else tuple(ground)
        near(np.array([found]), np.array([expected[1, t]]), 2)
        assert image == "none", "no line of gates where colours say something else"
    said = " ".join(drawn_now["legend"].split())
    assert f"Experts shared with the selected token: 0 {k}" in said
    steps = page.locator(".steps .step").evaluate_all(
        "all => all.map((e) => getComputedStyle(e).backgroundColor)"
    )
    assert len(steps) == k + 1
    near(
        np.array([colours(c)[0] for c in steps]),
        np.array([tint(n / k, theme) for n in range(k + 1)]),
        2,
    )


def test_the_path_names_each_layer_and_its_first_choice(scene):
    trace, _, page = scene
    cells = page.locator(".path button").evaluate_all(
        "all => all.map((e) => [...e.children].map((c) => c.innerText))"
    )
    firsts = [int(e) for e in trace.experts[:, 2, 0]]
    assert cells == [[str(e), str(n)] for e, n in zip(firsts, LAYERS, strict=True)]
    dense = page.locator(".path > *").evaluate_all("all => all.map((e) => e.matches('.dense'))")
    assert dense == [True, False, False, True, False, False, True]


def map_rows(pixels: np.ndarray, page) -> list[int]:
    """Heights in the middle of each layer's row, of dense layers none: from the axis."""
    axis = page.evaluate(NOW)["axis"]
    scale = pixels.shape[0] / page.locator(".stack").bounding_box()["height"]
    rows = [y * scale for name, y in axis if name not in ("0", "3", "6")]
    assert [name for name, _ in axis] == ["0", "1", "2", "3", "4", "5", "6"]
    return [int(y) - int(8 * scale) for y in rows]  # above the digits


def test_the_busiest_seven_have_colours_in_map_and_legend(scene):
    trace, theme, page = scene
    seen = page.evaluate(MODES, ["first"])["first"]
    every = list(range(len(trace.prompts)))
    expected, where = [], part(trace, 0)
    for row in range(len(LAYERS)):
        hues = {e: full(n) for n, e in enumerate(busiest(trace, row, every)[:7])}
        firsts = trace.experts[row, where, 0].tolist()
        cells = [hues.get(e, rgb(OTHERS[theme])) if e >= 0 else rgb(GROUNDS[theme]) for e in firsts]
        cells[0] = 0.3 * cells[0] + 0.7 * rgb(GROUNDS[theme])
        expected.append(cells)
    pixels = picture(seen["map"])
    x = ((np.arange(where.stop) + 0.5) * pixels.shape[1] / where.stop).astype(int)
    same(pixels[np.array(map_rows(pixels, page))[:, None], x[None, :]], np.array(expected))
    counts = assigned(trace, 1, every)
    total = sum(counts.values())
    listed = [f"{e} {100 * counts[e] / total:.1f}\u00a0%" for e in busiest(trace, 1, every)[:7]]
    said = re.sub(r"[ \n]+", " ", seen["legend"])
    assert " ".join(listed) in said
    assert f"the other {trace.expert_count - 7}" in said
    page.evaluate(MODES, ["shared"])


def test_bands_stand_for_dense_layers_and_say_so(scene):
    _, theme, page = scene
    line = {"light": "#d5d9de", "dark": "#3a4047"}[theme]
    pixels, axis = picture(page.evaluate(NOW)["map"]), dict(page.evaluate(NOW)["axis"])
    scale = pixels.shape[0] / page.locator(".stack").bounding_box()["height"]
    for name in ("0", "3", "6"):
        near(pixels[int(axis[name] * scale), 2:40], np.broadcast_to(rgb(line), (38, 3)))
    assert "Layers 0, 3, 6: dense, without experts." in page.locator("footer").inner_text()


def test_strips_are_as_high_as_what_they_show(scene):
    trace, theme, page = scene
    (scores, said), (loads, busy) = page.evaluate(STRIPS)
    E, k = trace.expert_count, trace.experts.shape[2]
    logits = trace.router_logits[1, 2].astype(np.float16).astype(float)
    heights = heights_of(picture(scores), E)
    expected = (logits - logits.min()) / (logits.max() - logits.min())
    chosen = {int(e) for e in trace.experts[1, 2]}
    # A chosen one is drawn wider than the others where they are thin, and covers its neighbours.
    free = [e for e in range(E) if E < 200 or not chosen & {e - 1, e + 1}]
    exact = 0.99 if E < 200 else 0.9  # beside bars of less than two pixels
    assert np.corrcoef(heights[free], expected[free])[0, 1] > exact
    assert heights.min() <= 2, "the lowest has no height"
    assert said == f"logits of all {E}; the chosen are marked below"
    marks = marked(picture(scores), E, theme)
    assert chosen <= marks
    assert len(marks) <= 3 * k  # of a mark that is wider than its bar neighbours have some
    counts = assigned(trace, 1, [0, 1, 2])
    shares = np.array([counts[e] for e in range(E)]) / sum(counts.values())
    assert np.corrcoef(heights_of(picture(loads), E), shares)[0, 1] > exact - 0.02
    pixels = picture(loads)
    even = round(32 - 31 / E / max(shares.max(), 2 / E))  # px from above, of 32
    row = pixels[int((even + 0.5) * pixels.shape[0] / 37), 1]
    near(row[None], rgb(INK[theme])[None], 40)  # the first dash of the line of even loads
    first, second = busiest(trace, 1, [0, 1, 2])[:2]
    times = [f"{shares[e] * E:.1f} × even" for e in (first, second)]
    assert busy == f"busiest: {first}, {times[0]}; then {second}, {times[1]}"


def test_a_strip_says_the_expert_under_the_pointer_and_a_press_isolates_it(scene):
    trace, _, page = scene
    E, counts = trace.expert_count, assigned(trace, 1, [0, 1, 2])
    e = busiest(trace, 1, [0, 1, 2])[9]
    canvas = page.locator(".strip canvas").last
    box = canvas.bounding_box()
    at = {"x": (e + 0.5) * box["width"] / E, "y": 10}
    canvas.hover(position=at)
    share = counts[e] / sum(counts.values())
    said = f"expert {e}: {100 * share:.1f}\u00a0%, {share * E:.1f} × even"
    until(lambda: page.locator(".strip .muted").last.inner_text() == said)
    canvas.click(position=at)
    page.get_by_text(f"Expert {e} of layer 2 takes").wait_for()
    assert page.locator(".swatch[aria-pressed=true]").inner_text() == str(e)
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    page.locator("footer").hover()
    until(lambda: page.locator(".taken").count() == 0)


def heights_of(pixels: np.ndarray, E: int) -> np.ndarray:
    """How much of each expert's column is filled, above the base line."""
    ground = pixels[0, 0]
    rows = pixels[: int(pixels.shape[0] * 32 / 37) - 2]
    filled = (np.abs(rows - ground).max(axis=2) > 12).sum(axis=0)
    x = ((np.arange(E) + 0.4) * pixels.shape[1] / E).astype(int)
    return filled[x].astype(float)


def marked(pixels: np.ndarray, E: int, theme: str) -> set[int]:
    """The experts with a mark below their bars."""
    row = pixels[-3]
    x = ((np.arange(E) + 0.5) * pixels.shape[1] / E).astype(int)
    return set(np.flatnonzero(np.abs(row[x] - rgb(GROUNDS[theme])).max(axis=1) > 60).tolist())


def test_a_number_typed_lends_an_expert_the_eighth_colour(scene):
    trace, _, page = scene
    every = list(range(len(trace.prompts)))
    rest = busiest(trace, 1, every)[7:]
    wanted = next(e for e in rest if assigned(trace, 1, [0])[e])
    field = page.get_by_label("Any expert’s number")
    field.fill(str(wanted))
    drawn(page)
    pressed = page.locator(".swatch[aria-pressed=true]")
    assert pressed.inner_text() == str(wanted)
    ground = pressed.evaluate("e => getComputedStyle(e).backgroundImage")
    near(np.array(colours(ground)[:1]), np.array([full(7)]))
    assert page.locator(".taken").count() == 1  # in the place of the loads
    involved = (trace.experts[1, part(trace, 0)] == wanted).any(axis=1)
    until(lambda: page.locator(".tok.faded").count() == (~involved).sum())
    assert page.get_by_text(f"Expert {wanted} of layer 2 takes").is_visible()
    page.locator(".swatch[aria-pressed=true]").click()  # loads again, with a bar of its own
    loads = page.locator("section.spare .bars .n:visible")
    until(lambda: loads.count() == 8)
    assert loads.last.inner_text() == str(wanted)
    for silly in ("", "-1", str(trace.expert_count), "1.5"):
        field.fill(silly)
        drawn(page)
        assert page.locator(".swatch[aria-pressed=true]").count() == 0
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    until(lambda: page.locator(".tok.faded").count() == 0)


def test_digits_isolate_the_legend_s_experts_in_its_order(scene):
    trace, _, page = scene
    third = busiest(trace, 1, list(range(len(trace.prompts))))[2]
    page.locator(".mv").focus()
    page.keyboard.press("2")
    until(lambda: page.locator(".swatch[aria-pressed=true]").count() == 1)
    assert page.locator(".swatch[aria-pressed=true]").inner_text() == str(third)
    page.keyboard.press("2")
    until(lambda: page.locator(".swatch[aria-pressed=true]").count() == 0)


def test_what_an_expert_takes_is_counted_by_hand(scene):
    trace, _, page = scene
    e = busiest(trace, 1, [0, 1, 2])[0]
    page.locator(".legend .swatch").first.click()
    page.locator(".taken").wait_for()
    own = ~trace.special & (trace.experts[1] == e).any(axis=1)
    here = Counter(t for t, mine in zip(trace.tokens, own, strict=True) if mine)
    every = Counter(
        t for t, special in zip(trace.tokens, trace.special, strict=True) if not special
    )
    rows = page.evaluate("""() => { const root = document.querySelector('.moe-viz').shadowRoot;
      const text = (q) => [...root.querySelectorAll(q)].map((e) => e.textContent);
      return [text('.taken code'), text('.taken .value'),
        [...root.querySelectorAll('.taken .fill')].map((e) => parseFloat(e.style.width)),
        text('section h2').at(-1)]; }""")
    assert len(rows[0]) == min(8, len(here))
    assert rows[3] == f"Expert {e} of layer 2 takes {len(here)} pieces, all prompts"
    for piece, value, width in zip(*rows[:3], strict=True):
        assert value == f"{here[piece]} of {every[piece]}"
        assert width == pytest.approx(100 * here[piece] / every[piece], abs=0.01)
    taken = [here[piece] for piece in rows[0]]
    assert taken == sorted(here.values(), reverse=True)[: len(taken)]
    said = page.locator(".taken + .note").inner_text()
    assert "no single piece is a finding" in said
    page.locator(".legend .swatch").first.click()
    until(lambda: page.locator(".taken").count() == 0)
