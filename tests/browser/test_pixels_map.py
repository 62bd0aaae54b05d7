# SPDX-License-Identifier: Apache-2.0
"""The map's pixels are the trace: every cell, in every mode, both themes, zoomed in and out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.browser.conftest import until
from tests.browser.seen import (
    FADED,
    GROUNDS,
    MODES,
    NOW,
    cells,
    cividis,
    first_choices,
    full,
    looking,
    near,
    part,
    picture,
    rgb,
    same,
    shot,
    shown,
    softmax,
    synthetic,
)

pytestmark = pytest.mark.browser
#: Experts, choices, layers, theme.
SCENES = {
    "8 experts, 2 chosen": (8, 2, (2, 5, 9), "light"),
    "12 experts, 3 chosen": (12, 3, (0, 4, 5), "dark"),
    "8 experts, 1 chosen": (8, 1, (7, 11), "light"),
}
STEPS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)  # of the scale of margins


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("seen")) as look:
        yield look


@pytest.fixture(scope="module", params=SCENES.values(), ids=list(SCENES))
def scene(request, look):
    """A trace, its theme, and every mode's map of its second prompt, then of its first."""
    E, k, layers, theme = request.param
    trace = synthetic(E, k, layers)
    modes = ["first", "gate", "margin", "entropy", *(f"expert {e}" for e in range(E))]
    page = look(trace, theme, prompt=1, layer=layers[-1])
    second = page.evaluate(MODES, modes)
    page.evaluate("location.hash = '#prompt=0&mode=first'")
    until(lambda: page.locator("select[aria-label=Label]").input_value() == "en")
    return trace, theme, {1: second, 0: page.evaluate(MODES, modes)}


@pytest.mark.parametrize("number", [0, 1])
def test_each_cell_has_the_colour_of_its_first_expert(scene, number):
    trace, theme, seen = scene
    expected = first_choices(trace, number, theme)
    same(shown(seen[number]["first"], trace, expected.shape[1]), expected)


def quantities(trace, mode: str, ends: str) -> np.ndarray:
    """What a mode shows of every decision, 0 to 1, (L, T)."""
    k, logits = trace.experts.shape[2], trace.router_logits
    if mode == "gate":
        gates = trace.gates[:, :, 0].astype(np.float16).astype(float)
        return (gates - 1 / k) / (1 - 1 / k) if k > 1 else np.zeros(gates.shape)
    if mode == "margin":
        ranked = -np.sort(-logits.astype(float), axis=2)
        margins = ranked[:, :, k - 1] - ranked[:, :, k]
        enough = [s for s in STEPS if np.mean(margins <= s) >= 0.95]
        assert f"0 {enough[0]:g} or more" in re.sub(r"\s+", " ", ends)
        return margins / enough[0]
    p = softmax(logits)
    if mode == "entropy":
        return -(p * np.log(p)).sum(axis=2) / np.log(p.shape[2])
    return p[:, :, int(mode.split(" ")[1])]


def test_each_cell_has_the_colour_of_its_number_in_every_other_mode(scene):
    trace, theme, seen = scene
    for number, modes in seen.items():
        for mode, drawn in modes.items():
            if mode == "first":
                continue
            values = quantities(trace, mode, drawn["legend"])[:, part(trace, number)]
            expected = np.array([[cividis(x) for x in row] for row in values])
            if mode == "gate":  # of no expert there is none
                nobody = trace.experts[:, part(trace, number), 0] < 0
                expected[nobody] = rgb(GROUNDS[theme])
            # Values come in 255 steps, of which one changes a colour by three at most; float16
            # logits move a margin's by one.
            near(shown(drawn, trace, values.shape[1]), expected, 4)
            assert not np.allclose(expected, expected[0, 0], atol=8) or "gate" in mode


def test_the_strip_below_shows_the_layer_looked_at(scene):
    trace, theme, seen = scene
    for number, modes in seen.items():
        for mode in ("first", "entropy"):
            pixels, drawn = picture(modes[mode]["strip"]), modes[mode]
            n = part(trace, number).stop - part(trace, number).start
            row = cells(pixels, [pixels.shape[0] / 2], n)
            if mode == "first":
                same(row, first_choices(trace, number, theme)[-1:])
            else:
                near(row, shown(drawn, trace, n)[-1:])


def test_rows_are_named_by_the_models_layers(scene):
    trace, _, seen = scene
    for modes in seen.values():
        height = picture(modes["first"]["map"]).shape[0] / len(trace.layers)
        expected = [[str(n), (i + 0.5) * height] for i, n in enumerate(trace.layers)]
        assert modes["first"]["axis"] == expected
        said = modes["first"]["said"]
        assert (
            f"tokens by {len(trace.layers)} layers of made-up, layer {trace.layers[0]} on top"
            in said
        )
        assert modes["first"]["ends"] == ["first token", "last token"]


DIGITS = """([digits, width, height]) => digits.map((text) => {
  const c = document.createElement('canvas'), g = c.getContext('2d');
  c.width = width; c.height = height;
  g.fillStyle = '#fff'; g.fillRect(0, 0, width, height);
  g.fillStyle = '#000'; g.font = '600 11px system-ui, sans-serif';
  g.textAlign = 'center'; g.textBaseline = 'middle';
  g.fillText(text, width / 2, height / 2);
  return c.toDataURL('image/png');
})"""


def ink(patch: np.ndarray, ground: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """How far each pixel is from the ground to the digit's ink."""
    return ((patch - ground) @ (digit - ground)) / ((digit - ground) @ (digit - ground))


@pytest.fixture(scope="module")
def digits(browser):
    """The ink of each number from 0 to 11, drawn here."""
    page = browser.new_page()
    drawn = page.evaluate(DIGITS, [[str(e) for e in range(12)], 20, 20])
    page.close()
    return [ink(picture(url), rgb("#ffffff"), rgb("#000000")) for url in drawn]


def test_each_cell_carries_the_number_of_its_expert_in_ink_that_can_be_read(scene, digits):
    trace, _, seen = scene
    n = part(trace, 0).stop
    pixels = picture(seen[0]["first"]["map"])
    tall, wide, read = pixels.shape[0] / len(trace.layers), pixels.shape[1] / n, []
    for row, layer in enumerate(trace.experts[:, :n, 0]):
        for t, e in enumerate(layer.tolist()):
            y, x = round((row + 0.5) * tall) - 10, round((t + 0.5) * wide) - 10
            patch = pixels[y : y + 20, x : x + 20]
            if e < 0 or t == 0:  # nowhere, or special: no number
                assert np.ptp(patch.reshape(-1, 3), axis=0).max() <= 2
                continue
            digit = rgb("#ffffff" if e % 8 in (0, 3) else "#000000")
            found = ink(patch, full(e), digit)
            assert found.max() > 0.7
            apart = [min(np.abs(np.roll(r, shift, 1) - found).sum() for shift in (-1, 0, 1))
                     for r in digits]  # fmt: skip
            read.append((int(np.argmin(apart)), e))
    assert [a for a, _ in read] == [e for _, e in read]


def test_an_isolated_or_hovered_expert_stays_and_the_others_fade(look):
    trace = synthetic()
    page = look(trace)
    expected = first_choices(trace, 0)
    involved = (trace.experts[:, : expected.shape[1]] == 3).any(axis=2)
    assert 0 < involved.sum() < involved.size
    ground = rgb(GROUNDS["light"])
    faded = np.where(involved[:, :, None], expected, FADED * expected + (1 - FADED) * ground)
    page.locator(".swatch").nth(3).hover()
    hovered = page.evaluate(NOW)
    page.locator("footer").hover()
    page.locator(".mv").focus()
    page.keyboard.press("3")
    pressed = page.evaluate(NOW)
    page.keyboard.press("Escape")
    free = page.evaluate(NOW)
    for drawn, colours in ((hovered, faded), (pressed, faded), (free, expected)):
        near(shown(drawn, trace, expected.shape[1]), colours, 3)
        strip = picture(drawn["strip"])
        near(cells(strip, [8], expected.shape[1]), colours[:1], 3)


def test_agreement_is_the_share_of_the_other_runs_choices(look):
    trace = synthetic(k=3)
    other = synthetic(k=3, seed=1)
    other = replace(trace, experts=other.experts, provenance=other.provenance)
    other.experts[:, 8:10] = trace.experts[:, 8:10, ::-1]  # the same ones, in another order
    drawn = look([trace, other], mode="agreement").evaluate(NOW)
    ground, expected = rgb(GROUNDS["light"]), []
    for layer in range(3):
        for t in range(12):
            theirs = [e for e in other.experts[layer, t].tolist() if e >= 0]
            both = [e for e in theirs if e in trace.experts[layer, t].tolist()]
            expected.append(cividis(len(both) / len(theirs)) if theirs else ground)
    near(shown(drawn, trace, 12), np.array(expected).reshape(3, 12, 3), 2)
    assert "agreement, no expert shared  all" in drawn["legend"].replace("\n", " ")


def test_the_scale_in_the_legend_goes_from_its_low_end_to_its_high_end(look):
    page = look(synthetic(), mode="entropy")
    scale = page.locator(".legend .gradient")
    ends = scale.evaluate("e => [e.previousSibling.data, e.nextSibling.data]")
    assert [end.strip() for end in ends] == ["Map: entropy ÷ log E, 0", "1"]
    pixels = shot(scale)
    middle, wide = pixels[pixels.shape[0] // 2], pixels.shape[1]
    x = np.array([3, wide // 4, wide // 2, 3 * wide // 4, wide - 4])  # within the border
    near(middle[x], np.array([cividis((n - 0.5) / (wide - 2)) for n in x]), 6)


def test_few_experts_are_shown_as_before(look):
    trace = synthetic(15, 3, (2, 5, 9))
    page = look(trace)
    assert page.locator(".legend .swatch").count() == 15
    assert page.locator(".strip, .asked").count() == 0
    same(shown(page.evaluate(NOW), trace, 12), first_choices(trace, 0))
