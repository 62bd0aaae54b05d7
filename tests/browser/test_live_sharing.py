# SPDX-License-Identifier: Apache-2.0
"""What is taken along from a page and brought to it as a code or as an address."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

import moe_viz as mv
from tests.browser.conftest import READY, drawn, until
from tests.browser.lab import (
    OFF,
    TEXT,
    ablated,
    href,
    mode,
    pressed,
    select,
    share,
    shown,
    shows,
    switch_off,
    title,
    type_in,
)
from tests.browser.test_stock_exports import Quiet

pytestmark = pytest.mark.browser
CHANGED = f"Changed: off: {OFF[0]}/{OFF[1]} (layer/expert)."
#: What an address says of a passage of the page, changed, and of a place in it.
HASH = "#passage=cat.fr&do=change&off=5.6&layer=5&token=7"


@pytest.fixture(scope="module")
def french():
    (prompt,) = mv.prompts.curated().select("fr", "cat")
    return prompt.text


@pytest.fixture(scope="module")
def at(pages):
    """The folder of the pages, at an address of this machine."""
    folder = next(iter(pages.values())).parent
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def code(page) -> str:
    return page.get_by_label("What is shown, as a code").input_value()


def said(address: str) -> dict[str, str]:
    """What stands behind the # of an address, or in a code."""
    fragment = urlsplit(address).fragment if "#" in address else address
    return {name: value for name, (value,) in parse_qs(fragment, keep_blank_values=True).items()}


def place(page, layer: int, token: int) -> None:
    page.evaluate(
        "change => document.querySelector('.moe-viz').moeViz.set(change)",
        {"layer": layer, "token": token},
    )
    drawn(page)


# ---- Codes


@pytest.mark.parametrize("hosted", [False, True])
def test_a_code_opens_elsewhere_what_is_shown_here(opened, model, at, hosted):
    page = opened(exact=True, at=at if hosted else "")
    trace = mv.record(model, TEXT)
    type_in(page, TEXT, len(trace))
    switch_off(page, *OFF)
    select(page, 2, 0)
    page.get_by_role("button", name="Switch off").click()
    page.get_by_text("Changed: off: 2/0, 5/6 (layer/expert).").wait_for()
    page.get_by_text("more", exact=True).click()
    page.get_by_label("the chosen count equally").check()
    page.get_by_label("temperature: higher").fill("0.5")
    page.get_by_label("temperature: higher").blur()
    page.get_by_label("Experts a token").select_option("3")
    changes = "off: 2/0, 5/6, top-3, router temperature 0.5, uniform gates"
    page.get_by_text(f"Changed: {changes} (layer/expert).").wait_for()
    with mv.intervene(model, ablate=[(2, 0), OFF], top_k=3, temperature=0.5, uniform_gates=True):
        expected = mv.record(model, TEXT)
    shows(page, expected)
    place(page, 4, 11)
    share(page)
    until(lambda: said(code(page)).get("token") == "11")
    sent = code(page)
    assert sent.startswith(f"{at}/True.html#" if hosted else "text=")
    assert said(sent) == {
        "text": TEXT, "do": "change", "off": "2.0_5.6", "k": "3", "temperature": "0.5",
        "uniform": "1", "layer": "4", "token": "11",
    }  # fmt: skip
    other = opened(exact=True)
    share(other)
    other.get_by_label("A code to open").fill(sent)
    other.get_by_role("button", name="Open", exact=True).click()
    other.get_by_text(f"Changed: {changes} (layer/expert).").wait_for()
    shows(other, expected)
    assert other.get_by_label("Your text").input_value() == TEXT
    assert pressed(other) == "Change"
    found = shown(other)
    assert (found["layer"], found["token"], found["text"]) == (4, 11, TEXT)
    assert not other.get_by_label("A code to open").is_visible()
    assert title(other) == title(page)


def test_a_passage_is_named_in_a_code_that_follows_what_is_done(opened, french):
    page = opened()
    share(page)
    assert said(code(page))["passage"] == "cat.en"
    assert page.get_by_label("What is shown, as a code").get_attribute("readonly") is not None
    page.get_by_label("Your text").fill(french)
    until(lambda: said(code(page)).get("passage") == "cat.fr")
    page.get_by_label("Your text").fill("Good morning.")
    until(lambda: said(code(page)).get("text") == "Good morning.")
    assert "do" not in said(code(page))
    mode(page, "Write")
    until(lambda: said(code(page)).get("do") == "write")


def test_a_code_that_names_nothing_is_refused_and_all_stays(opened):
    page = opened()
    before = shown(page)
    share(page)
    for wrong in ("", "hello", "off=1.1", "https://example.org/"):
        page.get_by_label("A code to open").fill(wrong)
        page.get_by_label("A code to open").press("Enter")
        page.get_by_text("This code names no text. It begins with text= or passage=.").wait_for()
    assert page.get_by_label("A code to open").is_visible()
    found = shown(page)
    assert (found["experts"] == before["experts"]).all()


@pytest.mark.parametrize(
    ("wrong", "refused"),
    [
        ("off=5.0_5.1_5.2_5.3_5.4_5.5_5.6", "A layer with 1 experts left cannot choose 2."),
        ("forced=5.0_5.1_5.2", "A token with 2 experts cannot be sent to 3."),
    ],
)
def test_changes_that_cannot_be_are_refused_in_a_code_too(opened, wrong, refused):
    page = opened()
    share(page)
    page.get_by_label("A code to open").fill(f"text=Good morning.&do=change&{wrong}")
    page.get_by_label("A code to open").press("Enter")
    page.get_by_text(refused).wait_for()
    assert page.get_by_text("Nothing is changed.").is_visible()


# ---- Addresses


@pytest.mark.parametrize("hosted", [False, True])
def test_an_address_opens_a_passage_with_its_changes_and_place(opened, model, at, french, hosted):
    page = opened(exact=True, after=HASH, at=at if hosted else "")
    page.get_by_text(CHANGED).wait_for()
    shows(page, ablated(model, french, OFF))
    found = shown(page)
    assert (found["text"], found["layer"], found["token"]) == (french, 5, 7)
    assert pressed(page) == "Change"
    assert page.get_by_label("Your text").input_value() == french
    assert page.locator(".grid").count() == 1
    assert f"off: {OFF[0]}/{OFF[1]}" in title(page)
    # The place stays in the address, with all the rest.
    until(lambda: said(href(page)).get("token") == "7")
    assert said(href(page))["layer"] == "5"


def test_the_address_follows_what_is_typed_and_switched(opened, model, at, french):
    page = opened(at=at)
    until(lambda: said(href(page)).get("passage") == "cat.en")
    assert "do" not in said(href(page))
    type_in(page, "Good morning.", len(mv.record(model, "Good morning.")))
    until(lambda: said(href(page)).get("text") == "Good morning.")
    assert "passage" not in said(href(page))
    switch_off(page, *OFF)
    until(lambda: said(href(page)).get("off") == "5.6")
    assert said(href(page))["do"] == "change"
    page.get_by_label("Pick a text").select_option(label=f"cat: {french[:40]}…")
    until(lambda: said(href(page)).get("passage") == "cat.fr")
    assert said(href(page))["off"] == "5.6"
    page.get_by_role("button", name="undo").click()
    until(lambda: "off" not in said(href(page)))
    mode(page, "Look")
    until(lambda: "do" not in said(href(page)))
    # Opened again, it is as it was left.
    place(page, 3, 9)
    until(lambda: said(href(page)).get("token") == "9")
    page.reload()
    page.get_by_text(READY).wait_for()
    until(lambda: shown(page)["text"] == french)
    found = shown(page)
    assert (found["layer"], found["token"]) == (3, 9)


def test_another_hash_is_applied_and_the_way_back_too(opened, model, at, french):
    page = opened(exact=True, at=at)
    type_in(page, "Good morning.", len(mv.record(model, "Good morning.")))
    until(lambda: said(href(page)).get("text") == "Good morning.")
    page.evaluate("hash => { location.hash = hash; }", HASH)
    page.get_by_text(CHANGED).wait_for()
    shows(page, ablated(model, french, OFF))
    found = shown(page)
    assert (found["layer"], found["token"]) == (5, 7)
    page.evaluate("history.back()")
    until(lambda: page.get_by_label("Your text").input_value() == "Good morning.")
    shows(page, mv.record(model, "Good morning."))
    assert pressed(page) == "Look"


def test_a_place_alone_is_the_picture_s_matter(opened, at):
    page = opened(at=at)
    text = page.get_by_label("Your text").input_value()
    page.evaluate("location.hash = '#layer=4&token=3'")
    until(lambda: (shown(page)["layer"], shown(page)["token"]) == (4, 3))
    assert page.get_by_label("Your text").input_value() == text
    assert re.match(r"\d+ tokens\.", page.get_by_role("status").inner_text())
