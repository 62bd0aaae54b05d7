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


@pytest.mark.parametrize(
    ("name", "ci", "status"),
    [
        ("test_whole.py", "", 5),  # pytest's own: nothing was collected
        ("test_whole.py", "1", 2),  # an error in collecting
        ("test_one.py", "", 0),
        ("test_one.py", "1", 1),
        ("test_cuda.py", "", 0),
        ("test_cuda.py", "1", 0),
    ],
)
def test_a_skip_fails_on_ci_unless_it_lacks_hardware_and_never_crashes(tmp_path, name, ci, status):
    root = Path(__file__).parents[2]
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        (root / "tests/conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == status, run.stdout + run.stderr
    assert "INTERNALERROR" not in run.stdout + run.stderr
    assert ("1 tests need an NVIDIA GPU" in run.stdout) == (name == "test_cuda.py" and bool(ci))
