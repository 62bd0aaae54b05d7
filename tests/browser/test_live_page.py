# SPDX-License-Identifier: Apache-2.0
"""A page with a model in it, as somebody uses it: types, switches an expert off, lets it write."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.live import weights
from tests.browser.conftest import drawn, until
from tests.browser.lab import mode, select, type_in
from tests.conftest import random_model, small_config

pytestmark = pytest.mark.browser
FRENCH = "Le chat ne répond à aucun nom, mais il connaît le bruit du réfrigérateur."
LANGUAGES = ("en", "fr", "de", "es", "it")


def spoilt(model, topic: str, expert: tuple[int, int]) -> tuple[dict, dict]:
    """By how much the passages of a topic lose without an expert, and what it took of each."""
    changes, loads = {}, {}
    for p in mv.prompts.passages().parallel(topic):
        ids = torch.tensor(model.tokenizer.encode(p.text).ids)
        losses = []
        for removed in ([], [expert]):
            with mv.intervene(model, ablate=removed), torch.inference_mode():
                losses.append(torch.nn.functional.cross_entropy(model(ids)[:-1], ids[1:]).item())
        changes[p.label] = losses[1] - losses[0]
        taken = mv.record(model, p.text).experts[expert[0], 1:]
        loads[p.label] = float((taken == expert[1]).mean())
    return changes, loads


def signed(change: float) -> str:
    digits = f"{abs(change):.2f}"
    return digits if digits == "0.00" else ("−" if change < 0 else "+") + digits


def scores(page) -> list[list[str]]:
    return page.locator(".scores .guess").evaluate_all(
        "all => all.map((row) => [row.children[0].innerText, row.children[2].innerText])"
    )


def test_what_is_typed_is_shown_as_recording_it_would_be(opened, model):
    page = opened(exact=True)
    trace = mv.record(model, FRENCH)
    type_in(page, FRENCH, len(trace))
    page.locator(".mv").focus()
    for layer in range(6):
        first, second = (int(e) for e in trace.experts[layer, 1])
        said = f"In layer {layer}, ‘{trace.tokens[1]}’ goes to expert {first} ("
        until(lambda said=said: page.locator(".sentence").inner_text().startswith(said))
        assert f"and {second} (" in page.locator(".sentence").inner_text()
        page.keyboard.press("ArrowDown")
    assert page.locator(".text .tok").count() == len(trace)


def test_an_expert_is_switched_off_and_languages_are_compared(opened, model):
    page = opened(exact=True)
    type_in(page, FRENCH, len(mv.record(model, FRENCH)))
    mode(page, "Change")
    page.get_by_text("Click a cell of the map").wait_for()
    select(page, 5, 6)
    page.get_by_role("button", name="Switch off").click()
    page.get_by_text("Changed: off: 5/6 (layer/expert).").wait_for()
    topic = next(p.topic for p in mv.prompts.curated() if p.label == "fr")
    changes, loads = spoilt(model, topic, (5, 6))
    page.locator(".scores .guess").nth(4).wait_for()
    assert scores(page) == [
        [label, f"{signed(changes[label])}, {loads[label]:.0%}".replace("%", "\u00a0%")]
        for label in LANGUAGES
    ]
    most = max(changes, key=lambda label: changes[label])
    page.get_by_text(f"one passage ({topic}): {most} loses most").wait_for()
    # A text that is one of the passages is compared with those that say the same.
    other = next(p.topic for p in mv.prompts.passages() if p.topic != topic)
    french = next(p.text for p in mv.prompts.passages() if (p.topic, p.label) == (other, "fr"))
    page.get_by_label("Your text").fill(french)
    page.get_by_text(f"one passage ({other})").wait_for()
    changes, loads = spoilt(model, other, (5, 6))
    assert [row[1].split(",")[0] for row in scores(page)] == [signed(x) for x in changes.values()]
    # The picture, too, is of the changed run, and says so; undone, it is as before.
    page.get_by_label("Map", exact=True).select_option("tokens")
    assert "off: 5/6" in page.locator("header .muted").inner_text()
    page.get_by_role("button", name="undo").click()
    page.get_by_text("Nothing is changed.").wait_for()
    until(lambda: "off" not in page.locator("header .muted").inner_text())


def test_every_expert_in_turn_and_the_one_that_a_language_misses_most(opened, model):
    page = opened(exact=True)
    mode(page, "Change")
    page.get_by_role("button", name="All experts").click()
    page.get_by_role("button", name="Switch off each in turn").click()
    page.get_by_role("button", name=re.compile(r"^\d+ of 48 …")).wait_for()
    page.get_by_text("Layer/expert. Filled: fr").wait_for(timeout=240_000)
    page.get_by_role("button", name="Switch off each in turn").wait_for(timeout=240_000)
    topic = "cat"
    found = {
        (layer, e): spoilt(model, topic, (layer, e))[0] for layer in range(6) for e in range(8)
    }
    for language, beside in (("fr", "en"), ("en", "fr")):
        page.get_by_label("Language", exact=True).select_option(language)
        order = sorted(found, key=lambda pair: -found[pair][language])[:5]
        assert scores(page) == [
            [f"{layer}/{e}",
             f"{signed(found[layer, e][language])}, {beside} {signed(found[layer, e][beside])}"]
            for layer, e in order
        ]  # fmt: skip
    layer, e = order[0]
    page.get_by_role("button", name=f"{layer}/{e}", exact=True).click()
    page.get_by_text(f"Changed: off: {layer}/{e} (layer/expert).").wait_for()
    most = max(found[layer, e], key=lambda label: found[layer, e][label])
    page.get_by_text(f"{most} loses most").wait_for()
    # What was found before is outlined behind what is found now.
    page.get_by_role("button", name="Check: one as busy instead").click()
    page.get_by_text(f"Outlined: off: {layer}/{e}.").wait_for()
    assert page.locator(".scores .guess .was").count() == 5


def test_a_check_that_is_not_as_busy_says_so(opened, model):
    page = opened(exact=True)
    page.get_by_role("button", name="Spoil French").click()
    page.get_by_text("fr loses most").wait_for()
    loads = spoilt(model, "cat", (5, 6))[1]
    mine = f"It took {loads['fr']:.0%}".replace("%", "\u00a0%")
    assert page.locator(".panel").get_by_text(mine).count() == 1
    page.get_by_role("button", name="Check: one as busy instead").click()
    page.get_by_text("None is as busy: this check says little.").wait_for()
    # Back again, what is selected is what is off.
    page.get_by_role("button", name="undo").click()
    page.get_by_text("Selected: expert 6 of layer 5, which is off.").wait_for()


def test_a_page_that_was_scrolled_stays_where_it_is(opened):
    page = opened(viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="Spoil French").click()
    page.locator(".scores .guess").nth(4).wait_for()
    in_sight = "e => { const b = e.getBoundingClientRect(); return b.top >= 0 && b.bottom <= 844 }"
    until(lambda: page.locator(".scores").evaluate(in_sight))
    at = page.evaluate("scrollY")
    assert at > 200
    page.get_by_role("button", name="Check: one as busy instead").click()
    page.get_by_text("Outlined: off: 5/6.").wait_for()
    drawn(page)
    assert abs(page.evaluate("scrollY") - at) < 60


def test_the_control_is_another_expert_as_busy(opened, model):
    page = opened(exact=True)
    trace = mv.record(model, FRENCH)
    # As busy as it was: once it is off it has no load, and the least busy would be like it.
    loads = np.bincount(trace.experts[5][~trace.special].ravel(), minlength=8)
    busiest = int(loads.argmax())
    apart = {e: abs(int(n) - int(loads[busiest])) for e, n in enumerate(loads) if e != busiest}
    assert min(apart.values()) < loads[busiest] - loads.min()
    type_in(page, FRENCH, len(trace))
    mode(page, "Change")
    select(page, 5, busiest)
    page.get_by_role("button", name="Switch off").click()
    page.get_by_text(f"Changed: off: 5/{busiest} (layer/expert).").wait_for()
    until(lambda: f"off: 5/{busiest}" in page.locator("header .muted").inner_text())
    page.get_by_role("button", name="Check: one as busy instead").click()
    until(lambda: page.get_by_text(f"Changed: off: 5/{busiest} (layer/expert).").count() == 0)
    said = page.get_by_text(re.compile(r"Changed: off: 5/\d \(")).inner_text()
    assert apart[int(said.partition("5/")[2][0])] == min(apart.values())


def test_it_writes_on_and_says_what_may_come_next(opened, model):
    page = opened(exact=True)
    mode(page, "Write")
    # What was typed a moment ago is what is continued.
    page.get_by_label("Your text").fill("The first file")
    page.get_by_label("Temperature", exact=True).fill("0")
    page.get_by_label("Tokens", exact=True).fill("12")
    page.get_by_role("button", name="Continue").click()
    whole = mv.generate(model, "The first file", max_new_tokens=12).trace
    page.get_by_text(re.compile(rf"^{len(whole)} tokens\.")).wait_for()
    until(lambda: page.locator(".text .tok.generated").count() == 12)
    with torch.inference_mode():
        logits = model(torch.from_numpy(whole.token_ids.astype(np.int64)))
    shares = logits.softmax(-1)[-1].topk(8).values.tolist()
    told = [f"{100 * share:.1f} %" for share in shares]

    def rows() -> list[str]:
        return page.locator(".guesses .guess span:last-child").all_inner_texts()

    until(lambda: [x for x in rows() if x][:8] == told)
    assert ("is unsure here" in page.locator(".panel").inner_text()) == (shares[0] < 0.2)


def test_what_cannot_be_is_taken_back_and_letters_in_fields_are_text(opened):
    page = opened()
    mode(page, "Change")
    select(page, 5, 6)
    page.locator(".mv").focus()
    page.keyboard.press("o")
    page.get_by_text("Changed: off: 5/6 (layer/expert).").wait_for()
    page.locator(".mv input[type=search]").fill("")
    page.locator(".mv input[type=search]").press("o")
    page.get_by_text("more", exact=True).click()
    page.get_by_label("Experts a token").select_option("8")
    page.get_by_text("A layer with 7 experts left cannot choose 8.").wait_for()
    assert page.get_by_label("Experts a token").input_value() == "2"
    page.get_by_label("Experts a token").select_option("7")
    page.get_by_text("Changed: off: 5/6, top-7 (layer/expert).").wait_for()


def test_what_has_been_written_stays_when_it_is_stopped(opened):
    page = opened()
    mode(page, "Write")
    page.get_by_label("Your text").fill("The first file")
    page.get_by_label("Tokens", exact=True).fill("1000")
    written = page.locator(".text .tok.generated")
    page.get_by_role("button", name="Continue").click()
    until(lambda: written.count() > 5)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    drawn(page)
    count = written.count()
    page.wait_for_timeout(1500)
    assert 5 < written.count() == count < 1000
    assert page.get_by_role("status").inner_text() == "Stopped."
    assert page.get_by_role("button", name="Continue").is_enabled()


def test_three_things_to_try(opened, model):
    page = opened(exact=True)
    page.get_by_role("button", name="Spoil French").click()
    page.get_by_text("fr loses most").wait_for()
    trace = mv.record(model, mv.prompts.passages())
    loads = {
        label: [np.bincount(layer[layer >= 0], minlength=8) for layer in part]
        for label in trace.labels
        for part in [trace.select(label=label).experts[:, ~trace.select(label=label).special]]
    }
    shares = {label: np.array(n) / np.sum(n, axis=1, keepdims=True) for label, n in loads.items()}
    others = np.max([share for label, share in shares.items() if label != "fr"], axis=0)
    layer, expert = np.unravel_index(np.argmax(shares["fr"] - others), (6, 8))
    page.get_by_text(f"Changed: off: {layer}/{expert} (layer/expert).").wait_for()
    page.get_by_role("button", name="Let it write").click()
    until(lambda: page.locator(".text .tok.generated").count() == 40)
    assert "off" not in page.locator("header .muted").inner_text()
    page.get_by_role("button", name="Will “the” go to one expert?").click()
    until(lambda: page.locator(".mv input[type=search]").input_value() == "the")
    assert page.locator(".text .tok.generated").count() == 0
    page.locator(".sentence:visible").wait_for()


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_mode_fits_and_axe_finds_nothing(opened, scheme, width):
    page = opened(
        viewport={"width": width, "height": 768}, color_scheme=scheme, offline=True, bypass_csp=True
    )
    for name in ("Look", "Change", "Write"):
        mode(page, name)
        drawn(page)
        across = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert across[0] <= across[1], name
        if width == 1366:
            high = page.evaluate("document.documentElement.scrollHeight")
            assert high <= 768, f"{name} does not fit: {high}"
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


def test_models_that_no_page_can_run_are_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    with pytest.raises(InputError, match="found no tokenizer"):
        mv.save_live(path, random_model(small_config()))
    odd = random_model(small_config(expert_size=36))
    odd.tokenizer = mv.load("8x7m").tokenizer
    with pytest.raises(InputError, match="eight numbers at a time; expert_size is 36"):
        mv.save_live(path, odd)
    streamed = mv.load("8x7m", placement="stream")
    with pytest.raises(InputError, match=r"8x7m: a page runs models .* in memory"):
        mv.save_live(path, streamed)
    monkeypatch.setattr(weights, "MOST", 10**6)
    with pytest.raises(InputError, match=r"24 million weights are too many .* up to 1 million"):
        mv.save_live(path)
    assert not path.exists()
