# SPDX-License-Identifier: Apache-2.0
"""One headless Chromium for a file of tests, and what its pages ask for and complain of."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, field

import pytest

import moe_viz as mv
from tests.browser.hostile import HOSTILE

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

PASSAGE = " ".join(["Two of eight experts work on every token, and a router picks them."] * 8)
CODE = '"""Count."""\n\n\ndef count(items):\n    return sum(1 for item in items if item)\n'
#: What a page with a model in it says when it has run a text.
READY = re.compile(r"\d+ tokens\. Nothing that you type leaves this page\.")


@dataclass
class Noise:
    """What the pages of one context did beside drawing."""

    requests: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)  # message, and the script's address

    def outside(self, *inside: str) -> list[str]:
        """Requests to anywhere but these beginnings of addresses."""
        return [u for u in self.requests if not u.startswith((*inside, "data:", "blob:"))]


def listen(context) -> Noise:
    """Keep what the pages of a browser context request and report, from now on."""
    noise = Noise()
    context.on("request", lambda request: noise.requests.append(request.url))
    context.on("weberror", lambda e: noise.errors.append((str(e.error), "")))

    def console(message):
        if message.type == "error":
            noise.errors.append((message.text, (message.location or {}).get("url", "")))

    context.on("console", console)
    return noise


def until(holds, seconds: float = 15) -> None:
    """Wait for something to hold: a page on a busy machine draws when it can."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def drawn(page) -> None:
    """Until what was last done to a page has been drawn: pictures are, with the next frame."""
    page.evaluate(
        "() => new Promise((end) => requestAnimationFrame(() => requestAnimationFrame(end)))"
    )


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is missing: make chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A page of five prompts, and its trace."""
    texts = ["Good morning.", HOSTILE, "naïve 中", PASSAGE, CODE]
    trace = mv.record(mv.load("8x7m"), texts, labels=["en", "x<b>", "en", "passage", "python"])
    return mv.save_page(trace, tmp_path_factory.mktemp("page") / "routing.html"), trace


@pytest.fixture(scope="module")
def model():
    """8x7m, as it is: the page's tests compare with it."""
    return mv.load("8x7m")


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """A page with 8x7m in it: with int8 weights, and with exact ones."""
    folder, model = tmp_path_factory.mktemp("live"), mv.load("8x7m")
    return {
        exact: mv.save_live(folder / f"{exact}.html", model, exact=exact) for exact in (False, True)
    }


@pytest.fixture
def opened(browser, pages):
    """Opens such a page, from the disk or `at` a folder's address, and waits until it has run."""
    contexts = []

    def open_page(exact: bool = False, after: str = "", at: str = "", script: str = "", **options):
        context = browser.new_context(**{"offline": not at} | options)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        contexts.append((context, listen(context), at))
        path = pages[exact]
        page.goto((f"{at}/{path.name}" if at else path.as_uri()) + after)
        page.get_by_text(READY).wait_for()
        return page

    yield open_page
    for context, noise, at in contexts:
        assert noise.errors == []
        assert noise.outside("file:", *([at] if at else [])) == []
        context.close()


@pytest.fixture
def presented(browser):
    """Opens decks in windows of some size; what they ask for and complain of is looked at after."""
    contexts, noises = [], []

    def presented(path, width=1280, height=720, at="", **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, offline=True, **options
        )
        context.set_default_timeout(120_000)  # a busy machine draws when it can
        contexts.append(context)
        noises.append(listen(context))
        page = context.new_page()
        page.goto(path.as_uri() + at)
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        return page

    yield presented
    for context, noise in zip(contexts, noises, strict=True):
        assert noise.errors == []
        assert noise.outside("file:") == []
        context.close()
