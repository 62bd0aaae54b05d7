# SPDX-License-Identifier: Apache-2.0
"""What a change does, as the page tells it: held to `mv.intervene` and to torch's own logits."""

from __future__ import annotations

import re
from contextlib import ExitStack

import numpy as np
import pytest
import torch

import moe_viz as mv
from tests.browser.conftest import drawn, until
from tests.browser.lab import (
    FRENCH,
    OFF,
    ablated,
    mode,
    outlook,
    pressed,
    select,
    shown,
    shows,
    signed,
    switch_off,
    title,
    type_in,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def intact(model):
    return mv.record(model, FRENCH)


@pytest.fixture
def changed(model, intact):
    """The French text with an expert off that it needs."""
    trace = ablated(model, FRENCH, OFF)
    assert (trace.experts != intact.experts).any(axis=2).mean() > 0.02
    return trace


def forced(model, *experts: tuple[int, int]):
    with mv.intervene(model, force=experts):
        return mv.record(model, FRENCH)


def test_every_token_is_sent_to_an_expert(opened, model, intact):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    mode(page, "Change")
    loads = np.bincount(intact.experts[5].ravel(), minlength=8)
    rare, next_, third = (int(e) for e in loads.argsort()[:3])
    select(page, 5, rare)
    page.get_by_text("more", exact=True).click()
    page.get_by_role("button", name="Send every token to it").click()
    page.get_by_text(f"Changed: every token to 5/{rare} (layer/expert).").wait_for()
    trace = forced(model, (5, rare))
    assert (trace.experts[5] == rare).any(axis=1).all()
    shows(page, trace)
    assert title(page).endswith(f" · every token to 5/{rare}")
    page.get_by_text(f"expert {rare} of layer 5, which takes every token.").wait_for()
    # Two take every token, and that is all that a layer of k = 2 can do.
    select(page, 5, next_)
    page.get_by_role("button", name="Send every token to it").click()
    shows(page, both := forced(model, (5, rare), (5, next_)))
    assert not (both.experts == trace.experts).all()
    select(page, 5, third)
    page.get_by_role("button", name="Send every token to it").click()
    page.get_by_text("A token with 2 experts cannot be sent to 3.").wait_for()
    drawn(page)
    shows(page, both)
    # It is undone step by step.
    page.get_by_role("button", name="undo").click()
    shows(page, trace)
    page.get_by_role("button", name="undo").click()
    page.get_by_text("Nothing is changed.").wait_for()
    shows(page, intact)
    assert "every token" not in title(page)
    assert page.get_by_role("button", name="undo").is_disabled()


def test_one_that_takes_every_token_is_released(opened, model, intact):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    mode(page, "Change")
    select(page, 2, 3)
    page.get_by_text("more", exact=True).click()
    page.get_by_role("button", name="Send every token to it").click()
    shows(page, forced(model, (2, 3)))
    page.get_by_role("button", name="Send it only its own tokens").click()
    page.get_by_text("Nothing is changed.").wait_for()
    shows(page, intact)


def test_what_a_change_does_to_this_text(opened, model, intact, changed):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    switch_off(page, *OFF)
    shows(page, changed)
    page.get_by_role("button", name="This text").click()
    page.locator(".scores .guess").nth(4).wait_for()
    rows = page.locator(".scores .guess").evaluate_all(
        "all => all.map((row) => [row.children[0].innerText, row.children[2].innerText])"
    )
    before, losses = outlook(model, intact)
    with mv.intervene(model, ablate=[OFF]):
        after, others = outlook(model, changed)
    worse = others - losses
    worst = np.argsort(-worse)[:4]
    assert np.diff(np.sort(worse)[-5:]).min() > 1e-3, "a tie: another text would test more"
    assert [name for name, _ in rows] == [
        "all tokens", *(intact.tokens[t + 1] for t in worst)
    ]  # fmt: skip
    found = [signed(number) for _, number in rows]
    np.testing.assert_allclose(found, [worse.mean(), *worse[worst]], rtol=0, atol=0.00511)
    said = " ".join(page.locator(".panel").inner_text().split())
    count, n = int((before != after).sum()), len(intact)
    assert 0 < count < n
    assert f"After {count} of {n} tokens another next token is likeliest" in said
    other = np.mean(np.sort(changed.experts) != np.sort(intact.experts), axis=2) > 0
    percent = f"{100 * other.mean():.0f}"
    assert percent not in ("0", "100")
    assert f"{percent} % of the routing decisions are others" in said


def test_a_token_that_has_become_worst_is_selected_and_the_map_shows_where(opened, model, intact):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    switch_off(page, *OFF)
    page.get_by_role("button", name="This text").click()
    page.locator(".scores .guess").nth(4).wait_for()
    _, losses = outlook(model, intact)
    with mv.intervene(model, ablate=[OFF]):
        _, others = outlook(model, intact)
    worst = np.argsort(losses - others)[:4] + 1
    for n in (2, 0):
        page.locator(".scores .piece").nth(n).click()
        until(lambda n=n: shown(page)["token"] == worst[n])
        drawn(page)
        chosen = page.locator(".text .tok.chosen")
        assert chosen.inner_text().strip() == intact.tokens[worst[n]].replace("␣", "").strip()
    assert page.locator(".grid").count() == 1
    page.get_by_role("button", name="Show where").click()
    until(lambda: page.locator(".grid").count() == 0)
    assert page.get_by_label("Colour of the map").input_value() == "agreement"
    assert page.get_by_label("Map", exact=True).input_value() == "tokens"


def test_tokens_whose_experts_are_others_are_marked(opened, intact, changed):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    assert page.locator(".text .tok.differs").count() == 0
    switch_off(page, *OFF)
    shows(page, changed)
    other = (np.sort(changed.experts) != np.sort(intact.experts)).any(axis=2)
    assert other.any()
    assert not other.all(axis=1).any()
    for layer in range(6):
        page.evaluate("layer => document.querySelector('.moe-viz').moeViz.set({ layer })", layer)
        drawn(page)
        marked = page.locator(".text .tok").evaluate_all(
            "all => all.map((e) => e.classList.contains('differs'))"
        )
        assert marked == other[layer].tolist(), layer


def test_a_changed_continuation_stands_beside_the_intact_one(opened, model):
    page = opened(exact=True)
    type_in(page, "The first file", len(mv.record(model, "The first file")))
    traces = {}
    for removed in ([], [(5, 4)]):
        with mv.intervene(model, ablate=removed):
            traces[bool(removed)] = mv.generate(model, "The first file", max_new_tokens=24).trace
    texts = [traces[off].prompts[0].text.removeprefix("The first file") for off in (False, True)]
    alike = next(n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b)
    assert 0 < alike < len(texts[0])
    switch_off(page, 5, 4)
    mode(page, "Write")
    page.get_by_label("Temperature", exact=True).fill("0")
    page.get_by_label("Tokens", exact=True).fill("24")
    page.get_by_role("button", name="Continue").click()
    other = page.locator(".panel p.other")
    until(lambda: other.inner_text().startswith("Intact it goes on:"), 60)
    assert other.evaluate("e => e.textContent") == f"Intact it goes on: {texts[0]}"
    assert other.locator("mark").evaluate("e => e.textContent") == texts[0][alike:]
    assert shown(page)["text"] == traces[True].prompts[0].text
    shows(page, traces[True])
    # Of an intact one there is nothing to tell apart.
    mode(page, "Change")
    page.get_by_role("button", name="undo").click()
    page.get_by_text("Nothing is changed.").wait_for()
    mode(page, "Write")
    page.get_by_role("button", name="Continue").click()
    shows(page, traces[False])
    page.locator(".guesses .guess").nth(8).wait_for()
    assert other.inner_text() == ""


def test_what_comes_next_is_told_intact_and_changed(opened, model, intact):
    page = opened(exact=True)
    type_in(page, FRENCH, len(intact))
    switch_off(page, *OFF)
    mode(page, "Write")
    token = 6
    page.evaluate("token => document.querySelector('.moe-viz').moeViz.set({ token })", token)
    page.get_by_text(f"After ‘{intact.tokens[token]}’").wait_for()
    ids = torch.from_numpy(intact.token_ids.astype(np.int64))
    shares = []
    for removed in ([], [OFF]):
        with ExitStack() as stack:
            stack.enter_context(mv.intervene(model, ablate=removed))
            stack.enter_context(torch.inference_mode())
            shares.append(model(ids)[token].softmax(-1))
    best = shares[1].topk(8).indices.tolist()
    told = [f"{100 * float(shares[1][i]):.1f} %" for i in best]
    rows = page.locator(".guesses .guess")
    until(lambda: rows.locator("span:last-child").all_inner_texts()[: 2 * 8] != [])
    until(lambda: rows.evaluate_all("all => all.map((e) => e.lastChild.innerText)")[:8] == told)
    was = rows.locator(".was").evaluate_all("all => all.map((e) => parseFloat(e.style.width))")
    before = shares[0].topk(8).indices.tolist()
    expected = [100 * float(shares[0][i]) if i in before else 0 for i in best]
    np.testing.assert_allclose(was, expected, atol=0.01)


def test_what_is_tried_next_begins_with_nothing_changed(opened, model):
    page = opened(exact=True)
    switch_off(page, *OFF)
    page.get_by_role("button", name="Will “the” go to one expert?").click()
    until(lambda: "off" not in title(page))
    assert pressed(page) == "Look"
    text = page.get_by_label("Your text").input_value()
    shows(page, mv.record(model, text))
    assert re.match(r"\d+ tokens\.", page.get_by_role("status").inner_text())
