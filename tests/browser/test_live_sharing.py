# SPDX-License-Identifier: Apache-2.0
"""What is taken along from a page and brought to it: codes, addresses, and traces as files."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import moe_viz as mv
from tests.browser.conftest import READY, drawn, until
from tests.browser.lab import (
    ablated,
    href,
    mode,
    pressed,
    select,
    shown,
    shows,
    switch_off,
    title,
    type_in,
)
from tests.browser.test_stock_exports import Quiet
from tests.conftest import random_model, small_config

pytestmark = pytest.mark.browser
TEXT = "C# & F#: 100 % of “cats”,\nand 🐈 + a=b"
OFF = (5, 6)
CHANGED = f"Changed: off: {OFF[0]}/{OFF[1]} (layer/expert)."
#: What an address says of a passage of the page, changed, and of a place in it.
HASH = "#passage=cat.fr&do=change&off=5.6&layer=5&token=7"


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


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


def share(page) -> None:
    page.locator("summary", has_text="Share").click()
    page.get_by_label("What is shown, as a code").wait_for()


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


# ---- Traces


def test_a_trace_is_saved_and_python_opens_it(opened, model, tmp_path):
    page = opened(exact=True)
    type_in(page, TEXT, len(mv.record(model, TEXT)))
    switch_off(page, *OFF)
    shows(page, expected := ablated(model, TEXT, OFF))
    page.get_by_role("button", name="This text").click()
    page.locator(".scores .guess").nth(4).wait_for()  # all is known by now
    share(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the trace").click()
    assert download.value.suggested_filename == "trace.safetensors"
    download.value.save_as(tmp_path / "trace.safetensors")
    page.get_by_text("The trace has been saved.").wait_for()
    trace = mv.Trace.load(tmp_path / "trace.safetensors", whole=True)
    assert (trace.experts == expected.experts).all()
    np.testing.assert_allclose(trace.router_logits, expected.router_logits, rtol=0, atol=1e-5)
    assert trace.prompts == expected.prompts
    assert trace.loss is not None
    assert trace.provenance.interventions == expected.provenance.interventions
    # And the page itself shows it again.
    page.get_by_label("A trace", exact=True).set_input_files(tmp_path / "trace.safetensors")
    page.get_by_text("Brought: 8x7m").wait_for()
    shows(page, expected)
    assert title(page).startswith(expected.provenance.title)


def test_a_trace_that_is_saved_at_once_is_of_what_is_shown(opened, tmp_path):
    page = opened()
    text = mv.prompts.curated().texts[70]
    page.evaluate(
        """(text) => {
          const host = document.querySelector('.moe-viz');
          const save = [...document.querySelectorAll('button')]
            .find((button) => button.textContent === 'Save the trace');
          host.addEventListener('drawn', ({ detail }) => {
            if (detail.trace.prompts[0].text !== text || window.pressed) return;
            window.pressed = true;
            queueMicrotask(() => save.click());
          });
        }""",
        text,
    )
    with page.expect_download() as download:
        page.get_by_label("Your text").fill(text)
    download.value.save_as(tmp_path / "trace.safetensors")
    (prompt,) = mv.Trace.load(tmp_path / "trace.safetensors").prompts
    assert prompt.text == text


def bring(page, path) -> None:
    page.get_by_label("A trace", exact=True).set_input_files(path)


def test_a_trace_of_python_is_brought(opened, model, tmp_path):
    texts = {"en": "Good morning, Anna.", "de": "Guten Morgen, Anna."}
    with mv.intervene(model, ablate=[(2, 5)]):
        trace = mv.record(model, texts)
    page = opened()
    mode(page, "Change")
    share(page)
    bring(page, trace.save(tmp_path / "two.safetensors"))
    page.get_by_text(f"Brought: 8x7m, {len(trace)} tokens.").wait_for()
    shows(page, trace)
    assert pressed(page) == "Look"
    assert page.get_by_label("Your text").input_value() == texts["en"]
    assert title(page).startswith(trace.provenance.title)
    labels = page.get_by_label("Label", exact=True)
    assert labels.locator("option").all_inner_texts()[-2:] == ["en", "de"]
    tokens = page.locator(".text .tok")
    first = trace.prompts[0].stop
    assert tokens.count() == first
    labels.select_option("de")
    until(lambda: tokens.count() == len(trace) - first)
    assert "Morgen" in page.locator(".text").inner_text()
    # What is typed next is the page's own again.
    type_in(page, "Good morning.", len(mv.record(model, "Good morning.")))
    assert "ablated" not in title(page)


def test_of_a_trace_that_was_brought_nothing_is_guessed(opened, model, tmp_path):
    """What was told of another text is not told of this one."""
    page = opened()
    mode(page, "Write")
    page.locator(".guesses .guess").nth(8).wait_for()
    share(page)
    bring(page, mv.record(model, "Good morning, Anna.").save(tmp_path / "trace.safetensors"))
    page.get_by_text("Brought: 8x7m").wait_for()
    mode(page, "Write")
    drawn(page)
    assert page.locator(".guesses .guess").count() == 0


def test_a_trace_of_a_larger_model_is_looked_at_in_every_mode(opened, tmp_path):
    """Its experts and layers are more than the page's model has: none of those can be switched."""
    large = random_model(small_config(layers=9, experts=16))
    trace = mv.record(large, [[1, 5, 9, 33, 70]])
    trace = replace(trace, prompts=(replace(trace.prompts[0], text="one two three four"),))
    page = opened()
    share(page)
    bring(page, trace.save(tmp_path / "large.safetensors"))
    page.get_by_text("Brought: small, 5 tokens.").wait_for()
    shows(page, trace)
    page.locator("summary", has_text="Share").click()
    for name in ("Change", "Write", "Look"):
        mode(page, name)
        drawn(page)
        page.get_by_label("Map", exact=True).select_option("experts")
        drawn(page)
        box = page.locator(".grid .stack").bounding_box()
        page.locator(".grid .stack").click(
            position={"x": 12.3 * box["width"] / 16, "y": 8.3 * box["height"] / 9}
        )
        until(lambda: shown(page)["layer"] == 8)
        if name == "Change":
            assert page.get_by_role("button", name="Switch off").is_disabled()
        drawn(page)


def test_a_damaged_file_is_refused_in_the_status_and_the_picture_stays(opened, model, tmp_path):
    page = opened()
    before = shown(page)
    path = mv.record(model, "Good morning.").save(tmp_path / "trace.safetensors")
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 4
    path.write_bytes(raw)
    share(page)
    status = page.get_by_role("status")
    bring(page, path)
    until(
        lambda: (
            status.inner_text()
            == "The file is damaged: texts is not what was written. Copy it again."
        )
    )
    path.write_bytes(b"nothing of the kind")
    bring(page, path)
    until(lambda: status.inner_text().startswith("That is no trace of moe_viz"))
    found = shown(page)
    assert found["text"] == before["text"]
    assert (found["experts"] == before["experts"]).all()


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
