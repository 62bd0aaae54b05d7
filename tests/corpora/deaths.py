# SPDX-License-Identifier: Apache-2.0
"""Work that kills its worker: for tests of engines, in a file that workers import quickly."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from moe_viz.errors import InputError

held: list[bytearray] = []


def sleep_or_die(task: tuple[str, str]) -> str:
    """What a worker does: it dies the first time that it has such a task."""
    what, folder = task
    if what.startswith("dies") and not (Path(folder) / what).exists():
        (Path(folder) / what).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("always"):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "slow":
        time.sleep(3)
    if what in ("tells", "grows"):
        if what == "grows":
            held.append(bytearray(os.urandom(1) * 400_000_000))
            time.sleep(1.1)  # loky looks once a second
        return str(os.getpid())
    if what == "fails":
        raise InputError("it was not to be")
    return what
