# SPDX-License-Identifier: Apache-2.0
"""Datasets of shards: opened one by one when they are asked for, selected and sampled."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from moe_viz.errors import InputError, TraceError
from moe_viz.trace import Trace, TraceDataset

from .conftest import DOCUMENTS, GIVEN, documents
from .made import assert_same, names


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


def test_what_holds_for_all_is_read_from_the_first(data, short):
    assert data.layers == (0, 1, 2)
    assert data.expert_count == 8
    assert data.provenance.title == short.provenance.title
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
