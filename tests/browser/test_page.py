"""The saved page in headless Chromium: it draws, reacts, asks for nothing, and runs no prompt."""

from __future__ import annotations

import shutil

import pytest

import moe_viz as mv
from tests.conftest import random_model

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\u202e"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A page of three prompts, with every request and console error it made."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is missing: make chromium"
    model = mv.load("8x7m")
    trace = mv.record(model, ["Good morning.", HOSTILE, "naïve 中"], labels=["en", "x<b>", "en"])
    path = mv.save_page(trace, tmp_path_factory.mktemp("page") / "routing.html")
    requests, errors = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.locator(".sentence").wait_for()
        yield page, trace, requests, errors
        browser.close()


def test_the_decision_in_words_is_the_trace_s(opened):
    page, trace, _, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    first = int(trace.experts[0, 1, 0])
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()


def test_keys_move_the_layer(opened):
    page, trace, _, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    sentence = page.locator(".sentence").inner_text()
    assert sentence.startswith("In layer 1,")
    assert f"expert {int(trace.experts[1, 1, 0])} " in sentence


def test_a_hostile_prompt_is_text(opened):
    page, _, requests, errors = opened
    page.locator("select[aria-label=Label]").select_option("x<b>")
    page.wait_for_timeout(100)
    assert "window.hacked=1" in page.locator(".text").inner_text()
    assert page.evaluate("window.hacked") is None
    assert errors == []
    assert all(url.startswith(("file:", "data:")) for url in requests)


def test_random_weights_carry_a_banner(tmp_path):
    trace = mv.record(random_model(), [[1, 2, 3]])
    page = mv.save_page(trace, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "random weights, seed 0" in page
