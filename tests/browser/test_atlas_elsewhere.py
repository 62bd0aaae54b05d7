# SPDX-License-Identifier: Apache-2.0
"""The atlas in parts, opened from a folder by other browsers: what they show, they say themselves.

A copy of the page may show one picture from loopback; a script in it opens an entry, searches, and
asks for a picture whose address is what it sees.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from moe_viz.view.atlas.page import save_atlas
from tests.browser.atlas_seen import takers_of_piece
from tests.browser.atlases import made

pytestmark = pytest.mark.browser

WEBKIT = next(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"), None)
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
WAIT = 120  # seconds
#: Looks every 50 ms: an entry, then what a search finds in all layers, then tells.
WATCH = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
const tell = (what) => { new Image().src = "PLACE?" + new URLSearchParams({ what }); };
const until = (look) => new Promise((end) => {
  const turn = setInterval(() => { const x = look(); if (x) { clearInterval(turn); end(x); } }, 50);
});
const links = () => [...document.querySelectorAll(".found tbody tr")].map((row) =>
  [...row.querySelectorAll("a")].map((a) => a.getAttribute("href")));
(async () => {
  const canvas = await until(() => document.querySelector("canvas"));
  await until(() => canvas.width > 1000);
  const g = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const painted = g.filter((v, n) => n % 4 === 3 && v === 255).length / (g.length / 4);
  location.hash = "#115/255";
  const said = await until(() => document.querySelector("p.said")?.textContent);
  location.hash = "#piece/" + encodeURIComponent("␣le");
  const whole = () => links().length === 58 && links().every((row) => row.length);
  const found = await until(() => whole() && links());
  tell(JSON.stringify({ said, found, painted, errors, width: document.documentElement.scrollWidth,
    window: innerWidth }));
})();
</script></body>"""


@contextmanager
def listening():
    """What pages tell on loopback, and where that is."""
    told: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.put(parse_qs(urlsplit(self.path).query)["what"][0])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running(command: list[str], **variables: str):
    process = subprocess.Popen(
        command, env={**os.environ, **variables},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def screen():
    """The name of a virtual screen, which WebKitGTK needs."""
    read, write = os.pipe()
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f":{os.read(read, 16).decode().strip()}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    atlas = made(58, 256, 8)
    return atlas, save_atlas(atlas, tmp_path_factory.mktemp("elsewhere") / "large.html")


@pytest.mark.parametrize("which", ["Firefox", "WebKitGTK"])
def test_another_browser_opens_the_parts_from_a_folder(which, large, tmp_path):
    if which == "Firefox" and not FIREFOX:
        pytest.skip("Firefox is missing: apt-get install firefox-esr")
    if which == "WebKitGTK" and not (WEBKIT and shutil.which("Xvfb")):
        pytest.skip("WebKitGTK is missing: apt-get install webkit2gtk-driver xvfb")
    atlas, path = large
    with listening() as (place, told):
        html = path.read_text(encoding="utf-8").replace("img-src data:", f"img-src data: {place}")
        watched = path.with_name(f"{which}.html")
        watched.write_text(html.replace("</body>", WATCH.replace("PLACE", place)), encoding="utf-8")
        if which == "Firefox":
            command = [FIREFOX, "--headless", "--no-remote", "--profile", str(tmp_path)]
            with running([*command, watched.as_uri()], HOME=str(tmp_path)):
                seen = json.loads(told.get(timeout=WAIT))
        else:
            command = [str(WEBKIT), "--private", "--geometry=1366x768"]
            with (
                screen() as display,
                running([*command, watched.as_uri()], DISPLAY=display, HOME=str(tmp_path)),
            ):
                seen = json.loads(told.get(timeout=WAIT))
    assert seen["errors"] == []
    assert "xpert 255 of layer 115" in seen["said"]
    expected = [[link for link, _, _ in row] for row in takers_of_piece(atlas, "␣le")]
    assert seen["found"] == expected
    assert seen["painted"] == 1
    assert seen["width"] <= seen["window"]
