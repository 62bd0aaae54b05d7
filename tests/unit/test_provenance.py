# SPDX-License-Identifier: Apache-2.0
"""Whose numbers these are: titles part by part, the way to a file and back, what a load stamps."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import TraceError
from moe_viz.trace.provenance import Provenance
from tests import writers
from tests.conftest import random_model, small_config

WHOLE = Provenance(
    model="mine", weights="random weights, seed 3", fingerprint="ab" * 32, revision="org/mine@abc",
    dtype="bfloat16", quantisation="Q4_K, Q6_K", placement="stream", device="cuda:0, cuda:1",
    interventions=("ablated 2/5", "top-1"), versions={"torch": "2.9"},
    date="2026-11-28T10:00:00+00:00",
)  # fmt: skip

# ---- Titles


@pytest.mark.parametrize(
    ("dtype", "quantisation", "weights", "interventions"),
    [
        *product(
            ["", "float32", "bfloat16"],
            ["none", "Q4_K, Q6_K"],
            ["trained", "random weights, seed 7"],
            [(), ("ablated 2/5",), ("ablated 2/5", "top-1")],
        )
    ],
)
def test_a_title_names_everything_that_changes_the_numbers(
    dtype, quantisation, weights, interventions
):
    title = Provenance(
        "8x7m", weights=weights, dtype=dtype, quantisation=quantisation, interventions=interventions
    ).title
    expected = "8x7m"
    if dtype:
        expected += " · " + dtype
    if quantisation != "none":
        expected += " · " + quantisation
    if weights != "trained":
        expected += " · " + weights
    for said in interventions:
        expected += " · " + said
    assert title == expected


def test_where_it_ran_is_no_part_of_the_title():
    plain = replace(
        WHOLE, fingerprint="", revision="", placement="", device="", versions={}, date=""
    )
    assert WHOLE.title == plain.title


@pytest.mark.parametrize(
    ("weights", "synthetic"),
    [("trained", False), ("random weights, seed 0", True), ("random weights: made by hand", True),
     ("trained from random weights", False)],
)  # fmt: skip
def test_weights_that_were_never_trained_are_told_from_trained_ones(weights, synthetic):
    of = Provenance("8x7m", weights=weights)
    assert of.synthetic == synthetic
    assert (weights in of.title) == synthetic


# ---- To a file and back


def test_every_field_comes_back_from_plain_data():
    plain = json.loads(json.dumps(WHOLE.to_json()))
    assert Provenance.from_json(plain) == WHOLE
    assert set(plain) == {field.name for field in fields(Provenance)}
    for field in fields(Provenance):
        assert getattr(WHOLE, field.name) != getattr(Provenance(""), field.name), "not tested"
    assert Provenance.from_json(json.loads(json.dumps(Provenance("m").to_json()))) == Provenance(
        "m"
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Provenance)])
def test_a_field_that_is_missing_or_null_is_what_it_is_by_default(name):
    default = replace(WHOLE, **{name: getattr(Provenance("unknown"), name)})
    plain = WHOLE.to_json()
    assert Provenance.from_json({k: v for k, v in plain.items() if k != name}) == default
    assert Provenance.from_json({**plain, name: None}) == default


def test_fields_of_a_later_version_are_left_out():
    later = {**WHOLE.to_json(), "container": {"image": 3}, "sparsity": 0.5}
    assert Provenance.from_json(later) == WHOLE


def test_a_file_with_fields_of_a_later_version_opens(tmp_path, monkeypatch):
    trace = mv.record(random_model(), [[1, 2, 3]])
    trace = replace(trace, provenance=WHOLE)
    plain = WHOLE.to_json() | {"container": "x"}
    with monkeypatch.context() as patch:
        patch.setattr(Provenance, "to_json", lambda self: plain)
        path = trace.save(tmp_path / "later.safetensors")
    assert b'\\"container\\"' in path.read_bytes()
    assert mv.Trace.load(path).provenance == WHOLE


def test_numbers_where_text_belongs_become_text():
    read = Provenance.from_json(
        {"model": 7, "dtype": 1.5, "interventions": [2], "versions": {1: 2}}
    )
    assert read == Provenance("7", dtype="1.5", interventions=("2",), versions={"1": "2"})
    assert read.title == "7 · 1.5 · 2"


@pytest.mark.parametrize(
    "wrong", [{"interventions": "top-1"}, {"interventions": 5}, {"versions": "2.9"}], ids=str
)
def test_what_is_no_list_of_interventions_is_refused(wrong, tmp_path, monkeypatch):
    with pytest.raises((TypeError, ValueError)):
        Provenance.from_json({**WHOLE.to_json(), **wrong})
    trace = mv.record(random_model(), [[1, 2, 3]])
    with monkeypatch.context() as patch:
        patch.setattr(Provenance, "to_json", lambda self: {"model": "m", **wrong})
        path = trace.save(tmp_path / "t.safetensors")
    with pytest.raises(TraceError, match="damaged trace"):
        mv.Trace.load(path)


# ---- What a load stamps


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model in three forms: Hugging Face's, GGUF, and GGUF with packed experts."""
    folder = tmp_path_factory.mktemp("models")
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    kinds = {"norm": "F32", "token_embd": "Q4_0", "ffn_gate_inp": "F32", "ffn": "Q5_0"}
    return {
        "hf": writers.hugging_face_4(model, folder / "hf"),
        "gguf": writers.gguf_merged(model, folder / "plain"),
        "packed": writers.write_gguf(model, folder / "packed.gguf", merged=True, kinds=kinds),
    }


@pytest.mark.parametrize(
    ("source", "dtype", "placement", "quantisation"),
    [
        ("8x7m", "float32", "resident", "none"),
        ("8x7m", "bfloat16", "stream", "none"),
        ("hf", "bfloat16", "resident", "none"),
        ("hf", "float32", "stream", "none"),
        ("gguf", "float32", "resident", "none"),
        ("packed", "float32", "resident", "Q5_0, Q4_0"),
        ("packed", "bfloat16", "stream", "Q5_0, Q4_0"),
    ],
)
def test_a_recording_says_what_was_run_and_how(files, source, dtype, placement, quantisation):
    model = mv.load(files.get(source, source), dtype=dtype, placement=placement)
    before = datetime.now(UTC).replace(microsecond=0)
    trace = mv.record(model, [[5, 9, 80]])
    of = trace.provenance
    # Packed types as their bytes weigh, the most first.
    assert (of.dtype, of.placement, of.quantisation) == (dtype, placement, quantisation)
    assert (of.device, of.weights, of.interventions) == ("cpu", "trained", ())
    assert of.versions == {"torch": torch.__version__}
    assert of.revision == ""  # it was read from this machine
    assert re.fullmatch(r"[0-9a-f]{16}", of.fingerprint)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", of.date)
    assert before <= datetime.fromisoformat(of.date) <= before + timedelta(minutes=5)
    name = model.config.name
    said = [name, dtype, *([quantisation] if quantisation != "none" else [])]
    assert of.title == " · ".join(said)
    assert name == ("8x7m" if source == "8x7m" else of.model)
    assert of.model == model.provenance.model


def test_the_fingerprint_is_the_models_whatever_the_file_and_however_it_is_run(files, tmp_path):
    def of(path, **how):
        return mv.load(path, **how).provenance.fingerprint

    same = {of(path) for path in files.values()} | {
        of(files["hf"], dtype="bfloat16", placement="stream")
    }
    assert len(same) == 1
    other = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96), seed=1)
    assert of(writers.hugging_face_4(other, tmp_path)) not in same


def test_an_intervention_is_stamped_on_what_was_recorded_in_it_and_on_nothing_after():
    model = mv.load("8x7m")
    with mv.intervene(model, top_k=1), mv.intervene(model, ablate=[(0, 3)]):
        inside = mv.record(model, [[5, 9]])
    after = mv.record(model, [[5, 9]])
    first, second = inside.provenance.interventions
    assert "3" in second
    assert inside.provenance.title == f"8x7m · float32 · {first} · {second}"
    assert after.provenance.title == "8x7m · float32"
    twin = mv.untrained_twin(model)
    with mv.intervene(twin, top_k=1):
        both = mv.record(twin, [[5, 9]])
    assert both.provenance.title == f"8x7m · float32 · {twin.provenance.weights} · {first}"
    assert both.provenance.synthetic


def test_a_selection_and_a_joined_trace_keep_their_provenance():
    trace = mv.record(mv.load("8x7m"), [[5, 9], [7, 8]], labels=["a", "b"])
    assert trace.select(label="b", layers=[2]).provenance == trace.provenance
    assert mv.Trace.join([trace, trace]).provenance == trace.provenance
    other = replace(trace, provenance=replace(trace.provenance, quantisation="Q8_0"))
    with pytest.raises(TraceError, match="one model, run the same way"):
        mv.Trace.join([trace, other])
    assert np.array_equal(trace.experts, other.experts)
