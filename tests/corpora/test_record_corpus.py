# SPDX-License-Identifier: Apache-2.0
"""record_corpus: what it makes is what record makes, and other settings are other shards."""

from __future__ import annotations

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.recording.corpora import work

from .made import (
    FORMS,
    assert_same,
    embedded,
    files,
    given,
    inline,
    names,
    prose,
    reading_model,
    rows,
    temporaries,
    texts,
    whole,
)

# ---- It is what record makes


@pytest.mark.parametrize("shard_tokens", [1, 300, 10_000])
def test_shards_are_the_recording_of_all_texts(model, tmp_path, shard_tokens):
    documents = prose(12)
    data = inline(documents, tmp_path, model, shard_tokens=shard_tokens, loss=True)
    assert (len(data) == 12) == (shard_tokens == 1)
    expected = mv.record(model, texts(documents), [row["label"] for row in documents], loss=True)
    found = whole(data)
    assert_same(found, expected, within=2e-6)
    assert [(p.text, p.label, p.start, p.stop) for p in found.prompts] == [
        (p.text, p.label, p.start, p.stop) for p in expected.prompts
    ]
    assert [p.document for p in found.prompts] == [row["id"] for row in documents]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_same_from_every_form(model, tmp_path, form):
    documents = rows(12)
    data = inline(given(form, documents, tmp_path), tmp_path / "out", model, shard_tokens=60)
    expected = mv.record(model, texts(documents), [row["label"] for row in documents])
    found = whole(data)
    assert_same(found, expected, within=2e-6)
    assert [(p.document, p.label) for p in found.prompts] == [
        (row["id"], row["label"]) for row in documents
    ]
    assert len(data) > 2


@pytest.mark.slow
def test_large_shards_differ_from_one_recording_in_hardly_any_bit(tmp_path):
    """Processors multiply matrices of other heights in another order: seldom, and in the last bits.

    Where this was written up to half a percent of the logits differed, by at most 1.7e-6.
    """
    documents = prose(44, least=1500)
    data = inline(documents, tmp_path, shard_tokens=24_000, loss=True)
    assert len(data) > 1
    found, expected = whole(data), mv.record(embedded(), texts(documents), loss=True)
    assert_same(found, expected, within=5e-6)
    assert (found.router_logits == expected.router_logits).mean() > 0.98


def test_batches_within_a_shard_change_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "BATCH", 30)
    data = inline(prose(8), tmp_path, model, loss=True)
    assert len(data) == 1
    assert_same(whole(data), mv.record(model, texts(prose(8)), loss=True), within=2e-6)


@pytest.mark.long
def test_processes_make_what_one_makes(tmp_path):
    documents = prose(16)
    options = {"shard_tokens": 250, "loss": True}
    data = mv.record_corpus("8x7m", documents, tmp_path / "a", "processes", workers=2, **options)
    alone = inline(documents, tmp_path / "b", "8x7m", **options)
    assert names(data) == names(alone)
    assert len(data) > 4
    assert_same(whole(data), whole(alone), within=2e-6)
    assert whole(data).prompts == whole(alone).prompts
    assert temporaries(tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "form", ["gzip", *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS[2:5])]
)
def test_processes_read_every_kind_of_source(tmp_path, form):
    documents = rows(40)
    source = given(form, documents, tmp_path)
    data = mv.record_corpus("8x7m", source, tmp_path / "o", "processes", workers=2, shard_tokens=60)
    assert [p.text for trace in data for p in trace.prompts] == texts(documents)
    assert len(data) > 5


# ---- Settings


def test_choices_alone_are_kept(model, tmp_path):
    logits = inline(prose(4), tmp_path / "a", model)
    data = inline(prose(4), tmp_path / "b", model, keep="choices", loss=True)
    [trace], [full] = data, logits
    assert trace.router_logits is None
    assert np.array_equal(trace.experts, full.experts)
    assert np.array_equal(trace.gates, full.gates)
    assert trace.loss is not None
    assert trace.expert_count == 8
    assert names(data) != names(logits)
    size = [next((tmp_path / x / "shards").rglob("*.safetensors")).stat().st_size for x in "ba"]
    assert size[0] < 0.7 * size[1]


@pytest.mark.parametrize("context", [16, 40, 200])
def test_long_documents_are_cut_and_stay_in_one_shard(model, tmp_path, context):
    documents = prose(6)
    data = inline(documents, tmp_path, model, context=context, shard_tokens=100)
    found: list[str] = []
    for trace in data:
        assert trace.prompts[0].part == 0
        for prompt in trace.prompts:
            assert prompt.stop - prompt.start <= context
            if prompt.part == 0:
                found.append("")
            found[-1] += prompt.text
    assert found == texts(documents)
    assert data.documents == 6
    parts = [p for trace in data for p in trace.prompts if p.document == "d3"]
    assert [p.part for p in parts] == list(range(len(parts)))
    assert {p.label for p in parts} == {documents[3]["label"]}


def test_parts_are_recorded_as_texts_of_their_own(model, tmp_path):
    data = inline(prose(3), tmp_path, model, context=50, loss=True)
    found = whole(data)
    assert_same(found, mv.record(model, [p.text for p in found.prompts], loss=True), within=2e-6)


def test_the_model_s_context_is_the_most(tmp_path):
    model = reading_model(context=32)
    data = inline(prose(2), tmp_path / "a", model, context=1000)
    assert max(p.stop - p.start for trace in data for p in trace.prompts) <= 32
    assert names(inline(prose(2), tmp_path / "b", model)) == names(data)


def test_columns_and_ids_are_the_caller_s(model, tmp_path):
    documents = [{"body": f"text {n}", "lang": "xy"[n % 2], "nr": n} for n in range(4)]
    [trace] = inline(documents, tmp_path, model, text="body", label="lang", id="nr")
    assert [(p.text, p.label, p.document) for p in trace.prompts] == [
        (f"text {n}", "xy"[n % 2], str(n)) for n in range(4)
    ]


SETTINGS = [{"loss": True}, {"keep": "choices"}, {"context": 20}]


@pytest.mark.parametrize("change", SETTINGS)
def test_other_settings_are_other_shards(model, tmp_path, change):
    before = inline(rows(4), tmp_path, model)
    kept = files(tmp_path)
    after = inline(rows(4), tmp_path, model, **change)
    assert not set(names(before)) & set(names(after))
    assert kept.items() <= files(tmp_path).items()  # what was there stays
    assert names(inline(rows(4), tmp_path, model)) == names(before)
    assert len(files(tmp_path)) == 2  # and is found again


def test_other_models_are_other_shards(tmp_path):
    before = inline(rows(4), tmp_path, reading_model())
    for other in (reading_model(seed=1), embedded()):
        assert not set(names(before)) & set(names(inline(rows(4), tmp_path, other)))


@pytest.mark.parametrize("change", [{"scale": 3.0}, {"layers": 2}, {"experts_per_token": 1}])
def test_another_model_in_memory_makes_other_shards(tmp_path, change):
    """As after a step of training, or weights that were changed by hand, or of another shape."""
    before = inline(rows(4), tmp_path, reading_model())
    other = reading_model(**change)
    after = inline(rows(4), tmp_path, other)
    assert_same(whole(after), mv.record(other, texts(rows(4))), within=2e-6)
    assert names(after) != names(before)


def test_interventions_are_other_shards(model, tmp_path):
    before = inline(rows(4), tmp_path, model)
    with mv.intervene(model, top_k=1):
        after = inline(rows(4), tmp_path, model)
        assert_same(whole(after), mv.record(model, texts(rows(4))), within=2e-6)
    assert not set(names(before)) & set(names(after))
    assert after.provenance.interventions != ()
