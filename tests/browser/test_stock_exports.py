# SPDX-License-Identifier: Apache-2.0
"""nbconvert's own pages and slides: the same explorer, the same keys, with the network cut off."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser.conftest import listen, until
from tests.browser.test_charts import colours
from tests.browser.test_slides import WAIT, notebook, trace, turn, use_explorer  # noqa: F401
from tests.unit.test_slides import nbformat

pytest.importorskip("sphinx_revealjs")
exporters = pytest.importorskip("nbconvert.exporters")
pytestmark = pytest.mark.browser
#: What nbconvert's page of slides asks of require.js and MathJax, which it takes from the network.
REQUIRE = """(() => {
  let made; window.define = (...a) => { made = a.pop(); }; define.amd = {};
  window.require = window.requirejs = async (config, names, then) => {
    const modules = [];
    for (const src of names) {
      await new Promise((loaded) => document.head.append(
        Object.assign(document.createElement('script'), { src, onload: loaded })));
      modules.push(made());
    }
    then(...modules);
  };
})();"""
MATHJAX = "window.MathJax = { Hub: { Config() {}, getAllJax: () => null } };"


def answer(script: str, route) -> None:
    route.fulfill(body=script, content_type="text/javascript")


@pytest.fixture
def stock(browser):
    """A window with the network cut off but for loopback and stand-ins for two scripts."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(1000 * WAIT)
    context.route(re.compile("^https:"), lambda route: route.abort())
    for name, script in (("require", REQUIRE), ("mathjax", MATHJAX)):
        context.route(
            re.compile(rf"^https:.*{name}.*\.js", re.I),
            partial(answer, script),
        )
    noise = listen(context)
    yield context.new_page()
    theirs = "https://cdnjs.cloudflare.com/", "https://fonts.googleapis.com/"  # of the templates
    assert noise.outside("file:", "http://127.0.0.1", *theirs) == []
    assert [text for text, where in noise.errors if not where.startswith("https:")] == []
    context.close()


def test_in_nbconvert_s_page_the_explorer_and_the_chart_are_alive(stock, notebook, trace, tmp_path):  # noqa: F811
    html, _ = exporters.HTMLExporter().from_notebook_node(nbformat.read(notebook, as_version=4))
    (tmp_path / "stock.html").write_text(html, encoding="utf-8")
    stock.goto((tmp_path / "stock.html").as_uri(), wait_until="domcontentloaded")
    stock.locator(".sentence").wait_for()
    use_explorer(stock, trace, stock.locator(".sentence"))
    until(lambda: stock.locator(".moe-viz-chart[data-ready]").count() == 2, WAIT)
    drawing = stock.locator(".moe-viz-plot").first
    assert colours(drawing.screenshot(), tmp_path) >= 4


def test_in_nbconvert_s_slides_the_explorer_is_used_by_keys(stock, notebook, trace, tmp_path):  # noqa: F811
    spec = find_spec("sphinx_revealjs")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "_static/revealjs"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        exporter = exporters.SlidesExporter(
            reveal_url_prefix=f"http://127.0.0.1:{server.server_port}"
        )
        html, _ = exporter.from_notebook_node(nbformat.read(notebook, as_version=4))
        (tmp_path / "stock.slides.html").write_text(html, encoding="utf-8")
        stock.goto((tmp_path / "stock.slides.html").as_uri(), wait_until="domcontentloaded")
        stock.locator(".reveal.ready").wait_for()
        turn(stock, "ArrowRight")
        sentence = stock.locator(".sentence")
        sentence.wait_for()
        place = stock.evaluate("location.hash")
        use_explorer(stock, trace, sentence)
        assert stock.evaluate("location.hash") == place
        turn(stock, "ArrowRight")
        until(lambda: stock.evaluate("location.hash") != place, WAIT)
        stock.evaluate("location.hash = '#/3'")
        chart = stock.locator("section.present:not(.stack) .moe-viz-chart")
        until(lambda: chart.count() == 1 and chart.get_attribute("data-ready") == "yes", WAIT)
        assert colours(chart.locator(".moe-viz-plot").screenshot(), tmp_path) >= 4
    finally:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, for pages of files too, without a word."""

    def end_headers(self):
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format, *args):
        pass
