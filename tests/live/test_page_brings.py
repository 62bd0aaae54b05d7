# SPDX-License-Identifier: Apache-2.0
"""A trace that is brought to a page is packed as Python packs it, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

import moe_viz as mv
from moe_viz.trace import Trace
from moe_viz.trace.rule import Rule
from tests.conftest import random_model, small_config
from tests.hardtexts import hard_texts
from tests.live.traces import Page, packed

TEXTS = ["Our cat answers to no name.", "Le chat ne répond à aucun nom.", "中 👍🏽\n"]
#: Blocks of interventions, the outer first.
BLOCKS: dict[str, list[dict[str, Any]]] = {
    "off": [{"ablate": [(2, 5), (2, 1), (5, 0)]}],
    "empty": [{"ablate": [(2, 5), (3, 1)], "instead": "nothing"}],
    "for some tokens": [{"ablate": [(2, 5), (3, 1)], "tokens": [0, 3, 4]}],
    "for many tokens": [{"ablate": [(2, 5)], "tokens": range(1, 20)}],
    "in a prompt": [{"ablate": [(2, 5), (3, 1)], "prompts": [1]}],
    "in a layer": [{"ablate": [(2, 5), (3, 1)], "layers": [3, 4]}],
    "in a layer and some tokens": [{"ablate": [(2, 5), (3, 1)], "layers": [2], "tokens": [1]}],
    "twice": [{"ablate": [(2, 5)]}, {"ablate": [(2, 4), (2, 5)], "tokens": [1]}],
    "with more": [{"ablate": [(2, 5)], "force": [(2, 1), (4, 4)], "top_k": 3, "temperature": 0.5}],
    "with more in layers": [{"ablate": [(2, 5)], "top_k": 1, "uniform_gates": True, "layers": [2]}],
    "without it": [{"force": [(2, 5)]}, {"swap": [(1, 0, 7)]}, {"random": 3, "layers": [1]}],
    "one": [{"top_k": 1}],
    "all eight": [{"top_k": 8}],
}  # fmt: skip
#: Small random models of other shapes.
SHAPES = {
    "127 experts": {"experts": 127},
    "128 experts": {"experts": 128, "experts_per_token": 6},
    "130 experts": {"experts": 130, "layers": 1},
    "one expert": {"experts": 1, "experts_per_token": 1},
    "12 layers": {"layers": 12},
}


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    return Page(model, tmp_path_factory.mktemp("page"))


def apart(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Fields in which packed traces differ; how they open is the page's own matter."""
    names = (found.keys() | expected.keys()) - {"state"}
    return sorted(name for name in names if found.get(name) != expected.get(name))


def alike(page: Page, trace: Trace, path) -> None:
    """The page packs the trace as Python does; topics are told outside the worker."""
    (found,) = page.shows(trace.save(path))
    expected = packed(trace)
    for prompt in expected["prompts"]:
        prompt[4] = ""
    differ = {name: (found.get(name), expected.get(name)) for name in apart(found, expected)}
    assert differ == {}, found.get("failed", "")


def traces() -> dict[str, Callable[[Any], Trace]]:
    passages, code = mv.prompts.passages(), mv.prompts.code()
    prompts = passages.parallel("cat") + code.parallel(code.topics[0]) + passages[:3]
    return {
        "prompts with labels": lambda model: mv.record(model, prompts),
        "with loss": lambda model: mv.record(model, prompts[:3], loss=True),
        "hard texts": lambda model: mv.record(model, hard_texts(90)),
        "one token": lambda model: mv.record(model, [[1]]),
        "written": lambda model: mv.generate(model, "The first file", max_new_tokens=9).trace,
        "some layers": lambda model: mv.record(model, TEXTS).select(layers=[1, 4]),
        "its twin": lambda model: mv.record(mv.untrained_twin(model), TEXTS),
        "quantised": lambda model: elsewhere(mv.record(model, TEXTS), quantisation="Q4_K, Q6_K"),
        "bare": lambda model: elsewhere(mv.record(model, TEXTS), dtype="", date="", device=""),
        "with layers between": lambda model: replace(
            mv.record(model, TEXTS), model_layers=9, mixtures=(0, 1, 2, 3, 4, 5, 7)
        ),
        "far apart": lambda model: spread(mv.record(model, TEXTS)),
    }


def elsewhere(trace: Trace, **changes: str) -> Trace:
    return replace(trace, provenance=replace(trace.provenance, **changes))


def spread(trace: Trace) -> Trace:
    """Logits beyond what float16 holds, and closer than it tells apart."""
    logits = np.array(trace.router_logits)
    logits[0] *= 1e5
    logits[1] *= 1e-7
    return replace(trace, router_logits=logits)


@pytest.mark.parametrize("name", traces())
def test_it_is_packed_as_python_packs_it(page, model, tmp_path, name):
    alike(page, traces()[name](model), tmp_path / "trace.safetensors")


@pytest.mark.parametrize("name", BLOCKS)
def test_what_was_switched_off_is_said_of_each_layer(page, model, tmp_path, name):
    with ExitStack() as stack:
        for changes in BLOCKS[name]:
            stack.enter_context(mv.intervene(model, **changes))
        trace = mv.record(model, TEXTS, labels=["en", "fr", "zh"])
    alike(page, trace, tmp_path / "trace.safetensors")


@pytest.mark.parametrize("name", SHAPES)
def test_models_of_other_shapes(page, tmp_path, name):
    model = random_model(small_config(**SHAPES[name]))
    ids = torch.randint(0, 101, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    alike(page, mv.record(model, [ids, ids[:7]]), tmp_path / "trace.safetensors")


def test_many_layers_are_named_in_part(page, tmp_path):
    """A stamp names eight layers, and then … : where else one is off is not known."""
    model = random_model(small_config(layers=12))
    for layers in (range(10), range(8), [11]):
        with mv.intervene(model, ablate=[(1, 3), (9, 3), (11, 0)], layers=layers):
            trace = mv.record(model, [[1, 5, 9, 33]])
        alike(page, trace, tmp_path / "trace.safetensors")


def others(trace: Trace) -> Iterator[tuple[str, Trace, str]]:
    """Traces that the page does not show, and what it says of them."""
    other = "This page shows traces of models that choose as Mixtral does, with their logits."
    gaps = "There are gaps in this trace, NaN or infinite: moe_viz.explore shows it."
    yield "sigmoid", replace(trace, rule=Rule("sigmoid")), other
    yield "groups", replace(trace, rule=Rule(groups=2, groups_kept=1)), other
    yield "scaled", replace(trace, rule=Rule(scale=2.5)), other
    yield "no logits", replace(trace, router_logits=None, expert_count=8), other
    yield "unscored", replace(trace, scored=(True, False, True, True, True, True)), other
    for name in ("router_logits", "gates"):
        for value in (np.nan, np.inf):
            array = np.array(getattr(trace, name))
            array[2, 3, 1] = value
            yield f"{name} {value}", replace(trace, **{name: array}), gaps


def test_other_traces_are_refused_in_a_sentence(page, model, tmp_path):
    cases = list(others(mv.record(model, TEXTS)))
    paths = [trace.save(tmp_path / f"{n}.safetensors") for n, (_, trace, _) in enumerate(cases)]
    told = {
        name: answer.get("failed", "shown")
        for (name, *_), answer in zip(cases, page.shows(*paths), strict=True)
    }
    wrong = {
        name: told[name]
        for name, _, said in cases
        if not told[name].startswith(f"RangeError: {said}")
    }
    assert wrong == {}


def test_what_is_no_trace_is_refused_in_a_sentence(page, tmp_path):
    header = b'{"__metadata__":{"moe_viz_trace":"{"}}'
    tensors = safetensors.numpy.save({"a": np.zeros(3, np.float32)}, {"made": "elsewhere"})
    files = {
        "empty": b"", "short": b"1234567", "words": b"# A note, and no trace of anything.\n" * 9,
        "zeros": bytes(4096), "long": b"\xff" * 4096, "a page": b"<!doctype html><p>Hello</p>" * 9,
        "tensors": tensors,
        "no JSON": len(header).to_bytes(8, "little") + header,
        "a list": (2).to_bytes(8, "little") + b"[]",
        "null": (4).to_bytes(8, "little") + b"null",
        "no metadata": safetensors.numpy.save({"a": np.zeros(3, np.float32)}),
    }  # fmt: skip
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    answers = page.shows(*(tmp_path / name for name in files))
    said = "RangeError: That is no trace of moe_viz: expected what Trace.save has written."
    told = {name: answer.get("failed") for name, answer in zip(files, answers, strict=True)}
    assert told == dict.fromkeys(files, said)


def test_a_file_that_was_cut_short_is_refused(page, model, tmp_path):
    whole = mv.record(model, TEXTS).save(tmp_path / "whole.safetensors").read_bytes()
    paths = [tmp_path / f"{n}" for n in range(12)]
    for path, (cut, _) in zip(
        paths, pairwise(np.linspace(9, len(whole), 13).astype(int)), strict=True
    ):
        path.write_bytes(whole[:cut])
    answers = page.shows(*paths)
    assert [answer.get("failed", "shown").partition(":")[0] for answer in answers] == [
        "RangeError"
    ] * 12
