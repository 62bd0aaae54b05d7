# SPDX-License-Identifier: Apache-2.0
"""Sources: every form gives its rows, from the beginning and from any mark; the rest is refused."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from pyarrow import parquet

from moe_viz.errors import InputError
from moe_viz.prompts import curated
from moe_viz.recording.corpora.plan import first_rows
from moe_viz.recording.corpora.rows import TOGETHER, Columns, Row
from moe_viz.recording.corpora.sources import Lines, sources_in

from .made import FORMS, Rows, expected, given, lines, opened, read, rows


def from_every_mark(source) -> None:
    """Reading from any mark is reading from the start, also where a worker does it."""
    whole = list(source.rows())
    for n, (mark, _) in enumerate(whole):
        mark = json.loads(json.dumps(mark))  # as the plan keeps it
        rest = [row for _, row in whole[n:]]
        assert [row for _, row in source.rows(n, mark)] == rest
        if (portion := source.portion(n, 2)) is not None:
            assert [row for _, row in islice(portion.rows(n, mark), 2)] == rest[:2]


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


# ---- Files that are damaged


CUT = {
    "cut short": lambda data: data[:-20],
    "no gzip at all": lambda data: b'{"text": "a"}\n',
    "changed within": lambda data: data[:60] + b"\xff\xff\xff\xff" + data[64:],
    "its checksum changed": lambda data: data[:-8] + b"\0\0\0\0" + data[-4:],
    "a tail of something else": lambda data: data + b"something else",
}


@pytest.mark.parametrize("how", CUT)
def test_a_damaged_gzip_file_is_named(tmp_path, how):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(CUT[how](gzip.compress(lines(rows(200)))))
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: cannot be read as JSON lines"):
        read(path)


def test_every_cut_of_a_parquet_file_is_refused(tmp_path):
    whole, path = given("Parquet in groups of three", rows(20), tmp_path).read_bytes(), None
    path = tmp_path / "cut.parquet"
    for size in (0, 1, 4, 8, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.parquet: cannot be read as Parquet"):
            read(path)


def test_a_damaged_page_of_a_parquet_file_is_refused_or_read_as_text(tmp_path):
    """Without checksums of pages Arrow cannot see all of it; but nothing else may be raised."""
    whole, path = given("Parquet", rows(20), tmp_path).read_bytes(), tmp_path / "cut.parquet"
    refused = 0
    for at in range(4, len(whole) - 8, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            read(path)
        except InputError:
            refused += 1
        except UnicodeDecodeError:
            pass  # see below
    assert refused > 10


def test_a_parquet_text_that_is_no_utf8_is_refused(tmp_path):
    data = pa.py_buffer(b"\xff\xfe")
    ends = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    column = pa.Array.from_buffers(pa.string(), 1, [None, ends, data])
    parquet.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet"):
        read(tmp_path / "a.parquet")


BAD_LINES = {
    "no JSON": (b"{text: 1}", "is not a line of JSON"),
    "half a line": (b'{"text": "a', "is not a line of JSON"),
    "no UTF-8": (b'{"text": "\xff"}', "is not a line of JSON"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "is not a line of JSON"),
    "an array": (b'["a"]', "takes a JSON object"),
    "a text": (b'"a"', "takes a JSON object"),
    "null": (b"null", "takes a JSON object"),
    "too deep": (b"[" * 100_000, "is not a line of JSON"),
    "a mark of byte order, not at the beginning": (b'\xef\xbb\xbf{"text": "a"}', "not a line of"),
}


@pytest.mark.parametrize(("line", "said"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_none_is_named(tmp_path, line, said):
    (tmp_path / "a.jsonl").write_bytes(b'\n{"text": "good"}\n' + line)
    with pytest.raises(InputError, match=rf"a\.jsonl, row 1\b.*{said}"):
        read(tmp_path / "a.jsonl")


def test_one_json_array_is_not_taken_for_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps([{"text": "a"}, {"text": "b"}], indent=1))
    with pytest.raises(InputError, match=r"Expected an object on each line|takes a JSON object"):
        read(tmp_path / "a.jsonl")


# ---- Text files and folders


def folder_of(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = tmp_path / "texts" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return tmp_path / "texts"


def test_a_folder_of_texts_is_labelled_by_its_folders(tmp_path):
    folder = folder_of(
        tmp_path, b_txt="no label", en__a_txt="one", en__x__b_txt="two", de__a_md="drei"
    )
    assert read(folder) == [
        Row("no label", "", "b.txt"),
        Row("drei", "de", "de/a.md"),
        Row("one", "en", "en/a.txt"),
        Row("two", "en", "en/x/b.txt"),
    ]
    [source] = opened(folder)
    from_every_mark(source)


def test_what_is_hidden_is_no_document(tmp_path):
    folder = folder_of(
        tmp_path, a_txt="a", _hidden="no", _git__config="no", b___DS_Store="no", b__c_txt="c"
    )
    assert (folder / ".git/config").exists()
    assert [row.document for row in read(folder)] == ["a.txt", "b/c.txt"]


def test_hidden_folders_above_are_no_matter(tmp_path):
    (tmp_path / ".cache/x").mkdir(parents=True)
    (tmp_path / ".cache/x/a.txt").write_text("a")
    assert [row.text for row in read(tmp_path / ".cache/x")] == ["a"]


def test_tables_of_a_folder_come_first(tmp_path):
    folder = folder_of(tmp_path, README_md="about it", LICENSE="free", data__a_txt="no")
    (folder / "data/b.jsonl").write_bytes(lines(rows(3)))
    (folder / "data/.c.jsonl").write_bytes(lines(rows(3)))
    assert read(folder) == expected(rows(3))
    assert [source.name for source in opened(folder)] == ["data/b.jsonl"]


def test_a_text_file_is_one_document(tmp_path):
    path = folder_of(tmp_path, a_txt="\ufeffone\r\ntwo\rthree\n") / "a.txt"
    assert read(path) == [Row("one\ntwo\rthree\n", "", "a.txt")]
    assert read(str(path)) == read(path)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", "naïve".encode("latin-1"), b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_text_is_named(tmp_path, data):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.txt: cannot be read as UTF-8 text .* remove the"):
        read(tmp_path)


@pytest.mark.skipif(os.name == "nt" or not os.path.exists("/proc"), reason="names are bytes here")
def test_a_file_whose_name_is_no_unicode_is_refused_by_name(tmp_path):
    (tmp_path / "x").mkdir()
    with open(os.fsencode(tmp_path) + b"/x/\xff.txt", "w") as file:
        file.write("text")
    try:
        found = read(tmp_path / "x")
    except InputError:
        return
    found[0].document.encode()  # or its id is one that a trace can hold


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("b")
    assert [row.text for row in read(tmp_path)] == ["b"]
    with pytest.raises(InputError, match=r"a\.txt: cannot be read"):
        read(tmp_path / "a.txt")


@pytest.mark.timeout(20)
@pytest.mark.skipif(os.name == "nt", reason="there are no pipes with names")
def test_a_pipe_of_lines_is_not_waited_for(tmp_path):
    """It could be read only once, and opening it waits for whoever writes."""
    os.mkfifo(tmp_path / "a.jsonl")
    handle = os.open(tmp_path / "a.jsonl", os.O_RDWR)  # or this test would wait for ever
    os.write(handle, b'{"text": "a"}\n')
    try:
        with pytest.raises(InputError, match=r"a\.jsonl: cannot be read"):
            next(opened(tmp_path / "a.jsonl")[0].rows())
    finally:
        os.close(handle)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: is not there\. Give a Parquet"):
        opened(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no file"):
        opened(tmp_path)


def test_a_text_instead_of_a_path_is_refused():
    with pytest.raises(InputError, match="is not there"):
        opened("Once upon a time there was a long text. " * 100)


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


def test_a_source_travels_to_workers(tmp_path):
    """Their descriptions are small: paths and columns, whatever the file holds."""
    import pickle

    for form in ("Parquet", "JSON lines"):
        [source] = sources_in(given(form, rows(500), tmp_path), Columns())
        data = pickle.dumps(source.portion(3, 5))
        assert len(data) < 1000
        assert [row for _, row in pickle.loads(data).rows()] == expected(rows(500))
    assert Lines(tmp_path / "a.jsonl.gz", Columns(), "a").portion(0, 1) is None
