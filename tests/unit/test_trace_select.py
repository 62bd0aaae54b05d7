# SPDX-License-Identifier: Apache-2.0
"""Selecting from a trace: any criteria together, against a loop over its prompts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from moe_viz.errors import TraceError

from .handmade import ARRAYS, PER_LAYER, handmade

LENGTHS, LABELS, LAYERS = (3, 2, 4, 1, 2), "abacb", (0, 2, 5)
TRACE = handmade(LENGTHS, LABELS, LAYERS)
STARTS = [0, 3, 5, 9, 10]

CHOICES = {
    "label": [None, "a", ["b"], ["c", "a"], "ab"[1]],
    "prompt": [None, 2, [0, 1, 2], [4, 2], np.int64(0)],
    "layers": [None, 2, [5, 0]],
}


def listed(choice, everything):
    if choice is None:
        return list(everything)
    return [choice] if isinstance(choice, str | int | np.integer) else list(choice)


def check(part, prompts: list[int], layers: list[int]) -> None:
    """Every field of the selection, token by token."""
    rows = [(n, STARTS[n] + i) for n in prompts for i in range(LENGTHS[n])]
    assert len(part) == len(rows)
    for name in ARRAYS:
        found, whole = getattr(part, name), getattr(TRACE, name)
        assert found.dtype == whole.dtype, name
        if name in PER_LAYER:
            assert found.shape == (len(layers), len(rows), whole.shape[2])
            expected = [[whole[LAYERS.index(n), t] for _, t in rows] for n in layers]
        else:
            expected = [whole[t] for _, t in rows]
        assert np.array_equal(found, expected, equal_nan=name == "loss"), name
    assert part.tokens == [TRACE.tokens[t] for _, t in rows]
    assert part.layers == tuple(layers)
    at = 0
    for prompt, n in zip(part.prompts, prompts, strict=True):
        assert (prompt.text, prompt.label) == (TRACE.prompts[n].text, LABELS[n])
        assert (prompt.start, prompt.stop) == (at, at + LENGTHS[n])
        assert type(prompt.start) is type(prompt.stop) is int
        at = prompt.stop
    assert part.provenance is TRACE.provenance


@pytest.mark.parametrize("label", CHOICES["label"])
@pytest.mark.parametrize("prompt", CHOICES["prompt"])
@pytest.mark.parametrize("layers", CHOICES["layers"])
def test_every_criterion_counts_whatever_the_others_say(label, prompt, layers):
    labels, numbers = listed(label, LABELS), listed(prompt, range(5))
    expected = [n for n in range(5) if LABELS[n] in labels and n in numbers]
    kept = [n for n in LAYERS if n in listed(layers, LAYERS)]
    if expected:
        check(TRACE.select(label=label, prompt=prompt, layers=layers), expected, kept)
    else:
        with pytest.raises(TraceError, match="No prompt has both this label and this number"):
            TRACE.select(label=label, prompt=prompt, layers=layers)


def test_the_loop_above_meets_full_and_empty_selections():
    sizes = [
        sum(LABELS[n] in listed(a, LABELS) and n in listed(b, range(5)) for n in range(5))
        for a, b in product(CHOICES["label"], CHOICES["prompt"])
    ]
    assert {0, 1, 2, 5} <= set(sizes)


def test_order_and_repetition_of_what_is_asked_make_no_difference():
    check(TRACE.select(prompt=[4, 0, 4, 4], layers=[5, 2, 5]), [0, 4], [2, 5])
    check(TRACE.select(label=["c", "b", "b"]), [1, 3, 4], [0, 2, 5])


@pytest.mark.parametrize(
    "choice",
    [
        {"prompt": iter([1, 3]), "label": iter("cb"), "layers": iter([2])},
        {"prompt": (n for n in (3, 1)), "label": {"b", "c"}, "layers": range(2, 3)},
        {"prompt": np.array([1, 3]), "label": np.array(["b", "c"]), "layers": np.array([2])},
        {"prompt": (np.int16(1), 3), "label": ("b", "c"), "layers": np.uint8(2)},
    ],
)
def test_any_iterable_and_numpy_s_numbers_will_do(choice):
    check(TRACE.select(**choice), [1, 3], [2])


def test_a_selection_can_be_selected_from_by_its_own_numbers():
    part = TRACE.select(prompt=[1, 2, 3], layers=[2, 5])
    check(part.select(prompt=[1, 2], layers=5), [2, 3], [5])
    with pytest.raises(TraceError, match=r"no prompts \[3\]; it has \[0, 1, 2\]"):
        part.select(prompt=3)


def test_nothing_asked_is_the_whole():
    check(TRACE.select(), list(range(5)), list(LAYERS))


def test_a_trace_without_loss_stays_without():
    assert handmade(LENGTHS, LABELS, LAYERS, loss=False).select(label="a").loss is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"label": "d"}, r"no labels \['d'\]; it has \['a', 'b', 'c'\]"),
        ({"label": ["a", "z", "d"]}, r"no labels \['d', 'z'\]"),
        ({"label": "ab"}, r"no labels \['ab'\]"),  # one label, not two
        ({"label": 0}, r"no labels \[0\]"),
        ({"prompt": 5}, r"no prompts \[5\]; it has \[0, 1, 2, 3, 4\]"),
        ({"prompt": -1}, r"no prompts \[-1\]"),
        ({"prompt": [0, 7]}, r"no prompts \[7\]"),
        ({"layers": 1}, r"no layers \[1\]; it has \[0, 2, 5\]"),
        ({"layers": [0, 1, 3]}, r"no layers \[1, 3\]"),
        ({"label": "c", "prompt": 0}, "No prompt has both"),
        ({"prompt": []}, "No prompt has both"),
        ({"layers": []}, "needs a layer"),
        ({"label": "a", "layers": 4}, r"no layers \[4\]"),
    ],
)
def test_what_is_not_there_is_named(choice, message):
    with pytest.raises(TraceError, match=message):
        TRACE.select(**choice)
