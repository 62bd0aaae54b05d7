# SPDX-License-Identifier: Apache-2.0
"""Datasets of shards: opened one by one, selected, sampled, and written as tables others read."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import moe_viz as mv
from moe_viz.errors import InputError, TraceError
from moe_viz.trace import Trace, TraceDataset, TracePrompt
from moe_viz.trace.shards import Shard, write_plan

from .made import assert_same, inline, names, reading_model, rows

#: Documents of a few tokens, one without a text, two the same, and one that is cut in parts.
GIVEN = [*rows(20), {"text": ""}, *rows(9, 20), rows(9, 20)[-1], {"text": "long words " * 80}]
DOCUMENTS = [row for row in GIVEN if row["text"]]


@pytest.fixture(scope="module")
def model():
    return reading_model(context=40)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def data(model, folder) -> TraceDataset:
    return inline(GIVEN, folder, model, shard_tokens=50)


@pytest.fixture(scope="module")
def joined(data) -> Trace:
    return Trace.join(list(data))


def documents(traces) -> list[str]:
    return [prompt.document for trace in traces for prompt in trace.prompts if prompt.part == 0]


def ids_of(given) -> list[str]:
    return [
        row.get("id", "") or f"memory:{n}" for n, row in enumerate(given) if row["text"]
    ]  # as the dataset names them


def test_it_is_a_sequence_of_its_shards(data):
    assert len(data) > 5
    assert data.documents == len(DOCUMENTS)
    assert data.tokens == sum(len(trace) for trace in data)
    assert [len(data[n]) for n in range(len(data))] == [len(trace) for trace in data]
    assert_same(data[-1], data[len(data) - 1])
    assert [len(trace) for trace in reversed(data)] == [len(trace) for trace in data][::-1]
    with pytest.raises(IndexError):
        data[len(data)]
    part = data[1:4]
    assert isinstance(part, TraceDataset)
    assert names(part) == names(data)[1:4]
    assert part.about == data.about


def test_documents_come_in_the_order_of_the_corpus(data):
    assert documents(data) == ids_of(GIVEN)
    texts: Counter[str] = Counter()
    found: list[str] = []
    for trace in data:
        for prompt in trace.prompts:
            if prompt.part == 0:
                found.append("")
            found[-1] += prompt.text
            texts[prompt.text] += 1
    assert found == [row["text"] for row in DOCUMENTS]
    assert texts[GIVEN[-2]["text"]] == 2  # duplicates are documents of their own


def test_parts_of_a_document_share_its_name_and_its_shard(data):
    prompts = [
        prompt for prompt in data[-1].prompts if prompt.document == f"memory:{len(GIVEN) - 1}"
    ]
    assert [prompt.part for prompt in prompts] == list(range(len(prompts)))
    assert len(prompts) > 4
    assert all(prompt.part == 0 for trace in data[:-1] for prompt in trace.prompts)


def test_what_holds_for_all_is_read_from_the_first(data, model):
    assert data.layers == (0, 1, 2)
    assert data.expert_count == 8
    assert data.provenance.title == model.provenance.title
    assert data.rule == data[0].rule
    assert data.labels == ("a", "b", "c", "")
    assert data.about["documents"] == len(DOCUMENTS)
    assert data.about["left_out"] == 1
    assert f"{len(data)} shards, {len(DOCUMENTS)} documents" in repr(data)


def test_tokens_are_counted_without_reading_the_arrays(data, monkeypatch):
    monkeypatch.setattr(Trace, "load", lambda *_: pytest.fail("a shard was opened"))
    assert TraceDataset(data.parts).tokens == data.tokens


def test_nothing_is_opened_before_it_is_asked_for(folder, data, monkeypatch):
    opened: list[Path] = []
    load = Trace.load
    monkeypatch.setattr(Trace, "load", lambda path: opened.append(path) or load(path))
    again = TraceDataset.load(folder)
    chosen = again.select(label="a", document="d3", layers=1)[2:]
    assert opened == []
    chosen[0] if names(chosen)[0] == names(data)[0] else next(iter(again))
    assert len(opened) == 1


# ---- Selecting


@pytest.mark.parametrize("label", ["a", "", ["a", "c"], ("b",), {"a", "b", "c", ""}])
def test_by_label_as_a_trace_does(data, joined, label):
    wanted = {label} if isinstance(label, str) else set(label)
    found = Trace.join(list(data.select(label=label)))
    assert_same(found, joined.select(label=label))
    assert set(found.labels) == wanted


def test_by_document(data, joined):
    for name in ("d0", "d17", f"memory:{len(GIVEN) - 1}"):
        found = Trace.join(list(data.select(document=name)))
        numbers = [n for n, p in enumerate(joined.prompts) if p.document == name]
        assert_same(found, joined.select(prompt=numbers))
    assert documents(data.select(document=["d3", "d18"])) == ["d3", "d18"]
    assert documents(data.select(document="d28")) == ["d28", "d28"]  # the duplicate is one of them


@pytest.mark.parametrize("layers", [0, [2], [0, 2], np.int64(1), range(3)])
def test_by_layer_as_a_trace_does(data, joined, layers):
    chosen = data.select(layers=layers)
    asked = list(layers) if not isinstance(layers, int | np.integer) else layers
    assert_same(Trace.join(list(chosen)), joined.select(layers=asked))
    assert chosen.layers == joined.select(layers=asked).layers


def test_by_all_of_them(data, joined):
    found = list(data.select(label="a", layers=1).select(document=["d0", "d1", "d3"]))
    assert documents(found) == ["d0", "d3"]
    assert all(trace.layers == (1,) for trace in found)


def test_one_after_the_other_is_both(data):
    assert documents(data.select(document=["d0", "d1"]).select(label="b")) == ["d1"]
    assert data.select(layers=[0, 2]).select(label="a").layers == (0, 2)


def test_twice_by_the_same_is_what_both_have(data):
    twice = data.select(label=["a", "b"]).select(label=["b", "c"])
    assert {label for trace in twice for label in trace.labels} == {"b"}


def test_what_no_shard_has_is_an_empty_iteration(data):
    assert list(data.select(label="nobody's")) == []
    assert list(data.select(document="nothing")) == []
    assert data.select(label="nobody's").labels == ()
    with pytest.raises(TraceError, match="holds nothing of what was selected"):
        data.select(label="nobody's")[0]


@pytest.mark.parametrize("ask", [repr, lambda d: d.layers, lambda d: d.provenance])
def test_what_nothing_has_can_still_be_asked(data, ask):
    with suppress(TraceError):  # which may be refused
        assert ask(data.select(label="nobody's"))


@pytest.mark.parametrize("nothing", [{"label": []}, {"document": ()}])
def test_a_choice_of_nothing_is_nothing(data, nothing):
    assert list(data.select(**nothing)) == []


def test_a_layer_that_is_not_there_is_refused_when_opened(data):
    with pytest.raises(TraceError, match="no layers"):
        next(iter(data.select(layers=7)))


def test_selecting_changes_nothing_that_was_there(data):
    before = documents(data)
    data.select(label="a", layers=0)
    assert documents(data) == before


# ---- A sample


def test_a_sample_is_whole_documents_without_replacement(data, joined):
    for seed in range(5):
        trace = data.sample(10, seed)
        assert_same(trace, data.sample(10, seed))
        found = [p.document for p in trace.prompts if p.part == 0]
        assert len(found) == 10
        assert not Counter(found) - Counter(documents(data))
        for prompt in trace.prompts:  # each as the corpus has it
            assert any(
                (p.text, p.document, p.part, p.label)
                == (prompt.text, prompt.document, prompt.part, prompt.label)
                for p in joined.prompts
            )
    assert documents([data.sample(10, 1)]) != documents([data.sample(10, 2)])


def test_a_sample_of_all_is_all(data, joined):
    assert_same(data.sample(data.documents), joined)
    assert data.sample(data.documents).prompts == joined.prompts


def test_every_document_is_drawn_as_often(data):
    counts: Counter[str] = Counter()
    for seed in range(60):
        counts.update(p.document for p in data.sample(8, seed).prompts if p.part == 0)
    expected = 60 * 8 / data.documents  # about 15 of each, and twice for the duplicate
    assert all(0.3 < counts[name] / expected < 2.2 for name in set(documents(data)) - {"d28"})


@pytest.mark.parametrize("count", [0, -1, len(DOCUMENTS) + 1])
def test_no_more_than_there_are(data, count):
    with pytest.raises(InputError, match=f"documents must be 1 … {len(DOCUMENTS)}, found {count}"):
        data.sample(count)


def test_a_sample_of_what_was_selected(data):
    chosen = data.select(label="a")
    trace = chosen.sample(8)
    assert set(trace.labels) == {"a"}
    assert sum(prompt.part == 0 for prompt in trace.prompts) == 8


# ---- Tables


def asked(question: str) -> pd.DataFrame:
    found = duckdb.sql(question)
    assert found is not None
    return found.df()


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return data.to_parquet(folder)


def test_a_table_for_each_shard_is_the_shard_s(data, written):
    assert [path.name[:6] for path in written] == [f"{n:06}" for n in range(len(data))]
    for trace, path in zip(data, written, strict=True):
        table = parquet.read_table(path)
        assert table.drop_columns("prompt").equals(trace.table().drop_columns("prompt"))


def test_together_they_are_the_table_of_all(data, joined, written):
    """As pyarrow, pandas and DuckDB read the folder; but the number of a prompt is its shard's."""
    whole = joined.table().to_pandas().drop(columns="prompt")
    folder = written[0].parent
    order = ["layer"]
    for table in (
        parquet.read_table(folder).to_pandas(),
        pd.read_parquet(folder),
        asked(f"select * from '{folder}/*.parquet'"),
    ):
        assert isinstance(table, pd.DataFrame)
        found = table.drop(columns="prompt").sort_values(order, kind="stable", ignore_index=True)
        pd.testing.assert_frame_equal(pd.DataFrame(found, columns=whole.columns), whole)


def test_a_prompt_has_one_number_in_all_tables(joined, written):
    found = parquet.read_table(written[0].parent)
    assert len(found["prompt"].unique()) == len(joined.prompts)


def test_parts_of_a_document_can_be_told_apart(joined):
    table = joined.table().to_pandas()
    cut = table[(table.document == f"memory:{len(GIVEN) - 1}") & (table.layer == 0)]
    assert not cut.drop(columns=["prompt", "token_id"]).duplicated(["position", "part"]).any()


def test_a_question_to_duckdb(joined, written):
    folder = written[0].parent
    found = asked(
        f"select document, count(*) as n, avg(gate_0) as gate from '{folder}/*.parquet' "
        "where layer = 1 and not special group by document"
    )
    table = joined.table().to_pylist()
    gates: dict[str, list[float]] = {}
    for row in table:
        if row["layer"] == 1 and not row["special"]:
            gates.setdefault(row["document"], []).append(row["gate_0"])
    said = {name: (count, mean) for name, count, mean in found.itertuples(index=False)}
    assert said.keys() == gates.keys()
    for name, (count, mean) in said.items():
        assert count == len(gates[name])
        assert mean == pytest.approx(np.mean(gates[name]), rel=1e-6)


def test_a_part_can_be_written(data, tmp_path):
    files = data.select(label="b", layers=2).to_parquet(tmp_path / "new/folder")
    table = pa.concat_tables([parquet.read_table(path) for path in files])
    assert set(table["label"].to_pylist()) == {"b"}
    assert set(table["layer"].to_pylist()) == {2}
    assert len(list((tmp_path / "new/folder").iterdir())) == len(files)
    assert data.select(label="nobody's").to_parquet(tmp_path / "none") == []


def test_writing_again_replaces(data, tmp_path):
    first = data.to_parquet(tmp_path)
    first[0].write_bytes(b"damaged")
    assert data.to_parquet(tmp_path) == first
    assert parquet.read_table(first[0]).equals(data[0].table())  # whose prompts are the first


def test_a_folder_is_one_table_after_a_second_call_too(data, tmp_path):
    data.to_parquet(tmp_path)
    data.select(label="a").to_parquet(tmp_path)
    assert set(parquet.read_table(tmp_path)["label"].to_pylist()) == {"a"}


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


def test_a_trace_without_documents_is_as_before(model, tmp_path):
    trace = mv.record(model, ["one", "two"])
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
