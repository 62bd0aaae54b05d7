# SPDX-License-Identifier: Apache-2.0
"""Sources in memory: lists in several forms, datasets of Hugging Face; what is none is refused."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from moe_viz.errors import InputError
from moe_viz.prompts import curated
from moe_viz.recording.corpora.rows import TOGETHER, Columns, Row

from .made import expected, given, opened, read, rows

# ---- What is in memory


def test_lists_hold_documents_in_several_forms():
    prompt = curated()[0]
    found = read(["a", prompt, {"text": "b", "label": 1}, None, {"text": "c", "id": "x"}])
    assert found == [Row("a"), Row(prompt.text, prompt.label), Row("b", "1"), Row(None),
                     Row("c", "", "x")]  # fmt: skip
    assert read(("a", "b")) == [Row("a"), Row("b")]
    assert read(curated()[:3]) == [Row(p.text, p.label) for p in curated()[:3]]
    assert read({"en": "Hello.", "fr": "Bonjour."}) == [Row("Hello.", "en"), Row("Bonjour.", "fr")]


def test_a_column_of_texts_without_columns_is_refused():
    with pytest.raises(InputError, match="row 0"):
        read(["a", "b"], Columns(label="lang"))


@pytest.mark.parametrize("item", [3, b"bytes", ["a"], {"role": "user", "content": "a"}, [1, 5]])
def test_an_item_that_is_no_document_is_named(item):
    with pytest.raises(InputError, match=r"row 1 takes a text.*; found"):
        read(["a", item])


@pytest.mark.parametrize("kind", [iter, lambda x: (i for i in x), lambda x: map(str, x), enumerate])
def test_what_can_be_read_only_once_is_refused(kind):
    with pytest.raises(InputError, match="an iterator can be read only once"):
        opened(kind(["a", "b"]))


@pytest.mark.parametrize("value", [3, None, {"a", "b"}, {"a": "b"}.values(), object()])
def test_what_is_no_source_is_refused(value):
    with pytest.raises(InputError, match=r"record_corpus takes a file or folder.*; found"):
        opened(value)


@pytest.mark.parametrize("value", [[], (), Dataset.from_dict({"text": []})])
def test_nothing_is_refused(value):
    with pytest.raises(InputError, match="nothing to record"):
        opened(value)


# ---- Hugging Face's datasets


def labelled(*labels: int | None) -> Dataset:
    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    said = {"text": [f"t{n}" for n in range(len(labels))], "label": list(labels)}
    return Dataset.from_dict(said, features=kinds)


def test_labels_of_a_dataset_have_their_names():
    assert [row.label for row in read(labelled(1, 0, None))] == ["pos", "neg", ""]


def test_a_dataset_s_missing_label_is_none():
    assert [row.label for row in read(labelled(1, -1))] == ["pos", ""]


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "arrow", "pandas"])
def test_a_dataset_may_be_formatted(kind):
    data = Dataset.from_list(rows(5)).with_format(kind)
    assert read(data) == expected(rows(5))


def test_long_datasets_are_read_in_parts():
    data = Dataset.from_list(rows(2 * TOGETHER + 3)).select(range(1, 2 * TOGETHER + 2))
    [source] = opened(data)
    assert [row for _, row in source.rows()] == expected(rows(2 * TOGETHER + 1, 1))
    for n in (1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 2 * TOGETHER):
        assert [row for _, row in source.rows(n)] == expected(rows(2 * TOGETHER + 1 - n, n + 1))


def test_a_streaming_dataset_is_refused():
    with pytest.raises(InputError, match="streaming"):
        opened(Dataset.from_list(rows(2)).to_iterable_dataset())


def test_a_dataset_of_several_splits_is_told_apart():
    several = DatasetDict({"train": Dataset.from_list(rows(2)), "test": Dataset.from_list(rows(1))})
    with pytest.raises(InputError, match="split"):
        read(several)


def test_a_saved_dataset_is_opened_as_one(tmp_path):
    path = given("saved dataset", rows(4), tmp_path)
    assert [source.name for source in opened(path)] == ["saved"]
    assert [row.text for row in read(path)] == [row["text"] for row in rows(4)]
