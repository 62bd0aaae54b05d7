"""A file to resume from belongs to one recording: model, dtype, ids, lengths, loss, changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from tests.conftest import random_model

PROMPTS = [[5, 6, 7], [8], [5, 9]]


class Cut(Exception):
    """What ends a recording in the middle."""


def cut_off(model, path, texts=PROMPTS, **options) -> None:
    def hook(routing):
        if routing.layer == 2:
            raise Cut

    with model.router_hooks(hook), pytest.raises(Cut):
        mv.record(model, texts, resume=path, **options)


def layers_run(model, path, texts=PROMPTS, **options) -> tuple[list[int], mv.Trace]:
    seen: list[int] = []
    with model.router_hooks(lambda routing: seen.append(routing.layer)):
        trace = mv.record(model, texts, resume=path, **options)
    return seen, trace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "half"


OTHERS = {
    "the same ids in prompts of other lengths": [[5, 6], [7, 8], [5, 9]],
    "one prompt fewer, the same ids": [[5, 6, 7, 8], [5, 9]],
    "one id another": [[5, 6, 7], [8], [5, 10]],
    "one id more": [[5, 6, 7], [8], [5, 9, 9]],
}


@pytest.mark.parametrize("texts", OTHERS.values(), ids=OTHERS.keys())
def test_other_ids_or_lengths_are_another_recording(model, path, texts):
    cut_off(model, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, texts, resume=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("asked", [False, True])
def test_with_and_without_loss_are_two_recordings(model, path, asked):
    cut_off(model, path, loss=asked)
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, PROMPTS, resume=path, loss=not asked)
    seen, trace = layers_run(model, path, loss=asked)
    assert seen == [2]
    assert (trace.loss is not None) == asked


def test_a_single_prompt_with_loss_is_not_two_prompts_without(model, path):
    """True and a length of 1 look alike."""
    cut_off(model, path, [[5], [6]])
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, [[5, 6]], resume=path, loss=True)


RUNS = {
    "fingerprint": "0123", "weights": "random weights, seed 9", "dtype": "bfloat16",
    "quantisation": "Q4_K", "interventions": ("top-1",),
}  # fmt: skip
NO_MATTER = {"device": "cuda:3", "placement": "stream", "date": "2020", "versions": {"torch": "1"}}


@pytest.mark.parametrize(("field", "value"), RUNS.items(), ids=RUNS.keys())
def test_another_run_is_another_recording(path, field, value):
    model = random_model()
    cut_off(model, path)
    model.provenance = replace(model.provenance, **{field: value})
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(model, PROMPTS, resume=path)


@pytest.mark.parametrize(("field", "value"), NO_MATTER.items(), ids=NO_MATTER.keys())
def test_where_and_when_it_goes_on_makes_no_difference(path, field, value):
    model = random_model()
    cut_off(model, path)
    model.provenance = replace(model.provenance, **{field: value})
    assert layers_run(model, path)[0] == [2]


def test_other_weights_of_the_same_shape_are_another_recording(model, path):
    cut_off(model, path)
    with pytest.raises(InputError, match="belongs to another recording"):
        mv.record(random_model(seed=1), PROMPTS, resume=path)


def test_an_intervention_is_another_recording(model, path):
    cut_off(model, path)
    with mv.intervene(model, top_k=1), pytest.raises(InputError, match="another recording"):
        mv.record(model, PROMPTS, resume=path)


def test_labels_are_the_caller_s_each_time(model, path):
    cut_off(model, path, labels=["a", "b", "a"])
    seen, trace = layers_run(model, path, labels=["x", "y", "z"])
    assert seen == [2]
    assert trace.labels == ("x", "y", "z")
    assert not path.exists()


@pytest.mark.parametrize("change", [{}, {"top_k": 4}, {"ablate": [(0, 1)], "instead": "nothing"}])
def test_what_goes_on_ends_where_the_whole_does(model, path, change):
    with mv.intervene(model, **change):
        whole = mv.record(model, PROMPTS, loss=True)
        cut_off(model, path, loss=True)
        resumed = layers_run(model, path, loss=True)[1]
    for name in ("router_logits", "experts", "gates", "loss", "token_ids", "spans"):
        assert np.array_equal(getattr(whole, name), getattr(resumed, name), equal_nan=True), name
    assert resumed.prompts == whole.prompts
    assert resumed.provenance.interventions == whole.provenance.interventions
