# SPDX-License-Identifier: Apache-2.0
"""The course as a site, opened from a folder: every notebook a page, alive, found by searching."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.conftest import browser, listen, until  # noqa: F401 (a fixture)

from .conftest import NOTEBOOKS, every_notebook
from .test_exports import FIGURES, drawn

pytest.importorskip("furo")
pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(ran, tmp_path_factory) -> Path:
    """The site, as `make docs` builds it, of the notebooks that these tests have run."""
    for path in NOTEBOOKS:
        ran(path)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-b", "html"]
    done = subprocess.run(
        [*command, "-c", "docs", "-d", str(folder / "read"), ".", str(folder / "html")],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
        env=os.environ | {"MOE_VIZ_RAN": str(ran.folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture
def opened(browser):  # noqa: F811
    """Opens a page offline; afterwards: it asked for nothing else, and complained of nothing."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    noise, page = listen(context), context.new_page()

    def go(path: Path):
        page.goto(path.as_uri())
        return page

    yield go
    assert not noise.errors
    assert not noise.outside("file:")
    context.close()


@every_notebook
def test_a_notebook_is_a_page_whose_pictures_are_alive(path, site, opened):
    page = opened(site / "notebooks" / f"{path.stem}.html")
    figures = page.locator(FIGURES)
    assert figures.count()
    for n in range(figures.count()):
        figure = figures.nth(n)
        if figure.evaluate("e => !e.checkVisibility()"):  # in a folded solution
            continue
        figure.scroll_into_view_if_needed()
        until(lambda figure=figure: drawn(figure))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "<!-- slide" not in page.content()


def test_each_page_leads_on_and_back(site):
    for before, after in pairwise(NOTEBOOKS):
        html = (site / "notebooks" / f"{before.stem}.html").read_text("utf-8")
        assert re.search(rf'<a class="next-page" href="{after.stem}\.html"', html)
        html = (site / "notebooks" / f"{after.stem}.html").read_text("utf-8")
        assert re.search(rf'<a class="prev-page" href="{before.stem}\.html"', html)


def test_the_weights_are_in_the_site_once(site):
    large = [p for p in site.rglob("*") if p.is_file() and p.stat().st_size > 8_000_000]
    assert [p.name for p in large] == ["model.js"]
    text = (site / "docs/lab.html").read_text("utf-8")
    (said,) = re.findall(r"\((\d+) MB", text)
    assert int(said) == round(large[0].stat().st_size / 1e6)


@pytest.mark.parametrize("where", ["lab.html", "notebooks/00_start_here.html"])
def test_the_model_runs_in_the_lab_and_behind_a_notebook_s_picture(where, site, opened):
    page = opened(site / where)
    page.locator(".tray").first.scroll_into_view_if_needed()  # it begins when it is seen
    page.get_by_text("Nothing that you type leaves this page.").first.wait_for(timeout=120_000)
    box = page.locator(".tray textarea").first
    box.fill("A mixture of experts decides.")
    shown = page.locator(".moe-viz .text").all_inner_texts
    until(lambda: any("A mixture of experts decides." in text for text in shown()), 120)


def test_a_word_of_a_notebook_is_found_by_searching(site, opened):
    page = opened(site / "search.html")
    page.goto((site / "search.html").as_uri() + "?q=divergence")
    found = page.locator("#search-results a", has_text="Do experts specialise?")
    until(lambda: found.count() >= 1, 60)


def test_pictures_follow_the_theme_of_the_site(site, opened):
    page = opened(site / "notebooks" / f"{NOTEBOOKS[0].stem}.html")
    assert page.locator(".moe-viz").first.evaluate("e => !!e.shadowRoot")
    colours = []
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.dataset.theme = {theme!r}")
        ground = "e => getComputedStyle(e.shadowRoot.querySelector('.mv')).backgroundColor"
        page.wait_for_timeout(300)
        colours.append(page.locator(".moe-viz").first.evaluate(ground))
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 24, 28)"]
