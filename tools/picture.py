# SPDX-License-Identifier: Apache-2.0
"""The picture at the head of the README: the explorer on one passage, as a browser draws it.

In: the embedded model. Out: docs/explorer.png. Needs the development environment and Chromium.

    python tools/picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import moe_viz as mv

OUT = Path(__file__).parents[1] / "docs" / "explorer.png"


def main() -> None:
    """Record, draw, photograph."""
    trace = mv.record(mv.load("8x7m"), mv.prompts.passages().parallel("cat"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = mv.save_page(trace, Path(folder) / "page.html", layer=2, token=14)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        view = browser.new_page(viewport={"width": 1280, "height": 640}, device_scale_factor=1.5)
        view.goto(page.as_uri())
        view.locator(".moe-viz").wait_for()
        view.wait_for_timeout(500)
        OUT.parent.mkdir(exist_ok=True)
        view.locator(".moe-viz").screenshot(path=OUT)
        browser.close()
    picture = Image.open(OUT).convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
    picture.save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
