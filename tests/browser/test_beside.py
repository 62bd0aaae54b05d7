# SPDX-License-Identifier: Apache-2.0
"""`beside=` opens the picture with another prompt, or another label, to compare with."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from tests.browser.conftest import CODE, PASSAGE
from tests.packed import around, data_in

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("beside", "name"), [(2, "fr"), ("fr", "all of fr")])
def test_a_picture_opens_with_another_prompt_or_label_beside_it(browser, tmp_path, beside, name):
    trace = mv.record(mv.load("8x7m"), [PASSAGE, CODE, "Bonjour."], labels=["en", "code", "fr"])
    file = mv.save_page(trace, tmp_path / "page.html", beside=beside)
    page = browser.new_page()
    page.goto(file.as_uri())
    page.locator(".sentence").wait_for()
    chosen = page.locator("select[aria-label='Compare with'] option:checked")
    assert chosen.inner_text().startswith(name)
    assert page.get_by_text(f", beside {name}").is_visible()  # the loads say it too
    assert page.locator(".beside .text").count() == (name == "fr")
    page.close()
    for wrong in (0, 3, "en", "de"):  # itself, or not there
        with pytest.raises(InputError, match="beside must be one of"):
            mv.explore(trace, beside=wrong)


def test_what_stands_beside_stays_where_not_all_prompts_fit(monkeypatch):
    texts = [f"{PASSAGE} {n}" for n in range(6)]
    trace = mv.record(mv.load("8x7m"), texts)
    room = around(mv.explore(trace).to_html()) + 16_000
    monkeypatch.setattr("moe_viz.view.explorer.explorer.NOTEBOOK", room)
    data = data_in(mv.explore(trace, prompt=4, beside=5).to_html())
    shown = [text for _, text, *_ in data["prompts"]]
    assert 2 <= len(shown) < 6
    assert shown[data["state"]["prompt"]] == texts[4]
    assert data["state"]["beside"]["kind"] == "prompt"
    assert shown[data["state"]["beside"]["number"]] == texts[5]


def test_another_run_stays_away_where_not_all_prompts_fit(monkeypatch):
    """Its choices are of all tokens: beside a part of them they would be other tokens' choices."""
    trace = mv.record(mv.load("8x7m"), [f"{PASSAGE} {n}" for n in range(6)])
    there = []
    small = around(mv.explore(trace).to_html()) + 7_000
    for limit in (4e6, small):
        monkeypatch.setattr("moe_viz.view.explorer.explorer.NOTEBOOK", limit)
        data = data_in(mv.explore([trace, trace]).to_html())
        there.append((len(data["prompts"]) == 6, "others" in data["arrays"]))
    assert there == [(True, True), (False, False)]
