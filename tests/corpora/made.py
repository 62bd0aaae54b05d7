# SPDX-License-Identifier: Apache-2.0
"""Corpora in every form that can be given, and models in memory that can read them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from pyarrow import parquet

import moe_viz as mv
from moe_viz.files import TEMPORARY
from moe_viz.model import Mixtral
from moe_viz.prompts import curated
from moe_viz.recording.corpora.rows import Columns, Row
from moe_viz.recording.corpora.sources import Source, sources_in
from moe_viz.trace import Trace
from tests.conftest import random_model, small_config

Rows = list[dict[str, Any]]
#: Forms whose rows have a label and an id of their own.
FORMS = (
    "list", "Parquet", "Parquet in groups of three", "JSON lines", "JSON lines, CRLF",
    "JSON lines, blank ones between", "JSON lines with a BOM", "gzip", "dataset", "saved dataset",
    "folder of tables",
)  # fmt: skip
HARD = ("plain", "l'été à Noël", "漢字\u2028 and 😀", 'a "quoted"\nline\r\nand\ttab', "\ufeffmark")


def rows(count: int, start: int = 0) -> Rows:
    """Documents of some words, no two the same, with labels and ids."""
    return [
        {"text": f"{HARD[n % 5]} {n}: " + "words " * (n % 7), "label": "abc"[n % 3], "id": f"d{n}"}
        for n in range(start, start + count)
    ]


def prose(count: int, least: int = 0) -> Rows:
    """Documents of five languages and code, of at least so many characters; no two the same."""
    found = []
    for n in range(count):
        prompt = curated()[n % len(curated())]
        text = f"{n}. {prompt.text}"
        text += f"\n{prompt.text}" * (-(-least // len(text)))
        found.append({"text": text, "label": prompt.label, "id": f"d{n}"})
    return found


def lines(documents: Rows, end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in documents).encode()


def given(form: str, documents: Rows, folder: Path) -> Any:
    """These documents in this form: what `record_corpus` takes as its source."""
    path, table = folder / "rows.jsonl", pa.Table.from_pylist(documents)
    if form == "list":
        return documents
    if form == "dataset":
        return Dataset.from_list(documents)
    if form == "saved dataset":
        Dataset.from_list(documents).save_to_disk(folder / "saved")
        return folder / "saved"
    if form.startswith("Parquet"):
        path = folder / "rows.parquet"
        parquet.write_table(table, path, row_group_size=3 if "three" in form else None)
        return path
    if form == "gzip":
        path = folder / "rows.jsonl.gz"
        path.write_bytes(gzip.compress(lines(documents)))
        return path
    if form == "folder of tables":
        (folder / "tables/b").mkdir(parents=True)
        cut = len(documents) // 2
        parquet.write_table(table.slice(0, cut), folder / "tables/a.parquet")
        (folder / "tables/b/c.jsonl").write_bytes(lines(documents[cut:]))
        return folder / "tables"
    path.write_bytes({
        "JSON lines": lines(documents),
        "JSON lines, CRLF": lines(documents, "\r\n"),
        "JSON lines, blank ones between": b"\n \n" + lines(documents, "\n\n\t\n"),
        "JSON lines with a BOM": b"\xef\xbb\xbf" + lines(documents),
    }[form])  # fmt: skip
    return path


def expected(documents: Rows) -> list[Row]:
    return [Row(row["text"], row.get("label", ""), row.get("id", "")) for row in documents]


def opened(source: Any, columns: Columns | None = None) -> list[Source]:
    return sources_in(source, columns or Columns())


def read(source: Any, columns: Columns | None = None) -> list[Row]:
    """All rows of a source, from its beginning."""
    return [row for one in opened(source, columns) for _, row in one.rows()]


@cache
def embedded() -> Mixtral:
    model = mv.load("8x7m")
    assert isinstance(model, Mixtral)
    return model


def reading_model(seed: int = 0, scale: float = 6.0, **changes: Any) -> Mixtral:
    """A small random model in memory that reads with 8x7m's tokenizer."""
    vocabulary = embedded().config.vocab_size
    model = random_model(small_config(vocab_size=vocabulary, **changes), seed, scale)
    model.tokenizer = embedded().tokenizer
    return model


def inline(source: Any, out: Path, model: Any = None, **options: Any) -> mv.TraceDataset:
    """A corpus recorded in this process, by 8x7m unless another model is given."""
    return mv.record_corpus(model or embedded(), source, out, engine="inline", **options)


def names(data: mv.TraceDataset) -> list[str]:
    return [part.shard.name for part in data.parts]


def assert_same(a: Trace, b: Trace, within: float = 0.0) -> None:
    """Every array equal; logits, gates and losses within so much."""
    for name in ("token_ids", "spans", "special", "generated", "experts"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("router_logits", "gates", "loss"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            assert np.array_equal(np.isnan(x), np.isnan(y)), name
            assert np.allclose(x, y, rtol=0, atol=within, equal_nan=True), name
    assert list(a.tokens) == list(b.tokens)


def bounds(trace: Trace) -> Sequence[tuple[str, int, int]]:
    return [(prompt.text, prompt.start, prompt.stop) for prompt in trace.prompts]


def texts(documents: Rows) -> list[str]:
    return [row["text"] for row in documents]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every shard's file, when it was written and which it is."""
    found = {path: path.stat() for path in (folder / "shards").rglob("*.safetensors")}
    return {path.name: (said.st_mtime_ns, said.st_ino) for path, said in found.items()}


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(TEMPORARY)]


def whole(data: mv.TraceDataset) -> Trace:
    return Trace.join(list(data))


def from_every_mark(source) -> None:
    """Reading from any mark is reading from the start, also where a worker does it."""
    whole = list(source.rows())
    for n, (mark, _) in enumerate(whole):
        mark = json.loads(json.dumps(mark))  # as the plan keeps it
        rest = [row for _, row in whole[n:]]
        assert [row for _, row in source.rows(n, mark)] == rest
        if (portion := source.portion(n, 2)) is not None:
            assert [row for _, row in islice(portion.rows(n, mark), 2)] == rest[:2]
