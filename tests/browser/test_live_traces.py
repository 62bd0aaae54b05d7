# SPDX-License-Identifier: Apache-2.0
"""Traces taken along from a page with a model in it, and brought to it, as files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from tests.browser.conftest import drawn, until
from tests.browser.lab import (
    OFF,
    TEXT,
    ablated,
    mode,
    pressed,
    share,
    shown,
    shows,
    switch_off,
    title,
    type_in,
)
from tests.conftest import random_model, small_config

pytestmark = pytest.mark.browser


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
