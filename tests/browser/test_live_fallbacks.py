# SPDX-License-Identifier: Apache-2.0
"""The page where a browser lacks or forbids something, workers or all scripts; and on paper."""

from __future__ import annotations

import re

import pytest

import moe_viz as mv
from moe_viz.prompts import curated
from tests.browser.conftest import READY, drawn, listen, until
from tests.browser.lab import OFF, ablated, shows, switch_off, title, type_in

pytestmark = pytest.mark.browser
TEXT = "Le chat ne répond à aucun nom."
#: A worker that never begins: as where a policy of the site forbids it.
DEAF = """window.Worker = class Worker extends EventTarget {
  constructor() { super(); window.made = (window.made ?? 0) + 1;
    setTimeout(() => this.onerror?.(new ErrorEvent("error", { message: "no worker" })), LATER); }
  postMessage() {}
};"""
THROWS = """window.Worker = class Worker {
  constructor() { window.made = (window.made ?? 0) + 1; throw new DOMException("no worker"); }
};"""
#: What a page may lack. Without a worker the model is on the page's own thread, where these act.
LACKS = {
    "a worker": THROWS,
    "a worker that begins": DEAF.replace("LATER", "0"),
    "a worker that begins, which is noticed late": DEAF.replace("LATER", "1500"),
    "workers at all": "delete window.Worker; window.made = 1;",
    "WebAssembly and a worker": f"delete window.WebAssembly; {THROWS}",
}


@pytest.mark.parametrize("lack", LACKS)
def test_it_runs_and_switches_without(opened, model, lack):
    page = opened(exact=True, script=LACKS[lack])
    assert page.evaluate("window.made") == 1
    if "WebAssembly" in lack:
        assert page.evaluate("typeof WebAssembly") == "undefined"
    trace = mv.record(model, TEXT)
    type_in(page, TEXT, len(trace))
    shows(page, trace)
    switch_off(page, *OFF)
    shows(page, ablated(model, TEXT, OFF))
    assert title(page).endswith(f"off: {OFF[0]}/{OFF[1]}")


#: What a site may forbid, and what the page then asks for in vain.
FORBIDDEN = {
    "workers": ("worker-src blob:", "worker-src 'none'"),
    "WebAssembly": (" 'wasm-unsafe-eval'", ""),
    "both": ("'unsafe-inline' 'wasm-unsafe-eval'; ", "'unsafe-inline'; "),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_it_runs_where_a_policy_forbids(browser, pages, model, tmp_path, what):
    html = pages[True].read_text(encoding="utf-8")
    changes = [FORBIDDEN["workers"], FORBIDDEN["WebAssembly"]] if what == "both" else [
        FORBIDDEN[what]
    ]  # fmt: skip
    for old, new in changes:
        assert html.count(old, 0, 3000) == 1
        html = html.replace(old, new, 1)
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(offline=True)
    noise, page = listen(context), context.new_page()
    page.goto(path.as_uri())
    page.get_by_text(READY).wait_for()
    trace = mv.record(model, TEXT)
    type_in(page, TEXT, len(trace))
    shows(page, trace)
    # The browser says what the policy forbids, and nothing else is wrong.
    assert [e for e in noise.errors if "Content Security Policy" not in e[0]] == []
    assert noise.outside("file:") == []
    context.close()


def test_without_scripts_the_recorded_example_is_readable(browser, pages):
    (example,) = curated().select("en", "cat")
    for path in pages.values():
        context = browser.new_context(java_script_enabled=False, offline=True)
        noise, page = listen(context), context.new_page()
        page.goto(path.as_uri())
        assert page.get_by_text("Scripts are off here.").is_visible()
        words = re.sub(r"[\s␣]+", " ", page.locator("main").inner_text())
        assert example.text in words
        assert "8x7m" in words
        image = page.locator("main img")
        box = image.bounding_box()
        assert box["width"] > 600
        assert box["height"] > 100
        assert image.get_attribute("alt")
        assert page.locator("body").bounding_box()["height"] < 2000, "no model is shown as text"
        assert noise.errors == []
        assert noise.outside("file:") == []
        context.close()


def test_on_paper_there_is_the_picture_and_no_tray(opened):
    page = opened()
    switch_off(page, *OFF)
    page.locator("summary", has_text="Share").click()
    assert page.locator(".tray").is_visible()
    page.emulate_media(media="print")
    drawn(page)
    assert not page.locator(".tray").is_visible()
    assert not page.get_by_label("Your text").is_visible()
    assert not page.get_by_text("What is shown now").is_visible()
    assert page.locator(".text .tok").first.is_visible()
    assert page.locator(".mv canvas").first.is_visible()
    assert page.locator(".mv canvas").first.bounding_box()["height"] > 100
    assert page.get_by_text(f"Changed: off: {OFF[0]}/{OFF[1]} (layer/expert).").is_visible()
    page.emulate_media(media="screen")
    assert page.locator(".tray").is_visible()
    # Printed with it and without it: the tray takes no room.
    printed = page.pdf()
    page.locator(".tray").evaluate("e => e.remove()")
    drawn(page)
    count = re.compile(rb"/Type\s*/Page\b")
    until(lambda: len(count.findall(page.pdf())) == len(count.findall(printed)))
