# SPDX-License-Identifier: Apache-2.0
"""Sources that are files: damaged ones are refused by name; text files and folders of them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from moe_viz.errors import InputError
from moe_viz.recording.corpora.rows import Row

from .made import expected, from_every_mark, given, lines, opened, read, rows

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
