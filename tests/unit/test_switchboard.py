# SPDX-License-Identifier: Apache-2.0
"""The page's switches in the prompt box of a notebook: what they ask for is what runs."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.exploring import LivePrompt
from moe_viz.view.explorer.standing import Standing
from moe_viz.view.live.switchboard import Switchboard
from tests.unit.test_live import run, write_on

pytest.importorskip("ipywidgets")
TEXT = "Le chat ne répond à aucun nom."


@pytest.fixture
def live() -> LivePrompt:
    return mv.explore(mv.load("8x7m"))


@pytest.fixture
def alone() -> tuple[Switchboard, list[dict]]:
    heard: list[dict] = []
    board = Switchboard([3, 4, 7], 8, 2, lambda: heard.append(board.asked))
    return board, heard


def switch(board: Switchboard, layer: int, expert: int) -> None:
    board.layer.value, board.expert.value = layer, expert
    board.toggle.click()


def wait(live: LivePrompt) -> None:
    assert live._thread is not None
    live._thread.join(60)


def test_each_switch_asks_for_its_own_and_undo_takes_it_back(alone):
    board, heard = alone
    switch(board, 4, 6)
    switch(board, 3, 1)
    assert board.asked == {"ablate": [(3, 1), (4, 6)]}
    assert board.words.value == "Changed: off: 3/1, 4/6."
    assert board.toggle.description == "Switch on"
    board.empty.value = True
    board.k.value = 3
    board.temperature.value = 2
    board.uniform.value = True
    every = {"ablate": [(3, 1), (4, 6)], "instead": "nothing", "top_k": 3, "temperature": 2.0,
             "uniform_gates": True}  # fmt: skip
    assert board.asked == heard[-1] == every
    assert board.words.value == (
        "Changed: off: 3/1, 4/6 (slots stay empty), top-3, router temperature 2, uniform gates."
    )
    board.uniform.value = False
    assert board.asked == {k: v for k, v in every.items() if k != "uniform_gates"}
    for _ in range(7):
        board.undo.click()
    assert board.asked == {}
    assert (board.k.value, board.temperature.value, board.empty.value) == (2, 1, False)
    assert board.words.value == "Nothing is changed."
    assert board.undo.disabled
    assert len(heard) == 14


def test_an_expert_is_off_or_forced_and_never_both(alone):
    board, _ = alone
    switch(board, 7, 5)
    board.force.click()
    assert board.asked == {"force": [(7, 5)]}
    assert board.force.description == "Send it only its own tokens"
    board.toggle.click()
    assert board.asked == {"ablate": [(7, 5)]}
    board.toggle.click()
    assert board.asked == {}
    board.expert.value = 4  # nothing is asked of it
    assert (board.toggle.description, board.asked) == ("Switch off", {})


def test_a_switch_runs_the_last_text_again_beside_the_intact_one(live):
    run(live, TEXT)
    trace = live.picture.trace
    switch(live.switches, 5, 6)
    wait(live)
    with mv.intervene(live.model, ablate=[(5, 6)]):
        changed = mv.record(live.model, [TEXT])
    assert (live.picture.trace.experts == changed.experts).all()
    assert live.picture.trace.provenance.interventions == ("ablated 5/6 (next best instead)",)
    assert (live.picture.other.experts == trace.experts).all()
    assert live.picture.view == "experts"
    assert live.history == [TEXT]
    live.switches.k.value = 3
    wait(live)
    assert live.picture.trace.experts.shape[2] == 3
    for _ in range(2):
        live.switches.undo.click()
        wait(live)
    assert live.picture.other is None
    assert (live.picture.trace.experts == trace.experts).all()


def test_what_is_switched_holds_for_what_is_written_too(live):
    switch(live.switches, 2, 3)
    assert live._thread is None, "no text has been run yet"
    write_on(live, "The first file", 6)
    with mv.intervene(live.model, ablate=[(2, 3)]):
        expected = mv.generate(live.model, "The first file", max_new_tokens=6).trace
    assert live.picture.trace.prompts[0].text == expected.prompts[0].text
    assert (live.picture.trace.experts == expected.experts).all()
    intact = mv.record(live.model, [expected.token_ids.tolist()])
    assert (live.picture.other.experts == intact.experts).all()


def test_what_cannot_be_is_said_and_taken_back(live):
    run(live, TEXT)
    before = live.picture
    live.switches.k.value = 8
    wait(live)
    thread = live._thread
    switch(live.switches, 1, 1)
    assert "cannot choose 8" in live.switches.words.value
    assert live.switches.asked == {"top_k": 8}
    assert live._thread is thread
    assert before is not live.picture


def test_nothing_is_switched_while_a_text_runs(live, monkeypatch):
    switch(live.switches, 5, 6)
    board = live.switches
    fields = (board.layer, board.expert, board.toggle, board.force, board.undo, board.k,
              board.uniform, board.temperature, board.empty)  # fmt: skip
    seen = []
    monkeypatch.setattr(
        live, "_watch", lambda routing: seen.append([field.disabled for field in fields])
    )
    run(live, TEXT)
    assert seen
    assert all(map(all, seen))
    assert not any(field.disabled for field in fields)


def test_the_page_is_named_below_the_picture_of_the_model_it_can_run(live, monkeypatch):
    shown: list[str] = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, display_id):
        shown.append(html)
        return Handle()

    monkeypatch.setattr(live, "_display", lambda *args, **more: display(args[0], more))
    monkeypatch.setattr(live, "_wrap", str)
    live._ipython_display_()
    run(live, TEXT)
    assert any("moe-viz live -o lab.html" in str(html) for html in shown)
    del shown[:]
    other = Standing(display, str)
    other.show(live.picture)
    assert not any("moe-viz live" in str(html) for html in shown)
