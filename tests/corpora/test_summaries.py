# SPDX-License-Identifier: Apache-2.0
"""A corpus of which counts are kept in place of decisions answers as its decisions would."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from moe_viz import analysis
from moe_viz.analysis.atlas import atlas_of
from moe_viz.analysis.corpus import CorpusDocuments, documents_of
from moe_viz.analysis.survey import ANALYSES, survey
from moe_viz.errors import InputError
from tests.unit.planted import routed, texts
from tests.unit.test_corpus_analysis import LABELS, same, sharded
from tests.unit.varied import varied

from .conftest import summarised

#: What counts of shards cannot answer, since it depends on all documents together.
NEEDS_DECISIONS = {"vocabulary", "expert_cache", "margins"}


def test_a_survey_of_counts_is_that_of_the_decisions(counts, whole):
    found, expected = survey(counts), survey(whole)
    declined = {n for n, why in found.left_out.items() if "keep='choices'" in why}
    assert declined == NEEDS_DECISIONS
    assert found.left_out.keys() - declined == set(expected.left_out)
    assert len(found.findings) == len(ANALYSES) - len(found.left_out) > 10
    for name, finding in found.findings.items():
        same(finding, expected.findings[name])


@pytest.mark.parametrize("sizes", [[90], [40, 1, 49]])
def test_an_atlas_of_counts_is_that_of_the_decisions(sizes, tmp_path):
    given = texts(90, seed=5)
    own, twin = routed(given, 3, 1, planted=True), routed(given, 3, 2)
    found, expected = (
        atlas_of(
            documents_of(make(own, tmp_path / make.__name__ / "own", sizes)),
            documents_of(make(twin, tmp_path / make.__name__ / "twin", sizes)),
        )
        for make in (summarised, sharded)
    )
    assert found.spelled == expected.spelled
    assert found.left_out == expected.left_out == {}
    assert len(found["contexts"]) > 100
    for name, table in expected.tables.items():
        same(found.tables[name], table)


def test_parallel_passages_are_resampled_together(tmp_path):
    labels = ["a", "b", "c"] * 12
    passages = [f"passage {n}" for n in range(36)]
    trace = varied(labels, L=2, E=4)
    trace = trace.with_prompts(
        tuple(replace(p, text=t) for p, t in zip(trace.prompts, passages, strict=True))
    )
    topics = {text: str(n // 3) for n, text in enumerate(passages)}
    with pytest.MonkeyPatch.context() as patch:
        module = import_module("moe_viz.analysis.documents")
        patch.setattr(module, "topics_of", lambda given: [topics[text] for text in given])
        data = summarised(trace, tmp_path, [7, 11, 18])
        docs = documents_of(data)
        assert docs.paired
        expected = analysis.language_divergence(trace, "a")
    same(analysis.language_divergence(data, "a"), expected)


@pytest.mark.parametrize("analysis_of", ["coactivation", "transitions"])
def test_many_experts_are_counted_from_the_sums_that_were_kept(analysis_of, tmp_path, monkeypatch):
    trace = varied(LABELS, L=3, E=20)
    found = getattr(analysis, analysis_of)(summarised(trace, tmp_path, [20, 25]))
    monkeypatch.setattr("moe_viz.analysis.sums.MOST", 0)  # of decisions sums are taken later
    same(found, getattr(analysis, analysis_of)(trace))
    assert found.notes[0].startswith("Intervals come from sums of squares")


def test_sums_that_were_kept_of_documents_are_not_taken_for_sums_of_parallel_passages(tmp_path):
    """Of these a unit has several documents, which was not known when the shard was counted."""
    trace = varied(["a", "b", "c"] * 12, L=2, E=20)
    passages = [f"passage {n}" for n in range(36)]
    trace = trace.with_prompts(
        tuple(replace(p, text=t) for p, t in zip(trace.prompts, passages, strict=True))
    )
    data = summarised(trace, tmp_path, [36])
    docs = documents_of(data)
    docs.units, docs.strata = np.arange(36) // 3, np.zeros(36, int)
    assert docs.paired
    for analyse in (analysis.coactivation, analysis.transitions):
        with pytest.raises(InputError, match="keep='choices'"):
            analyse(docs)


def test_pairs_of_very_many_experts_are_declined(tmp_path):
    found = survey(summarised(varied(LABELS, L=2, E=70), tmp_path, [20, 25]))
    assert found.left_out.keys() >= {"coactivation", "transitions"}
    assert "load" in found.findings


def test_bundles_of_counts_are_those_of_the_decisions(counts, whole, tmp_path, monkeypatch):
    corpus = import_module("moe_viz.analysis.corpus")
    monkeypatch.setattr(corpus, "MOST", 40)
    monkeypatch.setattr(corpus, "BUNDLES", 3)
    found, expected = (
        CorpusDocuments(data) for data in (counts, sharded(whole, tmp_path, [1, 20, 3, 21]))
    )
    assert found._bundles == expected._bundles is not None
    for name in ("load", "repetition", "transitions", "label_divergence", "paths"):
        same(ANALYSES[name](found), ANALYSES[name](expected))


def test_some_of_the_shards_count_as_these_documents(counts, whole):
    """Shares are sums over the shards; halves and shuffles stay those of the whole corpus."""
    some = documents_of(counts[1:3])
    assert some.number.tolist() == list(range(1, 24))
    expected = analysis.load(whole.select(prompt=list(range(1, 24))))
    found = analysis.load(counts[1:3])
    np.testing.assert_array_equal(found["share"], expected["share"])
    np.testing.assert_array_equal(found["low"], expected["low"])


def test_gaps_are_left_out_and_said(whole, tmp_path):
    logits = np.array(whole.router_logits)
    logits[1, whole.prompts[30].start] = np.nan
    broken = replace(whole, router_logits=logits)
    data = summarised(broken, tmp_path, [10, 30, 5])
    assert "1 of 45 prompts" in analysis.load(data).notes[0]
    same(analysis.load(data), analysis.load(broken))


def test_what_was_not_recorded_is_said_as_of_a_trace(whole, tmp_path):
    without = replace(whole, router_logits=None)
    found = survey(summarised(without, tmp_path, [20, 25]))
    assert "no router logits" in found.left_out["certainty"]
