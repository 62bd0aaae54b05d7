# SPDX-License-Identifier: Apache-2.0
"""A folder of shards: opened anywhere, refused where it is damaged; what a trace keeps of it."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import TraceError
from moe_viz.trace import Trace, TraceDataset, TracePrompt
from moe_viz.trace.shards import Shard, write_plan

from .conftest import documents
from .made import assert_same, names

# ---- Opening a folder


def test_it_is_what_was_recorded(folder, data):
    again = TraceDataset.load(str(folder))
    assert again.about == data.about
    assert_same(Trace.join(list(again)), Trace.join(list(data)))
    assert mv.TraceDataset is TraceDataset


def test_a_folder_in_the_home_is_found(folder, data, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert TraceDataset.load(f"~/{folder.name}").documents == data.documents


@pytest.fixture
def copy(folder, data, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_copy_in_another_place_is_the_same(copy, data):
    assert documents(TraceDataset.load(copy)) == documents(data)


def test_missing_shards_are_told_and_can_be_passed_over(copy, data):
    for part in data.parts[1:3]:
        (copy / part.shard.file).unlink()
    with pytest.raises(TraceError, match=rf"2 of {len(data)} shards are not there.*partial=True"):
        TraceDataset.load(copy)
    partial = TraceDataset.load(copy, partial=True)
    assert names(partial) == [names(data)[0], *names(data)[3:]]
    shutil.rmtree(copy / "shards")
    with pytest.raises(TraceError, match="no shard here"):
        TraceDataset.load(copy, partial=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b'{"format": "x"}', b"\xff"])
def test_a_damaged_description_is_told(copy, content):
    (copy / "corpus.json").write_bytes(content)
    with pytest.raises(TraceError, match=r"corpus\.json: is damaged .* Call record_corpus again"):
        TraceDataset.load(copy)


@pytest.mark.parametrize("line", [b"{", b"[]", b"3", b"{}", b'{"name": "a", "more": 1}', b"\xff"])
def test_a_damaged_plan_is_told(copy, line):
    with (copy / "plan.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(TraceError, match=r"plan\.jsonl: is damaged .* Call record_corpus again"):
        TraceDataset.load(copy)


@pytest.mark.parametrize("change", [{"name": 3}, {"rows": "two"}, {"left_out": [""]}])
def test_a_plan_of_other_kinds_is_told(copy, change):
    first, *rest = (copy / "plan.jsonl").read_text().splitlines()
    changed = json.dumps({**json.loads(first), **change})
    (copy / "plan.jsonl").write_text("\n".join([changed, *rest]))
    with pytest.raises(TraceError, match=r"plan\.jsonl: is damaged"):
        documents(TraceDataset.load(copy))


def test_a_later_format_is_refused(copy):
    about = json.loads((copy / "corpus.json").read_text())
    (copy / "corpus.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(TraceError, match=r"format 2, and this moe_viz reads up to 1\. Upgrade"):
        TraceDataset.load(copy)


def test_another_folder_is_none(tmp_path):
    with pytest.raises(TraceError, match=r"is no folder of shards.*record_corpus"):
        TraceDataset.load(tmp_path)
    (tmp_path / "corpus.json").write_text('{"format": 1}')
    with pytest.raises(TraceError, match=r"plan\.jsonl: cannot be read"):
        TraceDataset.load(tmp_path)


def test_a_damaged_shard_is_named_when_it_is_opened(copy, data):
    path = copy / data.parts[1].shard.file
    path.write_bytes(path.read_bytes()[:-10])
    again = TraceDataset.load(copy)
    assert len(again[0]) == len(data[0])
    with pytest.raises(TraceError, match=path.name):
        again[1]


def test_it_travels(data, joined):
    """A part is sent to another process, and opened there."""
    part = pickle.loads(pickle.dumps(data.parts[1]))
    assert_same(part.open(), data[1])
    chosen = pickle.loads(pickle.dumps(data.select(label="a")))
    assert_same(Trace.join(list(chosen)), joined.select(label="a"))


def test_more_shards_than_files_may_be_open(data, tmp_path):
    """A thousand shards are iterated over, and none stays open."""
    resource = pytest.importorskip("resource")
    held = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = TraceDataset(list(data.parts) * 40)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, held[1]))
    try:
        assert sum(len(trace) for trace in many) == many.tokens == 40 * data.tokens
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, held)


# ---- What a trace keeps of it


def test_a_prompt_s_document_and_part_are_saved_and_read(joined, tmp_path):
    again = Trace.load(joined.save(tmp_path / "all"))
    assert again.prompts == joined.prompts
    chosen = joined.select(prompt=[len(joined.prompts) - 1])
    assert chosen.prompts[0].part == joined.prompts[-1].part > 0
    assert chosen.prompts[0].document == joined.prompts[-1].document


def test_a_trace_without_documents_is_as_before(short, tmp_path):
    trace = mv.record(short, ["one", "two"])
    assert [(p.document, p.part) for p in trace.prompts] == [("", 0), ("", 0)]
    assert "document" not in trace.table().column_names
    data = trace.save(tmp_path / "a").read_bytes()
    assert b"documents" not in data
    assert b'"parts' not in data
    assert Trace.load(tmp_path / "a").prompts == trace.prompts


@pytest.mark.parametrize("name", ["\ud800", "a\udfff"])
def test_an_id_that_is_no_unicode_is_refused(joined, name):
    prompts = (replace(joined.prompts[0], document=name), *joined.prompts[1:])
    with pytest.raises(TraceError, match="ids of documents are not valid Unicode"):
        replace(joined, prompts=prompts)


def test_other_words_keep_the_arrays_of_the_file(data):
    trace = data[0]
    words = tuple(TracePrompt(p.text, "new", p.start, p.stop) for p in trace.prompts)
    other = trace.with_prompts(words)
    assert other.labels == ("new",)
    assert np.shares_memory(other.experts, trace.experts)


def test_a_changed_file_is_noticed_through_a_dataset(copy, data):
    again = TraceDataset.load(copy)
    trace = again[0]
    path = copy / data.parts[0].shard.file
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(TraceError, match="has changed since it was opened"):
        _ = trace.experts


def test_a_shard_knows_its_file_and_its_rows(tmp_path):
    shard = Shard("ab12", "a.jsonl", 10, 6, 4, 99, [3, 4], (0, 2))
    assert shard.file == "shards/ab/ab12.safetensors"
    assert shard.rows_of_documents == [11, 13, 14, 15]
    write_plan(tmp_path, [shard], dict)
    line = json.loads((tmp_path / "plan.jsonl").read_text())
    assert line["left_out"] == [0, 2]
