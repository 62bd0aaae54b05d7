# SPDX-License-Identifier: Apache-2.0
"""Decks as PDF: what is drawn, and what scripts in them cannot do while they are printed."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import moe_viz as mv
from moe_viz.errors import InputError, MissingDependencyError, OutputError
from moe_viz.view.pages import pdf
from moe_viz.view.pages.pdf import save_pdf
from moe_viz.view.pages.slides import save_slides
from tests.unit.test_slides import cell, shown, write

pytestmark = pytest.mark.browser
WORDS = "# One slide with words"


def letters(printed: bytes) -> int:
    """How many letters a PDF draws: glyphs in its content streams."""
    drawn = b""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", printed, re.S):
        try:
            drawn += zlib.decompress(stream)
        except zlib.error:
            continue
    return sum(len(glyphs) // 4 for glyphs in re.findall(rb"<([0-9A-F]+)> Tj", drawn))


def deck_of(folder: Path, *outputs, words: str = WORDS) -> Path:
    """A deck of one slide with these outputs."""
    code = cell("code", "x", "", ["hide_code"], list(outputs))
    book = write(folder / "talk.ipynb", cell("markdown", words, "slide"), code)
    return save_slides([book], folder / "talk.html", execute=False)


@pytest.fixture
def printed(tmp_path):
    """What is printed of such a deck."""

    def printed(*outputs, words: str = WORDS) -> bytes:
        return save_pdf(deck_of(tmp_path, *outputs, words=words), tmp_path / "a.pdf").read_bytes()

    return printed


def test_a_single_slide_is_never_blank(printed):
    """It was in four runs of six."""
    for _ in range(6):
        found = printed()
        assert letters(found) >= len("Oneslidewithwords")
        assert len(re.findall(rb"/Type\s*/Page\b", found)) == 1


def test_pictures_and_charts_are_drawn_before_they_are_printed(printed):
    trace = mv.record(mv.load("8x7m"), ["Good morning, world. " * 12])
    picture = printed(shown(mv.explore(trace).to_html()))
    assert letters(picture) > 500
    chart = printed(shown(mv.chart(mv.analysis.load(trace)).to_html()))
    assert letters(chart) > letters(printed()) + 100  # axes and bars have names


def test_a_blank_page_is_an_error(tmp_path, monkeypatch):
    deck = deck_of(tmp_path)
    monkeypatch.setattr(pdf, "_pages", lambda printed: (1, 0))
    with pytest.raises(OutputError, match="of 1 slides, 1 with something on them, 1 were printed"):
        save_pdf(deck, tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_an_empty_slide_may_be_blank(printed):
    assert letters(printed(words="#")) <= len("talk") + 3  # its foot alone: the title, and 1/1


def test_what_is_no_deck_or_does_not_end_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="there is no deck to print"):
        save_pdf(tmp_path / "none.html", tmp_path / "a.pdf")
    page = tmp_path / "page.html"
    page.write_text("<p>No deck</p>")
    with pytest.raises(OutputError, match=r"a\.pdf: .*page\.html could not be .*it is no deck"):
        save_pdf(page, tmp_path / "a.pdf")
    monkeypatch.setattr(pdf, "SECONDS", 8)
    page.write_text("<p>Busy</p><script>while (true);</script>")
    with pytest.raises(OutputError, match=r"could not be printed .it took more than 8 s"):
        save_pdf(page, tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


@pytest.mark.parametrize("script", [
    "addEventListener('beforeprint', () => { while (true); })",
    "Object.defineProperty(HTMLElement.prototype, 'innerText', { get() { while (true); } })",
])  # fmt: skip
def test_a_script_that_keeps_it_from_being_printed_is_ended(script, printed, monkeypatch):
    monkeypatch.setattr(pdf, "SECONDS", 8)
    began = time.monotonic()
    with pytest.raises(OutputError, match="it took more than 8 s"):
        printed(shown(f"<script>{script}</script>"))
    assert time.monotonic() - began < 60


def test_without_a_browser_it_says_what_to_do(tmp_path, monkeypatch):
    deck = deck_of(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"print-pdf"):
        save_pdf(deck, tmp_path / "a.pdf")


def test_a_notebook_s_cell_can_print(tmp_path):
    """Where a loop runs already, as in a kernel."""
    deck = deck_of(tmp_path)

    async def in_a_cell() -> Path:
        return save_pdf(deck, tmp_path / "a.pdf")

    assert letters(asyncio.run(in_a_cell()).read_bytes()) > 10


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another server on this machine, and what it was asked for."""
    asked: list[str] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>" + b"other " * 200 + b"</h1>")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/in", asked
        server.shutdown()
        thread.join()


FRAME = (
    "const f = document.createElement('iframe'); f.src = '{}'; "
    "f.style = 'width:900px;height:600px'; document.querySelector('section').append(f)"
)
FORM = (
    "const f = document.createElement('form'); f.action = '{}'; f.method = 'post';"
    "document.body.append(f); f.submit()"
)
REACHING = {
    "a frame": FRAME,
    "another page": "location.href = '{}'",
    "a window": "window.open('{}')",
    "a form": FORM,
    "a request": "fetch('{}').catch(() => 0)",
    "a picture": "new Image().src = '{}'",
    "a beacon": "navigator.sendBeacon('{}', 'x')",
    "a refresh": (
        "const m = document.createElement('meta'); m.httpEquiv = 'refresh'; m.content = '0;url={}';"
        "document.head.append(m)"
    ),
    "a socket": "try {{ new WebSocket('{}'.replace('http', 'ws')) }} catch {{}}",
    "a link": (
        "const a = document.createElement('a'); a.href = '{}'; a.ping = '{}';"
        "document.body.append(a); a.click()"
    ),
    "a style": (
        "const s = document.createElement('style'); s.textContent = '@import url({})';"
        "document.head.append(s)"
    ),
    "a base": (
        "const b = document.createElement('base'); b.href = '{}'; document.head.prepend(b);"
        "new Image().src = 'x.png'"
    ),
}


@pytest.mark.parametrize("script", REACHING.values(), ids=REACHING)
def test_a_script_reaches_neither_files_nor_servers(script, printed, elsewhere, tmp_path):
    """And what is printed is the deck, unless a form has kept it from being read to its end."""
    address, asked = elsewhere
    secret = tmp_path / "secret.html"
    secret.write_text("<h1>" + "secret " * 400 + "</h1>")
    for target in (address, secret.as_uri()):
        output = shown(f"<script>{script.format(target, target)}</script>")
        if script is FORM:
            with pytest.raises(OutputError, match="a script in it keeps it from being read"):
                printed(output)
            continue
        found = printed(output)
        assert len("Oneslidewithwords") <= letters(found) < 100
    assert asked == []


@pytest.mark.parametrize("script", [FRAME, FORM], ids=["a frame", "a form"])
def test_nor_does_a_deck_that_is_opened_frame_a_file_or_send_a_form(
    script, browser, elsewhere, tmp_path
):
    address, asked = elsewhere
    secret = tmp_path / "secret.html"
    secret.write_text("<h1>secret</h1>")
    target = address if script is FORM else secret.as_uri()
    later = f"setTimeout(() => {{ {script.format(target)} }}, 500)"
    deck = deck_of(tmp_path, shown(f"<script>{later}</script>"))
    with closing(browser.new_page()) as page:
        page.goto(deck.as_uri(), wait_until="commit")
        page.wait_for_timeout(1500)
        assert page.url.startswith(deck.as_uri())
        assert "secret" not in "".join(frame.url for frame in page.frames)
    assert asked == []
