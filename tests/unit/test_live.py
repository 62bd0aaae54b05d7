# SPDX-License-Identifier: Apache-2.0
"""The live prompt box, without a browser: what its buttons do."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.exploring import KEPT, Cancelled, LivePrompt
from moe_viz.files import embedded_folder
from moe_viz.progress import NO_BAR, progress_bar
from tests.conftest import random_model

pytest.importorskip("ipywidgets")


@pytest.fixture
def live() -> LivePrompt:
    return mv.explore(mv.load("8x7m"))


def run(live: LivePrompt, text: str) -> None:
    live.text.value = text
    live.run_button.click()
    assert live._thread is not None
    live._thread.join(60)


def test_what_is_run_is_recorded_and_shown(live):
    assert live.picture is None
    run(live, "Good morning.")
    assert live.picture is not None
    expected = mv.record(mv.load("8x7m"), ["Good morning."])
    assert (live.picture.trace.experts == expected.experts).all()
    assert "tokens" in live.status.value
    assert not live.run_button.disabled
    assert (live.progress.value, live.progress.max) == (6, 6), "layers"
    assert live.model.attached.hooks == ()


def test_the_picture_has_the_scale_that_was_asked_for():
    live = mv.explore(mv.load("8x7m"), scale=1.5)
    run(live, "Good morning.")
    assert live.picture is not None
    assert live.picture.scale == 1.5
    with pytest.raises(InputError, match=r"in 0\.5 … 3, found 9"):
        mv.explore(mv.load("8x7m"), scale=9)


def test_prompts_are_kept_once_each_up_to_a_number(live):
    for n in range(KEPT + 2):
        run(live, f"Text {n}")
    run(live, "Text 5")
    last = [f"Text {n}" for n in range(2, KEPT + 2) if n != 5]
    assert live.history == [*last, "Text 5"]
    assert [p.text for p in live.picture.trace.prompts] == live.history
    assert live.picture.prompt == KEPT - 1
    live.past.value = "Text 7"
    assert live.text.value == "Text 7"


def test_a_text_that_cannot_be_run_is_said_and_the_picture_stays(live):
    run(live, "Good morning.")
    before = live.picture
    run(live, "word " * 3000)
    assert "context of 2,048" in live.status.value
    assert live.picture is before
    assert live.history == ["Good morning."]
    assert not live.run_button.disabled


def test_a_run_is_cancelled_before_its_next_layer(live, monkeypatch):
    seen, watch = [], live._watch

    def stop(routing):
        watch(routing)
        seen.append(routing.layer)
        if routing.layer == 1:
            live.cancel_button.click()

    monkeypatch.setattr(live, "_watch", stop)
    run(live, "Good morning.")
    assert seen == [0, 1]
    assert live.status.value.startswith("Cancelled")
    assert live.picture is None


def test_while_one_runs_another_is_not_begun(live, monkeypatch):
    begun = []
    monkeypatch.setattr(live, "_watch", lambda routing: begun.append(live.run("another")))
    run(live, "Good morning.")
    assert begun
    assert set(begun) == {None}
    assert live.history == ["Good morning."]


@pytest.mark.parametrize("error", [IndexError("list index"), SystemExit("bye"), MemoryError()])
def test_whatever_goes_wrong_in_a_run_is_said(live, monkeypatch, error):
    def fail(routing):
        raise error

    run(live, "Good morning.")
    before = live.picture
    with monkeypatch.context() as patch:
        patch.setattr(live, "_watch", fail)
        run(live, "Guten Morgen.")
    assert live.status.value == f"This run failed ({type(error).__name__}: {error})."
    assert not live.run_button.disabled
    assert live.picture is before
    run(live, "Guten Morgen.")
    assert live.history == ["Good morning.", "Guten Morgen."]


def test_a_model_that_cannot_read_has_no_box():
    with pytest.raises(InputError, match="no tokenizer"):
        mv.explore(random_model())


def test_a_run_shows_its_own_progress_and_no_second_bar(live, monkeypatch):
    bars = []
    monkeypatch.setattr(live, "_watch", lambda routing: bars.append(progress_bar("layers", 6)))
    run(live, "One two.")
    assert len(bars) == 6
    assert all(bar is NO_BAR for bar in bars)
    with progress_bar("layers", 6) as bar:
        assert bar is not NO_BAR


def test_a_guest_has_a_box_too():
    transformers = pytest.importorskip("transformers")
    ours = mv.load("8x7m")
    hf = transformers.MixtralForCausalLM.from_pretrained(embedded_folder(), dtype="float32")
    live = mv.explore(mv.guest(hf, ours.tokenizer, name="8x7m"))
    run(live, "Good morning.")
    assert live.picture is not None
    assert (live.picture.trace.experts == mv.record(ours, ["Good morning."]).experts).all()
    assert live.status.value.startswith("8x7m · float32")
    live._cancel.set()
    with pytest.raises(Cancelled), live.model.router_hooks(live._watch):
        mv.record(live.model, ["Good morning."])


def write_on(live: LivePrompt, text: str, tokens: int) -> None:
    live.text.value, live.length.value = text, tokens
    live.continue_button.click()
    assert live._thread is not None
    live._thread.join(120)


def test_a_text_is_continued_as_generate_does_and_kept_beside_the_others(live):
    run(live, "Good morning.")
    write_on(live, "The first file", 6)
    expected = mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=6)
    assert live.picture is not None
    trace = live.picture.trace
    assert live.history == ["Good morning.", expected.trace.prompts[0].text]
    last = trace.prompts[1]
    assert (trace.experts[:, last.start :] == expected.trace.experts).all()
    assert trace.generated[last.start :].tolist() == expected.trace.generated.tolist()
    assert [p.label for p in trace.prompts] == ["1", "2"]
    assert live.progress.value == 6
    assert not live.continue_button.disabled
    run(live, "Good evening.")
    assert len(live.history) == 3
    assert live.picture.trace.generated.sum() == 6, "what was generated stays marked"


def test_a_cancelled_text_stays_as_far_as_it_came(live, monkeypatch):
    seen, watch = [], live._watch

    def stop(routing):
        watch(routing)
        seen.append(routing.layer)
        if len(seen) == 6 + 3 * 6:  # the prompt, and three tokens
            live.cancel_button.click()

    monkeypatch.setattr(live, "_watch", stop)
    write_on(live, "The first file", 30)
    assert live.picture is not None
    assert live.picture.trace.generated.sum() == 3
    assert "Cancelled: the text is kept as far as it came." in live.status.value
    assert not live.run_button.disabled


def test_recordings_of_another_kind_are_not_mixed(live):
    run(live, "Good morning.")
    with mv.intervene(live.model, ablate=[(0, 0)]):
        live.run_button  # noqa: B018  (the box runs in a thread, which a with block reaches not)
        kept = mv.record(live.model, ["Good evening."])
    live.done(kept)
    assert live.history == ["Good evening."]
    assert "ablated" in live.picture.trace.provenance.title
    run(live, "Good night.")
    said = " tokens. Earlier prompts were run in another way, and are left out."
    assert live.status.value.endswith(said)
    assert live.history == ["Good night."]
    run(live, "Good day.")
    assert live.status.value.endswith(" tokens.")
