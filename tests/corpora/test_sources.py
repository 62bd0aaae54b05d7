# SPDX-License-Identifier: Apache-2.0
"""Sources: every form gives its rows, from the beginning and from any mark, by any columns."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pyarrow as pa
import pytest
from datasets import load_dataset
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from pyarrow import parquet

from moe_viz.errors import InputError
from moe_viz.recording.corpora.plan import first_rows
from moe_viz.recording.corpora.rows import TOGETHER, Columns, Row
from moe_viz.recording.corpora.sources import Lines, sources_in

from .made import FORMS, Rows, expected, from_every_mark, given, lines, opened, read, rows


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(form, tmp_path):
    documents = rows(23)
    assert read(given(form, documents, tmp_path)) == expected(documents)


@pytest.mark.parametrize("form", FORMS)
def test_reading_from_any_mark_is_reading_from_the_start(form, tmp_path):
    for source in opened(given(form, rows(23), tmp_path)):
        from_every_mark(source)


@pytest.mark.parametrize("form", ["list", "Parquet", "JSON lines", "gzip", "dataset"])
def test_a_source_can_be_read_twice_at_the_same_time(form, tmp_path):
    """The plan is read while another reader is at work."""
    [source] = opened(given(form, rows(9), tmp_path))
    for (_, a), (_, b) in zip(source.rows(), source.rows(), strict=True):
        assert a == b


@pytest.mark.parametrize("size", [1, 100, TOGETHER, TOGETHER + 1, 1000])
def test_row_groups_of_any_size(tmp_path, size):
    documents = rows(2 * TOGETHER + 88)
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.Table.from_pylist(documents), path, row_group_size=size)
    [source] = opened(path)
    whole = list(source.rows())
    assert [row for _, row in whole] == expected(documents)
    for n in (0, 1, 99, 100, 101, 255, 256, 257, 258, 511, 512, 513, len(whole) - 1):
        assert [row for _, row in source.rows(n, whole[n][0])] == expected(documents[n:])


def test_row_groups_without_rows_change_no_number(tmp_path):
    table, path = pa.Table.from_pylist(rows(5)), tmp_path / "a.parquet"
    with parquet.ParquetWriter(path, table.schema) as file:
        for part in (table.slice(0, 0), table.slice(0, 2), table.slice(0, 0), table.slice(2)):
            file.write_table(part)
    [source] = opened(path)
    assert [row for _, row in source.rows()] == expected(rows(5))
    from_every_mark(source)


@pytest.mark.parametrize("form", ["JSON lines", "Parquet"])
def test_rows_are_those_that_datasets_reads(form, tmp_path):
    path = given(form, rows(40), tmp_path)
    kind = "json" if form == "JSON lines" else "parquet"
    found = load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "c"))
    assert read(path) == expected(list(found))  # type: ignore[arg-type]


VALUES = st.none() | st.text(max_size=20) | st.sampled_from(["", " ", "\u2028", "\x85", "\x1c"])
BETWEEN = st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\n", " \n"])


@settings(deadline=None, max_examples=60)
@drawn(st.lists(st.tuples(VALUES, st.booleans(), BETWEEN), min_size=1, max_size=8), st.booleans())
def test_lines_of_any_text(tmp_path_factory, said, mark):
    """Only a line's end divides lines, however it is written, and nothing that looks like one."""
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    written = b"\xef\xbb\xbf" * mark
    for text, escaped, end in said:
        try:
            written += json.dumps({"text": text}, ensure_ascii=escaped).encode() + end.encode()
        except UnicodeEncodeError:  # a lone surrogate has to be escaped
            written += json.dumps({"text": text}).encode() + end.encode()
    path.write_bytes(written)
    [source] = opened(path)
    assert [row for _, row in source.rows()] == [Row(text) for text, _, _ in said]
    from_every_mark(source)


def test_the_last_line_needs_no_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(rows(3)).rstrip())
    assert read(path) == expected(rows(3))


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "A.JSONL", "a.jsonl.gz", "a.ndjson.gz"])
def test_lines_are_known_by_the_name(tmp_path, name):
    data = lines(rows(3))
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert read(tmp_path / name) == expected(rows(3))


def test_a_compressed_file_may_have_a_name_in_capitals(tmp_path):
    (tmp_path / "A.JSONL.GZ").write_bytes(gzip.compress(lines(rows(3))))
    assert read(tmp_path / "A.JSONL.GZ") == expected(rows(3))


def test_several_members_of_gzip_are_one_file(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(rows(3))) + gzip.compress(lines(rows(4, 3))))
    assert read(path) == expected(rows(7))


def test_a_long_file_is_never_held_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        for n in range(2000):
            file.write(lines([{"text": f"{n} " + "word " * 2000}]))
    [source] = opened(path)
    tracemalloc.start()
    try:
        assert sum(row.size for _, row in source.rows()) > 19e6
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


# ---- Columns


@pytest.mark.parametrize("form", ["list", "Parquet", "JSON lines", "gzip", "dataset"])
def test_columns_have_any_name(form, tmp_path):
    documents: Rows = [{"body": f"text {n}", "lang": "en", "nr": n, "text": 3} for n in range(4)]
    found = read(given(form, documents, tmp_path), Columns("body", "lang", "nr"))
    assert found == [Row(f"text {n}", "en", str(n)) for n in range(4)]


@pytest.mark.parametrize("form", ["list", "Parquet", "JSON lines", "dataset"])
def test_one_column_may_be_two_things(form, tmp_path):
    documents: Rows = [{"text": "some", "name": f"n{n}"} for n in range(4)]
    found = read(given(form, documents, tmp_path), Columns("text", "name", "name"))
    assert found == [Row("some", f"n{n}", f"n{n}") for n in range(4)]


@pytest.mark.parametrize("form", ["list", "Parquet", "JSON lines", "gzip", "dataset"])
def test_label_and_id_may_be_missing_unless_they_are_asked_for(form, tmp_path):
    source = given(form, [{"text": "some", "n": 1}], tmp_path)
    assert read(source) == [Row("some")]
    for columns, option in (
        (Columns("nothing"), "text"),
        (Columns(label="nothing"), "label"),
        (Columns(document="nothing"), "id"),
    ):
        with pytest.raises(InputError) as error:
            read(source, columns)
        said = str(error.value)
        assert f"no column 'nothing'; it has 'text', 'n'. Name the one that holds the {option}" in (
            said
        )
        assert f"{option}=" in said
        assert str(source) in said or form in ("list", "dataset")


def test_a_line_that_lacks_a_column_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n\n{"other": "b"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, row 1: has no column 'text'"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize("value", [3, 1.5, True, ["a"], {"a": "b"}])
@pytest.mark.parametrize("form", ["list", "Parquet", "JSON lines", "dataset"])
def test_a_text_that_is_none_is_refused_with_its_row(form, tmp_path, value):
    source = given(form, [{"text": value}], tmp_path)
    with pytest.raises(InputError, match=r"(document|row) 0: 'text' must hold a text, found "):
        read(source)


def test_bytes_are_no_text(tmp_path):
    parquet.write_table(pa.table({"text": [b"abc"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 0: 'text' must hold a text, found the bytes"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_may_be_stored_as_arrow_likes(tmp_path, kind):
    column = pa.array(["a", "b", None, "a"]).cast(kind)
    parquet.write_table(pa.table({"text": column, "label": column}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [Row(t, t or "") for t in ("a", "b", None, "a")]


@pytest.mark.parametrize(("value", "said"), [(None, ""), (0, "0"), (False, "False"), (2.5, "2.5")])
def test_labels_and_ids_are_written_out(tmp_path, value, said):
    source = given("JSON lines", [{"text": "a", "label": value, "id": value}], tmp_path)
    assert read(source) == [Row("a", said, said)]


# ---- Texts that cannot be recorded


EMPTY = [None, "", " ", "\n\t ", "\u3000", "\ud800", "good \udfff not"]


@pytest.mark.parametrize("form", ["list", "JSON lines", "gzip"])
def test_rows_without_a_text_keep_their_place(form, tmp_path):
    documents: Rows = [{"text": text} for text in (*EMPTY, "a", *EMPTY, "b")]
    if form == "list":
        source = documents
    else:
        source = tmp_path / ("a.jsonl" + ".gz" * (form == "gzip"))
        data = "".join(json.dumps(row) + "\n" for row in documents).encode()  # escaped
        source.write_bytes(gzip.compress(data) if form == "gzip" else data)
    found = read(source)
    assert [n for n, row in enumerate(found) if not row.empty] == [len(EMPTY), 2 * len(EMPTY) + 1]
    [only] = opened(source)
    from_every_mark(only)


def test_the_sample_is_of_rows_that_hold_a_text():
    documents = [None, "", "a", " ", "b" * 50, "c", "d"]
    assert first_rows(opened(documents), 64, 200) == [Row(t) for t in ("a", "b" * 50, "c", "d")]
    assert first_rows(opened(documents), 64, 20) == [Row(t) for t in ("a", "b" * 5, "c", "d")]
    assert first_rows([*opened(documents), *opened(["e"])], 64, 1000)[-1] == Row("e")


def test_a_corpus_may_begin_with_many_empty_rows():
    assert first_rows(opened([""] * 100 + ["a"]), 64, 1000) == [Row("a")]


def test_the_sample_is_small_where_the_first_document_is_not():
    """It is recorded twice, and waited for, before anything is planned."""
    [row] = first_rows(opened(["word " * 1_000_000]), 64, 16_384)
    assert row.size < 100_000


def test_a_source_travels_to_workers(tmp_path):
    """Their descriptions are small: paths and columns, whatever the file holds."""
    import pickle

    for form in ("Parquet", "JSON lines"):
        [source] = sources_in(given(form, rows(500), tmp_path), Columns())
        data = pickle.dumps(source.portion(3, 5))
        assert len(data) < 1000
        assert [row for _, row in pickle.loads(data).rows()] == expected(rows(500))
    assert Lines(tmp_path / "a.jsonl.gz", Columns(), "a").portion(0, 1) is None
