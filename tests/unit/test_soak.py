# SPDX-License-Identifier: Apache-2.0
"""The hour of everything at once, for a few seconds; and that it notices what grows."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from tools import soak


def test_each_work_is_done_beside_the_others(tmp_path):
    at_once = soak.Soak(tmp_path)
    for work in (*at_once.works(), *at_once.works()):
        work()
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert not (tmp_path / "half").exists()


def test_what_grows_is_noticed_and_what_only_moves_is_not(capsys):
    flat = [{"memory, MB": 400 + n % 7, "open files": 9 + n % 2, "threads": 3} for n in range(60)]
    assert soak.grown(flat) == []
    leaking = [at | {"memory, MB": 400 + n, "open files": 9 + n / 10} for n, at in enumerate(flat)]
    assert soak.grown(leaking) == ["memory, MB", "open files"]
    assert soak.grown([at | {"threads": 3 + n / 10} for n, at in enumerate(flat)]) == ["threads"]
    assert capsys.readouterr().out.count("GROWS") == 3


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux")
def test_what_is_measured_moves_with_what_is_held(tmp_path):
    before = soak.measured()
    (tmp_path / "file").touch()
    held = [open(tmp_path / "file") for _ in range(20)]  # noqa: SIM115
    # Of its own: an allocator may have as much left from earlier tests.
    memory = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(b"x" * 50_000_000)
    after = soak.measured()
    assert after["open files"] >= before["open files"] + 20
    assert after["memory, MB"] >= before["memory, MB"] + 40
    for file in held:
        file.close()
    memory.close()
