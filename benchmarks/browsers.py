# SPDX-License-Identifier: Apache-2.0
"""How soon a large page is there in browsers other than the one we test with.

    apt-get install firefox-esr webkit2gtk-driver chromium xvfb
    python benchmarks/browsers.py [--tokens 32768] [--layers 32] [--turns 5]

The page lies in a frame of another page, which looks every 5 ms whether the picture's sentence is
there, waits for the next two frames, and reports to this program over loopback. The browsers take
turns, each a new process with an empty profile. WebKitGTK needs a screen: a virtual one is started.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from explorer import fine_grained, made_up
from rich.console import Console
from rich.table import Table

import moe_viz as mv

# The time begins when the frame is given its address; `load` waits for nothing of the picture.
WATCH = """<!doctype html><meta charset=utf-8><title>waiting</title>
<iframe style="width:1340px;height:700px"></iframe>
<script>
const frame = document.querySelector("iframe");
const began = performance.now();
frame.src = "/page.html";
const report = (what) => fetch("/found", { method: "POST", body: what });
const look = setInterval(() => {
  const host = frame.contentDocument?.querySelector(".moe-viz");
  if (!host?.shadowRoot?.querySelector(".sentence:not(:empty)")) return;
  clearInterval(look);
  frame.contentWindow.requestAnimationFrame(() =>
    frame.contentWindow.requestAnimationFrame(() => report(String(performance.now() - began))),
  );
}, 5);
</script>
"""
WEBKIT = "/usr/lib/{}/webkit2gtk-4.1/MiniBrowser"
WAIT = 180  # seconds


def browsers() -> dict[str, list[str]]:
    """Commands that open an address, by name; of those that are installed."""
    found = {}
    if chromium := shutil.which("chromium"):
        found["Chromium"] = [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--window-size=1366,768", "--user-data-dir={}",
        ]  # fmt: skip
    if firefox := shutil.which("firefox-esr") or shutil.which("firefox"):
        found["Firefox"] = [firefox, "--headless", "--no-remote", "--profile", "{}"]
    for folder in ("x86_64-linux-gnu", "aarch64-linux-gnu"):
        if Path(WEBKIT.format(folder)).exists() and shutil.which("Xvfb"):
            found["WebKitGTK"] = [WEBKIT.format(folder), "--private", "--geometry=1366x768"]
    return found


def served(page: Path, found: queue.Queue[str], watch: str) -> ThreadingHTTPServer:
    """The page and its watcher on loopback; what the watcher reports goes into `found`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/": watch.encode(), "/page.html": page.read_bytes()}
            body = known.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def do_POST(self) -> None:
            found.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def opened(command: list[str], page: Path, display: str) -> float:
    """Milliseconds until the picture is painted, in a new process."""
    with watched(command, page, display, WATCH) as (found, _):
        return float(found.get(timeout=WAIT))


@contextmanager
def watched(
    command: list[str], page: Path, display: str, watch: str
) -> Iterator[tuple[queue.Queue[str], subprocess.Popen[bytes]]]:
    """A new browser in which `watch` looks at a page; what it reports, and the process."""
    found: queue.Queue[str] = queue.Queue()
    server = served(page, found, watch)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = subprocess.Popen(
            [*(part.replace("{}", profile) for part in command), address],
            env={**os.environ, "DISPLAY": display, "HOME": profile},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield found, browser
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
            server.server_close()


@contextmanager
def screen(commands: Mapping[str, list[str]]) -> Iterator[str]:
    """The name of a virtual screen, where one of the browsers needs it."""
    if "WebKitGTK" not in commands:
        yield ""
        return
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    commands = browsers()
    with screen(commands) as display, tempfile.TemporaryDirectory() as folder:
        pages = {
            f"{args.tokens:,} tokens × {args.layers} layers × 8 experts": mv.save_page(
                made_up(args.tokens, args.layers), Path(folder) / "large.html"
            ),
            "4,096 tokens × 58 layers × 256 experts": mv.save_page(
                fine_grained(), Path(folder) / "deep.html"
            ),
        }
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(args.turns):
            for what, page in pages.items():
                for name, command in commands.items():
                    spent = opened(command, page, display)
                    times.setdefault((what, name), []).append(spent / 1000)
        sizes = {what: page.stat().st_size / 1e6 for what, page in pages.items()}
    table = Table(title=f"moe_viz {mv.__version__}: until a page's picture is painted")
    for name in ("page", "size", "browser", "median", "least to most"):
        table.add_column(name)
    for (what, name), spent in times.items():
        table.add_row(what, f"{sizes[what]:.1f} MB", name, f"{statistics.median(spent):.2f} s",
                      f"{min(spent):.2f} to {max(spent):.2f} s")  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
