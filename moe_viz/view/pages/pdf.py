# SPDX-License-Identifier: Apache-2.0
"""A deck as PDF, printed by Chromium once all that is in it has been drawn.

In: a deck, which may hold the scripts of anybody's notebook. Out: a page for each slide. While it
is printed the deck has an address of its own on no server, so it can neither read this disk nor ask
anything of anybody: every request but that for the deck itself is turned down.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError, OutputError, first_line
from ...files import atomic_path

#: What Chromium and Chrome are called where a system has them; Playwright may bring one besides.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Nobody has this address: names that end so are never given out (RFC 2606).
ADDRESS = "http://deck.invalid/"
#: Seconds in which a deck is to be read, drawn and printed.
SECONDS = 180

#: Whether all is drawn; how many slides there are, and how many have something on them.
_DRAWN = """() => {
  const all = (what) => [...document.querySelectorAll(what)];
  if (document.readyState === "complete" && !window.moeVizNotes)
    throw "it is no deck, or a script in it keeps it from being read to its end";
  return window.Reveal?.isReady() && all(".pdf-page").length &&
    all(".slides section:not(.stack)").every((slide) => slide.closest(".pdf-page")) &&
    document.fonts.status === "loaded" &&
    all(".moe-viz-chart, .moe-viz-figure").every((e) => e.dataset.ready) &&
    all(".moe-viz").every((e) => e.shadowRoot?.querySelector(".sentence")?.textContent) &&
    all(".moe-viz-diagram").every((e) => e.shadowRoot?.querySelector("svg")) &&
    all("img").every((e) => e.complete);
}"""
#: A page that is told to go elsewhere stops reading itself, even if it cannot go.
_STAY = """navigation.addEventListener("navigate", (event) => {
  if (!event.destination.sameDocument) event.preventDefault();
})"""
_COUNT = """() => {
  const slides = [...document.querySelectorAll(".slides section:not(.stack)")];
  const drawn = "img, svg, canvas, .moe-viz";
  const full = (slide) => slide.innerText.trim() || slide.querySelector(drawn);
  return [slides.length, slides.filter(full).length];
}"""


def save_pdf(deck: str | Path, path: str | Path) -> Path:
    """Print a deck to PDF, a page for each slide, with the Chromium or Chrome that is here.

    Raises `MissingDependencyError` without one, or without the extra `pdf`; `InputError` where
    there is no deck; `OutputError` where it is not drawn within three minutes, or not printed.
    """
    try:
        html = Path(deck).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{deck}: there is no deck to print ({reason}).") from error
    try:
        from playwright.async_api import Error
    except ImportError as error:
        raise MissingDependencyError(
            "A deck is printed through the package playwright: pip install 'moe-viz[pdf]'. Or open "
            "the deck in any browser with ?print-pdf, and print it."
        ) from error
    with atomic_path(path) as temporary:
        try:
            # In a thread of its own: notebooks run a loop in theirs already.
            with ThreadPoolExecutor(1) as thread:
                slides, full = thread.submit(asyncio.run, _in_time(html, temporary)).result()
        except (Error, TimeoutError) as error:
            reason = f"it took more than {SECONDS} s" if _late(error) else first_line(error)
            raise OutputError(
                f"{path}: {deck} could not be printed ({reason}). Open "
                "the deck with ?print-pdf in a browser, and print it there."
            ) from error
        pages, drawn = _pages(temporary.read_bytes())
        if pages < slides or drawn < full:
            raise OutputError(
                f"{path}: of {slides} slides, {full} with something on them, {pages} were printed, "
                f"{pages - drawn} of them blank. Open the deck with ?print-pdf in a browser, and "
                "print it there."
            )
    return Path(path)


def _late(error: Exception) -> bool:
    """Whether time ran out: ours, or Playwright's, which has an error of its own."""
    return type(error).__name__ == "TimeoutError"


async def _in_time(html: str, path: Path) -> tuple[int, int]:
    """Print a deck, or raise `TimeoutError`: a script in it may keep every step from its end."""
    return await asyncio.wait_for(_print(html, path), SECONDS)


async def _print(html: str, path: Path) -> tuple[int, int]:
    """Print a deck; how many slides it has, and how many of them have something on them."""
    async with _browser() as browser:
        context = await browser.new_context(service_workers="block")
        context.set_default_timeout(1000 * SECONDS)
        page = await context.new_page()
        context.on("page", lambda opened: opened.close())  # a window that a script opens

        async def answer(route: Any) -> None:
            if route.request.url.split("?")[0].split("#")[0] == ADDRESS:
                await route.fulfill(body=html, content_type="text/html; charset=utf-8")
            else:
                await route.abort("aborted")  # and the deck stays where it is

        await context.route("**/*", answer)
        await context.add_init_script(_STAY)
        await page.goto(f"{ADDRESS}?print-pdf", wait_until="commit")
        await page.wait_for_function(_DRAWN)
        slides, full = await page.evaluate(_COUNT)
        await page.pdf(path=path, print_background=True, prefer_css_page_size=True)
        return slides, full


@asynccontextmanager
async def _browser() -> AsyncIterator[Any]:
    """Chromium without anybody's settings, in its sandbox wherever it can have one."""
    from playwright.async_api import Error, async_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    options = {
        "executable_path": found,
        # What asks past all routes (there is nobody at this port), is told so.
        "proxy": {"server": "http://127.0.0.1:9"},
        "args": ["--force-webrtc-ip-handling-policy=disable_non_proxied_udp"],
    }
    root = getattr(os, "geteuid", lambda: 1)() == 0  # the administrator's has none
    async with async_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            raise MissingDependencyError(
                f"A PDF is printed by Chromium or Chrome, and none of {', '.join(BROWSERS)} is "
                "here. Install one (playwright install chromium), or open the deck in any browser "
                "with ?print-pdf and print it."
            )
        try:
            browser = await playwright.chromium.launch(chromium_sandbox=not root, **options)
        except Error:
            if root:
                raise
            browser = await playwright.chromium.launch(chromium_sandbox=False, **options)
        try:
            yield browser
        finally:
            await browser.close()


def _pages(printed: bytes) -> tuple[int, int]:
    """How many pages a PDF of Chromium's has, and on how many there is something.

    >>> _pages(b"1 0 obj <</Type /Page /Font 3>> endobj 2 0 obj <</Type /Page>> endobj")
    (2, 1)
    """
    pages = re.findall(rb"/Type\s*/Page\b.*?endobj", printed, re.S)
    return len(pages), sum(b"/Font" in page or b"/XObject" in page for page in pages)
