# SPDX-License-Identifier: Apache-2.0
"""What is needed to try a format: good files, a way to change them, and something to do with them.

Nothing else is imported here, so that a process which tries one format need not load the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Format:
    """Good files in a folder of their own, made once; each is changed into a file that is used."""

    prepare: Callable[[Path], list[Path]]
    change: Callable[[bytes, Random], bytes]
    use: Callable[[Path], object]
    name: str  # of the file that is used
    beside: tuple[str, ...] = ()  # good files that it lies beside
    share: float = 1.0  # of the runs of a campaign

    def prepared(self, base: Path) -> tuple[list[bytes], Path]:
        """The good files, and the folder in which changed ones are used."""
        good, used = base / "good", base / "used"
        for folder in (good, used):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        files = [path.read_bytes() for path in self.prepare(good)]
        for beside in self.beside:
            shutil.copy(good / beside, used / beside)
        return files, used
