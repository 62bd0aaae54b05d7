# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, and what a killed writer has left does not stay."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import moe_viz.files as files
from moe_viz.errors import OutputError
from moe_viz.files import atomic_path, check_writable

KILLED = """
import os, signal, sys
from moe_viz.files import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text("half")
    (path.parent / ".tmpA1b2").write_text("a writer's own temporary file")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def written(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("again", ["a.txt", "other.txt"])
def test_what_a_killed_writer_has_left_goes_with_the_next_write_into_that_folder(tmp_path, again):
    written(tmp_path / "a.txt", "before")
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.txt"], check=False)
    assert done.returncode == -9
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "a.txt").read_text() == "before"
    written(tmp_path / again, "after")
    assert names(tmp_path) == sorted({"a.txt", again})


def test_two_writers_at_work_leave_each_other_alone(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as first:
        first.write_text("first")
        written(path, "second")
        assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_many_writers_at_once_all_arrive(tmp_path):
    failed: list[BaseException] = []

    def write(n: int) -> None:
        try:
            for turn in range(20):
                written(tmp_path / f"{n}-{turn}", "x" * 1000)
                written(tmp_path / "the same", "x" * 1000)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(names(tmp_path)) == 6 * 20 + 1
    assert all(path.read_text() == "x" * 1000 for path in tmp_path.iterdir())


def test_a_folder_without_a_lock_in_it_is_not_emptied(tmp_path):
    mine = tmp_path / f"mine{files.TEMPORARY}"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    written(tmp_path / "a.txt", "x")
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_on_a_disk_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(45, "not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with atomic_path(tmp_path / "a.txt") as first:
        first.write_text("first")
        written(tmp_path / "b.txt", "second")
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_write_that_fails_and_a_check_leave_nothing_behind(tmp_path):
    with pytest.raises(TypeError), atomic_path(tmp_path / "a.txt") as path:
        path.write_text(5)  # type: ignore[arg-type]
    check_writable(tmp_path / "a.txt")
    assert names(tmp_path) == []
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable(tmp_path)


def test_the_file_can_be_read_by_others_as_any_new_file_can(tmp_path):
    written(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
