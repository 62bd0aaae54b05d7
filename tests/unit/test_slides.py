# SPDX-License-Identifier: Apache-2.0
"""Notebooks as a deck and as a page: what is kept, what begins a slide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from moe_viz.errors import InputError, OutputError
from moe_viz.view.pages.markdown import rendered
from moe_viz.view.pages.notebook import (
    code_style,
    exported,
    read_notebook,
    title_of,
    without_plotly,
)
from moe_viz.view.pages.slides import _page, save_notebook_page, save_slides

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("sphinx_revealjs")
v4 = nbformat.v4
CODE = '<div class=" highlight hl-ipython3"><pre>'


def cell(kind: str, source: str, slide: str = "", tags: Sequence[str] = (), outputs=()):
    made = v4.new_markdown_cell(source) if kind == "markdown" else v4.new_code_cell(source)
    if slide:
        made.metadata["slideshow"] = {"slide_type": slide}
    if tags:
        made.metadata["tags"] = list(tags)
    if kind == "code":
        made.outputs = list(outputs)
    return made


def shown(html: str):
    return v4.new_output("display_data", {"text/html": html, "text/plain": "<nothing>"})


def write(path, *cells):
    nbformat.write(v4.new_notebook(cells=list(cells)), path)
    return path


def slides_of(deck) -> list[str]:
    """The slides of a deck without what lies below each other, as HTML."""
    body = deck.read_text(encoding="utf-8").partition('<div class="slides">')[2]
    return re.findall(r'<section class="[^>]*><div class="slide">(.*?)</div><p', body, re.S)


# ---- Markdown ----------------------------------------------------------------------------------


def test_mathematics_becomes_mathml():
    html = rendered("so $k=2$ of $E = 8$ and\n\n$$\nx_1 + y\n$$")
    assert html.count("<math") == 3
    assert html.count('display="inline"') == 2
    assert html.count('display="block"') == 1
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in html
    assert "$" not in html
    assert "<em>" not in rendered("$a_1 b_2$")  # an underscore in a formula is none of Markdown's


@pytest.mark.parametrize(
    "text",
    ["costs $5 and $6.", "$5 to $6 million", "US$3, or US$4", "a lone $", "$ x $", r"\$x\$", "$$"],
)
def test_prices_stay_prices(text):
    assert rendered(text) == f"<p>{text.replace(chr(92), '')}</p>\n"


@pytest.mark.parametrize(
    "code",
    [
        "`$x$`",
        "``$x$ ` $y$``",
        "```\n$x$\n\n$y$\n```",
        "~~~\n$x$\n~~~",
        "`a\nb $x$`",
        "`$HOME/$USER`",
    ],
)
def test_code_with_dollars_is_left_alone(code):
    html = rendered(f"first $k$\n\n{code}\n\nlast $k$")
    assert html.count("<math") == 2
    inside = re.search(r"<code>(.*?)</code>", html, re.S)
    dollars = code.count("$")
    assert inside
    assert inside.group(1).count("$") == dollars


def test_a_formula_that_is_none_stays_as_it_was_written():
    assert rendered(r"$\frac{$ and $k$").startswith(r"<p>$\frac{$ and <math")
    assert "1" in rendered("a\x020\x03b\x027\x03 $x$")


def test_tables_and_html_are_kept():
    html = rendered(
        "| a | b |\n|---|--:|\n| $|x|$ | `y` |\n\n<div class='box'>**raw** <b>z</b></div>"
    )
    assert "<table>" in html
    assert html.count("<td") == 2
    assert "<math" in html
    assert "<div class='box'>**raw** <b>z</b></div>" in html
    assert rendered('<i title="$x$">y</i>') == '<p><i title="$x$">y</i></p>\n'


def read(*cells, **metadata) -> str:
    """Cells as they stand on a page."""
    notebook = v4.new_notebook(cells=list(cells), metadata=metadata)
    return exported(notebook, Path(), _page).html


def test_code_is_coloured_and_escaped():
    html = read(cell("code", "if a < b:\n    print('</pre>')"))
    assert '<span class="k">if</span>' in html
    assert "&lt;/pre&gt;" in html
    assert html.count("</pre>") == 1
    # What is coloured for a dark ground would vanish on a light deck, and the other way round.
    light, dark, both = code_style(dark=False), code_style(light=False), code_style()
    assert "@media" not in light + dark
    assert len({light, dark, both}) == 3
    assert both == f"{light}@media (prefers-color-scheme: dark) {{{dark}\n}}"
    fenced = read(cell("markdown", "```python\nfor x in y: pass\n```"))
    assert '<span class="k">for</span>' in fenced
    julia = read(cell("code", "function f end"), language_info={"name": "julia"})
    assert '<span class="k">function</span>' in julia
    assert "1 + 1" in re.sub(
        "<[^>]*>", "", read(cell("code", "1 + 1"), language_info={"name": "?"})
    )


# ---- Cells -------------------------------------------------------------------------------------


def test_cells_are_kept_in_order_and_streams_as_a_terminal_leaves_them():
    stream = v4.new_output("stream", name="stdout", text="10%\r100% \x1b[1m<b>\x1b[0m")
    noise = v4.new_output("stream", name="stderr", text="a warning\n 50%|###   | 5/10 [00:01]\n")
    bar = v4.new_output("stream", name="stderr", text=" 50%|###   | 5/10\r100%|######| 10/10\n")
    html = read(
        cell("markdown", "# Title", "slide"),
        cell("markdown", "  \n "),
        v4.new_raw_cell("---\nfor: quarto"),
        cell("code", "1", "-", ["hide_code"], [shown("<b id=x></b>"), stream, noise]),
        cell("code", "2", "-", ["hide_code"], [bar]),
    )
    assert html == (
        '<h1 dir="auto" id="Title">Title</h1>\n<div class=output><b id="x"></b></div>'
        '<pre class=out dir=auto>100% <span class="ansi-bold">&lt;b&gt;</span></pre>'
        "<details class=fold><summary>messages</summary><pre class=out dir=auto>a warning\n"
        "</pre></details>"
    )


def test_the_title_is_the_first_heading_or_the_file_s_name(tmp_path):
    notebook = v4.new_notebook(cells=[cell("code", "# no"), cell("markdown", "x\n# A *b*\n# c")])
    assert title_of(notebook, tmp_path / "x.ipynb") == "A *b*"
    assert title_of(v4.new_notebook(), tmp_path / "01_a_b.ipynb") == "01 a b"


def test_what_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "text.ipynb").write_text("# no notebook")
    (tmp_path / "list.ipynb").write_text("[1, 2]")
    (tmp_path / "bytes.ipynb").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"missing\.ipynb: there is no such notebook"):
        read_notebook(tmp_path / "missing.ipynb")
    for name in ("text", "list", "bytes"):
        with pytest.raises(InputError, match=rf"{name}\.ipynb: is not a notebook \("):
            read_notebook(tmp_path / f"{name}.ipynb")
    with pytest.raises(InputError):
        read_notebook(tmp_path)
    for save in (save_slides, save_notebook_page):
        with pytest.raises(InputError, match="name at least one"):
            save([], tmp_path / "x.html")


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
def test_a_stranger_s_notebook_is_run_only_when_that_is_asked_for(save, tmp_path, monkeypatch):
    code = f"open({str(tmp_path / 'ran')!r}, 'w').write('x')"
    path, said = write(tmp_path / "strange.ipynb", cell("code", code, tags=["show_code"])), []
    html = save([path], tmp_path / "a.html", said=said.append).read_text(encoding="utf-8")
    assert not (tmp_path / "ran").exists()
    assert "write" in html
    (line,) = said
    assert line.startswith(f"{path}: has no outputs, and was not run: --execute runs it")
    save([path], tmp_path / "a.html", execute=True)
    assert (tmp_path / "ran").exists()
    # Of this clone's course it is known who wrote it.
    (tmp_path / "ran").unlink()
    monkeypatch.setattr("moe_viz.view.pages.notebook._of_the_course", lambda p: p == path)
    save([path], tmp_path / "a.html")
    assert (tmp_path / "ran").exists()


def test_a_notebook_is_the_course_s_where_it_lies_in_the_clone():
    from moe_viz.view.pages.notebook import _of_the_course

    clone = Path(__file__).parents[2]
    assert _of_the_course(clone / "notebooks" / "00_start_here.ipynb")
    assert not _of_the_course(clone / "00_start_here.ipynb")
    assert not _of_the_course(clone / "notebooks" / ".." / "x.ipynb")


def test_a_notebook_that_is_run_names_a_failing_cell(tmp_path):
    pytest.importorskip("ipykernel")
    path = write(tmp_path / "run.ipynb", cell("code", "6 * 7"), cell("code", "1 / 0"))
    assert read_notebook(path, execute=False).cells[0].outputs == []
    with pytest.raises(InputError, match=r"run\.ipynb: a cell failed: ZeroDivisionError"):
        read_notebook(path, execute=True)
    no_kernel = nbformat.read(path, as_version=4)
    no_kernel.metadata["kernelspec"] = {"name": "none-such", "display_name": "x"}
    nbformat.write(no_kernel, path)
    with pytest.raises(InputError, match=r"cannot be run here \(NoSuchKernel.*--as-is"):
        read_notebook(path, execute=True)
    had = write(tmp_path / "had.ipynb", cell("code", "1 / 0", outputs=[shown("kept")]))
    assert read_notebook(had).cells[0].outputs[0].data["text/html"] == "kept"


# ---- Slides ------------------------------------------------------------------------------------


def stacks(*typed: tuple[str, str]) -> list[list[list[str]]]:
    """The texts of a deck: its stacks of slides, as the elements of the HTML say."""
    from moe_viz.view.pages.deck import arranged, deck

    notebook = v4.new_notebook(cells=[cell("markdown", text, slide) for slide, text in typed])
    soup = BeautifulSoup(
        exported(notebook, Path(), lambda cells: arranged(deck(cells))).html, "html.parser"
    )
    return [
        [list(slide.stripped_strings) for slide in stack.find_all("section") or [stack]]
        for stack in soup.find_all("section", recursive=False)
    ]


def test_slide_types_make_stacks():
    typed = [
        *[("", "before"), ("slide", "a"), ("", "a2"), ("fragment", "a3"), ("notes", "a4")],
        *[("subslide", "b"), ("skip", "never"), ("slide", "c"), ("", "# none of its own")],
    ]
    first, second, third = stacks(*typed)
    assert first == [["before"]]
    assert second == [["a", "a2", "a3", "a4"], ["b"]]
    assert third == [["c", "none of its own"]]


def test_headings_begin_slides_where_no_cell_says_what_it_is():
    plain = [("", "# One"), ("", "text"), ("", "## Two"), ("", "### part"), ("", r"\#no heading")]
    assert stacks(*plain) == [[["One", "text"]], [["Two", "part", "#no heading"]]]


def test_solutions_and_skipped_cells_are_left_out_and_code_is_folded_shown_or_hidden(tmp_path):
    fold = "<details><summary>For teachers</summary>"
    path = write(
        tmp_path / "talk.ipynb",
        cell("markdown", "# A", "slide"),
        cell("code", "folded = 1", outputs=[shown("<i>one</i>")]),
        cell("code", "open_ = 2", tags=["show_code"]),
        cell("code", "hidden = 3", tags=["hide_code"], outputs=[shown("<i>three</i>")]),
        cell("code", "solved = 4", tags=["solution"]),
        cell("markdown", "never", "skip"),
        cell("markdown", f"{fold}\n\n*remember*\n\n</details>", "notes"),
        cell("markdown", "then", "fragment"),
        cell("markdown", "with it"),
        cell("markdown", "after", "fragment"),
    )
    (slide,) = slides_of(save_slides([path], tmp_path / "talk.html"))
    bare = re.sub(r"</?span[^>]*>", "", slide)
    assert f"<details class=fold><summary>code</summary>{CODE}folded" in bare
    assert "</details><div" not in bare.partition("folded")[0]
    assert f"</div>{CODE}open_ = 2" in bare
    assert "<i>one</i>" in slide
    assert "<i>three</i>" in slide
    assert not re.search("hidden|solved|never", bare)
    assert '<aside class="notes"><p dir="auto"><em>remember</em></p>\n</aside>' in slide
    assert re.sub(r'\s+|dir="auto"', "", slide).endswith(
        '<divclass="fragment"><p>then</p><p>withit</p></div><divclass="fragment"><p>after</p></div>'
    )
    html = save_notebook_page([path], tmp_path / "page.html").read_text(encoding="utf-8")
    text = re.sub(r"</?span[^>]*>", "", html)
    assert f"<details class=solution><summary>A solution</summary>{CODE}solved" in text
    assert "remember" not in text
    assert "never" in text
    assert "hidden = 3" not in text


def test_a_deck_brings_reveal_whole(tmp_path):
    deck = save_slides([write(tmp_path / "a.ipynb", cell("markdown", "# A"))], tmp_path / "a.html")
    scripts = re.findall(r"<script>(.*?)</script>", deck.read_text(encoding="utf-8"), re.S)
    reveal = files("sphinx_revealjs").joinpath("_static/revealjs/dist/reveal.js")
    assert reveal.read_text("utf-8") in scripts


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
def test_nothing_is_framed_sent_or_fetched(save, tmp_path):
    made = save([write(tmp_path / "a.ipynb", cell("markdown", "# A"))], tmp_path / "a.html")
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', made.read_text("utf-8"))
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert [allowed[kind] for kind in ("default-src", "form-action", "base-uri")] == ["'none'"] * 3
    assert not {"frame-src", "child-src", "connect-src", "object-src"} & set(allowed)
    scripts = allowed.pop("script-src")
    assert set(scripts.split()) <= {"'unsafe-inline'", "'unsafe-eval'"}
    assert not re.search(r"https?:|file:|\*|'self'", policy)


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
def test_plotly_is_brought_once_however_many_charts(save, tmp_path):
    script = '<script type="text/plain" class="moe-viz-plotly">H4sI\n</script>\n'
    chart = f"<div class=one></div>\n{script}<script>draw()</script>"
    path = write(
        tmp_path / "a.ipynb", *[cell("code", f"{n}", outputs=[shown(chart)]) for n in "123"]
    )
    html = save([path, path], tmp_path / "out.html").read_text(encoding="utf-8")
    assert html.count("moe-viz-plotly") == 1
    assert html.count("<script>draw()</script>") == 6
    assert html.index("moe-viz-plotly") < html.index('<div class="one">')
    assert without_plotly("<p>none</p>") == ("<p>none</p>", "")


@pytest.mark.parametrize("save", [save_slides, save_notebook_page])
def test_files_are_written_whole_or_not_at_all(save, tmp_path, monkeypatch):
    good = write(tmp_path / "a.ipynb", cell("markdown", "# <A> & b"))
    out = tmp_path / "out.html"
    assert save([good], out) == out
    assert "<title>&lt;A&gt; &amp; b</title>" in out.read_text(encoding="utf-8")
    before = out.read_bytes()
    with pytest.raises(InputError):
        save([good, tmp_path / "missing.ipynb"], out)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OutputError, match="disk full"):
        save([good], out)
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.ipynb", "out.html"}
    with pytest.raises(OutputError, match="cannot be written"):
        save([good], good / "below.html")
