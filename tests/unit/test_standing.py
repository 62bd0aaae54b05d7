# SPDX-License-Identifier: Apache-2.0
"""A picture that follows a text while it is written: what a notebook's outputs are told."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType

import pytest

import moe_viz as mv
from moe_viz.recording.generation import Watcher
from moe_viz.view.explorer import standing
from moe_viz.view.explorer.standing import Standing
from tests.packed import data_in, packed_in


class Display:
    """IPython's `display`, as far as it is used: what outputs hold, how often each was told."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.told: list[int] = []

    def __call__(self, html: str, display_id: bool):
        assert display_id
        self.outputs.append(html)
        self.told.append(1)
        return Handle(self, len(self.outputs) - 1)


class Handle:
    def __init__(self, display: Display, n: int) -> None:
        self.display, self.n = display, n

    def update(self, html: str) -> None:
        self.display.outputs[self.n] = html
        self.display.told[self.n] += 1


@pytest.fixture
def display() -> Display:
    return Display()


@pytest.fixture
def stand(display, monkeypatch) -> Standing:
    monkeypatch.setattr(standing, "PACE", 0)
    return Standing(display, str)


@pytest.fixture
def watched(stand, monkeypatch):
    """An explorer that stands in that display."""
    explorer = mv.explore(mv.record(mv.load("8x7m"), ["Before."]), layer=2)
    explorer.__dict__["_standing"] = stand
    return explorer


def test_each_trace_goes_into_the_standing_picture_and_the_last_one_stays(display, watched):
    assert isinstance(watched, Watcher)
    seen: list[int] = []
    follow = type(watched).follow

    class Counting(type(watched)):
        def follow(self, trace):
            seen.append(len(trace))
            follow(self, trace)
            if len(seen) > 1:  # the first is the whole picture, the next go into it
                assert packed_in(display.outputs[1])
                name = re.findall(r'id="(\S+?)" class="moe-viz"', display.outputs[0])[0]
                assert (
                    f'document.getElementById("{name}")?.moeViz?.take("{name}-next"'
                    in (display.outputs[1])
                )
                data = data_in(display.outputs[1])
                assert data["shape"][1] == len(trace)
                change = json.loads(re.findall(r'take\("\S+", ({.*?})\)', display.outputs[1])[0])
                assert change == {"prompt": 0, "token": len(trace) - 1}

    object.__setattr__(watched, "__class__", Counting)
    out = mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=5, watch=watched)
    given = len(out.trace) - 5
    assert seen == [given, given + 1, given + 2, given + 3, given + 4]
    assert len(display.outputs) == 2
    # The picture's own output is written twice, to begin and to end; beside it, after five traces,
    # what has the last picture looked at as the one before, and at the end nothing.
    assert display.told == [2, 7]
    assert display.outputs[1] == "", "nothing stale is saved"
    final = data_in(display.outputs[0])
    assert final["shape"][1] == len(out.trace)
    assert final["state"]["layer"] == 2, "as the explorer was opened"
    assert final["state"]["token"] == len(out.trace) - 1


def test_what_is_too_soon_is_left_out_but_never_the_end(display, watched, monkeypatch):
    monkeypatch.setattr(standing, "PACE", 1e9)
    mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=5, watch=watched)
    assert display.told == [2, 3], "the first and the last"


def test_where_outputs_are_alone_the_whole_picture_is_written_less_often(
    display, watched, monkeypatch
):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(standing, "WHOLE", 0)
    out = mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=5, watch=watched)
    assert len(display.outputs) == 1
    assert display.told == [6]
    assert data_in(display.outputs[0])["shape"][1] == len(out.trace)
    assert standing.Standing(display, str).due()
    monkeypatch.setattr(standing, "WHOLE", 1e9)
    watched.__dict__["_standing"] = Standing(display, str)
    mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=5, watch=watched)
    assert display.told[1:] == [2], "the first and the last, though another picture would be due"


def test_an_interrupted_text_stays_as_far_as_it_came(display, watched):
    follow = type(watched).follow

    class Interrupted(type(watched)):
        def follow(self, trace):
            if trace.generated.sum() == 3:
                raise KeyboardInterrupt
            follow(self, trace)

    object.__setattr__(watched, "__class__", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=40, watch=watched)
    whole = mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=3).trace
    final = data_in(display.outputs[0])
    assert final["shape"][1] == len(whole)
    assert display.outputs[1] == ""


def test_each_text_has_a_picture_of_its_own_in_the_cell_that_writes_it(display, watched):
    """A cell that is run again has lost its outputs: what is written into them is seen nowhere."""
    for n in (1, 2):
        watched.__dict__["_standing"] = stand = Standing(display, str)
        mv.generate(mv.load("8x7m"), "The first file", max_new_tokens=2, watch=watched)
        assert "_standing" not in watched.__dict__
        assert len(display.outputs) == 2 * n
        assert stand is not watched._standing


def test_both_outputs_are_there_before_a_thread_writes(display, stand, watched):
    """A thread's new outputs belong to no cell: JupyterLab shows them nowhere."""
    stand.say("Nothing yet.")
    assert display.outputs == ["<p>Nothing yet.</p>", ""]
    stand.follow(watched)
    stand.follow(watched)
    assert display.told == [2, 2]
    assert packed_in(display.outputs[0])
    assert "take(" in display.outputs[1]


def test_a_function_is_told_of_every_token_and_can_end_the_writing():
    model, lengths = mv.load("8x7m"), []

    def watch(trace):
        lengths.append((len(trace), int(trace.generated.sum())))

    out = mv.generate(model, "The first file", max_new_tokens=4, watch=watch)
    given = len(out.trace) - 4
    assert lengths == [(given + n, n) for n in range(5)]
    plain = mv.generate(model, "The first file", max_new_tokens=4)
    assert plain.text == out.text
    assert (plain.trace.experts == out.trace.experts).all()

    def stop(trace):
        if trace.generated.sum() == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mv.generate(model, "The first file", max_new_tokens=40, watch=stop)


def test_each_trace_on_the_way_is_what_recording_would_give():
    model, traces = mv.load("8x7m"), []
    mv.generate(model, "The first file", max_new_tokens=3, watch=traces.append)
    for trace in traces:
        expected = mv.record(model, [trace.token_ids.tolist()])
        assert (trace.experts == expected.experts).all()
        assert trace.prompts[0].text == expected.prompts[0].text
        assert trace.spans.tolist() == expected.spans.tolist()
