# SPDX-License-Identifier: Apache-2.0
"""A page of charts in headless Chromium: drawn, moved, saved and read without a network."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

import moe_viz as mv
from moe_viz.view.charts.chart import page, plotly_script
from moe_viz.view.palette import DARK, LIGHT, rgb
from tests.browser.conftest import listen, until
from tests.unit.test_charts import KINDS, TRAINED, TWIN, documents

pytestmark = pytest.mark.browser
WAIT = 120  # seconds: a busy machine draws when it can
GROUND = "e => getComputedStyle(e).backgroundColor"
#: Sizes of the drawings of a chart.
DRAWN = "e => [...e.querySelectorAll('svg.main-svg')].map((s) => s.getBoundingClientRect().width)"
#: The numbers that a chart shows now: y, z and x of each of its traces.
SHOWN = "e => e.data.map((t) => [t.y ?? null, t.z ?? null, t.x ?? null])"


@pytest.fixture(scope="module")
def charts():
    docs, other = documents(provenance=TRAINED), documents(seed=1, provenance=TWIN)
    made = {kind: mv.chart(find(docs), find(other)) for kind, find in KINDS.items()}
    return {**made, "ledger": mv.chart(mv.ledger("mixtral-8x7b"))}


@pytest.fixture(scope="module")
def saved(charts, tmp_path_factory):
    """All charts on one page, the last of them hidden."""
    parts = [f'<div id="{kind}">{c.to_html(plotly=False)}</div>' for kind, c in charts.items()]
    hidden = charts["load"].to_html(plotly=False)
    body = f'{plotly_script()}<h1>Charts</h1>{"".join(parts)}<div id="later" hidden>{hidden}</div>'
    path = tmp_path_factory.mktemp("charts") / "charts.html"
    path.write_text(page("Charts", body), encoding="utf-8")
    return path


def open_page(context, path, ready: int):
    shown = context.new_page()
    shown.set_default_timeout(1000 * WAIT)
    shown.goto(path.as_uri())
    until(lambda: shown.locator(".moe-viz-chart[data-ready]").count() == ready, WAIT)
    return shown


@pytest.fixture(scope="module")
def opened(browser, saved, charts):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    noise = listen(context)
    yield open_page(context, saved, len(charts)), noise
    assert noise.errors == []
    assert noise.outside("file:") == []
    context.close()


def plot(shown, kind: str):
    found = shown.locator(f"[id='{kind}'] .moe-viz-plot")
    found.scroll_into_view_if_needed()
    return found


def colours(picture: bytes | str, tmp_path) -> int:
    """How many colours a picture has, near ones counted as one: a blank one has few."""
    if isinstance(picture, bytes):
        (tmp_path / "shot.png").write_bytes(picture)
        picture = tmp_path / "shot.png"
    pixels = np.asarray(Image.open(picture).convert("RGB")) // 32
    values, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return int((counts > 20).sum()) if len(values) > 1 else 1


def test_every_chart_is_drawn_and_nothing_is_asked_for(opened, charts, tmp_path):
    shown, noise = opened
    assert shown.locator(".moe-viz-chart .moe-viz-status:not(:empty)").count() == 0
    assert shown.locator(".modebar-btn").count() == 0  # plotly's own, some of which ask servers
    for kind in charts:
        box = plot(shown, kind).bounding_box()
        widths = plot(shown, kind).evaluate(DRAWN)
        assert widths
        assert all(w == pytest.approx(box["width"], abs=1) for w in widths)
        assert colours(plot(shown, kind).screenshot(), tmp_path) >= 4, kind
        assert box["x"] + box["width"] <= 1280
    assert noise.errors == []
    assert noise.outside("file:") == []


def test_plotly_is_there_once_however_many_charts(saved, opened):
    assert saved.read_text(encoding="utf-8").count('class="moe-viz-plotly"') == 1
    assert opened[0].locator("script.moe-viz-plotly").count() == 1
    assert opened[0].evaluate("typeof Plotly.newPlot") == "function"


def test_keys_that_come_faster_than_drawings_are_all_counted(opened):
    shown, _ = opened
    drawing = plot(shown, "load")
    for key, times, at in (("ArrowRight", 2, 2), ("ArrowLeft", 2, 0)):
        press = "(e, key) => e.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
        drawing.evaluate(f"(e, key) => {{ {f'({press})(e, key);' * times} }}", key)
        until(lambda at=at: drawing.evaluate("e => e.layout.sliders[0].active") == at, WAIT)


SLIDING = ["load", "co-activation", "transitions", "margins", "expert cache"]


@pytest.mark.parametrize("kind", SLIDING)
def test_arrow_keys_change_the_layer_and_turn_nothing_else(opened, charts, kind):
    shown, _ = opened
    steps = charts[kind].figure["layout"]["sliders"][0]["steps"]
    shown.evaluate("window.leaked = 0; onkeydown = () => { window.leaked++; }; 0")
    drawing = plot(shown, kind)
    drawing.focus()
    for _ in steps:  # it opens where there is most to see
        shown.keyboard.press("ArrowLeft")
    until(lambda: drawing.evaluate("e => e.layout.sliders[0].active") == 0, WAIT)
    for key, at in (("ArrowRight", 1), ("ArrowRight", min(2, len(steps) - 1)), ("ArrowLeft", None)):
        shown.keyboard.press(key)
        at = min(2, len(steps) - 1) - 1 if at is None else at
        until(lambda at=at: drawing.evaluate("e => e.layout.sliders[0].active") == at, WAIT)
        until(lambda at=at: holds(drawing, steps[at]["args"]), WAIT)
    for _ in steps:
        shown.keyboard.press("ArrowLeft")
    until(lambda: holds(drawing, steps[0]["args"]), WAIT)
    status = shown.locator(f"[id='{kind}'] [role=status]")
    until(lambda: status.inner_text() == f"layer {steps[0]['label']}", WAIT)
    assert shown.evaluate("window.leaked") == 0


@pytest.mark.parametrize("kind", SLIDING)
def test_the_slider_is_moved_by_the_pointer_without_a_kernel(opened, charts, kind):
    shown, _ = opened
    steps = charts[kind].figure["layout"]["sliders"][0]["steps"]
    drawing = plot(shown, kind)
    box = shown.locator(f"[id='{kind}'] .slider-rail-touch-rect").bounding_box()
    for at in (len(steps) - 1, 0):
        x = box["x"] + (box["width"] - 4 if at else 4)
        shown.mouse.click(x, box["y"] + box["height"] / 2)
        until(lambda at=at: holds(drawing, steps[at]["args"]), WAIT)
    shown.keyboard.press("ArrowRight")  # after a press in the chart, keys are meant for it
    until(lambda: holds(drawing, steps[1]["args"]), WAIT)


def holds(drawing, arguments) -> bool:
    """Whether a drawing shows what a step of its slider writes."""
    values, traces = arguments
    shown = drawing.evaluate(SHOWN)
    for column, name in enumerate("yzx"):
        for trace, written in zip(traces, values.get(name, ()), strict=False):
            here = np.array(shown[trace][column], float)
            if not np.allclose(here, np.array(written, float), equal_nan=True):
                return False
    return True


@pytest.mark.parametrize("kind", ["load", "repetition", "co-activation", "ledger"])
def test_png_svg_and_csv_are_saved_offline(opened, charts, kind, tmp_path):
    shown, noise = opened
    chart, files = charts[kind], {}
    for form in ("PNG", "SVG", "CSV"):
        button = shown.locator(f"[id='{kind}'] .moe-viz-buttons button", has_text=form)
        with shown.expect_download() as started:
            button.click()
        files[form] = tmp_path / started.value.suggested_filename
        started.value.save_as(files[form])
        assert files[form].suffix == f".{form.lower()}"
        assert files[form].stem == chart.title.lower().replace(", ", "-").replace(" ", "-")
    assert colours(files["PNG"], tmp_path) >= 4
    wide = plot(shown, kind).bounding_box()["width"]
    assert Image.open(files["PNG"]).width == pytest.approx(2 * wide, abs=4)
    drawing = ElementTree.parse(files["SVG"]).getroot()
    assert drawing.tag.endswith("svg")
    assert len(list(drawing.iter())) > 50
    assert files["CSV"].read_bytes().decode("utf-8") == chart.data.csv()
    assert noise.outside("file:") == []


def test_a_chart_that_was_hidden_is_drawn_as_wide_as_it_is_shown(opened, tmp_path):
    shown, _ = opened
    later = shown.locator("#later .moe-viz-chart")
    assert later.get_attribute("data-ready") is None
    shown.evaluate("document.getElementById('later').hidden = false")
    until(lambda: later.get_attribute("data-ready") == "yes", WAIT)
    drawing = plot(shown, "later")
    widths, box = drawing.evaluate(DRAWN), drawing.bounding_box()
    assert box["width"] > 900
    assert all(w == pytest.approx(box["width"], abs=1) for w in widths)
    assert colours(drawing.screenshot(), tmp_path) >= 4
    # And follows when the window narrows.
    shown.set_viewport_size({"width": 700, "height": 900})
    until(lambda: max(drawing.evaluate(DRAWN)) < 700, WAIT)
    shown.set_viewport_size({"width": 1280, "height": 900})
    until(lambda: max(drawing.evaluate(DRAWN)) > 900, WAIT)


def test_the_theme_of_the_system_is_followed_in_both_directions(opened):
    shown, _ = opened
    for scheme, theme in (("dark", DARK), ("light", LIGHT)):
        shown.emulate_media(color_scheme=scheme)
        ground = "rgb({}, {}, {})".format(*rgb(theme.ground))
        chart = shown.locator("#repetition .moe-viz-chart")
        until(lambda c=chart, g=ground: c.evaluate(GROUND) == g, WAIT)
        inside = shown.locator("#repetition svg.main-svg").first
        until(lambda i=inside, g=ground: i.evaluate(GROUND) == g, WAIT)
        ink = shown.locator("#repetition .xtick text").first
        expected = "rgb({}, {}, {})".format(*rgb(theme.ink))
        until(lambda i=ink, x=expected: i.evaluate("e => getComputedStyle(e).fill") == x, WAIT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, saved, charts, scheme):
    """axe-core, the accessibility checker, on all charts with their tables open.

    A table's rows are alike, and it looks at every cell: it is given the first of them.
    """
    context = browser.new_context(color_scheme=scheme)
    shown = open_page(context, saved, len(charts))
    shown.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    shown.evaluate("document.querySelectorAll('tr:nth-child(n + 9)').forEach((r) => r.remove())")
    found = Axe().run(shown).response["violations"]
    where = [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found
             if v["impact"] in ("serious", "critical")]  # fmt: skip
    assert where == []
    context.close()


def test_without_scripts_title_sentence_and_table_remain(browser, saved, charts):
    context = browser.new_context(java_script_enabled=False)
    noise = listen(context)
    shown = context.new_page()
    shown.goto(saved.as_uri())
    for kind, chart in charts.items():
        part = shown.locator(f"[id='{kind}'] .moe-viz-chart")
        assert f"{chart.title} {chart.provenance}" in part.inner_text()
        assert part.get_by_text(chart.sentence).is_visible()
        part.locator("summary").click()
        table = part.locator("table")
        assert table.is_visible()
        assert table.locator("tbody tr").count() == min(len(chart.data), 400)
    assert noise.outside("file:") == []
    context.close()


def test_a_chart_with_words_in_it_scrolls_where_it_is_too_narrow_for_them(browser, tmp_path):
    """A job card on a telephone: its pieces can be read, and the page does not become wider."""
    from moe_viz.analysis.published_routing import leading_pieces

    path = mv.chart(leading_pieces()).save(tmp_path / "card.html")
    context = browser.new_context(viewport={"width": 360, "height": 740})
    shown = open_page(context, path, 1)
    drawing = shown.locator(".moe-viz-plot")
    assert drawing.bounding_box()["width"] == pytest.approx(760, abs=1)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    frame = drawing.locator("..")
    assert frame.evaluate("e => { e.scrollLeft = 9999; return e.scrollLeft; }") > 300
    sizes = drawing.evaluate(
        "e => [...e.querySelectorAll('.heatmap-label text')].map((t) => "
        "parseFloat(getComputedStyle(t).fontSize))"
    )
    assert len(sizes) == 60
    assert min(sizes) >= 11
    context.close()
