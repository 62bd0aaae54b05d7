# SPDX-License-Identifier: Apache-2.0
"""A format whose files do what none may do: so that a campaign can be seen to notice."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from moe_viz.errors import InputError
from tests.fuzz.format import Format


def good(folder: Path) -> list[Path]:
    (folder / "good").write_bytes(bytes(range(99)))
    return [folder / "good"]


def numbered(data: bytes, random: Random) -> bytes:
    """What these uses look at: a number from 0 to 9."""
    return bytes([random.randrange(10)])


def misbehave(path: Path) -> None:
    number = path.read_bytes()[0]
    if number == 1:
        os.abort()
    if number == 2:
        raise KeyError("not ours")
    if number == 3:
        time.sleep(99)
    if number == 4:
        raise SystemExit(0)
    if number > 6:
        raise InputError("refused")


FORMATS = {"misbehaving": Format(good, numbered, misbehave, "file")}
