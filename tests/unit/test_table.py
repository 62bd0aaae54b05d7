# SPDX-License-Identifier: Apache-2.0
"""A small table: what it shows, in HTML and in plain text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.charts.table import STRONGEST

ROWS = {
    ("8x7m", "en"): np.array([0.031, 0.785]),
    ("8x7m", "de <b>"): [0.5, np.nan],
    ("twin", "en"): [0.062, "as & is"],
}


def html(*args, **options) -> Any:
    return BeautifulSoup(mv.table(*args, **options).to_html(), "html.parser")


def test_it_shows_names_numbers_and_words():
    soup = html(ROWS, ["first", 2], "A <title>", note="a & note", form=".0%")
    lines = [[c.text for c in row.find_all(["th", "td"])] for row in soup.find_all("tr")]
    assert lines == [
        ["", "first", "2"],
        ["8x7m", "en", "3%", "78%"],
        ["", "de <b>", "50%", "–"],  # a group is named once
        ["twin", "en", "6%", "as & is"],
    ]
    assert soup.caption.text == "A <title>"
    assert soup.p.text == "a & note"
    assert soup.td["colspan"] == "2"
    assert [th["scope"] for th in soup.select("thead th")] == ["col", "col"]
    assert {th["scope"] for th in soup.select("tbody th")} == {"row"}


def test_its_text_has_numbers_below_each_other():
    table = mv.table({"a": [1.5, 20], "longer": [100.25, 3]}, ["x", "y"], "T", form=[".1f", "d"])
    assert repr(table) == "T\n            x   y\na         1.5  20\nlonger  100.2   3"


@pytest.mark.parametrize(
    ("shade", "shares"),
    [("all", [0.5, 1, 0.25, 0]), ("rows", [0.5, 1, 1, 0]), ("columns", [1, 1, 0.5, 0])],
)
def test_cells_are_shaded_by_their_size(shade, shares):
    soup = html({"a": [-2, 4], "b": [1, 0]}, ["x", "y"], shade=shade)
    looks = [td.get("style", "/ 0)") for td in soup.select("tbody td")]
    assert [float(re.findall(r"/ ([\d.]+)\)", look)[0]) for look in looks] == pytest.approx(
        [STRONGEST * s for s in shares], abs=0.006
    )
    assert not html({"a": [1, 2]}, ["x", "y"]).select("[style]")


def test_the_row_that_matters_is_marked():
    def marked(mark):
        return [row.th.text for row in html({"a": [1], "b": [2]}, ["x"], mark=mark).select(".mark")]

    assert marked("b") == ["b"]
    assert marked(["a", "b"]) == ["a", "b"]
    assert marked(None) == []
    assert len(html(ROWS, ["x", "y"], mark=("twin", "en")).select(".mark")) == 1


@pytest.mark.parametrize(
    ("rows", "options", "why"),
    [
        ({}, {}, "needs rows"),
        ({"a": [1, 2]}, {}, r"needs 1 values, one for each column; \{'a': 2\}"),
        ({"a": [1], ("b", "c"): [1]}, {}, "named alike"),
        ({"a": [1]}, {"form": ["d", "d"]}, "one entry for each of 1 columns"),
        ({"a": [1]}, {"shade": "some"}, "shade must be one of"),
        ({"a": [1]}, {"mark": "b"}, r"mark names no row: \['b'\]; there are \['a'\]"),
    ],
)
def test_what_makes_no_table_is_refused(rows, options, why):
    with pytest.raises(InputError, match=why):
        mv.table(rows, ["x"], **options)
