# SPDX-License-Identifier: Apache-2.0
"""A corpus counted shard by shard gives what one trace of all its documents gives, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from moe_viz import analysis
from moe_viz.analysis import Documents, Finding
from moe_viz.analysis.atlas import atlas_of
from moe_viz.analysis.corpus import CorpusDocuments, documents_of
from moe_viz.analysis.examples import example
from moe_viz.analysis.survey import ANALYSES, survey
from moe_viz.errors import InputError, TraceError
from moe_viz.trace import Trace, TraceDataset
from moe_viz.trace.dataset import Part
from moe_viz.trace.shards import Shard
from tests.unit.planted import routed, texts
from tests.unit.varied import varied

LABELS = ["a", "b", "c", "a", "b"] * 9


def sharded(trace: Trace, folder, sizes: list[int]) -> TraceDataset:
    """A trace's prompts in shards of these sizes, saved and opened again."""
    parts, at = [], 0
    for n, size in enumerate(sizes):
        shard = Shard(f"{n:032x}", "made", at, size, size, 0)
        part = Part(folder, shard)
        trace.select(prompt=list(range(at, at + size))).save(part.path)
        parts.append(part)
        at += size
    assert at == len(trace.prompts)
    return TraceDataset(parts)


def same(a: Finding, b: Finding) -> None:
    assert list(a.columns) == list(b.columns)
    assert a.notes == b.notes
    for name, column in b.columns.items():
        numbers = column.dtype.kind in "fiub"
        assert np.array_equal(a[name], column, equal_nan=numbers and column.dtype.kind == "f"), name


@pytest.fixture(scope="module")
def whole() -> Trace:
    return varied(LABELS, L=3, E=5)


@pytest.fixture(scope="module", params=[[45], [1, 20, 3, 21], [9] * 5], ids=str)
def data(request, whole, tmp_path_factory) -> TraceDataset:
    return sharded(whole, tmp_path_factory.mktemp("shards"), request.param)


def test_every_analysis_of_a_survey_is_that_of_the_whole(data, whole):
    found, expected = survey(data), survey(whole)
    assert found.left_out == expected.left_out
    assert set(found.findings) == set(expected.findings) > {"load", "vocabulary", "paths"}
    for name, finding in expected.findings.items():
        same(found.findings[name], finding)


@pytest.mark.parametrize("name", ANALYSES)
def test_each_analysis_takes_a_dataset_by_itself(name, data, whole):
    if name == "language_divergence":
        for given in (whole, data):
            with pytest.raises(InputError, match="The reference must be one of"):
                ANALYSES[name](documents_of(given))
    else:
        same(ANALYSES[name](documents_of(data)), ANALYSES[name](Documents(whole)))


@pytest.mark.parametrize("analysis_of", ["coactivation", "transitions"])
def test_many_experts_are_counted_from_sums_and_are_the_same(analysis_of, data, whole, monkeypatch):
    monkeypatch.setattr("moe_viz.analysis.sums.MOST", 0)
    found = getattr(analysis, analysis_of)
    same(found(data), found(whole))


def test_parallel_passages_are_resampled_together_across_shards(tmp_path):
    names = [f"{topic}" for topic in range(12) for _ in range(3)]
    trace = varied(["a", "b", "c"] * 12, L=2, E=4)
    passages = [f"passage {n}" for n in range(36)]
    trace = trace.with_prompts(
        tuple(replace(p, text=t) for p, t in zip(trace.prompts, passages, strict=True))
    )
    topics = dict(zip(passages, names, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        module = import_module("moe_viz.analysis.documents")
        patch.setattr(module, "topics_of", lambda given: [topics[text] for text in given])
        data = sharded(trace, tmp_path, [7, 11, 18])
        assert documents_of(data).paired
        for name in ("load", "language_divergence", "vocabulary", "label_divergence"):
            try:
                expected = ANALYSES[name](Documents(trace))
            except InputError:
                continue
            same(ANALYSES[name](documents_of(data)), expected)


def test_parts_of_a_long_document_are_one_document_everywhere(whole):
    """Two prompts that are parts of one document count as one: fewer documents, as many tokens."""
    prompts = list(whole.prompts)
    prompts[1] = replace(prompts[1], label=prompts[0].label, part=1)
    cut = Documents(whole.with_prompts(tuple(prompts)))
    assert len(cut) == len(LABELS) - 1
    both = Documents(whole)
    assert cut.tokens[0] == both.tokens[0] + both.tokens[1]
    assert (cut.chosen[0] == both.chosen[0] + both.chosen[1]).all()
    assert (cut.chosen[1:] == both.chosen[2:]).all()


def test_a_part_belongs_to_the_document_right_before_it_alone(whole):
    prompts = list(whole.prompts)
    # Another label; another id; a part that is not the next: each is a document by itself.
    prompts[1] = replace(prompts[1], part=1)
    prompts[3] = replace(prompts[3], part=1, document="other", label=prompts[2].label)
    prompts[5] = replace(prompts[5], part=2, label=prompts[4].label)
    assert len(Documents(whole.with_prompts(tuple(prompts)))) == len(LABELS)


def test_a_selection_is_counted_as_the_selected_trace(data, whole):
    for name in ("load", "repetition", "certainty"):
        same(ANALYSES[name](documents_of(data.select(label="b"))),
             ANALYSES[name](Documents(whole.select(label="b"))))  # fmt: skip
    with pytest.raises(TraceError, match="what was selected: labels z"):
        documents_of(data.select(label="z"))


def test_the_arrays_of_a_corpus_cannot_be_had_by_mistake(data):
    docs = documents_of(data)
    with pytest.raises(AttributeError, match="experts of a corpus is not in memory"):
        _ = docs.trace.experts


def test_what_the_shards_lack_is_said_and_the_rest_is_counted(whole, tmp_path):
    without = replace(whole, router_logits=None)
    data = sharded(without, tmp_path, [20, 25])
    found = survey(data)
    assert "no router logits" in found.left_out["certainty"]
    same(found.findings["load"], survey(without).findings["load"])


def test_gaps_are_left_out_and_said(whole, tmp_path):
    logits = np.array(whole.router_logits)
    logits[1, whole.prompts[30].start] = np.nan
    broken = replace(whole, router_logits=logits)
    data = sharded(broken, tmp_path, [10, 30, 5])
    assert "1 of 45 prompts" in analysis.load(data).notes[0]
    same(analysis.load(data), analysis.load(broken))


# ---- Bundles -------------------------------------------------------------------------------------


def test_bundles_of_documents_give_the_same_shares_and_intervals_as_wide(tmp_path, monkeypatch):
    """1,200 documents in 300 bundles: a share is a sum, and independent documents' spreads add."""
    rng, n = np.random.default_rng(4), 1200
    taste = rng.dirichlet(np.full(6, 2.0), n)
    chosen = np.array([rng.choice(6, 2, replace=False, p=p) for p in taste for _ in range(12)])
    trace = example(chosen, [12] * n, ["a", "b"] * (n // 2), experts=6)
    data = sharded(trace, tmp_path, [400] * 3)
    module = import_module("moe_viz.analysis.corpus")
    exact = analysis.load(data)
    monkeypatch.setattr(module, "MOST", 1000)
    monkeypatch.setattr(module, "BUNDLES", 600)
    docs = CorpusDocuments(data)
    assert len(docs) < 610
    assert docs.documents == n
    found = analysis.load(docs)
    np.testing.assert_array_equal(found["share"], exact["share"])
    widths = [f["high"] - f["low"] for f in (found, exact)]
    assert np.median(widths[0] / widths[1]) == pytest.approx(1, abs=0.06)
    assert "1,200 documents in" in found.notes[0]
    # Every other analysis runs on bundles too, with the numbers that are sums.
    for name in ("transitions", "coactivation", "paths", "committee", "certainty", "repetition"):
        if name == "transitions":
            continue  # one layer
        a, b = ANALYSES[name](docs), ANALYSES[name](Documents(trace))
        what = "mean" if name == "certainty" else "mass" if name == "committee" else "share"
        np.testing.assert_allclose(a[what], b[what], rtol=1e-9)


# ---- The atlas -----------------------------------------------------------------------------------


def test_an_atlas_of_shards_is_that_of_the_whole(tmp_path):
    given = texts(90, seed=5)
    own, twin = routed(given, 3, 1, planted=True), routed(given, 3, 2)
    sizes = [40, 1, 49]
    shards = [sharded(t, tmp_path / n, sizes) for t, n in ((own, "own"), (twin, "twin"))]
    found = atlas_of(documents_of(shards[0]), documents_of(shards[1]))
    expected = atlas_of(Documents(own), Documents(twin))
    assert found.spelled == expected.spelled
    assert set(found.tables) == set(expected.tables)
    for name, table in expected.tables.items():
        if name == "contexts":  # which name the documents that a corpus has no id for
            assert found.tables[name]["document"][0].startswith("made:")
            table = replace(table, columns={**table.columns, "document": found[name]["document"]})
        same(found.tables[name], table)


def test_a_control_of_other_texts_is_refused(tmp_path):
    own, other = routed(texts(40, 0), 1, 1), routed(texts(40, 1), 1, 1)
    with pytest.raises(InputError, match="other texts"):
        atlas_of(Documents(own), Documents(other))


def test_an_error_in_one_count_does_not_spoil_the_others(data):
    docs = CorpusDocuments(data)
    docs.prepare([("laid", _fails, ()), ("laid", _counts, ())])
    with pytest.raises(TraceError, match="not here"):
        docs.laid(_fails)
    assert docs.laid(_counts).sum() == len(docs)


def _fails(docs: Documents) -> np.ndarray:
    raise TraceError("not here")


def _counts(docs: Documents) -> np.ndarray:
    return np.ones(len(docs))
