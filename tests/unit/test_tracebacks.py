# SPDX-License-Identifier: Apache-2.0
"""Hostile and broken things that once ended in a traceback, or took minutes: one message, soon."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import struct
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.analysis.finding import Finding
from moe_viz.checkpoint.pickles import open_pickles
from moe_viz.config import MixtralConfig
from moe_viz.errors import CheckpointError, ConfigError, InputError, TokenizerError, TraceError
from moe_viz.files import embedded_folder
from moe_viz.tokenization import Tokenizer
from moe_viz.view.pages.slides import save_notebook_page, save_slides

RAW = MixtralConfig.preset("8x7m").to_hf()
PROGRAM = [sys.executable, "-m", "moe_viz.cli"]


@pytest.mark.parametrize("key", ["rope_theta", "rms_norm_eps", "hidden_size", "vocab_size"])
@pytest.mark.parametrize("value", [10**400, -(10**400), 2**64, 1e308])
def test_numbers_beyond_all_bounds_in_a_config(tmp_path, key, value):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(RAW | {key: value}))
    with pytest.raises(ConfigError, match=r"config\.json"):
        MixtralConfig.from_file(path)


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
@pytest.mark.parametrize("wrong", [
    {"tags": 5}, {"tags": [5, None]}, {"tags": "solution"}, {"slideshow": 7},
    {"slideshow": {"slide_type": 9}}, {"slideshow": {}}, {"tags": {"a": 1}, "slideshow": []},
])  # fmt: skip
def test_metadata_of_a_notebook_that_is_something_else(tmp_path, save, wrong):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("sphinx_revealjs")
    cells = [nbformat.v4.new_markdown_cell("# Talk"), nbformat.v4.new_code_cell("shown = 1")]
    book = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    book["cells"][1]["metadata"] = wrong
    path = tmp_path / "talk.ipynb"
    path.write_text(json.dumps(book))
    assert "Talk" in save([path], tmp_path / "out.html", False).read_text(encoding="utf-8")


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
@pytest.mark.parametrize("wrong", [
    {"cells": 5}, {"cells": [5]}, {"cells": [{}]}, {"metadata": []}, {"nbformat_minor": "x"},
    {"cells": [{"cell_type": "markdown", "metadata": {}, "source": 7}]},
    {"cells": [{"cell_type": 3, "metadata": {}, "source": "a"}]},
    {"cells": [{"cell_type": "code", "metadata": None, "source": "a", "outputs": []}]},
])  # fmt: skip
def test_a_notebook_that_is_something_else(tmp_path, save, wrong):
    pytest.importorskip("sphinx_revealjs")
    path = tmp_path / "talk.ipynb"
    path.write_text(
        json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | wrong)
    )
    with pytest.raises(InputError, match=r"talk\.ipynb: "):
        save([path], tmp_path / "out.html", False)


@pytest.mark.parametrize("shape", [[2**40] * 8, [10**300] * 3000, [1] * 400_000, [0] + [2**62] * 9])
def test_a_shape_that_takes_hours_to_multiply(tmp_path, shape):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "t.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    began = time.monotonic()
    with pytest.raises(TraceError, match=r"dimensions, or beyond its bytes"):
        mv.Trace.load(path)
    assert time.monotonic() - began < 10


def zipped(pickled: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file of torch.save that holds this."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return made.getvalue()


def of_2019(pickled: bytes) -> bytes:
    """What torch wrote before there were archives."""
    before = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001}]
    return b"".join(pickle.dumps(part, 2) for part in before) + pickled + pickle.dumps([], 2)


def doubling(times: int) -> bytes:
    """A tuple that holds one twice, which holds one twice …, as a key: 2^times looks at it."""
    deeper = b"h\x00h\x00\x86q\x00a" * times
    return b"\x80\x02])q\x00a" + deeper + b"}h\x00K\x01s."


@pytest.mark.parametrize("file", [zipped, of_2019])
@pytest.mark.parametrize(("pickled", "said"), [
    (doubling(60), "puts tuples into each other again and again"),
    (b"\x80\x02" + b"]0" * 2_000_000 + b".", "more than 3,000,000 instructions"),
    (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00lsR.", "it asks for os.system, which is no tensor"),
    (pickle.dumps({(1, 2): 3}, 2), "under a tuple of 2 there is the int 3; expected a tensor"),
    (pickle.dumps({"a": [1]}, 2), "under the str 'a' there is a list of 1; expected a tensor"),
])  # fmt: skip
def test_a_pickle_that_takes_hours_or_is_no_tensors(tmp_path, file, pickled, said):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(file(pickled))
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: .*" + re.escape(said)):
        open_pickles([path])
    assert time.monotonic() - began < 60


def test_an_archive_is_as_torch_writes_it_without_compression(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    for size in (10**8, 10):
        path.write_bytes(zipped(bytes(size), compression=zipfile.ZIP_DEFLATED))
        with pytest.raises(CheckpointError, match=r"data\.pkl is compressed, which torch does to"):
            open_pickles([path])


def test_an_archive_whose_parts_are_one_another_s(tmp_path):
    made = bytearray(zipped(pickle.dumps({}, 2) + bytes(5000)))
    first, second = (m.start() for m in list(re.finditer(b"PK\x01\x02", made))[:2])
    for field in (slice(16, 28), slice(42, 46)):  # checksum and sizes, and where it lies
        there = made[first:][field]
        made[second + field.start : second + field.stop] = there
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(made)
    with pytest.raises(CheckpointError, match="parts are larger than the file that they are in"):
        open_pickles([path])


def test_tensors_that_are_the_same_few_bytes_again_and_again(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    few = torch.zeros(1000)
    torch.save({"a": few.as_strided((4000, 3000), (0, 0))}, path)
    with pytest.raises(CheckpointError, match=r"a has 48,000,000 bytes, of which the file holds 4"):
        open_pickles([path])
    torch.save({str(n): few for n in range(100)}, path)
    with pytest.raises(CheckpointError, match=r"tensors have 400,000 bytes, and the file \d+,\d+:"):
        open_pickles([path])
    large = torch.zeros(50_000)
    torch.save({"embedding": large, "head": large, "turned": large.view(500, 100).T}, path)
    with pytest.raises(CheckpointError, match="again and again"):
        open_pickles([path])
    torch.save({"embedding": large, "head": large, "a": torch.zeros(70, 700).T}, path)
    assert open_pickles([path]).headers["a"].shape == (700, 70)


def test_a_vocabulary_whose_pieces_are_no_text(tmp_path):
    data = bytearray((embedded_folder() / "tokenizer.model").read_bytes())
    place = data.index("▁the".encode())
    data[place + 3] = 0xFF
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(TokenizerError, match=r"tokenizer\.model: one of its pieces is not text"):
        Tokenizer(tmp_path / "tokenizer.model")


@pytest.mark.filterwarnings("error")
def test_a_trace_in_which_no_expert_ran():
    trace = mv.record(mv.load("8x7m"), ["Good morning", "Guten Tag"], labels=["en", "de"])
    gates, experts = np.zeros_like(trace.gates), np.full_like(trace.experts, -1)
    empty = replace(trace, experts=experts, gates=gates)
    for analyse in (mv.analysis.load, mv.analysis.certainty, mv.analysis.transitions, mv.report):
        with pytest.raises(InputError, match="No token went to any expert"):
            analyse(empty)
    assert "<script" in mv.explore(empty).to_html()


def tensors(count: int) -> bytes:
    return json.dumps({
        f"t{n}": {"dtype": "U8", "shape": [1] * 6, "data_offsets": [n, n + 1]} for n in range(count)
    }).encode()  # fmt: skip


HEADERS = {
    "many tensors": lambda: tensors(800_000),  # 76 MB
    "many tensors, just below": lambda: tensors(50_001),
    "many notes": lambda: json.dumps({"__metadata__": {f"k{n}": "v" for n in range(3_000_000)}}),
    "much air": lambda: "{" + " " * 88_000_000 + "}",
}


@pytest.mark.parametrize("made", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_of_many_megabytes_is_refused_within_two_seconds(tmp_path, made):
    header = made()
    header = header if isinstance(header, bytes) else header.encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(1000))
    (tmp_path / "config.json").write_text(json.dumps(RAW))
    began = time.process_time()
    with pytest.raises(TraceError, match="is not a whole safetensors file"):
        mv.Trace.load(path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        mv.inspect(tmp_path)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("version", ["2.5.1+cu121", "2.9.1", "1.13.0"])
def test_a_pickle_is_not_opened_by_a_torch_that_runs_its_code(tmp_path, monkeypatch, version):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(2)}, path)
    open_pickles([path])
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was opened"))
    with pytest.raises(CheckpointError, match=r"CVE-2025-32434.*Update torch to 2\.10"):
        open_pickles([path])


def test_a_table_s_cells_are_no_formulas_and_its_notes_no_rows():
    labels = ['=HYPERLINK("http://x.org")', "+1", "-", "@a", "\tb", "a-b", "plain", "a, b",
              "a\r=9", "a\r\n+9", "a;=9", "a;b", "a\t@x"]  # fmt: skip
    columns = {"label": np.array(labels), "share": -np.arange(13.0)}
    title = 'a\nb,=c\r\n=1; -2 "quoted'
    found = Finding("load", title, "tokens", columns, ("note,\nsecond", 'x,"y'))
    text = found.csv()
    lines = text.split("\n", 4)
    assert lines[:4] == [
        "# load: a b,'=c =1;' -2 'quoted", "# counted: tokens", "# note, second", "# x,'y",
    ]  # fmt: skip
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(lines[4], newline="")))
    safe = ["a, b", "a\n'=9", "a\n'+9", "a;'=9", "a;b", "a\t'@x"]
    assert [r["label"] for r in rows] == [f"'{x}" for x in labels[:5]] + labels[5:7] + safe
    assert [float(r["share"]) for r in rows] == (-np.arange(13.0)).tolist()
    assert found.to_json()["columns"]["label"] == labels
    # Whatever parts cells, none of a text begins like a formula.
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            for cell in row:
                assert not cell.lstrip().startswith(("=", "+", "@")), (delimiter, row)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["ledger"], ["inspect", "8x7m", "--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full_or_closed_is_one_message(command, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)  # with it, a shell hides what happens
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, text=True)
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, *command], stderr=subprocess.PIPE, text=True
    )
    for run in (ended, closed):
        assert run.returncode == 1
        assert run.stderr.startswith("moe-viz: Standard output cannot be written (")
        assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("source", [None, 7, ["8x7m"], b"8x7m"])
def test_a_source_that_is_no_name(source):
    with pytest.raises(CheckpointError, match=r"A source is a text or a path, found .*8x7m"):
        mv.load(source)
