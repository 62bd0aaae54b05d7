# SPDX-License-Identifier: Apache-2.0
"""Throw-away copies of the tree, in which one file at a time is broken and tests are run.

In: a mutant and tests. Out: whether one of them noticed. The tree itself is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.mutation.mutants import Mutant


class Copy:
    """A throw-away copy of the tree, in which one file at a time is broken."""

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True)
        self.root = Path(self._folder.name).resolve()
        for name in _tree(root):
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target)
        self.clock = int(time.time())
        where = "import moe_viz; print(moe_viz.__file__)"
        out, _ = self.run([sys.executable, "-c", where], 120)
        if (self.root / "moe_viz").is_dir() and str(self.root) not in out:
            raise SystemExit(f"The copy's own moe_viz is not what is imported there: {out}")

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self, command: Sequence[str], limit: float, **more: str) -> tuple[str, int | None]:
        """What a command says, and how it ends; None where it takes too long."""
        env = {**os.environ, "PYTHONPATH": str(self.root), "OMP_WAIT_POLICY": "PASSIVE",
               "COLUMNS": "400", **more}  # fmt: skip
        env.pop("CI", None)
        process = subprocess.Popen(
            command, cwd=self.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            return process.communicate(timeout=limit)[0], process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            try:  # a browser's driver, left alone, closes its browser
                out, _ = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, _ = process.communicate()
            return out, None

    def attempt(self, mutant: Mutant, tests: Sequence[str], limit: float) -> dict[str, Any]:
        """Break, test, restore."""
        path = self.root / mutant.path
        try:
            self._write(path, mutant.text)
            scripts = sorted(self.root.glob("tests/js/*.test.js"))
            if path.suffix == ".js" and scripts and shutil.which("node"):
                out, code = self.run(["node", "--test", *map(str, scripts)], limit)
                if code:
                    by = re.search(r"^not ok \d+ - (.*)|^✖ (.*?) \(", out, re.M)
                    return {"status": "noticed", "by": f"node: {by and (by[1] or by[2])}"}
            command = [sys.executable, "-m", "pytest", "-x", "--tb=line", "-rfE", "--no-header",
                       "-p", "no:cacheprovider", *tests]  # fmt: skip
            out, code = self.run(command, limit)
        finally:
            self._write(path, mutant.source)
        return verdict(out, code)

    def _write(self, path: Path, text: str) -> None:
        """With a time of its own: Python tells what it has compiled by seconds and size."""
        path.write_text(text, encoding="utf-8", newline="")
        self.clock += 2
        os.utime(path, (self.clock, self.clock))


def verdict(out: str, code: int | None) -> dict[str, Any]:
    """What a test run says of a breakage: noticed, timed out, survived, or error."""
    found = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - (.*))?$", out, re.M)
    by, said = (found[1], found[2] or "") if found else ("", out.strip()[-200:])
    if code is None or "Timeout" in said:
        return {"status": "timed out", "by": by, "said": said[:200]}
    if code == 0:
        return {"status": "survived"}
    # A map that is not of these tests asks for some that are not there.
    lost = code == 5 or (code == 4 and not re.search(r"\w+Error\b", out))
    return {"status": "error" if lost else "noticed", "by": by, "said": said[:200]}


def _tree(root: Path) -> list[str]:
    """The files that git knows, or would."""
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    out = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return sorted({n for n in out.split("\0") if n and (root / n).is_file()})
