# SPDX-License-Identifier: Apache-2.0
"""The atlas in a browser: the grid, the entries and the search show what its tables hold."""

from __future__ import annotations

import re
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from moe_viz.analysis import Finding
from moe_viz.analysis.atlas import Atlas
from moe_viz.view.atlas.page import save_atlas
from moe_viz.view.atlas.words import sentences
from tests.browser.atlases import LABELS, PIECES, made
from tests.browser.conftest import drawn, listen, until
from tests.browser.hostile import HOSTILE_STRINGS
from tests.browser.seen import cividis, near, picture, rgb

pytestmark = pytest.mark.browser

#: Every table of an entry: its name, and the texts of its rows' cells.
TABLES = """() => Object.fromEntries([...document.querySelectorAll('.folds details')].map((d) =>
  [d.className, [...d.querySelectorAll('tbody tr')].map((r) =>
    [...r.cells].map((c) => c.textContent.replaceAll('\\u00a0', ' ')))]))"""
#: Rows of what was found: of each table its links' addresses, shares and marks.
FOUND = """() => [...document.querySelectorAll('.found table')].map((table) =>
  [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll('a')].map((a) =>
    [a.getAttribute('href'), a.querySelector('.share').textContent.replace('\\u00a0', ' '),
      a.querySelector('.dot').textContent])))"""


@contextmanager
def shown(browser, path, hash="", **options):
    """A page of an atlas from the disk; nothing of it may fail, or ask for anything outside."""
    context = browser.new_context(**{"viewport": {"width": 1366, "height": 900}} | options)
    noise, page = listen(context), context.new_page()
    page.goto(path.as_uri() + hash)
    page.locator("h1").wait_for()
    drawn(page)
    yield page
    context.close()
    assert noise.errors == []
    assert noise.outside("file:") == []


def percent(share: float) -> str:
    """Worked out here: whole numbers from 10 %, else one digit; of very little, two."""
    value = 100 * share
    if value < 0.1:
        return f"{value:.2g} %" if share else "0 %"
    step = Decimal("1" if value >= 9.95 else "0.1")
    return f"{Decimal(value).quantize(step, ROUND_HALF_UP)} %"


def loads(atlas: Atlas) -> np.ndarray:
    """Share of all tokens, (L, E), from the table of loads by label."""
    table, shape = atlas["load"], (-1, len(atlas.layers), atlas.experts)
    share, weight = (table[n].reshape(shape).astype(float) for n in ("share", "assignments"))
    return (share * weight).sum(0) / weight.sum(0)


def findings(atlas: Atlas) -> np.ndarray:
    """How much was found of each expert that is strong, (L, E): half as much again as beside it,
    and more than any of the twin's experts.
    """
    counts = np.zeros((len(atlas.layers), atlas.experts), int)
    for name in ("pieces", "kinds", "labels", "places"):
        for row in atlas[name].rows():
            strong = row["found"]
            if name == "kinds":
                strong &= row["share"] >= 1.5 * row["random"] and not row["twin"] >= row["share"]
            elif name != "pieces":
                above, twins = row["share"] - row["rest"], row["twin"] - row["twin_rest"]
                strong &= row["share"] >= 1.5 * row["rest"] and not twins >= above
            counts[(int(row["layer"]) - 1) // 2, int(row["expert"])] += bool(strong)  # 1, 3, 5 …
    return counts


def mark(row: dict) -> str:
    """The mark of a row, worked out here: ● more, ○ some expert of the twin takes as much, ▽ less.

    Without a twin, which is NaN, nothing is as much.
    """
    share, twin = row["share"], row["twin"]
    if "rest" in row:
        share, twin = share - row["rest"], twin - row["twin_rest"]
    if not row["found"]:
        return ""
    if "rest" in row and share < 0:
        return "▽"
    return "○" if twin >= share else "●"


def q_said(row: dict) -> str:
    """What the cell of q says; a single rate that would do is not enough."""
    q = row["q"]
    if np.isnan(q):
        return "–"
    said = "< 0.001" if q < 0.001 else f"{q:.2g}"
    return said if mark(row) or q > 0.05 else f"{said} not in both halves"


def of_label(atlas: Atlas, label: str) -> list[list[dict]]:
    """A label's rows, by layer and expert."""
    rows = {(r["layer"], r["expert"]): r for r in atlas["labels"].where(label=label).rows()}
    return [[rows[layer, e] for e in range(atlas.experts)] for layer in atlas.layers]


def by_cell(atlas: Atlas, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a label, (L, E) each: shares, the rest's, and what is found to be more, and more than the
    twin's.
    """
    table, shape = atlas["labels"].where(label=label), (len(atlas.layers), atlas.experts)
    share, rest = (np.asarray(table[n], float).reshape(shape) for n in ("share", "rest"))
    return share, rest, np.array([[mark(r) == "●" for r in row] for row in of_label(atlas, label)])


def diverging(loads: np.ndarray, even: float) -> np.ndarray:
    """Colours of loads: as far to one side for twice as for half to the other."""
    with np.errstate(divide="ignore"):
        steps = np.log2(loads.round(4) / even)
    furthest = np.abs(steps[np.isfinite(steps)]).max()
    span = next(np.log2(n) for n in (1.5, 2, 4, 8, 16, 1e9) if np.log2(n) >= furthest)
    span = min(span, 4)
    less, middle, more = rgb("#b35806"), rgb("#f7f7f7"), rgb("#542788")
    x = np.clip(steps / span, -1, 1)[..., None]
    return middle + np.maximum(x, 0) * (more - middle) + np.maximum(-x, 0) * (less - middle)


@pytest.fixture(scope="module", params=[(6, 8, 2), (4, 64, 8), (4, 256, 8)], ids=str)
def one(request, browser, tmp_path_factory):
    """An atlas of each size, and its open page."""
    atlas = made(*request.param)
    path = save_atlas(atlas, tmp_path_factory.mktemp("atlas") / "page.html")
    with shown(browser, path) as page:
        yield atlas, page


@pytest.mark.parametrize("choice", ["load", "1", "found"])
def test_colours_and_dots_of_the_grid_are_the_tables_numbers(one, choice):
    atlas, page = one
    check_grid(atlas, page, choice)


def check_grid(atlas: Atlas, page, choice: str) -> None:
    """Hold every cell's pixels against the tables."""
    L, E = len(atlas.layers), atlas.experts
    page.get_by_label("What colours show").select_option(choice)
    drawn(page)
    pixels = picture(page.locator("canvas").evaluate("c => c.toDataURL()"))
    w, t = pixels.shape[1] // E, pixels.shape[0] // L
    assert (w * E, t * L) == (pixels.shape[1], pixels.shape[0])
    assert min(w, t) >= 4
    y, x = np.mgrid[0:L, 0:E]
    if choice == "load":
        expected, dots = diverging(loads(atlas), atlas.choices / E), findings(atlas) > 0
    elif choice == "found":
        counts = findings(atlas)
        expected = np.array([[cividis(n / counts.max()) for n in row] for row in counts])
        dots = counts > 0
    else:
        share, _, dots = by_cell(atlas, LABELS[int(choice)])
        expected = np.array([[cividis(s / share.max()) for s in row] for row in share])
    assert 0 < dots.sum() < dots.size
    near(pixels[y * t, x * w], expected, 2.5)
    # In the middle, or in front of a number.
    centre = pixels[y * t + t // 2, x * w + (12 if w >= 64 else w // 2)]
    black_or_white = (centre.max(axis=2) < 40) | (centre.min(axis=2) > 250)
    assert np.array_equal(black_or_white, dots)


def test_a_cell_is_read_by_pointer_and_by_keys_and_opens_by_both(browser, tmp_path):
    atlas = made(16, 64, 8)
    with shown(browser, save_atlas(atlas, tmp_path / "page.html")) as page:
        canvas, said = page.locator("canvas"), page.locator(".cell [aria-live]")
        box = canvas.bounding_box()
        w, t = box["width"] / 64, box["height"] / 16

        def says(row: int, e: int) -> str:
            n = findings(atlas)[row, e]
            return (
                f"Layer {2 * row + 1}, expert {e}: {percent(loads(atlas)[row, e])} of all tokens "
                f"(even: 13 %); {n} strong {'finding' if n == 1 else 'findings'}."
            ).replace(" %", "\u00a0%")

        canvas.hover(position={"x": 40.5 * w, "y": 9.5 * t})
        assert said.inner_text() == says(9, 40)
        canvas.focus()
        for keys, cell in (
            (["ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"], (1, 1)),
            (["End"], (1, 63)), (["PageDown"], (11, 63)), (["PageDown"], (15, 63)),
            (["Home"], (15, 0)), (["Control+End"], (15, 63)), (["PageUp", "ArrowUp"], (4, 63)),
        ):  # fmt: skip
            for key in keys:
                page.keyboard.press(key)
            assert said.inner_text() == says(*cell), keys
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Expert 63 of layer 9").wait_for()
        assert page.evaluate("location.hash") == "#9/63"
        assert page.evaluate("document.activeElement.textContent") == "Expert 63 of layer 9"
        page.go_back()
        until(lambda: page.evaluate("document.activeElement.tagName") == "CANVAS")
        assert said.inner_text() == says(4, 63)
        canvas.click(position={"x": 7.5 * w, "y": 2.5 * t})
        page.get_by_role("heading", name="Expert 7 of layer 5").wait_for()
        for name, hash in {"← expert 6": "#5/6", "↑ layer 3": "#3/6", "expert 7 →": "#3/7",
                           "↓ layer 5": "#5/7"}.items():  # fmt: skip
            page.get_by_role("link", name=name).click()
            until(lambda hash=hash: page.evaluate("location.hash") == hash)
            page.locator("p.said", has_text=f"of layer {hash[1]}").wait_for()
        page.go_back()
        page.get_by_role("heading", name="Expert 7 of layer 3").wait_for()
        page.get_by_role("link", name="All experts").click()
        canvas.wait_for()
        page.get_by_label("Layer", exact=True).select_option("31")
        page.get_by_label("Expert", exact=True).fill("63")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("heading", name="Expert 63 of layer 31").wait_for()
        ends = page.locator("nav a[aria-disabled]").all_inner_texts()
        assert ends == ["last →", "↓ end"]


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


def test_an_expert_is_found_by_its_numbers(one):
    _, page = one
    page.evaluate("location.hash = ''")
    field = page.get_by_role("combobox", name="Find a piece")
    field.fill("layer 5")
    options = page.locator(".combo [role=option]")
    assert options.first.inner_text() == "expert 0 of layer 5\nexpert"
    page.keyboard.press("Enter")
    page.locator(".named a", has_text="expert 3 of layer 5").click()
    page.get_by_role("heading", name="Expert 3 of layer 5").wait_for()
    field.fill("(5, 6)")
    assert options.all_inner_texts() == ["expert 6 of layer 5\nexpert"]
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Expert 6 of layer 5").wait_for()
    page.evaluate("location.hash = ''")
    field.fill("")
    until(lambda: page.locator(".results").is_hidden())


def takers_of_piece(atlas: Atlas, piece: str) -> list[list[list]]:
    """Worked out from the atlas: of each layer the three experts that take most."""
    rows, v = [], atlas.spelled.index(piece)
    found = atlas["pieces"].where(piece=piece, found=True)
    sure = set(zip(found["layer"].tolist(), found["expert"].tolist(), strict=True))
    for layer, shares in zip(atlas.layers, atlas.shares, strict=True):
        best = sorted(range(atlas.experts), key=lambda e: (-shares[v, e], e))[:3]
        rows.append([
            [f"#{layer}/{e}", percent(round(float(shares[v, e]), 3)),
             "●" if (layer, e) in sure else ""]
            for e in best if shares[v, e] >= 0.0005
        ])  # fmt: skip
    return rows


def test_a_search_finds_who_takes_a_piece_and_a_label(one):
    atlas, page = one
    field = page.get_by_role("combobox", name="Find a piece, a label or an expert")
    field.fill("the")
    page.locator(".combo [role=option]").first.wait_for()
    page.wait_for_timeout(400)
    assert page.locator(".results").is_hidden()  # the list would cover it
    page.keyboard.press("Enter")
    assert page.locator(".combo ul").is_hidden()
    until(lambda: len(page.evaluate(FOUND)) == 2 and len(page.evaluate(FOUND)[1][-1]))
    found = page.evaluate(FOUND)
    assert found == [takers_of_piece(atlas, "␣the"), takers_of_piece(atlas, "the")]
    assert any(sign for table in found for row in table for _, _, sign in row)
    assert page.evaluate("location.hash") == "#any/the"
    field.fill(" the")
    page.keyboard.press("Enter")
    until(lambda: page.evaluate(FOUND) == [takers_of_piece(atlas, "␣the")])
    # By the list: "fr" is a label and a piece; the label comes first.
    field.fill("fr")
    options = page.locator(".combo [role=option]")
    assert options.all_inner_texts() == ["fr\nlabel", "fr\n993 times"]
    page.keyboard.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("location.hash") == "#label/fr")
    share, rest, _ = by_cell(atlas, "fr")
    rows, expected = of_label(atlas, "fr"), []
    for row, layer in enumerate(atlas.layers):
        best = sorted(range(atlas.experts), key=lambda e: rest[row, e] - share[row, e])[:3]
        expected.append([
            [f"#{layer}/{e}", percent(share[row, e]), mark(rows[row][e])]
            for e in best if share[row, e] > rest[row, e]
        ])  # fmt: skip
    until(lambda: page.evaluate(FOUND) == [expected])
    assert {"●", "○"} & {sign for row in expected for _, _, sign in row}
    link = page.locator(".taker").first
    link.click()
    page.get_by_role("heading", name=re.compile("^Expert")).wait_for()
    assert page.evaluate("location.hash") == expected[0][0][0]
    page.go_back()
    until(lambda: page.evaluate(FOUND) == [expected])
    assert field.input_value() == "fr"
    field.fill("nothing")
    page.get_by_text("Nothing is spelled “nothing” here.").wait_for()
    field.fill("")
    until(lambda: page.locator(".results").is_hidden())
    assert PIECES[7] == "fr"


@pytest.mark.parametrize("piece", ["⏎", "␣", "("])
def test_a_piece_of_an_entry_leads_to_its_search(one, piece):
    atlas, page = one
    table = atlas["pieces"].where(piece=piece)
    layer, expert = int(table["layer"][0]), int(table["expert"][0])
    page.evaluate("hash => (location.hash = hash)", f"#{layer}/{expert}")
    page.get_by_role("heading", name=f"Expert {expert} of layer {layer}").wait_for()
    page.locator("details.pieces").evaluate("d => (d.open = true)")
    page.locator("details.pieces").get_by_role("link", name=piece, exact=True).click()
    until(lambda: page.evaluate(FOUND) == [takers_of_piece(atlas, piece)])
    page.evaluate("location.hash = ''")
    until(lambda: page.locator(".results").is_hidden())


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
