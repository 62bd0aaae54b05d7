# SPDX-License-Identifier: Apache-2.0
"""What a page says of its model: figures that are worked out here by other means, and its boxes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from tests.browser.conftest import drawn

pytestmark = pytest.mark.browser
SAID = re.compile(
    r"on ([\d,]+) curated texts, ([\d,]+) tokens, ([\d.]+) % of the sets of experts and ([\d.]+) % "
    r"of the first choices stay as they are; the loss is ([\d.]+) bits a byte before and ([\d.]+) "
    r"after\."
)


def about(page) -> str:
    page.locator("summary", has_text="About").click()
    return " ".join(page.locator(".pop[open] .body").inner_text().split())


def rounded(weight: np.ndarray) -> np.ndarray:
    """Each row in steps of a 127th of its largest weight."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    step = np.where(largest == 0, 1, largest / np.float32(127)).astype(np.float32)
    steps = np.clip(np.round(weight / step), -127, 127)
    return (steps * step).astype(np.float32)


@pytest.fixture(scope="module")
def runs() -> dict[bool, mv.Trace]:
    """All curated texts, run with the weights as they are, and in bytes."""
    found = {}
    for in_bytes in (False, True):
        model: Any = mv.load("8x7m")
        if in_bytes:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if "norm" not in name and "router" not in name:
                        parameter.copy_(torch.from_numpy(rounded(parameter.numpy())))
        found[in_bytes] = mv.record(model, mv.prompts.curated(), loss=True)
    return found


def bits(trace: mv.Trace) -> float:
    assert trace.loss is not None
    size = sum(len(text.encode()) for text in mv.prompts.curated().texts)
    return float(trace.loss[~np.isnan(trace.loss)].astype(float).sum() / np.log(2) / size)


@pytest.mark.long
def test_the_figures_of_the_about_box_are_those_of_the_weights_it_carries(opened, runs):
    told = SAID.search(about(opened()))
    assert told is not None
    texts, tokens, sets, first, before, after = (float(x.replace(",", "")) for x in told.groups())
    plain, bytes_ = runs[False], runs[True]
    shown = ~plain.special
    assert texts == len(mv.prompts.curated())
    assert tokens == shown.sum()
    # Whether a set is the same, whatever its order: by the experts that are in it.
    member = [(t.experts[:, shown][..., None] == np.arange(8)).any(axis=2) for t in (plain, bytes_)]
    assert sets == pytest.approx(100 * (member[0] == member[1]).all(axis=2).mean(), abs=0.011)
    same = plain.experts[:, shown, 0] == bytes_.experts[:, shown, 0]
    assert first == pytest.approx(100 * same.mean(), abs=0.011)
    assert before == pytest.approx(bits(plain), abs=0.00051)
    assert after == pytest.approx(bits(bytes_), abs=0.00051)
    assert 98.8 <= sets < 100
    assert 99.5 <= first < 100
    assert sets < first


def test_the_about_box_names_the_model_and_what_is_in_it(opened):
    said = about(opened())
    model: Any = mv.load("8x7m")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert f"{millions:.1f} million parameters" in said
    assert "6 layers of 8 experts, of which a token goes to 2" in said
    assert "8x7m · int8 · in this page" in said
    assert "asks for nothing from anywhere, and sends nothing" in said


def test_a_page_with_exact_weights_says_so_and_gives_no_figures(opened):
    said = about(opened(exact=True))
    assert "8x7m · bfloat16, exact · in this page" in said
    assert "as they were published, in bfloat16" in said
    assert SAID.search(said) is None
    assert "%" not in said
    assert "int8" not in said


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_boxes_fit_and_axe_finds_nothing(opened, scheme, width):
    page = opened(viewport={"width": width, "height": 768}, color_scheme=scheme, bypass_csp=True)
    for name in ("Share", "About"):
        summary = page.locator("summary", has_text=name)
        summary.click()
        body = page.locator(".pop[open] .body")
        drawn(page)
        box = body.bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
        across = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert across[0] <= across[1], name
        inside = body.evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert inside[0] <= inside[1], name
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == [], name
        summary.click()


def test_one_box_is_open_at_a_time(opened):
    """They lie in one place: one over the other could not be read."""
    page = opened()
    page.locator("summary", has_text="Share").click()
    page.locator("summary", has_text="About").click()
    drawn(page)
    assert page.locator(".pop[open]").count() == 1
    assert page.locator(".pop[open] h2").first.inner_text().startswith("8x7m")
