# SPDX-License-Identifier: Apache-2.0
"""How large the picture is, how soon it is there, and how smoothly it moves.

    python benchmarks/explorer.py [--tokens 32768] [--layers 32]

A made-up trace in headless Chromium: the size of the page; when its first picture is painted; what
script, layout and paint cost per frame while layers change, the map pans and zooms, and the pointer
moves, from the browser's own trace of its main thread; the renderer's memory. Then 4,096 tokens of
58 layers with 256 experts, with both maps and play; and a small trace, for size and start. Nothing
else should run on the machine.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table

import moe_viz as mv
from moe_viz.trace import Trace, TracePrompt
from moe_viz.trace.provenance import Provenance

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CATEGORIES = "devtools.timeline,disabled-by-default-devtools.timeline,toplevel,blink.user_timing"
STEPS = 40  # of each kind of movement
ASKED = {
    "change of layer": "≤ 14 ms, 95 %: ≤ 40 ms",
    "change of scope": "≤ 14 ms, 95 %: ≤ 40 ms",
    "second map, from loads to touched": "≤ 10 ms",
    "play, touched": "95 %: ≤ 40 ms, most ≤ 100 ms",
}
WORDS = ["two", "of", "eight", "experts", "work", "on", "every", "token"]


def made_up(tokens: int, layers: int, experts: int = 8, k: int = 2) -> Trace:
    """A trace of random decisions, one prompt of plain words."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((layers, tokens, experts), np.float32)
    order = np.argsort(-logits, axis=2, kind="stable")[:, :, :k]
    best = np.take_along_axis(logits, order, axis=2)
    gates = np.exp(best - best.max(axis=2, keepdims=True))
    gates /= gates.sum(axis=2, keepdims=True)
    words = [f" {WORDS[n % len(WORDS)]}" for n in range(tokens)]
    stops = np.cumsum([len(word) for word in words])
    return Trace(
        logits, order.astype(np.int16), gates, np.zeros(tokens, np.int32), words,
        np.stack([stops - [len(word) for word in words], stops], axis=1).astype(np.int32),
        np.zeros(tokens, bool), np.zeros(tokens, bool),
        (TracePrompt("".join(words), "en", 0, tokens),),
        Provenance("made up", weights="random weights: a benchmark", dtype="float32"),
        tuple(range(layers)),
    )  # fmt: skip


def fine_grained() -> Trace:
    """The shape of DeepSeek-V3: 58 layers with experts after three without, 8 of 256."""
    layers = tuple(range(3, 61))
    trace = made_up(4096, 58, 256, 8)
    return replace(trace, layers=layers, mixtures=layers, model_layers=61)


def started(page: Page, path: Path) -> float:
    """Seconds from navigation to a painted picture."""
    page.goto(path.as_uri(), wait_until="commit")
    page.locator(".sentence:not(:empty)").wait_for()
    painted = (
        "new Promise(r => requestAnimationFrame(() => setTimeout(() => r(performance.now()))))"
    )
    return page.evaluate(painted) / 1000


def frames(page: Page, cdp: CDPSession, steps: list[Any]) -> list[float]:
    """Milliseconds of the main thread for each step, from the browser's trace."""
    events: list[dict[str, Any]] = []
    cdp.on("Tracing.dataCollected", lambda chunk: events.extend(chunk["value"]))
    done: list[bool] = []
    cdp.once("Tracing.tracingComplete", lambda _: done.append(True))
    cdp.send("Tracing.start", {"categories": CATEGORIES, "transferMode": "ReportEvents"})
    for n, step in enumerate(steps):
        page.evaluate(f"performance.mark('step {n}')")
        step()
        page.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    page.evaluate(f"performance.mark('step {len(steps)}')")
    cdp.send("Tracing.end")
    while not done:
        page.wait_for_timeout(20)
    marks = sorted((e["ts"], e["tid"]) for e in events if e["name"].startswith("step "))
    main = marks[0][1]
    work = {"FunctionCall", "FireAnimationFrame", "EventDispatch", "Layout", "UpdateLayoutTree",
            "PrePaint", "Paint", "Layerize", "Commit"}  # fmt: skip
    spans = sorted(
        (e["ts"], e["ts"] + e["dur"])
        for e in events
        if e["tid"] == main and e.get("ph") == "X" and e["name"] in work
    )
    costs = []
    for (begin, _), (end, _) in pairwise(marks):
        total, until = 0.0, begin
        for a, b in spans:  # nested ones are counted once
            if begin <= a < end and b > until:
                total += b - max(a, until)
                until = b
        costs.append(total / 1000)
    return costs


def renderer_memory() -> float:
    """Megabytes of the largest renderer process."""
    largest = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            if b"--type=renderer" in command:
                lines = dict(x.split(":", 1) for x in status.read_text().splitlines() if ":" in x)
                largest = max(largest, int(lines["VmRSS"].split()[0]) / 1024)
        except (OSError, KeyError):
            continue
    return largest


def movements(page: Page) -> dict[str, list[Any]]:
    """Steps of each kind."""
    marks = page.locator(".stack .marks").first
    box = marks.bounding_box()
    assert box is not None
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    middle = (x + w / 2, y + h / 2)
    page.mouse.move(*middle)
    page.locator(".mv").focus()

    def zoom(n: int) -> None:
        page.mouse.wheel(0, -100 if n % 20 < 10 else 100)

    strip = page.locator(".overview").first.bounding_box()
    assert strip is not None

    def pan(n: int) -> None:
        page.mouse.click(strip["x"] + strip["width"] * (0.1 + 0.02 * n), strip["y"] + 8)

    keys = ["ArrowDown"] * 20 + ["ArrowUp"] * 20
    return {
        "change of layer": [lambda k=k: page.keyboard.press(k) for k in keys[:STEPS]],
        "zoom": [lambda n=n: zoom(n) for n in range(STEPS - 5)],  # it ends zoomed in
        "pan": [lambda n=n: pan(n) for n in range(STEPS)],
        "pointer over the map": [
            lambda n=n: page.mouse.move(x + w * (0.1 + 0.02 * n), middle[1]) for n in range(STEPS)
        ],
    }


def choose(page: Page, name: str, value: str) -> None:
    """Set what a list of the picture says, as a reader does."""
    page.evaluate(
        """([name, value]) => {
          const root = document.querySelector('.moe-viz').shadowRoot;
          const list = root.querySelector(`select[aria-label='${name}']`);
          list.value = value;
          list.dispatchEvent(new Event('change'));
        }""",
        [name, value],
    )


def many_experts(page: Page, cdp: CDPSession) -> dict[str, list[float]]:
    """What frames cost with 256 experts, by what is done."""
    keys = ["ArrowDown"] * 20 + ["ArrowUp"] * 20
    scopes = ["prompt", "all"] * 20
    page.locator(".mv").focus()

    def pressed(names: list[str]) -> list[Any]:
        return [lambda k=k: page.keyboard.press(k) for k in names]

    def scoped() -> list[Any]:
        return [lambda s=s: choose(page, "Load of", s) for s in scopes]

    found = {"change of layer": frames(page, cdp, pressed(keys))}
    found["change of scope"] = frames(page, cdp, scoped())
    found["next token"] = frames(page, cdp, pressed(["ArrowRight"] * STEPS))
    choose(page, "Map", "experts")
    page.wait_for_timeout(300)
    page.locator(".mv").focus()
    found["second map, change of layer"] = frames(page, cdp, pressed(keys))
    found["second map, change of scope"] = frames(page, cdp, scoped())
    turns = ["touched", "experts"] * 20
    found["second map, from loads to touched"] = frames(
        page, cdp, [lambda s=s: choose(page, "Map", s) for s in turns]
    )
    choose(page, "Map", "touched")
    page.wait_for_timeout(300)
    page.locator(".mv").focus()
    page.keyboard.press(" ")
    waits = [lambda: page.wait_for_timeout(250) for _ in range(STEPS)]
    found["play, touched"] = frames(page, cdp, waits)
    page.keyboard.press("Escape")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--layers", type=int, default=32)
    args = parser.parse_args()
    table = Table(title=f"moe_viz {mv.__version__}: the explorer, headless Chromium")
    for name in ("what", "measured", "asked"):
        table.add_column(name)
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        path = Path(folder) / "large.html"
        began = time.perf_counter()
        mv.save_page(made_up(args.tokens, args.layers), path)
        wrote = time.perf_counter() - began
        size = path.stat().st_size / 1e6
        table.add_row(
            f"page of {args.tokens:,} tokens × {args.layers} layers", f"{size:.1f} MB", "≤ 45 MB"
        )
        table.add_row("… written in", f"{wrote:.1f} s", "")
        page = browser.new_page(viewport={"width": 1366, "height": 1000})
        first = [started(page, path) for _ in range(3)]
        table.add_row("… first paint", f"{statistics.median(first):.2f} s", "≤ 3 s")
        cdp = page.context.new_cdp_session(page)
        for name, steps in movements(page).items():
            costs = frames(page, cdp, steps)
            middle, high = (float(np.percentile(costs, q)) for q in (50, 95))
            found = f"{middle:.1f} ms, 95 %: {high:.1f} ms"
            table.add_row(f"… {name}, a frame", found, "≤ 12 ms, 95 %: ≤ 40 ms")
        table.add_row("… renderer's memory", f"{renderer_memory():.0f} MB", "≤ 500 MB")
        page.close()
        deep = Path(folder) / "deep.html"
        mv.save_page(fine_grained(), deep)
        table.add_row("page of 4,096 tokens × 58 layers × 256 experts",
                      f"{deep.stat().st_size / 1e6:.1f} MB", "≤ 45 MB")  # fmt: skip
        page = browser.new_page(viewport={"width": 1366, "height": 1000})
        first = [started(page, deep) for _ in range(3)]
        table.add_row("… first paint", f"{statistics.median(first):.2f} s", "≤ 1.5 s")
        for name, costs in many_experts(page, page.context.new_cdp_session(page)).items():
            middle, high = (float(np.percentile(costs, q)) for q in (50, 95))
            found = f"{middle:.1f} ms, 95 %: {high:.1f} ms, most {max(costs):.0f} ms"
            table.add_row(f"… {name}, a frame", found, ASKED.get(name, ""))
        page.close()
        trace = mv.record(mv.load("8x7m"), mv.prompts.curated().select(label="en").texts[0])
        small = mv.save_page(trace, Path(folder) / "small.html")
        L, T = trace.router_logits.shape[:2]
        allowed = 250_000 + 32 * T * L * 4 / 3
        table.add_row(f"page of {T} tokens × {L} layers", f"{small.stat().st_size / 1e3:.0f} kB",
                      f"≤ {allowed / 1e3:.0f} kB")  # fmt: skip
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        first = [started(page, small) for _ in range(5)]
        table.add_row("… first paint", f"{1000 * statistics.median(first):.0f} ms", "≤ 300 ms")
        notebook = len(mv.explore(made_up(args.tokens, args.layers)).to_html())
        table.add_row("notebook output of the large trace", f"{notebook / 1e6:.2f} MB", "≤ 4 MB")
        curated = mv.record(mv.load("8x7m"), mv.prompts.curated())
        whole = mv.explore(curated).to_html()
        (how,) = re.findall(r'"precision":"(\w+)"', whole)
        table.add_row("… of all curated prompts", f"{len(whole) / 1e6:.2f} MB ({how})", "≤ 4 MB")
        browser.close()
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
