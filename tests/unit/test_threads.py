# SPDX-License-Identifier: Apache-2.0
"""One model, several threads and tasks: what is attached belongs to the run called there."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import PlacementError
from moe_viz.model.attached import Attached, _blocks
from moe_viz.trace import Trace
from tests.conftest import random_model

IDS = [5, 9, 80, 33, 7, 61, 2]


@pytest.fixture
def model():
    return random_model()


def in_thread(work: Callable[[], Any]) -> Any:
    """What a function gives in a thread of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert found, "the thread did not end"
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def same(a: Trace, b: Trace) -> bool:
    arrays = ("router_logits", "experts", "gates", "token_ids", "generated")
    stamps = (a.provenance.interventions, b.provenance.interventions)
    return stamps[0] == stamps[1] and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays
    )


def test_a_recording_in_a_thread_of_its_own_neither_inherits_a_block_nor_keeps_it(model):
    plain = mv.record(model, [IDS])
    with mv.intervene(model, top_k=1):
        changed = mv.record(model, [IDS])
        elsewhere = in_thread(lambda: mv.record(model, [IDS]))
    assert changed.experts.shape[2] == 2
    assert (changed.experts[:, :, 1] == -1).all()
    assert len(changed.provenance.interventions) == 1
    assert same(elsewhere, plain)
    assert same(mv.record(model, [IDS]), plain)
    assert model.attached == Attached()


def test_a_context_that_a_thread_was_given_does_not_bring_the_block(model):
    """As Python 3.14 without a GIL hands it to every thread, and asyncio.to_thread always does."""
    plain = mv.record(model, [IDS])
    with mv.intervene(model, top_k=1):
        copied = contextvars.copy_context()
        found = in_thread(lambda: copied.run(mv.record, model, [IDS]))
        awaited = asyncio.run(asyncio.to_thread(mv.record, model, [IDS]))
        # In this thread, a copy of the context is still within the block.
        here = contextvars.copy_context().run(mv.record, model, [IDS])
    assert same(found, plain)
    assert same(awaited, plain)
    assert len(here.provenance.interventions) == 1
    assert same(copied.run(mv.record, model, [IDS]), plain)  # the block has ended


def test_blocks_that_end_out_of_order_take_only_themselves(model):
    outer, inner = mv.intervene(model, top_k=1), mv.intervene(model, temperature=2.0)
    plain = mv.record(model, [IDS])
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    left = mv.record(model, [IDS])
    (stamp,) = left.provenance.interventions
    assert "temperature" in stamp
    assert np.array_equal(left.experts[0], plain.experts[0])  # a temperature changes gates alone
    assert not np.array_equal(left.gates[0], plain.gates[0])
    inner.__exit__(None, None, None)
    assert same(mv.record(model, [IDS]), plain)


def test_a_block_may_be_left_in_another_task_or_context(model):
    plain, block = mv.record(model, [IDS]), mv.intervene(model, top_k=1)
    block.__enter__()
    contextvars.copy_context().run(block.__exit__, None, None, None)  # as another cell does
    assert same(mv.record(model, [IDS]), plain)
    block = mv.intervene(model, top_k=1)
    contextvars.copy_context().run(block.__enter__)
    assert same(mv.record(model, [IDS]), plain)  # that cell's block is not this one's
    block.__exit__(None, None, None)
    assert model.attached == Attached()


def test_tasks_take_nothing_from_each_other(model):
    plain = mv.record(model, [IDS])

    async def changed() -> Trace:
        with mv.intervene(model, top_k=1):
            await asyncio.sleep(0.01)
            found = mv.record(model, [IDS])
            await asyncio.sleep(0.01)
        return found

    async def unchanged() -> Trace:
        await asyncio.sleep(0.005)  # while the other is within its block
        return mv.record(model, [IDS])

    async def both() -> tuple[Trace, Trace, Trace]:
        return await asyncio.gather(changed(), unchanged(), changed())

    one, two, three = asyncio.run(both())
    assert same(two, plain)
    assert same(one, three)
    assert len(one.provenance.interventions) == 1


def test_what_a_sweep_carries_was_attached_when_it_was_called(model):
    ids = torch.tensor(IDS)
    seen: list[int] = []
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        within = model.sweep(ids, [len(ids)])
    before = model.sweep(ids, [len(ids)])
    list(within)
    assert seen == [0, 1, 2]
    with model.router_hooks(lambda routing: seen.append(9)):
        list(before)
    assert seen == [0, 1, 2]


def test_a_trace_s_stamp_is_of_what_was_run_not_of_what_came_later(model):
    block = mv.intervene(model, top_k=1)

    def leave(routing) -> None:
        if routing.layer == 1:
            block.__exit__(None, None, None)

    block.__enter__()
    with model.router_hooks(leave):
        trace = mv.record(model, [IDS])
    assert (trace.experts[:, :, 1] == -1).all()  # in every layer
    assert len(trace.provenance.interventions) == 1
    assert model.provenance.interventions == ()


def test_a_block_that_has_ended_keeps_no_model():
    model = random_model()
    gone = weakref.ref(model)
    with mv.intervene(model, top_k=1):
        copied = contextvars.copy_context()
    del model
    gc.collect()
    assert gone() is None
    assert copied[_blocks][-1].model is None


def test_a_model_that_was_cast_says_so(model):
    model.to(torch.bfloat16)
    assert model.provenance.title.split(" · ")[1] == "bfloat16"
    assert mv.record(model, [IDS]).provenance.dtype == "bfloat16"


def test_a_streamed_model_refuses_a_second_sweep_and_goes_on(tmp_path):
    from tests import writers

    folder = writers.hugging_face_5(random_model(), tmp_path)
    model = mv.load(folder, placement="stream")
    refused: list[str] = []

    def another(routing) -> None:
        if routing.layer == 0:
            with pytest.raises(PlacementError, match="middle of another sweep") as error:
                in_thread(lambda: mv.record(model, [IDS]))
            refused.append(str(error.value))

    with model.router_hooks(another):
        whole = mv.record(model, [IDS])
    assert len(refused) == 1
    assert same(whole, mv.record(model, [IDS]))


def test_a_thread_that_begins_during_a_generation_computes_as_any_other(model):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    seen: list[tuple[int, int]] = []
    try:
        with model.router_hooks(
            lambda routing: seen.append((torch.get_num_threads(), in_thread(torch.get_num_threads)))
        ):
            mv.generate(model, [1], max_new_tokens=2, ignore_eos=True)
        assert seen[-1] == (1, 3)  # generation alone is content with one
        assert (torch.get_num_threads(), in_thread(torch.get_num_threads)) == (3, 3)
    finally:
        torch.set_num_threads(before)


# ---- At random ---------------------------------------------------------------------------------


def works() -> dict[str, Callable[[Any], Trace]]:
    """What a thread may do with a model; each gives a trace."""

    def changed(**change: Any) -> Callable[[Any], Trace]:
        def run(model: Any) -> Trace:
            with mv.intervene(model, **change):
                time.sleep(random.random() / 500)
                return mv.record(model, [IDS, IDS[::-1]])

        return run

    return {
        "record": lambda model: mv.record(model, [IDS]),
        "record long": lambda model: mv.record(model, [IDS * 9, IDS]),
        "generate": lambda model: mv.generate(model, IDS, 6, ignore_eos=True).trace,
        "sample": lambda model: mv.generate(model, IDS, 6, temperature=1.0, seed=3).trace,
        "top-1": changed(top_k=1),
        "ablated": changed(ablate=[(0, 1), (2, 3)], instead="nothing"),
        "in order": lambda model: (changed(temperature=0.5)(model), mv.record(model, [IDS]))[1],
    }


def overlap(model: Any, rounds: int, threads: int = 2) -> None:
    """Rounds of threads that each do a few of these, in random overlap."""
    alone = {name: work(model) for name, work in works().items()}
    settings = (torch.get_num_threads(), in_thread(torch.get_num_threads))
    for seed in range(rounds):
        dice = random.Random(seed)
        plans = [dice.choices(list(alone), k=3) for _ in range(threads)]
        found: list[tuple[str, Any]] = []

        def run(plan: list[str], found: list[tuple[str, Any]] = found) -> None:
            for name in plan:
                time.sleep(random.random() / 500)
                try:
                    found.append((name, works()[name](model)))
                except BaseException as error:
                    found.append((name, error))

        running = [threading.Thread(target=run, args=(plan,)) for plan in plans]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(120)
        assert len(found) == 3 * threads, f"round {seed}: a thread did not end"
        for name, trace in found:
            assert isinstance(trace, Trace), f"round {seed}, {name}: {trace!r}"
            assert same(trace, alone[name]), f"round {seed}, {name}"
    assert model.attached == Attached()
    assert (torch.get_num_threads(), in_thread(torch.get_num_threads)) == settings


def test_threads_in_random_overlap_record_what_they_record_alone(model):
    before = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-5)  # so that they overlap
    torch.set_num_threads(2)  # so that a thread that computes with another number is noticed
    try:
        overlap(model, rounds=20)
        overlap(model, rounds=5, threads=4)
    finally:
        sys.setswitchinterval(before[0])
        torch.set_num_threads(before[1])


@pytest.mark.slow
def test_a_hundred_rounds_with_a_live_box_beside():
    pytest.importorskip("ipywidgets")
    model = mv.load("8x7m")
    live = mv.explore(model)
    stop = threading.Event()
    said: list[str] = []

    def press() -> None:
        while not stop.is_set():
            thread = live.run(f"Good morning {len(said)}.")
            if thread is not None:
                thread.join(60)
            said.append(live.status.value)

    beside = threading.Thread(target=press)
    beside.start()
    try:
        overlap(model, rounds=100)
    finally:
        stop.set()
        beside.join(60)
    assert len(said) > 10
    assert all(status.endswith("tokens.") for status in said), set(said)
