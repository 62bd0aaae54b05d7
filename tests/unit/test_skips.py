# SPDX-License-Identifier: Apache-2.0
"""Skipped tests: failures on continuous integration, and elsewhere no reason to crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "test_whole.py": "import pytest\npytest.importorskip('no_such_package')\n",
    "test_one.py": "import pytest\ndef test_it(): pytest.skip('no reason')\n",
    "test_cuda.py": (
        "import pytest\n@pytest.mark.cuda\ndef test_it(): pytest.skip('no GPU')\n"
        "def test_other(): pass\n"
    ),
}


SAID = {
    "": ["1 passed, 3 skipped"],
    "1": [
        "1 failed, 1 passed, 1 skipped, 1 error",
        "1 tests need an NVIDIA GPU",
        "FAILED test_one.py::test_it - skipped on CI",
        "ERROR test_whole.py - skipped on CI",
    ],
}


@pytest.mark.parametrize("ci", ["", "1"])
def test_a_skip_fails_on_ci_unless_it_lacks_hardware_and_never_crashes(tmp_path, ci):
    root = Path(__file__).parents[2]
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        (root / "tests/conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "--continue-on-collection-errors"],
        cwd=tmp_path, env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == (1 if ci else 0), run.stdout + run.stderr
    assert "INTERNALERROR" not in run.stdout + run.stderr
    for said in SAID[ci]:
        assert said in run.stdout, run.stdout
