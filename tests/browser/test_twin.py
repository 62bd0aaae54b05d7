# SPDX-License-Identifier: Apache-2.0
"""What an expert takes, beside what an untrained twin does with the same pieces."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.browser.seen import looking, synthetic
from tests.browser.test_many_experts import LAYERS, busiest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("twin")) as look:
        yield look


def test_beside_a_twin_a_piece_has_the_twin_s_share(look):
    trace = synthetic(20, 2, LAYERS)
    tokens = [t if special else f"␣{n % 5}" for n, (t, special) in enumerate(
        zip(trace.tokens, trace.special, strict=True))]  # fmt: skip
    trace = replace(trace, tokens=tokens)
    random = replace(trace.provenance, weights="random weights, seed 1")
    twin = replace(trace, experts=trace.experts[::-1].copy(), provenance=random)
    page = look([trace, twin], layer=1, token=2)
    e = busiest(trace, 0, [0, 1, 2])[0]
    page.locator(".legend .swatch").first.click()
    page.locator(".taken").wait_for()
    values = page.locator(".taken .value").all_inner_texts()
    pieces = page.locator(".taken code").all_text_contents()
    lines = page.locator(".taken .there").evaluate_all(
        "all => all.map((e) => parseFloat(e.style.left))"
    )
    where = np.array([t for t in range(len(trace)) if not trace.special[t]])
    for piece, value, line in zip(pieces, values, lines, strict=True):
        mine = [t for t in where if tokens[t] == piece]
        theirs = Counter(int(x) for t in mine for x in twin.experts[0, t] if x >= 0)
        share = max(theirs.values(), default=0) / len(mine)
        here = sum(e in trace.experts[0, t] for t in mine)
        assert line == pytest.approx(100 * share, abs=0.006)
        assert value == f"{here} of {len(mine)}, twin {100 * share:.0f}\u00a0%"
    assert "untrained twin takes of the same piece" in page.locator(".taken + .note").inner_text()
