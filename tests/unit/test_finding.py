# SPDX-License-Identifier: Apache-2.0
"""A finding leaves as CSV, JSON, HTML and Arrow with the same numbers, and its text stays text."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from moe_viz.analysis.finding import Finding
from tests.browser.hostile import HOSTILE, HOSTILE_STRINGS

NAMES = ["plain", 'a, "quoted" one', "two\nlines", "<b>bold</b> & more", HOSTILE, ""]
N = len(NAMES)
TITLE, COUNTED = "mine · bfloat16 · Q4_K <b>", "pairs & tokens"


@pytest.fixture
def found() -> Finding:
    rng = np.random.default_rng(0)
    share = rng.uniform(0, 1, N)
    share[1:4] = np.nan, np.inf, 1 / 3
    columns = {
        "layer": np.arange(N) * 3, "label": np.array(NAMES, object), "share": share,
        "tokens": np.array([1, 9_999, 10_000, 46_702_792_704, 5, 6]),
        "loss": np.array([1234.5678, 0.000123456, -2.5, 999.94, 1e-9, -1e7]),
        "documents": np.array([30, 20, 21, 30, 30, 30]), "low": share - 0.1,
    }  # fmt: skip
    return Finding("load, <i>first</i>", TITLE, COUNTED, columns, ("A note, with <u>.", "Another."))


def test_csv_reads_back_to_the_last_digit_under_lines_that_say_what_it_is(found):
    text = found.csv()
    assert text.splitlines()[:4] == [
        f"# load, <i>first</i>: {TITLE}", f"# counted: {COUNTED}", "# A note, with <u>.",
        "# Another.",
    ]  # fmt: skip
    head, *rows = csv.reader(io.StringIO(text.split("\n", 4)[4], newline=""))
    assert head == list(found.columns)
    assert len(rows) == N
    for name, cells in zip(head, zip(*rows, strict=True), strict=True):
        if name == "label":
            assert list(cells) == NAMES
        else:
            np.testing.assert_array_equal(np.array(cells, float), found[name].astype(float))


def test_json_has_every_number_and_null_where_there_is_none(found):
    plain = json.loads(
        json.dumps(found.to_json(), allow_nan=False), parse_constant=lambda n: pytest.fail(n)
    )
    said = {"name": found.name, "title": TITLE, "counted": COUNTED, "notes": list(found.notes)}
    assert {key: value for key, value in plain.items() if key != "columns"} == said
    assert list(plain["columns"]) == list(found.columns)
    for name, values in plain["columns"].items():
        for value, own in zip(values, found[name].tolist(), strict=True):
            missing = isinstance(own, float) and not np.isfinite(own)
            assert value == (None if missing else own)


class Table(HTMLParser):
    """The cells of a table, its caption, and every tag and attribute."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.rows, self.tags, self.caption, self.after = [], [], "", ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        tag = self.tags[-1][0]
        if tag == "caption":
            self.caption += data
        elif tag == "p":
            self.after += data
        else:
            self.rows[-1][-1] += data


def test_html_shows_three_digits_and_whole_counts_and_its_text_is_text(found):
    table = Table(found.to_html())
    head, *rows = table.rows
    assert head == list(found.columns)
    assert [row[1] for row in rows] == NAMES
    assert [row[3] for row in rows] == ["1", "9999", "10,000", "46,702,792,704", "5", "6"]
    assert [row[4] for row in rows] == [
        "1,235", "0.000123", "-2.5", "1e+03", "1e-09", "-10,000,000"]  # fmt: skip
    assert [row[2] for row in rows][1:4] == ["–", "–", "0.333"]
    assert table.caption == f"{found.name} · {TITLE}"
    assert table.after == f"Counted: {COUNTED}. A note, with <u>. Another."
    allowed = {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert {tag for tag, *_ in table.tags} == allowed
    assert {tag for tag in table.tags if len(tag) > 1} == {("th", ("scope", "col"))}


@pytest.mark.parametrize(("limit", "shown"), [(2, 2), (6, 6), (24, 6), (None, 6)])
def test_rows_that_do_not_stand_there_are_counted(found, limit, shown):
    table = Table(found.to_html(limit))
    assert len(table.rows) == 1 + shown
    assert (f"{N - shown} more rows." in table.after) == (shown < N)
    assert [row[1] for row in table.rows[1:]] == NAMES[:shown]
    assert len(Table(found._repr_html_()).rows) == 1 + N


def test_hostile_names_and_titles_add_no_tag():
    columns = {"label": np.array(HOSTILE_STRINGS, object), "n": np.arange(len(HOSTILE_STRINGS))}
    columns |= {name: np.zeros(len(HOSTILE_STRINGS)) for name in HOSTILE_STRINGS[:3]}
    hostile = Finding(HOSTILE, HOSTILE, HOSTILE, columns, (HOSTILE,))
    table = Table(hostile.to_html(None))
    assert {tag for tag, *_ in table.tags} <= {
        "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}  # fmt: skip
    assert {tag for tag in table.tags if len(tag) > 1} == {("th", ("scope", "col"))}


def test_arrow_has_the_columns_and_says_what_they_are(found):
    pytest.importorskip("pyarrow")
    table = found.table()
    assert table.column_names == list(found.columns)
    for name in found.columns:
        values = table[name].to_pylist()
        if name == "label":
            assert values == NAMES
        else:
            np.testing.assert_array_equal(np.array(values, float), found[name].astype(float))
    said = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert said == {"name": found.name, "title": TITLE, "counted": COUNTED,
                    "notes": "A note, with <u>.\nAnother."}  # fmt: skip


def test_few_documents_are_said_and_only_they(found):
    assert not found.few
    fewer = dict(found.columns)
    fewer["documents"] = np.array([30, 19, 21, 30, 30, 30])
    few = Finding(found.name, TITLE, COUNTED, fewer)
    assert few.few
    assert "FEW DOCUMENTS" in repr(few)
    assert "FEW" not in repr(found)
    assert repr(found).startswith(f"<{found.name} of {TITLE}: 6 rows (layer, label, share, ")
