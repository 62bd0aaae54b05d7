# SPDX-License-Identifier: Apache-2.0
"""The saved page in headless Chromium: it draws, reacts, asks for nothing, and runs no prompt."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.palette import DARK, LIGHT, rgb
from tests.browser.conftest import drawn, listen, until
from tests.browser.hostile import HOSTILE, HOSTILE_STRINGS
from tests.conftest import random_model, small_config
from tests.packed import around

pytestmark = pytest.mark.browser
PASSAGE = " ".join(["Two of eight experts work on every token, and a router picks them."] * 8)
CODE = '"""Count."""\n\n\ndef count(items):\n    return sum(1 for item in items if item)\n'
SIZES = [(1366, 768), (1920, 1080), (1024, 768), (390, 844)]

#: What stands out of the frame to the right, and text cut off within its own box.
MISFITS = """() => {
  const root = document.querySelector('.moe-viz').shadowRoot.querySelector('.mv');
  const edge = root.getBoundingClientRect().right + 0.5, found = [];
  for (const e of root.querySelectorAll('*')) {
    const name = e.tagName + ' ' + e.className, words = 'h2, h3, .value, .n, .swatch, footer';
    if (e.getBoundingClientRect().right > edge) found.push('stands out: ' + name);
    if (e.matches(words) && e.scrollWidth > e.clientWidth + 1) found.push('cut off: ' + name);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  return found;
}"""
LIVE_ELEMENTS = """() => document.querySelector('.moe-viz').shadowRoot.querySelectorAll(
  'script, img, iframe, a, form, link, meta, base, object').length"""
GROUND = "e => getComputedStyle(e).backgroundColor"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A page of five prompts, and its trace."""
    texts = ["Good morning.", HOSTILE, "naïve 中", PASSAGE, CODE]
    trace = mv.record(mv.load("8x7m"), texts, labels=["en", "x<b>", "en", "passage", "python"])
    return mv.save_page(trace, tmp_path_factory.mktemp("page") / "routing.html"), trace


@pytest.fixture(scope="module")
def opened(browser, saved):
    """That page, opened, with every request and console error it made."""
    path, trace = saved
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator(".sentence").wait_for()
    yield page, trace, noise
    context.close()


def test_the_decision_in_words_is_the_trace_s(opened):
    page, trace, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    drawn(page)
    first = int(trace.experts[0, 1, 0])
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()


def test_keys_move_the_layer(opened):
    page, trace, _ = opened
    page.locator(".mv").focus()
    page.keyboard.press("ArrowDown")
    drawn(page)
    sentence = page.locator(".sentence").inner_text()
    assert sentence.startswith("In layer 1,")
    assert f"expert {int(trace.experts[1, 1, 0])} " in sentence


def test_the_pointer_previews_and_a_click_pins(opened):
    page, _, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    drawn(page)
    sentence, ringed = page.locator(".sentence"), page.locator(".tok.chosen")
    before = sentence.inner_text()
    word = page.locator(".tok").nth(9)
    word.hover()
    drawn(page)
    assert ringed.all_inner_texts() == [word.inner_text()]
    assert sentence.inner_text() != before
    page.locator("footer").hover()
    drawn(page)
    assert sentence.inner_text() == before
    word.click()
    page.locator("footer").hover()
    drawn(page)
    assert sentence.inner_text() != before
    assert ringed.all_inner_texts() == [word.inner_text()]


def test_a_swatch_fades_the_tokens_of_other_experts(opened):
    page, trace, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator(".mv").focus()
    page.keyboard.press("3")
    page.wait_for_timeout(200)
    passage = trace.select(label="passage")
    layer = int(page.locator("header b").inner_text())
    involved = (passage.experts[layer] == 3).any(axis=1)
    assert 0 < involved.sum() < len(passage)
    until(lambda: page.locator(".tok.faded").count() == (~involved).sum())
    page.keyboard.press("Escape")
    until(lambda: page.locator(".tok.faded").count() == 0)


def test_what_is_looked_at_stands_in_the_address(browser, saved):
    path, trace = saved
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=3&layer=2&token=5&mode=entropy")
    page.locator(".sentence").wait_for()
    start = trace.prompts[3].start
    said = page.locator(".sentence").inner_text()
    assert said.startswith(f"In layer 2, ‘{trace.tokens[start + 5]}’ goes to expert ")
    assert page.locator("select[aria-label='Colour of the map']").input_value() == "entropy"
    page.locator(".mv").focus()
    page.keyboard.press("ArrowRight")
    address = "#prompt=3&layer=2&token=6&mode=entropy"
    until(lambda: page.evaluate("location.hash") == address)
    # An address that is asked for while ours is about to be written is not lost.
    page.evaluate("""() => {
      location.hash = '#prompt=3&layer=2&token=9&mode=entropy';
      history.replaceState(null, '', '#prompt=3&layer=2&token=6&mode=entropy');
    }""")
    until(lambda: f"‘{trace.tokens[start + 9]}’" in page.locator(".sentence").inner_text())
    until(lambda: "token=9" in page.evaluate("location.hash"))
    # What no page has is left alone, and nothing of it is believed.
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=99&layer=x&token=-1&mode=<script>&beside=prompt 77")
    page.locator(".sentence").wait_for()
    assert page.locator(".sentence").inner_text().startswith("In layer 0,")
    context.close()


def test_a_character_of_several_byte_tokens_is_one_chip_that_stands_for_all(browser, saved):
    path, trace = saved
    prompt = trace.prompts[2]
    spans = [tuple(span) for span in trace.spans[prompt.start : prompt.stop].tolist()]
    shared = [span for span in dict.fromkeys(spans) if spans.count(span) > 1]
    assert shared, "every character is one token: this test does not test"
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=2")
    page.locator(".tok.bytes").first.wait_for()
    assert page.locator(".tok").count() == len(set(spans))
    assert page.locator(".tok.bytes").count() == len(shared)
    assert page.locator(".tok.bytes").all_inner_texts() == [prompt.text[a:b] for a, b in shared]
    assert noise.errors == []
    context.close()


def test_two_prompts_stand_side_by_side(opened):
    page, trace, noise = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator("select[aria-label='Compare with']").select_option("prompt 0")
    beside = page.locator(".beside")
    until(lambda: "Good morning." in "".join(beside.locator(".text").all_inner_texts()))
    # The same sentence, of a token over there.
    beside.locator(".tok").nth(1).hover()
    drawn(page)
    layer = int(page.locator("header b").inner_text())
    first = trace.experts[layer, trace.prompts[0].start + 1, 0]
    assert f"goes to expert {first} " in page.locator(".sentence").inner_text()
    # Loads differ by what the two texts' shares differ.
    k = trace.experts.shape[2]
    shares = []
    for prompt in (trace.prompts[3], trace.prompts[0]):
        chosen = trace.experts[layer, prompt.start + 1 : prompt.stop]
        shares.append([(chosen == e).sum() / (k * len(chosen)) for e in range(8)])
    shown = [float(x.replace("−", "-")) for x in page.locator(".difference").all_inner_texts()]
    assert shown == pytest.approx([100 * (a - b) for a, b in zip(*shares, strict=True)], abs=0.06)
    beside.locator(".tok").nth(1).click()  # changes sides
    until(lambda: page.locator("select[aria-label=Label]").input_value() == "en")
    until(lambda: "router picks them" in beside.locator(".text").inner_text())
    page.locator("select[aria-label='Compare with']").select_option("")
    until(beside.is_hidden)
    assert noise.errors == []


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


def test_finding_marks_the_tokens_of_a_word_and_goes_there(opened):
    page, _, _ = opened
    page.locator("select[aria-label=Label]").select_option("passage")
    page.locator(".mv").focus()
    page.keyboard.press("/")
    page.keyboard.type("ROUTER p")  # across two tokens or more, whatever the case
    hits = page.locator(".tok.hit")
    until(lambda: "".join(hits.all_inner_texts()).replace(" ", "").count("routerp") == 8)
    assert page.locator(".tok.chosen").inner_text() == hits.first.inner_text()
    page.keyboard.press("Enter")
    drawn(page)
    assert page.locator(".tok.chosen").count() == 1
    page.keyboard.press("3")  # typed into the box, and not an expert
    assert page.locator(".tok.faded").count() == 0
    page.keyboard.press("Escape")
    until(lambda: page.locator(".tok.hit").count() == 0)
    assert (
        page.evaluate("document.querySelector('.moe-viz').shadowRoot.activeElement.className")
        == "mv page"
    )


def test_the_probability_of_one_expert(opened):
    page, _, noise = opened
    page.locator("select[aria-label='Colour of the map']").select_option("expert")
    watched = page.locator("select[aria-label='Expert whose probability is shown']")
    until(watched.is_visible)
    watched.select_option("5")
    drawn(page)
    page.locator("select[aria-label='Colour of the map']").select_option("first")
    until(watched.is_hidden)
    assert noise.errors == []


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


def test_a_hostile_prompt_is_text(opened):
    page, _, noise = opened
    page.locator("select[aria-label=Label]").select_option("x<b>")
    drawn(page)
    assert "window.hacked=1" in page.locator(".text").inner_text()
    assert page.evaluate("window.hacked") is None
    assert noise.errors == []
    assert noise.outside("file:") == []


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_screen_in_both_themes(opened, size):
    page, _, noise = opened
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for scheme, theme in (("light", LIGHT), ("dark", DARK)):
        page.emulate_media(color_scheme=scheme)
        for label in ("passage", "python"):
            page.locator("select[aria-label=Label]").select_option(label)
            page.wait_for_timeout(200)
            assert page.evaluate(MISFITS) == []
            assert page.locator(".legend .swatch").count() == 8
        assert page.locator(".mv").evaluate(GROUND) == "rgb({}, {}, {})".format(*rgb(theme.ground))
    assert noise.errors == []
    assert noise.outside("file:") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, saved, scheme):
    """axe-core, the accessibility checker, on the page with everything open."""
    path, _ = saved
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri() + "#prompt=3&mode=entropy&beside=prompt 0")
    page.locator(".beside .tok").first.wait_for()
    found = Axe().run(page).response["violations"]
    assert [v for v in found if v["impact"] in ("serious", "critical")] == []
    assert [v["id"] for v in found] == []
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


def test_random_weights_carry_a_banner(tmp_path):
    trace = mv.record(random_model(), [[1, 2, 3]])
    page = mv.save_page(trace, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "random weights, seed 0" in page
