# SPDX-License-Identifier: Apache-2.0
"""Other people's notebooks as pages: what each output brings is inside, or named as missing."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from struct import pack

import pytest
from bs4 import BeautifulSoup

from moe_viz.view.pages.cleaned import cleaned
from moe_viz.view.pages.notebook import read_notebook
from moe_viz.view.pages.outputs import presented
from moe_viz.view.pages.slides import save_notebook_page, save_slides

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("sphinx_revealjs")
v4 = nbformat.v4


def png(colour: tuple[int, int, int]) -> bytes:
    """A picture of one pixel, by the format's own words."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    head = pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + bytes(colour))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


RED, BLUE, GREEN = png((255, 0, 0)), png((0, 0, 255)), png((0, 255, 0))
WIDGET = "application/vnd.jupyter.widget-view+json"


def code(*outputs, source: str = "x"):
    made = v4.new_code_cell(source, execution_count=1)
    made.outputs = list(outputs)
    return made


def shown(**data):
    kinds = {"html": "text/html", "plain": "text/plain", "latex": "text/latex",
             "jpeg": "image/jpeg", "svg": "image/svg+xml", "markdown": "text/markdown",
             "plotly": "application/vnd.plotly.v1+json", "widget": WIDGET,
             "script": "application/javascript",
             "table": "application/vnd.dataresource+json"}  # fmt: skip
    return v4.new_output("display_data", {kinds[name]: value for name, value in data.items()})


@pytest.fixture(params=[save_notebook_page, save_slides], ids=["page", "deck"])
def export(request, tmp_path):
    """A notebook of these cells exported: the body as soup, and the lines that were said."""

    def export(*cells, **metadata) -> tuple[BeautifulSoup, str]:
        path, said = tmp_path / "talk.ipynb", []
        nbformat.write(v4.new_notebook(cells=list(cells), metadata=metadata), path)
        out = request.param([path], tmp_path / "out.html", False, said.append)
        html = out.read_text(encoding="utf-8")
        return BeautifulSoup(html.partition("<body>")[2], "html.parser"), "\n".join(said)

    return export


def pictures(soup: BeautifulSoup) -> list[bytes]:
    """The bytes of each picture in the page; none has any other address."""
    found = [re.fullmatch(r"data:image/[\w+]+;base64,(\S+)", str(i["src"])) for i in soup("img")]
    return [base64.b64decode(match[1]) if match else b"elsewhere" for match in found]


def test_attached_and_neighbouring_pictures_are_inside(export, tmp_path):
    (tmp_path / "beside.png").write_bytes(BLUE)
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "größe.png").write_bytes(GREEN)
    text = (
        "# Talk\n\n![pasted](attachment:pic.png)\n\n![beside](beside.png)\n\n"
        '![encoded](sub%20dir/gr%C3%B6%C3%9Fe.png) <img src="./beside.png?raw=1" width="40">'
    )
    cell = v4.new_markdown_cell(text)
    cell["attachments"] = {"pic.png": {"image/png": text_of(RED)}}
    soup, said = export(cell)
    assert pictures(soup) == [RED, BLUE, GREEN, BLUE]
    assert said == ""


def test_a_picture_that_is_missing_or_lies_elsewhere_is_named(export, tmp_path):
    secret = tmp_path.parent / "secret.png"
    secret.write_bytes(RED)
    (tmp_path / "link.png").symlink_to(secret)
    (tmp_path / "notes.txt").write_text("private")
    addresses = ("no.png", "../secret.png", str(secret), "link.png", "notes.txt",
                 "https://x.org/a.png", "//x.org/b.png", "file:///etc/hostname",
                 "attachment:none.png", "..%2Fsecret.png")  # fmt: skip
    text = "\n\n".join(f"![words {n}]({where})" for n, where in enumerate(addresses))
    soup, said = export(v4.new_markdown_cell("# Talk\n\n" + text))
    assert pictures(soup) == []
    assert text_of(RED) not in str(soup)
    for n, where in enumerate(addresses):
        assert f"words {n}" in soup.get_text()  # what describes it stays
        assert where.removeprefix("attachment:").replace("%2F", "/") in said
    assert said.count("cell 1") == len(addresses) - 1  # one stands there twice


def test_each_kind_of_output_is_drawn(export):
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><rect/></svg>'
    soup, said = export(
        code(shown(jpeg=text_of(b"\xff\xd8jpeg") + "\n", plain="<PIL>")),
        code(shown(svg=svg, plain="<SVG>")),
        code(shown(latex=r"$\frac{1}{2}$", plain="1/2")),
        code(shown(latex=r"$$\sum_e g_e$$", plain="sum")),
        code(shown(markdown="**bold** $E=8$", plain="<Markdown>")),
        code(v4.new_output("stream", name="stderr", text="UserWarning: careful-77\n")),
        code(shown(html='<video src="data:video/mp4;base64,AAAA" controls></video>')),
    )
    assert pictures(soup) == [b"\xff\xd8jpeg", svg.encode()]
    assert soup("script", string="alert(1)") == []  # a picture of a file runs none
    assert len(soup("math")) == 3
    assert soup.find("mfrac") is not None
    assert soup.find("strong", string="bold") is not None
    assert "careful-77" in soup.get_text()
    assert str(soup.find("video")).startswith('<video controls="" src="data:video')
    assert said == ""
    assert "<PIL>" not in soup.get_text()


def test_a_traceback_keeps_its_colours_and_what_it_says(export):
    lines = ["\x1b[0;31mValueError\x1b[0m: no <b>", "\x1b]0;title\x07line 2"]
    wrong = v4.new_output("error", ename="ValueError", evalue="no <b>", traceback=lines)
    soup, said = export(code(wrong))
    assert "ValueError: no <b>" in soup.get_text()
    assert "line 2" in soup.get_text()
    assert "title" not in soup.get_text()
    red = soup.find("span", string="ValueError")
    assert red is not None
    assert red["class"] == ["ansi-red-fg"]
    assert "\x1b" not in str(soup)
    assert said == ""


def test_a_bare_figure_of_plotly_comes_with_plotly_once(export):
    figure = {"data": [{"type": "bar", "y": [1, 2], "name": "</script>"}], "layout": {"height": 77}}
    soup, said = export(code(shown(plotly=figure)), code(shown(plotly=figure)))
    packed = [json.loads(e.get_text()) for e in soup("script", type="application/json")]
    assert [p for p in packed if "data" in p] == [figure, figure]
    assert len(soup(class_="moe-viz-plotly")) == 1
    assert said == ""


def test_a_widget_leaves_its_words_and_is_named(export):
    view = {"model_id": "a", "version_major": 2, "version_minor": 0}
    soup, said = export(code(shown(widget=view, plain="IntSlider(value=77)")))
    assert "IntSlider(value=77)" in soup.get_text()
    assert "Not in this page: a widget (IntSlider)." in soup.get_text()
    assert "cell 1" in said
    assert "a widget (IntSlider)" in said


def test_what_was_printed_within_a_widget_stays(export):
    caught = [{"output_type": "stream", "name": "stdout", "text": "kept\n"}]
    state = {
        "box": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_out"]}},
        "out": {"model_name": "OutputModel", "state": {"outputs": caught}},
    }
    soup, said = export(
        code(shown(widget={"model_id": "box"}, plain="VBox()")),
        widgets={"application/vnd.jupyter.widget-state+json": {"state": state}},
    )
    assert "kept" in soup.get_text()
    assert "a widget" in said


@pytest.mark.parametrize(
    ("html", "named", "left"),
    [
        ('<script src="https://cdn.x.org/p.js"></script><div>x</div>',
         "a script from https://cdn.x.org/p.js", "<div>x</div>"),
        ('<script type="module">import a from "https://cdn.x.org/m.js"; a()</script>',
         "a script from https://cdn.x.org/m.js", ""),
        ("<script>require.config({paths: {d3: 'https://d3js.org/d3'}})</script>",
         "a script from https://d3js.org/d3", ""),
        ('<script>var s = document.createElement("script"); s.src = "https://x.org/l.js";</script>',
         "a script from https://x.org/l.js", ""),
        ('<iframe src="https://x.org/e"></iframe>', "a frame from https://x.org/e", ""),
        ('<iframe srcdoc="<b>x</b>"></iframe>', "a frame", ""),
        ('<video><source src="film.mp4"></video>', "a video from film.mp4", ""),
        ('<form action="https://x.org/in"><b>x</b></form>', "a form from https://x.org/in",
         "<b>x</b>"),
        ('<link rel="stylesheet" href="https://x.org/a.css"><i>x</i>',
         "a style sheet from https://x.org/a.css", "<i>x</i>"),
        ('<meta http-equiv="refresh" content="0; url=https://x.org"><i>x</i>',
         "a redirection to another page", "<i>x</i>"),
        ('<b style="background: url(https://x.org/b.png) top; color: red">x</b>',
         "what a style takes from https://x.org/b.png", '<b style="background: none; color: red">'
         "x</b>"),
        ('<style>@import "//x.org/f.css"; b { color: red }</style>',
         "what a style takes from //x.org/f.css", "<style>; b { color: red }</style>"),
        ('<img srcset="https://x.org/2.png 2x" src="https://x.org/1.png" alt="one">',
         "a picture from https://x.org/1.png", "one"),
    ],
)  # fmt: skip
def test_what_reaches_elsewhere_is_taken_out_and_named(html, named, left, tmp_path):
    assert cleaned(html, tmp_path) == (left, [named])


@pytest.mark.parametrize("html", [
    '<script>document.title = "import https";</script>',
    '<a href="https://x.org">a link</a>',
    '<b style="background: url(data:image/png;base64,AA==)">x</b>',
    '<audio src="data:audio/wav;base64,AA=="></audio>',
    '<svg><image href="#part"/></svg>',
])  # fmt: skip
def test_what_keeps_to_the_page_stays(html, tmp_path):
    assert cleaned(html, tmp_path) == (html, [])


def test_texts_run_the_way_their_first_letter_does(export):
    soup, _ = export(v4.new_markdown_cell("# Talk\n\nשלום עולם\n\n- مرحبا\n\nHello"))
    for word in ("שלום", "مرحبا", "Hello"):
        found = soup.find(string=re.compile(word))
        assert found is not None
        assert found.find_parent(dir="auto") is not None


def test_an_output_of_an_unknown_kind_is_named(export):
    soup, said = export(code(shown(table={"rows": []})), code(shown(script="draw()")))
    assert "an output of the kind application/vnd.dataresource+json" in soup.get_text()
    assert "what a script draws" in said


def test_a_notebook_with_a_byte_order_mark_opens(tmp_path):
    path = tmp_path / "bom.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + nbformat.writes(v4.new_notebook()).encode())
    assert read_notebook(Path(path), execute=False).cells == []


@pytest.mark.parametrize(
    ("html", "where"),
    [
        ('<picture><source srcset="https://x.org/a.webp"></picture>', "https://x.org/a.webp"),
        ('<table background="https://x.org/b.png"><tr><td>c</td></tr></table>', "x.org/b.png"),
        ('<input type="image" src="https://x.org/i.png">', "https://x.org/i.png"),
        ('<svg><use href="https://x.org/s.svg#a"></use></svg>', "https://x.org/s.svg#a"),
    ],
)
def test_no_other_element_reaches_elsewhere(html, where, tmp_path):
    left, missing = cleaned(html, tmp_path)
    assert where not in left
    assert where in missing[0]


def test_the_picture_that_a_film_of_matplotlib_draws_in_stays(tmp_path):
    film = '<img id="_anim_img1"/><script>document.getElementById("_anim_img1").src = f</script>'
    assert cleaned(film, tmp_path) == (film, [])


def test_a_chart_of_vega_is_named_beside_its_words(export):
    output = v4.new_output(
        "display_data", {"application/vnd.vegalite.v5+json": {}, "text/plain": "<VegaLite 5>"}
    )
    soup, said = export(code(output))
    assert "application/vnd.vegalite.v5+json" in said
    assert "<VegaLite 5>" in soup.get_text()


REFRESH = "<meta http-equiv=refresh content='0;url=http://elsewhere/'>"


@pytest.mark.parametrize("html", [
    f"<!-->{REFRESH}-->", f"<!-- x --!>{REFRESH}-->", f"<![CDATA[>{REFRESH}]]>",
    f"<?x >{REFRESH}?>",
    f"<!X [>{REFRESH}]>", f"<svg><style><p>{REFRESH}</style></svg>",
    f"<svg><script><p>{REFRESH}</script></svg>", f"<math><style><p>{REFRESH}</style></math>",
])  # fmt: skip
def test_what_a_browser_reads_as_elements_is_not_hidden_from_the_cleaning(html):
    kept, _ = cleaned(f"<p>before</p>{html}<p>after</p>", Path())
    assert "refresh" not in kept
    assert "before" in kept
    assert "after" in kept


def test_rules_for_fetching_are_taken_out_and_data_stay():
    rules = '<script type="speculationrules">{"prefetch": []}</script>'
    kept, missing = cleaned(rules + '<script type="importmap">{}</script>', Path())
    assert kept == ""
    assert missing == ["a script of the kind speculationrules", "a script of the kind importmap"]
    for kind in ("", "module", "text/javascript", "application/json", "application/vnd.a+json"):
        html = f'<script type="{kind}">1</script>'
        assert cleaned(html, Path()) == (html, [])


def test_formulas_of_outputs_are_cleaned_like_all_else(tmp_path):
    hostile = r"$\text{<iframe/src='http://elsewhere/'><form/action='http://elsewhere/'>}$"
    output = nbformat.v4.new_output("display_data", {"text/latex": hostile})
    found = presented([output], tmp_path, {})
    assert not re.search("<iframe|<form", found[0].data["text/html"])
    assert found[0].metadata["missing"]
