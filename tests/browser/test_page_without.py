# SPDX-License-Identifier: Apache-2.0
"""The saved page without a canvas, without scripts, and with texts that would be scripts."""

from __future__ import annotations

from dataclasses import replace

import pytest

import moe_viz as mv
from tests.browser.conftest import drawn, listen
from tests.browser.hostile import HOSTILE, HOSTILE_STRINGS
from tests.conftest import random_model

pytestmark = pytest.mark.browser
LIVE_ELEMENTS = """() => document.querySelector('.moe-viz').shadowRoot.querySelectorAll(
  'script, img, iframe, a, form, link, meta, base, object').length"""


def test_without_a_canvas_text_and_decision_remain(browser, saved):
    path, _ = saved
    context = browser.new_context()
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".sentence").inner_text().startswith("In layer 0,")
    assert page.locator(".tok").count() > 3
    assert noise.errors == []
    context.close()


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


def test_a_set_of_hostile_strings_executes_nothing(browser, tmp_path):
    assert len(HOSTILE_STRINGS) >= 40
    model = mv.load("8x7m")
    short = [text[:1500] for text in HOSTILE_STRINGS]
    trace = mv.record(model, short, labels=HOSTILE_STRINGS)
    named = replace(
        trace, provenance=replace(trace.provenance, model=HOSTILE, dtype="<b>x", device="<i>")
    )
    prompts = tuple(replace(p, text=t) for p, t in zip(named.prompts, HOSTILE_STRINGS, strict=True))
    named = replace(named, prompts=prompts)
    path = mv.save_page(named, tmp_path / "hostile.html", title=HOSTILE)
    for scripts in (True, False):
        context = browser.new_context(java_script_enabled=scripts)
        noise = listen(context)
        page = context.new_page()
        page.goto(path.as_uri())
        if scripts:
            page.locator(".sentence").wait_for()
            for n in range(len(prompts)):
                page.evaluate(f"location.hash = '#prompt={n}&token=0'")
                drawn(page)
            page.wait_for_timeout(200)
            assert page.evaluate("window.hacked") is None
            found = page.evaluate(LIVE_ELEMENTS)
            assert found == 0
        assert noise.errors == []
        assert noise.outside("file:") == []
        context.close()


def test_random_weights_carry_a_banner(tmp_path):
    trace = mv.record(random_model(), [[1, 2, 3]])
    page = mv.save_page(trace, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "random weights, seed 0" in page
