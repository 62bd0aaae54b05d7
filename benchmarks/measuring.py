# SPDX-License-Identifier: Apache-2.0
"""Measuring large things: time, memory and disk of a process, and files that the system forgets.

Memory is anonymous memory: the page cache, to which mapped files belong, is the system's to take
back. What went to and from the disk is what Linux says of a process in /proc/self/io.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Figures = dict[str, float]


class Measured:
    """A `with` block: its seconds, its peak anonymous memory, what it read from and wrote to disk.

    Of this process, in bytes.
    """

    def __enter__(self) -> Measured:
        self._memory = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = _traffic()
        self._thread.start()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._began
        self._over.set()
        self._thread.join()
        read, written = (b - a for a, b in zip(self._before, _traffic(), strict=True))
        self.figures: Figures = {
            "seconds": seconds, "memory": self._memory, "read": read, "written": written,
        }  # fmt: skip

    def _watch(self) -> None:
        while True:
            self._memory = max(self._memory, _anonymous())
            if self._over.wait(0.005):
                return


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this needs Linux.")


def _traffic() -> tuple[int, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    said = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return said["read_bytes"], said["write_bytes"] - said["cancelled_write_bytes"]


def cold_and_warm(
    run: Callable[[], object], files: Iterable[Path], repeats: int = 1
) -> dict[str, Figures]:
    """Medians of a run that finds no file in the page cache, and of the same run after it."""
    found: dict[str, list[Figures]] = {"cold": [], "warm": []}
    files = list(files)
    for _ in range(repeats):
        drop_cache(files)
        for runs in found.values():
            with Measured() as measured:
                run()
            runs.append(measured.figures)
    return {
        name: {key: statistics.median(figures[key] for figures in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def median_seconds(
    run: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> float:
    """Of some runs; what is done `before` each of them does not count."""
    seconds = []
    for _ in range(repeats):
        before()
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def in_process(arguments: Sequence[object], **environment: str) -> Any:
    """Run this script once more with these arguments; what it says in its last line, as JSON."""
    command = [sys.executable, sys.argv[0], *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def beside(figure: float, asked: float, least: bool, form: str = ".2f") -> tuple[str, str]:
    """A figure and what is asked of it, at least or at most, for a table."""
    sign, missed = ("≥", figure < asked) if least else ("≤", figure > asked)
    return f"{figure:{form}}{'  [red]missed[/]' if missed else ''}", f"{sign} {asked:{form}}"


# ---- disk --------------------------------------------------------------------------------------


@contextmanager
def workspace(work: Path | None, name: str, keep: bool) -> Iterator[Path]:
    """A folder for large files, gone afterwards unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-")) if work is None else work / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def written_once(
    folder: Path, what: object, size: float, more: float, write: Callable[[], object]
) -> None:
    """Write files into a folder, unless a run before this one has; `more`: bytes that come later.

    Ends the program where the disk has too little room.
    """
    mark = folder / "complete"
    there = mark.is_file() and mark.read_text() == repr(what)
    needed, free = more + (0 if there else size), shutil.disk_usage(folder).free
    print(f"{folder}: {needed / 1e9:.1f} GB more needed, {free / 1e9:.1f} GB free")
    if needed + 1e9 > free:
        sys.exit("The disk has too little room: give another with --work, or fewer --layers.")
    if there:
        return
    mark.unlink(missing_ok=True)
    began = time.perf_counter()
    write()
    for path in folder.iterdir():
        if path.is_file():
            _sync(path)
    seconds = time.perf_counter() - began
    print(f"{size / 1e9:.1f} GB written in {seconds:.0f} s ({size / seconds / 1e9:.2f} GB/s)")
    mark.write_text(repr(what))


def drop_cache(paths: Iterable[Path]) -> None:
    """Let files be read from the disk again.

    What is mapped at this moment stays: let go of models first.
    """
    gc.collect()
    for path in paths:
        _sync(path, forget=True)


def _sync(path: Path, forget: bool = False) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if forget:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
