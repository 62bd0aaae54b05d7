# SPDX-License-Identifier: Apache-2.0
"""Datasets written as tables, a file for each shard, which others read as one."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from .conftest import GIVEN


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
