# SPDX-License-Identifier: Apache-2.0
"""The first notebook as a reader meets it: run, then opened in JupyterLab, trusted and not."""

from __future__ import annotations

import re

import pytest

from moe_viz.view.palette import DARK, LIGHT, rgb
from tests.browser.conftest import listen, until
from tests.browser.jupyter import WAIT, home, lab, of_ours, run, run_first_cell  # noqa: F401

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("name", "theme"), [("Light", LIGHT), ("Dark", DARK)])
def test_the_explorer_in_jupyterlab(browser, lab, name, theme):  # noqa: F811
    with lab.open(browser, "trusted.ipynb", name) as (page, noise):
        sentence = page.locator(".moe-viz .sentence").first
        sentence.wait_for()
        frame = page.locator(".moe-viz .mv").first
        page.locator(f'body[data-jp-theme-light="{str(theme is LIGHT).lower()}"]').wait_for(
            state="attached"
        )
        page.wait_for_timeout(300)
        ground = frame.evaluate("e => getComputedStyle(e).backgroundColor")
        assert ground == "rgb({}, {}, {})".format(*rgb(theme.ground))

        # The whole picture fits between JupyterLab's bars, and nothing of it stands out.
        assert frame.bounding_box()["height"] <= 600
        assert frame.evaluate("e => e.scrollWidth <= e.clientWidth")

        # Keys act in the picture.
        page.locator(".moe-viz .tok").nth(5).click()
        for key in ("ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        assert sentence.inner_text().startswith("In layer 2,")

        assert of_ours(noise, lab.url) == []
        assert noise.outside(lab.url) == []


def test_an_untrusted_notebook_keeps_text_map_and_a_way_on(browser, lab):  # noqa: F811
    with lab.open(browser, "untrusted.ipynb", "Dark") as (page, noise):
        shown = page.locator(".moe-viz").first
        page.get_by_text("Scripts are off here.").first.wait_for()
        assert shown.evaluate("e => e.shadowRoot === null")
        assert "Our cat answers to no name" in shown.inner_text()
        colours = shown.locator("p span").evaluate_all(
            "all => new Set(all.map((e) => getComputedStyle(e).backgroundColor)).size"
        )
        assert colours > 8  # the legend's eight, and their mixtures in the text
        # JupyterLab strips `image-rendering`: the picture must be as large as it is drawn.
        image = shown.locator("img")
        natural, drawn = image.evaluate("e => [e.naturalWidth, e.clientWidth]")
        assert natural >= drawn > 600
        assert of_ours(noise, lab.url) == []
        assert noise.outside(lab.url) == []


def test_the_live_prompt_box_and_what_remains_of_it_without_a_kernel(browser, lab):  # noqa: F811
    cell = nbformat.v4.new_code_cell('import moe_viz as mv\nmv.explore(mv.load("8x7m"))')
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    path = lab.home / "nb" / "live.ipynb"
    nbformat.write(notebook, path)
    with lab.open(browser, "live.ipynb", "Light", wait_for=".jp-CodeCell") as (page, noise):
        run_first_cell(page)
        box = page.locator("textarea[placeholder^='Type a text']")
        box.wait_for()
        sentence = page.locator(".moe-viz .sentence")
        for text, label in (("Good morning, world.", "1"), ("Guten Morgen, Welt.", "2")):
            box.fill(text)
            page.locator("button.jupyter-button", has_text="Run").click()
            page.get_by_text(re.compile(r"8x7m · float32: \d+ tokens\.")).wait_for()
            if label != "1":  # with one prompt there is none to choose
                page.locator(f".moe-viz select[aria-label=Label] >> text={label}").wait_for(
                    state="attached"
                )
            shown = page.locator(".moe-viz .text").first
            until(lambda shown=shown, text=text: text.split(",")[0] in shown.inner_text())
        # The first prompt is still there, to be compared with.
        page.locator(".moe-viz select[aria-label='Compare with']").select_option("prompt 0")
        page.wait_for_timeout(300)
        assert "Good morning" in page.locator(".moe-viz .beside .text").inner_text()
        # It writes on, and the picture grows with it: in the layer and on the map that are open.
        page.locator(".moe-viz").get_by_label("Map", exact=True).select_option("touched")
        page.locator(".moe-viz .mv").focus()
        page.keyboard.press("ArrowDown")
        generated = page.locator(".moe-viz .body .text .tok.generated")
        length = page.get_by_label("tokens", exact=True)
        box.fill("The first file")
        length.fill("9")
        length.press("Tab")
        page.locator("button.jupyter-button", has_text="Continue").click()
        page.get_by_text(re.compile(r"float32: \d+ tokens\.")).wait_for()
        until(lambda: generated.count() == 9)
        length.fill("1500")
        length.press("Tab")
        page.locator("button.jupyter-button", has_text="Continue").click()
        until(lambda: generated.count() > 12)
        page.locator("button.jupyter-button", has_text="Cancel").click()
        page.get_by_text(re.compile("Cancelled: the text is kept as far as it came")).wait_for()
        until(lambda: sentence.inner_text().startswith("In layer 1,"))
        assert 12 < generated.count() < 1500
        assert page.locator(".moe-viz .grid").count() == 1
        assert page.locator(".moe-viz").count() == 1
        # The page's switches: the changed run, beside the intact one.
        box.fill("Guten Morgen, Welt.")
        page.locator("button.jupyter-button", has_text="Run").click()
        page.get_by_text(re.compile(r"float32: \d+ tokens\.")).wait_for()
        page.get_by_label("layer", exact=True).select_option("5")
        page.get_by_label("expert", exact=True).select_option("6")
        page.locator("button.jupyter-button", has_text="Switch off").click()
        page.get_by_text("Changed: off: 5/6.").wait_for()
        page.get_by_text("Beside it: the intact run.").wait_for()
        until(lambda: "ablated 5/6" in page.locator(".moe-viz header .muted").inner_text())
        assert page.locator(".moe-viz .grid").count() == 1
        page.locator("button.jupyter-button", has_text="undo").click()
        page.get_by_text("Nothing is changed.").wait_for()
        until(lambda: "ablated" not in page.locator(".moe-viz header .muted").inner_text())
        box.fill(" ".join(["word"] * 3000))  # longer than the context: said in the box
        page.locator("button.jupyter-button", has_text="Run").click()
        page.get_by_text(re.compile("context of 2,048")).wait_for()
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1500)
        assert of_ours(noise, lab.url) == []
        assert noise.outside(lab.url) == []
    outputs = nbformat.read(path, as_version=4).cells[0].outputs
    pictures = [o for o in outputs if "moeVizExplorer" in str(o.get("data", {}).get("text/html"))]
    assert len(pictures) == 1
    # And is shown by a page in which no kernel ever ran, beside a box that is gone.
    run("nbconvert", "--to=html", str(path), home=lab.home)
    context = browser.new_context(offline=True)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto((lab.home / "nb" / "live.html").as_uri(), wait_until="domcontentloaded")
    sentence = page.locator(".moe-viz .sentence")
    sentence.wait_for()
    assert sentence.inner_text().startswith("In layer 0,")
    context.close()


def test_the_notebook_as_html_draws_offline(browser, home):  # noqa: F811
    context = browser.new_context(offline=True)
    context.set_default_timeout(WAIT)
    noise = listen(context)
    page = context.new_page()
    page.goto((home / "nb" / "trusted.html").as_uri(), wait_until="domcontentloaded")
    page.locator(".moe-viz .sentence").first.wait_for()
    # nbconvert's own template asks for MathJax and require; nothing else is asked for.
    assert noise.outside("file:", "https://cdnjs.cloudflare.com/ajax/libs/") == []
    assert [text for text, where in noise.errors if not where.startswith("https:")] == []
    context.close()
