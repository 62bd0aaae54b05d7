# SPDX-License-Identifier: Apache-2.0
"""Counts in place of decisions: recorded, kept in files of numbers, and refused where damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy

import moe_viz as mv
from moe_viz import analysis
from moe_viz.analysis.corpus import documents_of
from moe_viz.errors import InputError, TraceError
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.trace import Trace, TraceDataset
from moe_viz.trace.checksums import HEADER_SUM, text_sum
from moe_viz.trace.summaryfile import SUMMARY, read_summary, write_summary
from tests.unit.test_corpus_analysis import same, sharded

from .conftest import summarised
from .made import inline, names, prose

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
