# SPDX-License-Identifier: Apache-2.0
"""Keys, clicks and selects move what they should, and the rings stand where that is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.conftest import drawn, until
from tests.browser.seen import looking, synthetic

pytestmark = pytest.mark.browser
LAYERS = (2, 5, 9)
#: Layer, token in words, sentence, and the rings, as drawn now.
WHERE = """() => {
  const root = document.querySelector('.moe-viz').shadowRoot, box = (e) => {
    const { left, top, width, height } = e.getBoundingClientRect();
    const from = root.querySelector('.stack').getBoundingClientRect();
    return e.checkVisibility() ? [left - from.left, top - from.top, width, height] : null;
  };
  return { layer: root.querySelector('header b').innerText,
    range: Number(root.querySelector('input[type=range]').value),
    ringed: [...root.querySelectorAll('.tok.chosen')].map((e) => e.innerText.trim()),
    sentence: root.querySelector('.sentence').textContent,
    here: [...root.querySelectorAll('.axis .here')].map((e) => e.innerText),
    cell: box(root.querySelector('.ring.cell')), row: box(root.querySelector('.ring.row')),
    column: box(root.querySelector('.ring.column')),
    size: [root.querySelector('.stack').offsetWidth, root.querySelector('.stack').offsetHeight] };
}"""


@pytest.fixture(scope="module")
def trace():
    return synthetic(layers=LAYERS)


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory, trace):
    with looking(browser, tmp_path_factory.mktemp("seen")) as look:
        yield look(trace, layer=5, token=7)


@pytest.fixture(autouse=True)
def at_the_middle(page, trace):
    page.evaluate("location.hash = '#prompt=1'")
    # Given again until it holds: the page may write its own address between two of ours.
    begins = f"In layer {LAYERS[1]}, ‘{trace.tokens[7]}’ goes"

    def there() -> bool:
        page.evaluate("location.hash = '#prompt=0&layer=5&token=7&mode=first'")
        drawn(page)
        return page.evaluate(WHERE)["sentence"].startswith(begins)

    until(there)
    page.locator("footer").hover()  # off the map, which would preview what is under the pointer
    page.locator(".mv").focus()
    # An address is read when its event comes, and a busy page may be clicked on before that.
    is_at(page, trace, 1, 7)


def is_at(page, trace, row: int, t: int, pinned: tuple[int, int] | None = None) -> None:
    """Wait until a decision is spoken of and ringed; pinned is what the header says."""
    n, words = trace.prompts[0].stop, f"In layer {LAYERS[row]}, ‘{trace.tokens[t]}’ goes"
    until(lambda: page.evaluate(WHERE)["sentence"].startswith(words))
    now = page.evaluate(WHERE)
    word = trace.tokens[t].replace("␣", "")
    assert now["ringed"] == [word]
    assert now["layer"] == str(LAYERS[pinned[0] if pinned else row])
    assert now["range"] == (pinned[0] if pinned else row)
    assert now["here"] == [str(LAYERS[row])]
    wide, tall = now["size"][0] / n, now["size"][1] / len(LAYERS)
    assert now["cell"] == pytest.approx([t * wide, row * tall, wide, tall], abs=1)
    assert now["row"] == pytest.approx([0, row * tall, n * wide, tall], abs=1)
    assert now["column"] == pytest.approx([t * wide, 0, wide, tall * len(LAYERS)], abs=1)


def cell(page, row: int, t: int, down: float = 0.5) -> dict[str, float]:
    wide, tall = page.evaluate(WHERE)["size"]
    return {"x": (t + 0.5) * wide / 12, "y": (row + down) * tall / 3}


@pytest.mark.parametrize(
    ("keys", "row", "t"),
    [
        ("", 1, 7),
        ("ArrowRight", 1, 8),
        ("ArrowLeft", 1, 6),
        ("ArrowDown", 2, 7),
        ("ArrowUp", 0, 7),
        ("ArrowUp ArrowUp", 0, 7),
        ("ArrowDown ArrowDown ArrowLeft ArrowLeft ArrowLeft", 2, 4),
        ("ArrowRight " * 20, 1, 11),
        ("ArrowLeft " * 20, 1, 0),
    ],
)
def test_arrows_move_by_one_token_or_layer_and_stop_at_the_ends(page, trace, keys, row, t):
    is_at(page, trace, 1, 7)
    for key in keys.split():
        page.keyboard.press(key)
    is_at(page, trace, row, t)


@pytest.mark.parametrize(("row", "t"), [(0, 3), (2, 10), (1, 0)])
def test_a_click_on_a_cell_pins_its_layer_and_its_token(page, trace, row, t):
    page.locator(".stack .marks").click(position=cell(page, row, t))
    page.locator("footer").hover()
    is_at(page, trace, row, t)


@pytest.mark.parametrize("down", [0.1, 0.9])
def test_a_cell_reaches_from_the_top_of_its_row_to_the_bottom(page, trace, down):
    for row in (0, 2, 1):
        page.locator(".stack .marks").click(position=cell(page, row, 3, down))
        page.locator("footer").hover()
        is_at(page, trace, row, 3)


def test_the_pointer_on_a_cell_previews_it_and_leaves_the_pinned_one(page, trace):
    is_at(page, trace, 1, 7)
    page.locator(".stack .marks").hover(position=cell(page, 2, 3))
    is_at(page, trace, 2, 3, pinned=(1, 7))
    page.locator("footer").hover()
    is_at(page, trace, 1, 7)


def test_the_way_through_the_layers_and_the_slider_change_the_layer(page, trace):
    page.locator(".path button").nth(2).click()
    is_at(page, trace, 2, 7)
    page.locator("input[type=range]").fill("0")
    is_at(page, trace, 0, 7)


def test_a_click_on_a_word_pins_it(page, trace):
    page.locator(".tok").nth(9).click()
    page.locator("footer").hover()
    is_at(page, trace, 1, 9)


def test_a_number_isolates_its_expert_and_escape_lets_all_back(page, trace):
    pressed, faded = page.locator(".swatch[aria-pressed=true]"), page.locator(".tok.faded")
    for e in (3, 6):
        page.keyboard.press(str(e))
        until(lambda e=e: pressed.all_inner_texts() == [str(e)])
        without = [t for t in range(12) if e not in trace.experts[1, t].tolist()]
        words = [trace.tokens[t].replace("␣", "") for t in without]
        until(lambda w=words: [x.strip() for x in faded.all_inner_texts()] == w)
    plain = """e => { const { color, backgroundImage, backgroundColor } = getComputedStyle(e);
      return [color, backgroundImage, backgroundColor]; }"""
    muted = ["rgb(91, 101, 112)", "none", "rgba(0, 0, 0, 0)"]
    until(lambda: faded.first.evaluate(plain) == muted)
    page.keyboard.press("6")  # again: all are back
    until(lambda: pressed.count() == faded.count() == 0)
    page.locator(".swatch").nth(2).click()
    until(lambda: pressed.all_inner_texts() == ["2"])
    page.locator("footer").hover()
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    until(lambda: pressed.count() == faded.count() == 0)


def test_another_prompt_opens_at_its_first_word(page, trace):
    page.locator("select[aria-label=Label]").select_option("fr")
    first = trace.prompts[1].start + 1
    words = f"In layer 5, ‘{trace.tokens[first]}’ goes"
    until(lambda: page.evaluate(WHERE)["sentence"].startswith(words))
    offered = page.locator("select[aria-label=Prompt] option").all_inner_texts()
    assert offered == [trace.prompts[1].text.strip()]
    shown = [word.strip() for word in page.locator(".text .tok").all_inner_texts()]
    own = trace.tokens[trace.prompts[1].start : trace.prompts[1].stop]
    assert shown == [piece.replace("␣", "") for piece in own]
    generated = page.locator(".text .tok.generated").all_inner_texts()
    assert generated == []
    page.evaluate("location.hash = '#prompt=2'")
    until(lambda: page.locator(".text .tok").count() == 7)
    generated = [word.strip() for word in page.locator(".text .tok.generated").all_inner_texts()]
    assert generated == [t.replace("␣", "") for t in np.array(trace.tokens)[trace.generated]]
