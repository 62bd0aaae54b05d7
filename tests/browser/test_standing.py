# SPDX-License-Identifier: Apache-2.0
"""A picture in a page follows a text that is being written, as a notebook's outputs have it."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.view.explorer import standing
from moe_viz.view.explorer.standing import Standing
from tests.browser.conftest import listen, until

pytestmark = pytest.mark.browser
#: An output is given other HTML, whose scripts run: as JupyterLab does it.
PUT = """([id, html]) => {
  let output = document.getElementById(id);
  if (!output) {
    output = Object.assign(document.createElement("div"), { id });
    document.body.append(output);
  }
  output.replaceChildren(document.createRange().createContextualFragment(html));
}"""
STATE = """() => { const root = document.querySelector('.moe-viz').shadowRoot;
  const tokens = [...root.querySelectorAll('.body .text .tok')];
  return { tokens: tokens.length, at: tokens.findIndex((t) => t.matches('.chosen')),
    generated: tokens.filter((t) => t.matches('.generated')).length,
    layer: root.querySelector('header b').innerText, map: root.querySelector('.grid') !== null,
    sentence: root.querySelector('.sentence').innerText }; }"""


def test_it_grows_token_by_token_and_what_the_reader_chose_stays(browser, monkeypatch):
    monkeypatch.setattr(standing, "PACE", 0)
    context = browser.new_context()
    noise, page = listen(context), context.new_page()
    page.set_content("<!doctype html><title>t</title><body></body>")
    outputs: list[str] = []

    class Output:
        def __init__(self, html: str, display_id: bool) -> None:
            self.id = f"output-{len(outputs)}"
            outputs.append(self.id)
            self.update(html)

        def update(self, html: str) -> None:
            page.evaluate(PUT, [self.id, html])

    explorer = mv.explore(mv.record(mv.load("8x7m"), ["Before."]), layer=1)
    explorer.__dict__["_standing"] = Standing(Output, str)
    seen: list[dict] = []

    class Watching:
        """Does as the explorer, and looks at the page each time."""

        def due(self):
            return explorer.due()

        def follow(self, trace):
            explorer.follow(trace)
            until(lambda: page.evaluate(STATE)["tokens"] == len(trace))
            seen.append(page.evaluate(STATE) | {"length": len(trace)})
            if len(seen) == 2:  # a reader looks at another layer, and at the other map
                page.locator(".mv").focus()
                page.keyboard.press("ArrowDown")
                page.get_by_label("Map", exact=True).select_option("touched")

        def done(self, trace):
            explorer.done(trace)

    out = mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=7, watch=Watching())
    assert [s["at"] for s in seen] == [s["length"] - 1 for s in seen]
    assert [s["generated"] for s in seen] == list(range(7))
    assert [s["layer"] for s in seen] == ["1", "1", *["2"] * 5]
    assert [s["map"] for s in seen] == [False, False, *[True] * 5]
    last = out.trace
    first = int(last.experts[2, len(last) - 2, 0])
    assert f"goes to expert {first} (" in seen[-1]["sentence"]
    until(lambda: page.evaluate(STATE)["tokens"] == len(last))
    assert page.locator("#output-1").inner_html() == ""
    assert page.locator(".moe-viz").count() == 1
    # The picture that stays was put there anew, and is looked at as the one before it was.
    end = page.evaluate(STATE)
    assert [end["at"], end["layer"], end["map"]] == [len(last) - 1, "2", True]
    assert page.get_by_label("Map", exact=True).input_value() == "touched"
    assert page.evaluate("window.moeVizLooks.size") == 0
    assert noise.errors == []
    context.close()
