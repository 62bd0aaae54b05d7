# SPDX-License-Identifier: Apache-2.0
"""A layer's drawing of scores that are chosen here: its bars, wires, colours, rows and names."""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.costs import Blocks
from moe_viz.view.diagram.diagram import Diagram
from moe_viz.view.palette import EXPERTS
from tests.browser.conftest import drawn, listen, until
from tests.browser.seen import colours, full, near, rgb
from tests.browser.test_diagram import ROOT

pytestmark = pytest.mark.browser
#: Of eight, expert 5 has a gate of 3/4, and expert 3 of 1/4: e to the power of log 3 is 3.
FEW = [-1.5, -3, -0.5, 0, -1, np.log(3), -2, -2.5]
#: Of twenty, 17 comes first, then 14, 11 and 8: all scores differ by 0.1 at least.
MANY = [7 * e % 20 / 10 for e in range(20)]
KEPT, OTHERS = "#f2c230", "#d9dce2"  # of many, in the light theme
#: Each expert's number, and the colour of its swatch; its bar and track, and its wire.
PARTS = f"""() => {{ const root = {ROOT}, all = (q) => [...root.querySelectorAll(q)];
  const wide = (r) => Number(r.getAttribute('width'));
  return {{ numbers: all('text.digit').map((t) => Number(t.textContent)),
    swatches: all('rect.swatch').map((r) => getComputedStyle(r).fill),
    bars: all('rect.bar').map(wide), tracks: all('rect.track').map(wide),
    wires: all('svg line[style]').map((l) => [l.style.stroke, parseFloat(l.style.strokeWidth)]),
    pile: all('text.inside').map((t) => t.textContent).filter((t) => t.includes('more')),
    label: root.querySelector('svg').ariaLabel }}; }}"""


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    context = browser.new_context(viewport={"width": 1000, "height": 760}, color_scheme="light")
    noise = listen(context)

    def open_one(scores: list[float], k: int):
        blocks = Blocks(4, 64, 16_384, 64, 64 * len(scores), 24_576, len(scores), k)
        page = context.new_page()
        drawing = Diagram("made-up", blocks, scores=np.array(scores))
        page.goto(drawing.save(folder / f"{len(scores)}.html").as_uri())
        until(lambda: page.evaluate(f"{ROOT}.querySelectorAll('svg text').length") > 5)
        return page

    yield open_one
    assert noise.errors == []
    context.close()


@pytest.fixture(scope="module")
def few(opened):
    return opened(FEW, 2)


@pytest.fixture(scope="module")
def many(opened):
    return opened(MANY, 3)


def test_a_wire_is_the_thicker_the_larger_its_expert_s_gate(few):
    wires = few.evaluate(PARTS)["wires"][1::2]  # of each pair the first is an edge
    found = {colours(stroke)[0]: width for stroke, width in wires}
    expected = {3: 1 + 13 * 0.25, 5: 1 + 13 * 0.75}
    assert found.keys() == {tuple(full(e).astype(int)) for e in expected}
    for e, width in expected.items():
        assert found[tuple(full(e).astype(int))] == pytest.approx(width, abs=0.01)


def test_the_drawing_is_named_by_its_experts_and_their_gates(few, many):
    said = "Layer 4 of made-up: of 8 experts 5 (75\u00a0%), 3 (25\u00a0%) are used."
    assert few.evaluate(PARTS)["label"] == said
    shares = "17 (37\u00a0%), 14 (33\u00a0%), 11 (30\u00a0%)"
    assert many.evaluate(PARTS)["label"] == f"Layer 4 of made-up: of 20 experts {shares} are used."


def test_a_bar_reaches_as_far_as_its_score(few):
    seen = few.evaluate(PARTS)
    assert seen["numbers"] == list(range(8))
    room = max(FEW) - min(FEW)  # the lowest has a little length: 12 % of it
    expected = [(x - min(FEW) + 0.12 * room) / (1.12 * room) for x in FEW]
    assert np.array(seen["bars"]) / seen["tracks"] == pytest.approx(expected, abs=0.001)
    near(np.array([colours(c)[0] for c in seen["swatches"]]), np.array([rgb(c) for c in EXPERTS]))


def test_of_many_the_rows_go_by_score_and_the_kept_have_one_colour(many):
    seen = many.evaluate(PARTS)
    assert seen["numbers"] == [17, 14, 11, 8]
    found = np.array([colours(c)[0] for c in seen["swatches"]])
    near(found, np.array([rgb(c) for c in (KEPT, KEPT, KEPT, OTHERS)]))


def test_of_many_the_rest_is_lower_then_not_kept_then_not_run(many):
    fates = {1: "lower", 2: "lower", 3: "not kept", 4: "not run", 6: "not run", 0: "not run"}
    for step, fate in fates.items():
        many.locator(".steps button").nth(step).click()
        drawn(many)
        assert many.evaluate(PARTS)["pile"] == [f"16 more: {fate}"]
