# SPDX-License-Identifier: Apache-2.0
"""`scale=` multiplies all type and everything drawn beside it, and nothing overflows."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from tests.browser.conftest import listen, until
from tests.browser.seen import MISFITS
from tests.conftest import random_model, small_config

pytestmark = pytest.mark.browser
PASSAGE = " ".join(["Two of eight experts work on every token, and a router picks them."] * 8)
LOOK = "#prompt=0&layer=2&mode=entropy"  # with a scale of colours in the legend

#: Sizes of type, and heights of what is no type.
SIZES = """() => {
  const root = document.querySelector('.moe-viz').shadowRoot, out = {};
  for (const name of ['h1, h2', '.tok', '.sentence', '.bars .n', '.bars .value', '.swatch', '.end',
                      '.axis span', '.path button', 'label', 'select', 'input', 'footer'])
    out[name] = parseFloat(getComputedStyle(root.querySelector(name)).fontSize);
  for (const name of ['.map canvas', '.overview', '.bars .track', '.gradient', '.text'])
    out[name] = root.querySelector(name).getBoundingClientRect().height;
  return out;
}"""
COLUMNS = """() => getComputedStyle(document.querySelector('.moe-viz').shadowRoot
  .querySelector('.body')).gridTemplateColumns.split(' ').length"""


@pytest.fixture(scope="module")
def traces():
    deep = small_config(layers=32, experts=8, hidden_size=16, expert_size=8, heads=4, kv_heads=2,
                        head_dim=4)  # fmt: skip
    return {
        "6 layers": mv.record(mv.load("8x7m"), [PASSAGE, "Good morning."], labels=["en", "en"]),
        "32 layers": mv.record(random_model(deep), [list(range(3, 99)) * 2]),
    }


def opened(browser, file, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    noise = listen(page.context)
    page.goto(file.as_uri() + LOOK)
    page.locator(".sentence:not(:empty)").wait_for()
    return page, noise


@pytest.mark.parametrize("which", ["6 layers", "32 layers"])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_all_type_grows_and_nothing_overflows(browser, tmp_path, traces, which, size):
    sizes = {}
    for scale in (1, 1.5, 2):
        file = mv.save_page(traces[which], tmp_path / f"{scale}.html", scale=scale)
        page, noise = opened(browser, file, size)
        until(lambda page=page: page.evaluate(MISFITS) == [])
        sizes[scale] = page.evaluate(SIZES)
        assert page.evaluate(COLUMNS) == (1 if scale == 2 else 2), "as many as have room"
        assert noise.errors == []
        page.close()
    for scale in (1.5, 2):
        for what, before in sizes[1].items():
            if what == ".text":  # as high as the window allows, in whole lines, five or more
                assert sizes[scale][what] >= min(before, 3 * sizes[scale][".tok"])
            else:
                assert sizes[scale][what] == pytest.approx(scale * before, rel=0.07), what
    assert min(size for name, size in sizes[1].items() if name != ".gradient") >= 11


def test_digits_of_the_map_grow_and_are_left_out_where_they_do_not_fit(browser, tmp_path, traces):
    """Digits are of 11 px and stand in cells of 12 px or more, at the usual size of type."""
    counting = """const draw = CanvasRenderingContext2D.prototype.fillText;
    window.drawn = [];
    CanvasRenderingContext2D.prototype.fillText = function (...said) {
      window.drawn.push(this.font); return draw.apply(this, said);
    };"""
    trace = traces["6 layers"].select(prompt=1)
    for scale, font in ((1, "600 11px"), (2, "600 22px")):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        context.add_init_script(counting)
        page = context.new_page()
        page.goto(mv.save_page(trace, tmp_path / "digits.html", scale=scale).as_uri())
        until(lambda page=page: page.evaluate("drawn.length") > 0)
        assert all(drawn.startswith(font) for drawn in page.evaluate("drawn"))
        context.close()
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.add_init_script(counting)
    page = context.new_page()
    many = traces["6 layers"].select(prompt=0)  # cells of some 4 px
    page.goto(mv.save_page(many, tmp_path / "digits.html", scale=2).as_uri())
    page.locator(".sentence:not(:empty)").wait_for()
    assert page.evaluate("drawn") == []
    context.close()


def test_the_address_says_the_scale_where_it_is_another_than_the_page_s(browser, tmp_path, traces):
    file = mv.save_page(traces["6 layers"], tmp_path / "page.html", scale=1.5)
    page, noise = opened(browser, file, (1280, 720))
    size = "parseFloat(getComputedStyle(document.querySelector('.moe-viz').shadowRoot" + (
        ".querySelector('.mv')).fontSize)"
    )
    assert page.evaluate(size) == 18
    page.locator(".mv").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: "token=2" in page.evaluate("location.hash"))
    assert "scale" not in page.evaluate("location.hash")
    page.evaluate("location.hash = '#prompt=0&layer=2&token=2&scale=2'")
    until(lambda: page.evaluate(size) == 24)
    page.locator(".mv").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: page.evaluate("location.hash").endswith("token=3&mode=entropy&scale=2"))
    for refused in ("0.1", "9", "large", "NaN", ""):
        page.evaluate(f"location.hash = '#prompt=0&layer=2&token=1&scale={refused}'")
        until(lambda: "token=1" in page.evaluate("location.hash"))
        assert page.evaluate(size) == 24
    assert noise.errors == []
    page.close()


def test_a_notebook_s_output_grows_too(browser, tmp_path, traces):
    sizes = []
    for scale in (1, 2):
        file = tmp_path / f"{scale}.html"
        output = mv.explore(traces["6 layers"], scale=scale, mode="entropy").to_html()
        file.write_text(f"<!doctype html><title>t</title><body>{output}", encoding="utf-8")
        page, noise = opened(browser, file, (950, 700))
        until(lambda page=page: page.evaluate(MISFITS) == [])
        sizes.append(page.evaluate(SIZES))
        assert noise.errors == []
        page.close()
    for what in sizes[0].keys() - {".text"}:
        assert sizes[1][what] == pytest.approx(2 * sizes[0][what], rel=0.07), what


@pytest.mark.parametrize("scale", [0, 0.49, 3.01, -1, float("nan"), float("inf"), "2", None])
def test_a_scale_that_is_none_is_refused(traces, scale):
    with pytest.raises(InputError, match=r"scale, which multiplies .* type, must lie in 0\.5 … 3"):
        mv.explore(traces["6 layers"], scale=scale)
