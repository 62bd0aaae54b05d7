# SPDX-License-Identifier: Apache-2.0
"""Finding tokens: by the signs that stand for them, and in a parallel passage."""

from __future__ import annotations

import pytest

import moe_viz as mv
from tests.browser.conftest import until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def trace():
    prompts = mv.prompts.passages().parallel("software_install").select(["fr", "de"])
    return mv.record(mv.load("8x7m"), prompts + mv.prompts.code().select("python", "gcd"))


def opened(browser, trace, tmp_path, **opening):
    page = browser.new_page(viewport={"width": 1366, "height": 900})
    page.goto(mv.save_page(trace, tmp_path / "page.html", **opening).as_uri())
    page.locator(".sentence").wait_for()
    return page


def test_the_sign_of_a_line_end_finds_line_ends(browser, trace, tmp_path):
    page = opened(browser, trace, tmp_path, prompt=2)
    program = trace.select(prompt=2)
    wanted = sum("\n" in program.prompts[0].text[a:b] for a, b in program.spans[~program.special])
    page.locator("input[type=search]").fill("⏎")
    until(lambda: page.get_by_text(f"{wanted} tokens", exact=True).is_visible())
    page.close()


def test_the_parallel_passage_opens_at_the_same_token(browser, trace, tmp_path):
    start = trace.tokens.index("version")
    page = opened(browser, trace, tmp_path, prompt=0, layer=5, token=start)
    page.locator(".alike button", has_text="de").click()
    german = trace.select(prompt=1)
    expert = german.experts[5, german.tokens.index("version"), 0]
    said = f"In layer 5, ‘version’ goes to expert {expert} "
    until(lambda: page.locator(".sentence").inner_text().startswith(said))
    page.close()
