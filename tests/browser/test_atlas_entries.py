# SPDX-License-Identifier: Apache-2.0
"""Entries of the atlas: every table of an expert, its marks, what it says where there is none."""

from __future__ import annotations

import re

import numpy as np
import pytest

from moe_viz.analysis import Finding
from moe_viz.view.atlas.page import save_atlas
from moe_viz.view.atlas.words import sentences
from tests.browser.atlas_seen import TABLES, mark, percent, q_said, shown
from tests.browser.atlases import LABELS, made
from tests.browser.conftest import until
from tests.browser.hostile import HOSTILE_STRINGS

pytestmark = pytest.mark.browser


def test_an_entry_holds_its_rows_of_every_table(browser, tmp_path):
    atlas = made(3, 8)
    with shown(browser, save_atlas(atlas, tmp_path / "page.html"), "#3/5") as page:
        page.locator("p.said").wait_for()
        said = page.locator("p.said").inner_text()
        assert said.replace("\u00a0", " ") == sentences(atlas, 3, 5)
        assert page.locator("mark").all_inner_texts() == ["token"] * 2
        bars = page.locator(".loads tbody tr").all()
        shares = atlas["load"].where(layer=3, expert=5)["share"]
        tokens = np.array([1000, 2000, 3000])  # of each label
        works = shares * tokens / (shares @ tokens)
        for bar, label, share, work in zip(bars, LABELS, shares, works, strict=True):
            assert bar.locator("bdi").inner_text() == label
            said = bar.locator("td").last.inner_text()
            assert said == percent(work).replace(" ", "\u00a0")
            assert bar.locator(".value").inner_text() == percent(share).replace(" ", "\u00a0")
            track, fill, even = (
                bar.locator(c).bounding_box() for c in (".track", ".fill", ".even")
            )
            assert fill["width"] / track["width"] == pytest.approx(share, abs=0.01)
            at = (even["x"] - track["x"]) / track["width"]
            assert at == pytest.approx(0.25, abs=0.01)
        tables = page.evaluate(TABLES)
        assert list(tables) == ["pieces", "kinds", "labels", "places", "before", "after",
                                "partners", "origins", "moves", "gates", "sure"]  # fmt: skip
        mine = {name: list(table.where(layer=3, expert=5).rows())
                for name, table in atlas.tables.items()}  # fmt: skip
        assert {t[0]: t[1:] for t in tables["pieces"]} == {
            mark(r) + r["piece"]: [
                percent(r["share"]), "30 of 60", percent(r["twin"]), "50 %, 25 %", q_said(r),
            ]
            for r in mine["pieces"]
        }  # fmt: skip
        assert {t[0]: t[1:] for t in tables["labels"]} == {
            mark(r) + r["label"]: [
                percent(r["share"]), percent(r["rest"]), f"{percent(r['twin'])} (25 %)", q_said(r),
            ]
            for r in mine["labels"]
        }  # fmt: skip
        above = [r["label"] for r in sorted(mine["labels"], key=lambda r: r["rest"] - r["share"])]
        assert [t[0].strip("●○▽") for t in tables["labels"]] == above
        share = percent(mine["kinds"][0]["share"])
        kind = mine["kinds"][0]
        digits = [f"{mark(kind)}digits", share, "20 %", "30 %", q_said(kind)]
        assert tables["kinds"] == [digits]
        assert tables["before"] == [[mine["neighbours"][0]["piece"], "9", "2.5"]]
        assert tables["after"] == [[mine["neighbours"][1]["piece"], "9", "2.5"]]
        for name, to, other in (("partners", "6 of layer 3", ["10 to 90 %", "20 %"]),
                                ("origins", "0 of layer 1", ["20 %"]),
                                ("moves", "7 of layer 5", ["10 to 90 %", "20 %"])):  # fmt: skip
            share = percent(mine[name][0]["share"])
            assert tables[name] == [[f"expert {to}", share, *other]]
        gates = page.locator("details.gates p").text_content()
        assert gates == (
            "Chosen 1,234 times. Gate: the weight that this expert’s output has among those chosen "
            "for the same token. Its median: 0.61. Margin: by how much the router’s number of the "
            "last expert chosen is above that of the next. The median of those choices: 0.27."
        )
        found = sum(r["found"] for r in mine["pieces"])
        said = page.locator("details.pieces summary").inner_text()
        assert said == f"Pieces {found} of 5 found"
        sure = page.locator("details.sure", has_text="How sure").last.locator("li").first
        assert sure.text_content().startswith(
            "The untrained twin, the same network with random weights, on the same texts: made-up"
        )


def test_empty_tables_say_why_and_no_twin_is_said(browser, tmp_path):
    atlas = made(2, 4, labels=("",), control="")
    for name in ("labels", "kinds", "pieces", "contexts"):
        atlas.tables[name] = atlas[name].where(expert=0)
    rows = {"layer": 1, "expert": 1, "label": "", "loss": 2.5, "change": -0.125, "low": -0.15,
            "high": -0.1, "p": 0.0001}  # fmt: skip
    atlas.tables["effects"] = Finding(
        "effects", "made-up", "made up", {name: np.array([value]) for name, value in rows.items()}
    )
    del atlas.tables["partners"]
    atlas.left_out["partners"] = "One choice has no partner."
    with shown(browser, save_atlas(atlas, tmp_path / "page.html")) as page:
        assert "No untrained twin stands beside it" in page.locator("header").inner_text()
        assert page.locator(".stamp").is_visible()
        assert page.locator("select").first.locator("option").count() == 2
        for hash, name, why in (
            ("#1/1", "origins", "This is the first layer that was recorded."),
            ("#3/1", "moves", "This is the last layer that was recorded."),
            ("#3/1", "partners", "One choice has no partner."),
            ("#3/1", "effects", "This expert was not switched off."),
            ("#3/1", "labels", "All documents have one label"),
            ("#3/1", "pieces", "It takes no piece that occurs 20 times or more"),
            ("#3/1", "kinds", "It takes no kind of pieces above random sets"),
        ):
            page.evaluate("hash => (location.hash = hash)", hash)
            page.get_by_role("heading", name=f"Expert 1 of layer {hash[1]}").wait_for()
            part = page.locator(f"details.{name}")
            assert part.locator("table").count() == 0
            assert why in part.text_content()
            ends = {"origins": "it is the first layer", "moves": "it is the last layer"}
            assert part.locator("summary").inner_text().endswith(ends.get(name, "none"))
        assert "It was never chosen" in page.locator(".top").inner_text()
        page.evaluate("location.hash = '#1/1'")
        page.get_by_role("heading", name="Expert 1 of layer 1").wait_for()
        effects = page.evaluate(TABLES)["effects"]
        assert effects == [["●(no label)", "2.500", "−0.125", "−0.150 to −0.100", "< 0.001"]]
        assert page.locator("details.effects summary").inner_text().endswith("1 of 1 found")
        page.evaluate("location.hash = '#7/1'")
        page.get_by_text("There is no expert 1 of layer 7 in this atlas.").wait_for()


def test_marks_in_a_table_tell_more_as_much_and_less_and_why_it_is_not_found(browser, tmp_path):
    atlas = made(1, 4, labels=("a", "b", "c", "d", "e"))
    n = 4 * 5
    columns = {**atlas["labels"].columns, "twin": np.full(n, 0.5), "twin_rest": np.full(n, 0.3),
               "rest": np.full(n, 0.4), "q": np.full(n, 0.01),
               "share": np.tile([0.9, 0.55, 0.1, 0.8, 0.7], 4),
               "found": np.tile([True, True, True, False, False], 4)}  # fmt: skip
    columns["q"][4::5] = 0.06
    atlas.tables["labels"] = Finding("labels", "made-up", "made up", columns)
    with shown(browser, save_atlas(atlas, tmp_path / "page.html"), "#1/1") as page:
        page.locator("p.said").wait_for()
        rows = {row[0]: row[-1] for row in page.evaluate(TABLES)["labels"]}
        assert rows == {"●a": "0.01", "d": "0.01 not in both halves", "e": "0.06", "○b": "0.01",
                        "▽c": "0.01"}  # fmt: skip
        assert page.locator("details.labels summary").inner_text() == "Labels 3 of 5 found"
        page.locator("details.labels").evaluate("d => (d.open = true)")
        signs = page.locator("details.labels [role=img]")
        assert [sign.get_attribute("aria-label") for sign in signs.all()] == [
            "found", "found, but some expert of the untrained twin takes as much",
            "found to take less",
        ]  # fmt: skip
        bars = page.locator("details.labels .share").all()
        assert [bar.get_attribute("style") for bar in bars] == [
            f"--share:{share}.00%" for share in (90, 80, 70, 55, 10)
        ]
        legend = page.locator(".legend").inner_text()
        assert all(sign in legend for sign in ("● found", "○ found", "▽ found", "q: "))


def test_hostile_names_are_text_wherever_they_stand(browser, tmp_path):
    hostile = [s for s in HOSTILE_STRINGS if len(s) < 4000]
    pieces = list(dict.fromkeys(["␣the", *hostile]))
    for n, said in enumerate([hostile[0], hostile[3], hostile[15]]):
        atlas = made(2, 8, labels=(said, "fr"), pieces=pieces, said=said)
        with shown(browser, save_atlas(atlas, tmp_path / f"{n}.html"), "#1/2") as page:
            page.locator("p.said").wait_for()
            page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
            assert page.locator(".words").first.text_content() == (
                f"…before{said} token{said}⏎after{said}{'…' if said[-1:].isalnum() else ''}"
            )
            assert page.locator(".document").first.text_content() == f"document{said}"
            assert page.locator(".chip").first.text_content() == said
            for piece in hostile:
                page.evaluate(
                    "text => { location.hash = '#piece/' + encodeURIComponent(text); }", piece
                )
                shows = re.sub("\r\n|\r|\n", "⏎", piece).replace("\t", "⇥")
                heading = page.locator(".found h2 .piece").first
                until(lambda at=heading, words=shows: at.text_content() == words)
            field = page.get_by_role("combobox", name="Find a piece")
            field.fill(said[:6])
            page.locator(".combo [role=option]").first.wait_for()
            assert page.evaluate("window.hacked") is None
            assert (
                page.locator(
                    "img, iframe, object, form:not(.goto), base, link:not([rel=icon])"
                ).count()
                == 0
            )
            assert page.title().startswith("Atlas of made-up")
