# SPDX-License-Identifier: Apache-2.0
"""A JupyterLab with settings of its own, and in it the first notebook, which has been run."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.conftest import listen, until

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "00_start_here.ipynb"
WAIT = 120_000  # milliseconds: a busy machine of two cores starts JupyterLab slowly
SETTINGS = "settings/@jupyterlab/apputils-extension"


def run(*arguments: str, home: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", *arguments], check=True, cwd=home, env=environment(home), timeout=300
    )


def environment(home: Path) -> dict[str, str]:
    """Jupyter's folders below `home`: a test reads and changes no one's settings or trust."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    return {
        **kept,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }


@dataclass
class Lab:
    """A JupyterLab on the loopback address, and its folder."""

    url: str
    token: str
    home: Path

    @contextmanager
    def open(self, browser, name: str, theme: str, wait_for: str = ".moe-viz"):
        """A notebook's page in its own context, with its noise; `theme` is Light or Dark."""
        folder = self.home / SETTINGS
        folder.mkdir(parents=True, exist_ok=True)
        quiet = {"checkForUpdates": False, "fetchNews": "false"}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        (folder / "themes.jupyterlab-settings").write_text(
            json.dumps({"theme": f"JupyterLab {theme}"})
        )
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        context.set_default_timeout(WAIT)
        noise = listen(context)
        page = context.new_page()
        try:
            page.goto(f"{self.url}/lab/tree/{name}?token={self.token}&reset")
            page.locator(wait_for).first.wait_for(state="attached")
            # In one go: JupyterLab replaces cells while it opens a notebook.
            page.evaluate("e => document.querySelector(e)?.scrollIntoView()", wait_for)
            yield page, noise
        finally:
            context.close()  # before JupyterLab saves what a test did to the notebook


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with the executed notebook: trusted, not trusted, and as HTML."""
    home = tmp_path_factory.mktemp("jupyter")
    (home / "nb").mkdir()
    trusted = shutil.copy(NOTEBOOK, home / "nb" / "trusted.ipynb")
    run("nbconvert", "--to=notebook", "--execute", "--inplace", str(trusted), home=home)
    run("nbconvert", "--to=html", str(trusted), home=home)
    notebook = nbformat.read(trusted, as_version=4)
    # Trust is a signature of the content: one more cell, and it does not hold.
    notebook.cells.append(nbformat.v4.new_markdown_cell("Not trusted."))
    nbformat.write(notebook, home / "nb" / "untrusted.ipynb")
    run("nbformat.sign", str(trusted), home=home)
    return home


@pytest.fixture(scope="module")
def lab(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={home / 'nb'}"],
            cwd=home,
            env={**environment(home), "JUPYTER_TOKEN": token},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(2 * WAIT // 1000):
            assert server.poll() is None, (home / "log").read_text()
            try:
                urllib.request.urlopen(f"{url}/api?token={token}").close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((home / "log").read_text())
        yield Lab(url, token, home)
    finally:
        server.terminate()  # its kernels end with it
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)  # the group that this test started
            server.wait(30)


def run_first_cell(page) -> None:
    """JupyterLab drops what is run before its kernel answers, without a word: then once more."""
    prompt = page.locator(".jp-InputPrompt").first

    def runs() -> bool:
        # On a busy machine the kernel may be late, and JupyterLab asks which one is meant.
        asked = page.locator(".jp-Dialog button.jp-mod-accept")
        if asked.count():
            print("JupyterLab asks:", page.locator(".jp-Dialog").first.inner_text())
            asked.first.click()
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(2000)
        return prompt.inner_text() != "[ ]:"

    until(runs, WAIT / 1000)


def of_ours(noise, url: str) -> list[str]:
    """Console errors, without those that JupyterLab's own files and services report."""
    theirs = re.compile(re.escape(url) + r"/(static|api|lab/(api|extensions))/")
    return [text for text, where in noise.errors if not theirs.match(where)]
