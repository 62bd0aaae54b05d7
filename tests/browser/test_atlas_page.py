# SPDX-License-Identifier: Apache-2.0
"""The atlas in a browser: the grid and the search show what its tables hold, and lead on."""

from __future__ import annotations

import re

import pytest

from moe_viz.view.atlas.page import save_atlas
from tests.browser.atlas_seen import (
    FOUND,
    by_cell,
    check_grid,
    findings,
    loads,
    mark,
    of_label,
    percent,
    shown,
    takers_of_piece,
)
from tests.browser.atlases import PIECES, made
from tests.browser.conftest import until

pytestmark = pytest.mark.browser


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
