# SPDX-License-Identifier: Apache-2.0
"""The page with a model in it, opened in JupyterLab beside a notebook, trusted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import moe_viz as mv
from tests.browser.conftest import READY
from tests.browser.jupyter import WAIT, lab, of_ours  # noqa: F401  (a fixture)

pytestmark = pytest.mark.browser
TEXT = "Guten Morgen, Welt."


@pytest.fixture(scope="module")
def home(pages, tmp_path_factory) -> Path:
    """A folder that JupyterLab opens, with the page in it."""
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "nb").mkdir()
    shutil.copy(pages[True], folder / "nb" / "lab.html")
    return folder


def test_it_runs_beside_a_notebook(browser, lab):  # noqa: F811
    frame = "iframe.jp-IFrame, .jp-HTMLViewer iframe"
    with lab.open(browser, "lab.html", "Light", wait_for=frame) as (page, noise):
        page.get_by_role("button", name="Trust HTML").click()
        inside = page.frame_locator(frame)
        inside.get_by_text(READY).wait_for(timeout=WAIT)
        trace = mv.record(mv.load("8x7m"), TEXT)
        inside.get_by_label("Your text").fill(TEXT)
        inside.get_by_text(re.compile(rf"^{len(trace)} tokens\.")).wait_for()
        first, second = (int(e) for e in trace.experts[0, 1])
        said = rf"‘{re.escape(trace.tokens[1])}’ goes to expert {first} .* and {second} "
        inside.locator(".sentence", has_text=re.compile(said)).wait_for()
        inside.get_by_role("button", name="Spoil French").click()
        inside.get_by_text("fr loses most").wait_for()
        # Before it is trusted, the browser says that its scripts do not run.
        found = of_ours(noise, lab.url)
        assert [e for e in found if not e.startswith("Blocked script execution")] == []
        assert noise.outside(lab.url) == []
