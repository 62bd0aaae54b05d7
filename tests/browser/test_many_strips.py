# SPDX-License-Identifier: Apache-2.0
"""Sixteen experts and more: how high each bar is, in which colour, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.view.explorer import fit
from tests.browser.conftest import drawn, until
from tests.browser.seen import TOOLS, colours, full, looking, near, picture, rgb, synthetic
from tests.browser.test_many_experts import (
    INK,
    LAYERS,
    OTHERS,
    STRIPS,
    assigned,
    busiest,
    heights_of,
)

pytestmark = pytest.mark.browser
EVERY = [0, 1, 2]  # all prompts
#: Of each step on the way through the layers, how its first cell is coloured.
WAY = f"""async () => {{ {TOOLS} await settled();
  return [...root.querySelectorAll('.path .cell:first-child')].map(
    (c) => getComputedStyle(c).backgroundImage); }}"""


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("strips")) as look:
        yield look


@pytest.fixture(scope="module", params=[(20, 2, "dark"), (64, 8, "light"), (256, 8, "light")],
                ids=lambda p: f"{p[0]} experts")  # fmt: skip
def scene(request, look):
    E, k, theme = request.param
    trace = synthetic(E, k, LAYERS)
    return trace, theme, look(trace, theme, layer=2, token=2)


def relative(trace) -> np.ndarray:
    """Logits of the token looked at, less the highest, as they travel."""
    logits = trace.router_logits[1, 2]
    return (logits - logits.max()).astype(np.float16).astype(float)


def test_a_bar_has_the_height_of_its_number(scene):
    trace, _, page = scene
    (scores, _), (loads, _) = page.evaluate(STRIPS)
    E, logits, counts = trace.expert_count, relative(trace), assigned(trace, 1, EVERY)
    shares = np.array([counts[e] for e in range(E)]) / sum(counts.values())
    for url, values in (
        (scores, 1 - logits / logits.min()),
        (loads, shares / max(shares.max(), 2 / E)),
    ):
        found, expected = heights_of(picture(url), E), np.maximum(31 * values - 2, 0)  # px
        assert found.max() == pytest.approx(expected.max(), abs=2)
        if E < 100:  # bars of whole pixels; of the loads one is below the dashed line
            assert found == pytest.approx(expected, abs=2)


def test_the_chosen_have_their_hues_in_the_strip_of_scores(scene):
    trace, theme, page = scene
    pixels, E = picture(page.evaluate(STRIPS)[0][0]), trace.expert_count
    hues = {e: full(n) for n, e in enumerate(busiest(trace, 1, EVERY)[:7])}
    chosen = {int(e) for e in trace.experts[1, 2]}
    free = sorted(chosen - {e - 1 for e in chosen})  # none is drawn over these
    x = np.ceil(np.array(free) * pixels.shape[1] / E).astype(int)
    near(pixels[28, x], np.array([hues.get(e, rgb(INK[theme])) for e in free]))


def test_the_strip_of_scores_says_how_far_an_expert_is_below_the_highest(scene):
    trace, _, page = scene
    E, logits = trace.expert_count, relative(trace)
    canvas, said = page.locator(".strip canvas").first, page.locator(".strip .muted").first
    box, order = canvas.bounding_box(), np.argsort(-trace.router_logits[1, 2])
    k = trace.experts.shape[2]
    for rank in (0, 1, k, k + 1):
        e, last = int(order[rank]), ", chosen" if rank < k else ""
        canvas.hover(position={"x": (e + 0.5) * box["width"] / E, "y": 10})
        until(lambda e=e: said.inner_text().startswith(f"expert {e}: "))
        number, _, rest = said.inner_text().removeprefix(f"expert {e}: ").partition(" ")
        assert float(number) == pytest.approx(-logits[e], abs=0.00501)
        assert rest == f"below the highest{last}"
    page.locator("footer").hover()


def test_a_chosen_expert_s_bar_is_as_long_as_its_gate(scene):
    trace, _, page = scene
    drawn(page)
    widths = page.locator(".decision .bars .fill").evaluate_all(
        "all => all.map((e) => parseFloat(e.style.width))"
    )
    gates = trace.gates[1, 2]
    assert widths == pytest.approx((100 * gates / gates.max()).tolist(), abs=0.1)


def test_each_step_of_the_way_has_the_colours_of_its_own_layer(scene):
    trace, theme, page = scene
    found = [colours(image)[-1] for image in page.evaluate(WAY)]
    expected = []
    for row in range(len(LAYERS)):
        hues = {e: full(n) for n, e in enumerate(busiest(trace, row, EVERY)[:7])}
        expected.append(hues.get(int(trace.experts[row, 2, 0]), rgb(OTHERS[theme])))
    near(np.array(found), np.array(expected))


def test_an_even_share_is_marked_where_what_an_expert_takes_is_listed(scene):
    trace, _, page = scene
    page.locator(".legend .swatch").first.click()
    page.locator(".taken").wait_for()
    lines = page.locator(".taken .uniform").evaluate_all(
        "all => all.map((e) => parseFloat(e.style.left))"
    )
    even = 100 * trace.experts.shape[2] / trace.expert_count  # percent
    assert lines == pytest.approx([even] * len(lines), abs=0.006)
    assert lines
    page.locator(".legend .swatch").first.click()
    until(lambda: page.locator(".taken").count() == 0)


def test_a_page_of_the_highest_scores_says_how_many_they_are(look, monkeypatch):
    monkeypatch.setattr(fit, "precision", lambda trace, limit: "top")
    page = look(synthetic(64, 8, LAYERS), layer=2, token=2)
    said = page.evaluate(STRIPS)[0][1]
    assert said == "logits of the 17 highest; the chosen are marked below"  # 8, and 9 more
