# SPDX-License-Identifier: Apache-2.0
"""Pages of all kinds of traces: parallel, twice the same, cut for room, long, of many experts."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from tests.browser.conftest import CODE, PASSAGE, drawn, listen, until
from tests.browser.seen import MISFITS
from tests.conftest import random_model, small_config
from tests.packed import around

pytestmark = pytest.mark.browser


def test_the_same_sentence_in_five_languages_is_one_click_away(browser, tmp_path):
    prompts = mv.prompts.curated()[:30]
    trace = mv.record(mv.load("8x7m"), prompts)
    german = next(p.text for p in prompts if (p.label, p.topic) == ("de", prompts[0].topic))
    context = browser.new_context()
    page = context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "page.html").as_uri())
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.locator(".alike button").all_inner_texts() == ["en", "fr", "de", "es", "it"]
    page.locator(".alike button", has_text="de").click()
    until(lambda: german.split()[1] in page.locator(".text").inner_text())
    assert page.locator(".alike button[aria-pressed=true]").inner_text() == "de"
    context.close()
    # Texts of one's own have no parallels that anybody knows of.
    own = mv.save_page(
        mv.record(mv.load("8x7m"), ["a", "b"], labels=["x", "y"]), tmp_path / "o.html"
    )
    context = browser.new_context()
    page = context.new_page()
    page.goto(own.as_uri())
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.locator(".alike button").count() == 0
    context.close()


def test_two_runs_of_the_same_tokens_show_where_they_agree(browser, tmp_path):
    texts = ["Good morning.", PASSAGE]
    exact, rough = (mv.record(mv.load("8x7m", dtype=d), texts) for d in ("float32", "bfloat16"))
    page_file = mv.save_page([exact, rough], tmp_path / "page.html", mode="agreement", prompt=1)
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.locator(".sentence").wait_for()
    modes = page.locator("select[aria-label='Colour of the map']")
    assert modes.input_value() == "agreement"
    assert "8x7m · bfloat16" in modes.inner_text()
    assert noise.errors == []
    with pytest.raises(InputError, match="same tokens"):
        mv.explore([exact, exact.select(prompt=0)])
    with pytest.raises(InputError, match="agreement"):
        mv.explore(exact, mode="agreement")
    context.close()


@pytest.mark.parametrize(("more", "how"), [(4e6, "half"), (32_000, "byte"), (8_000, "none")])
def test_a_small_output_keeps_what_was_chosen_and_says_what_it_leaves_out(
    browser, tmp_path, more, how, monkeypatch
):
    trace = mv.record(mv.load("8x7m"), [PASSAGE, CODE])
    limit = around(mv.explore(trace).to_html()) + more
    monkeypatch.setattr("moe_viz.view.explorer.explorer.NOTEBOOK", limit)
    file, html = tmp_path / "page.html", mv.explore(trace, layer=3, mode="margin").to_html()
    assert f'"precision":"{how}"' in html
    file.write_text(f"<!doctype html><title>t</title><body>{html}")
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator(".sentence").wait_for()
    for token in (1, 7, 30):
        page.locator(".tok").nth(token).hover()
        drawn(page)
        first, second = trace.experts[3, token]
        gate = round(100 * float(trace.gates[3, token, 0]))
        said = page.locator(".sentence").inner_text()
        assert f"expert {first} (" in said
        assert f" and {second} (" in said
        shown = int(said.split("(")[1].split("\u00a0")[0])
        assert abs(shown - gate) <= 1
        if how != "none":
            less, by = re.findall(r"missed by (less than )?([\d.]+)", said)[0]
            near = 0.02 if how == "half" else 0.1
            assert abs(trace.margins[3, token] - (0 if less else float(by))) <= near
    said = page.locator("footer").inner_text()
    assert ("keeps them finer" in said) == (how == "byte")
    assert ("keeps all logits" in said) == (how == "none")
    assert noise.errors == []
    context.close()


def test_a_long_prompt_is_drawn_in_parts(browser, tmp_path):
    trace = mv.record(random_model(small_config(context=8000)), [list(range(3, 99)) * 60])
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "long.html").as_uri())
    page.locator(".sentence").wait_for()
    assert page.locator(".tok").count() <= 400
    assert page.locator(".more").inner_text() == "… 5,360 tokens after …"
    page.locator(".stack .marks").click(position={"x": 400, "y": 10})  # in the middle of the map
    until(lambda: page.locator(".more").count() == 2)
    assert page.locator(".tok.chosen").count() == 1
    word, frame = (page.locator(e).bounding_box() for e in (".tok.chosen", ".text"))
    assert frame["y"] <= word["y"] < word["y"] + word["height"] <= frame["y"] + frame["height"]
    # A press shows what comes before, and three quarters of what is drawn are new.
    button = page.locator(".more").first
    before = int(button.inner_text().split()[1].replace(",", ""))
    button.click()
    until(lambda: button.inner_text() == f"… {before - 300:,} tokens before …")
    assert noise.errors == []
    context.close()


@pytest.mark.parametrize("experts", [4, 8, 20, 64, 200])
def test_any_number_of_experts(browser, tmp_path, experts):
    k = min(4, experts)
    config = small_config(
        experts=experts,
        experts_per_token=k,
        hidden_size=16,
        expert_size=8,
        heads=4,
        kv_heads=2,
        head_dim=4,
    )
    trace = mv.record(random_model(config), [[5, 9, 80, 33]])
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(mv.save_page(trace, tmp_path / "page.html", token=2, layer=1).as_uri())
    page.locator(".sentence").wait_for()
    said = page.locator(".sentence").inner_text()
    assert said.split("expert ")[1].startswith(f"{trace.experts[1, 2, 0]} (")
    many = experts >= 16  # the busiest seven, and all others as one
    assert page.locator(".legend .swatch:visible").count() == (8 if many else experts)
    assert (f"the other {experts - 7}" in page.locator(".legend").inner_text()) == many
    assert page.evaluate(MISFITS) == []
    assert noise.errors == []
    context.close()


def test_numbers_that_are_none(browser, tmp_path):
    trace = mv.record(random_model(), [[5, 9, 80, 33]])
    logits = trace.router_logits.copy()
    logits[0, 1], logits[1, 1, 0], logits[2, 2, 3] = np.nan, np.inf, -np.inf
    broken = replace(trace, router_logits=logits, gates=np.full_like(trace.gates, np.nan))
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(mv.save_page(broken, tmp_path / "page.html", token=1).as_uri())
    page.locator(".sentence").wait_for()
    page.locator(".mv").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        drawn(page)
    for mode in ("gate", "margin", "entropy", "expert"):
        page.locator("select[aria-label='Colour of the map']").select_option(mode)
        drawn(page)
    assert noise.errors == []
    context.close()
