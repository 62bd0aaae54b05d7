# SPDX-License-Identifier: Apache-2.0
"""A corpus of which counts are kept in place of decisions answers as its decisions would."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import moe_viz as mv
from moe_viz import analysis
from moe_viz.analysis.atlas import atlas_of
from moe_viz.analysis.corpus import CorpusDocuments, documents_of
from moe_viz.analysis.summarising import summarise
from moe_viz.analysis.survey import ANALYSES, survey
from moe_viz.errors import InputError, TraceError
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.trace import Trace, TraceDataset
from moe_viz.trace.checksums import HEADER_SUM, text_sum
from moe_viz.trace.dataset import Part, named
from moe_viz.trace.shards import Shard
from moe_viz.trace.summaryfile import SUMMARY, read_summary, write_summary
from tests.unit.planted import routed, texts
from tests.unit.test_corpus_analysis import LABELS, same, sharded
from tests.unit.varied import varied

from .made import inline, names, prose, reading_model

#: What counts of shards cannot answer, since it depends on all documents together.
NEEDS_DECISIONS = {"vocabulary", "expert_cache", "margins"}


def summarised(trace: Trace, folder: Path, sizes: list[int]) -> TraceDataset:
    """A trace's prompts in shards of these sizes, of which counts are kept."""
    parts, at = [], 0
    for n, size in enumerate(sizes):
        part = Part(folder, Shard(f"{n:032x}", "made", at, size, size, 0, number=at))
        part.path.parent.mkdir(parents=True, exist_ok=True)
        some = trace.select(prompt=list(range(at, at + size)))
        summarise(named(some, part.shard), at, part.path)
        parts.append(part)
        at += size
    return TraceDataset(parts)


@pytest.fixture(scope="module")
def whole() -> Trace:
    return varied(LABELS, L=3, E=5)


@pytest.fixture(scope="module")
def counts(whole, tmp_path_factory) -> TraceDataset:
    return summarised(whole, tmp_path_factory.mktemp("counts"), [1, 20, 3, 21])


@pytest.fixture(scope="module")
def model():
    return reading_model()


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


# ---- Recording them


def test_a_corpus_kept_as_summaries_answers_as_one_kept_whole(model, tmp_path):
    documents = prose(60)
    data = {
        keep: inline(documents, tmp_path / keep, model, keep=keep, shard_tokens=2000)
        for keep in ("summaries", "logits", "choices")
    }
    counts, full = data["summaries"], data["logits"]
    assert len(counts) == len(full) > 2
    for name in ("documents", "tokens", "labels", "layers", "rule", "expert_count"):
        assert getattr(counts, name) == getattr(full, name), name
    assert counts.provenance.title in repr(counts)
    same(mv.report(counts).findings["load"], mv.report(full).findings["load"])
    found, expected = mv.atlas(counts, minimum=5), mv.atlas(full, minimum=5)
    for name, table in expected.tables.items():
        same(found.tables[name], table)
    assert "<html" in found.to_html()
    page = mv.report(counts).to_html()
    assert "there is none to show" in page
    assert "Left out" in page
    assert not {*names(counts)} & {*names(full), *names(data["choices"])}


def test_of_many_documents_counts_take_less_room_than_choices(model, tmp_path):
    size = {
        keep: sum(
            part.path.stat().st_size
            for part in inline(prose(120, 4000), tmp_path / keep, model, keep=keep).parts
        )
        for keep in ("summaries", "choices")
    }
    assert size["summaries"] < 0.6 * size["choices"]


def test_the_estimate_says_that_summaries_are_kept_and_is_no_less_than_they_take(model, tmp_path):
    corpus = Corpus(model, prose(60, 1000), tmp_path, "inline", keep="summaries")
    said = corpus.estimate()
    data = corpus.record()
    assert "up to " in str(said)
    assert "MB of summaries" in str(said)
    assert said.trace_bytes > sum(part.path.stat().st_size for part in data.parts)


def test_a_second_call_counts_nothing_again_and_more_documents_only_what_is_new(model, tmp_path):
    def written(data: TraceDataset) -> dict[str, int]:
        return {part.shard.name: part.path.stat().st_mtime_ns for part in data.parts}

    options = {"model": model, "keep": "summaries", "shard_tokens": 500}
    documents = prose(40)
    first = written(inline(documents, tmp_path, **options))
    assert written(inline(documents, tmp_path, **options)) == first
    longer = written(inline([*documents, *prose(50)[40:]], tmp_path, **options))
    assert len(longer.items() & first.items()) >= len(first) - 1
    # A document at the beginning moves the numbers of all, on which halves and shuffles rest.
    moved = written(inline([{"text": "First of all."}, *documents], tmp_path, **options))
    assert not moved.keys() & first.keys()


def test_the_same_rows_again_are_other_documents(model, tmp_path):
    documents = prose(10)
    data = inline(documents * 3, tmp_path / "thrice", model, keep="summaries", shard_tokens=200)
    assert len(set(names(data))) == len(data)
    assert data.documents == 30
    once = analysis.load(inline(documents, tmp_path / "once", model, keep="summaries"))
    assert analysis.load(data)["documents"][0] == 3 * once["documents"][0]


@pytest.mark.parametrize("ask", [
    lambda data: data[0],
    lambda data: list(data),
    lambda data: data.sample(1),
    lambda data: data.select(label="a"),
    lambda data: data.select(layers=3),
    lambda data: Trace.load(data.parts[0].path),
    lambda data: analysis.vocabulary(data),
])  # fmt: skip
def test_what_needs_decisions_is_declined_and_says_what_to_do(ask, counts):
    with pytest.raises((InputError, TraceError), match="keep='choices'"):
        ask(counts)


def test_a_loss_of_summaries_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="leave out loss"):
        Corpus(model, prose(2), tmp_path, "inline", keep="summaries", loss=True)


# ---- The file


@pytest.mark.parametrize("numbers", [
    [0, 255], [-1, 127], [-128, 0], [-129, 5], [0, 65536], [-1, 2**31 - 1], [0, 2**32 - 1],
    [-1, 2**32], [2**62], [],
], ids=str)  # fmt: skip
def test_numbers_come_back_as_they_were(numbers, tmp_path):
    arrays = {
        "a": np.array(numbers, np.int64),
        "b": np.array([[0.1, np.nan]]),
        "c": np.array(True),
        "d": np.array([2**64 - 1, 0], np.uint64),
    }
    write_summary(tmp_path / "s", {"said": 1}, arrays)
    read = read_summary(tmp_path / "s")
    assert read is not None
    header, found = read
    assert header["said"] == 1
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.999])
def test_a_damaged_file_is_refused(share, whole, tmp_path):
    [part] = summarised(whole, tmp_path, [45]).parts
    data = bytearray(part.path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 0x41
    part.path.write_bytes(data)
    with pytest.raises(TraceError, match=str(part.path)):
        analysis.load(TraceDataset([part]))


def test_counts_that_are_whole_and_others_are_refused(tmp_path):
    write_summary(tmp_path / "one", {}, {"a": np.arange(5)})
    write_summary(tmp_path / "other", {}, {"a": np.arange(5) + 1})
    with safetensors.safe_open(tmp_path / "one", "np") as one:
        said = one.metadata()
    arrays = safetensors.numpy.load_file(tmp_path / "other")
    (tmp_path / "one").write_bytes(safetensors.numpy.save(arrays, said))
    with pytest.raises(TraceError, match="not what was written"):
        read_summary(tmp_path / "one")


def test_a_file_cut_short_and_a_later_format_are_refused(whole, tmp_path):
    [part] = summarised(whole, tmp_path, [45]).parts
    data = part.path.read_bytes()
    part.path.write_bytes(data[:-100])
    with pytest.raises(TraceError, match="is damaged"):
        documents_of(TraceDataset([part]))
    later = json.dumps({"format": 2})
    said = {SUMMARY: later, HEADER_SUM: text_sum(later)}
    part.path.write_bytes(safetensors.numpy.save({}, said))
    with pytest.raises(TraceError, match="Upgrade moe_viz"):
        documents_of(TraceDataset([part]))


def test_a_trace_among_summaries_is_refused(counts, whole, tmp_path):
    [other] = sharded(whole.select(prompt=[0]), tmp_path, [1]).parts
    mixed = TraceDataset([counts.parts[0], other])
    with pytest.raises(TraceError, match="is a trace among summaries"):
        _ = mixed.tokens
