# SPDX-License-Identifier: Apache-2.0
"""The page with a model in it: how soon it is there, how fast it runs, how much memory it takes.

    apt-get install firefox-esr webkit2gtk-driver chromium xvfb
    python benchmarks/live.py [--starts 5] [--repeats 9] [--runs 50] [--exact]

The page lies in a frame of another page, live.js, which uses it and reports to this program over
loopback; the browsers take turns, each a new process with an empty profile. Measured are: the first
picture and the first run of the model after opening; the model by itself, in a worker as the page's
own, for prompts of 100, 500 and 2,000 tokens and for a token more; how long the page's own thread
is busy at a time while somebody types and switches experts; the memory of the process that shows
the page, in which the model is; and all of Chromium held to a sixth of a processor, by a control
group, which needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from browsers import WAIT, browsers, screen, watched
from rich.console import Console
from rich.table import Table

import moe_viz as mv

WATCH = """<!doctype html><meta charset=utf-8><title>waiting</title>
<iframe style="width:1340px;height:760px" src="/page.html"></iframe>
<script>const RUNS = {runs}, REPEATS = {repeats};
{script}</script>
"""
GROUPS = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")  # versions 1 and 2
PERIOD = 100_000  # microseconds


def used(
    command: list[str], page: Path, display: str, runs: int, repeats: int, share: float = 0
) -> dict[str, Any]:
    """What live.js reports of a new browser, and the memory of its largest process meanwhile."""
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    watch = WATCH.format(runs=runs, repeats=repeats, script=script)
    found: dict[str, Any] = {"memory": []}
    held = command if not share else ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"']
    with limited(share) as group:
        whole = [*held, str(group), *command] if share else held
        with watched(whole, page, display, watch) as (told, process):
            while True:
                said = json.loads(next_of(told))
                if "failed" in said:
                    raise RuntimeError(said["failed"])
                if "over" in said:
                    return found
                if "run" in said:
                    found["memory"].append(largest(process) / 1e6)
                else:
                    found.update(said)


def next_of(told: queue.Queue[str]) -> str:
    return told.get(timeout=WAIT * 3)


def largest(process: subprocess.Popen[bytes]) -> int:
    """Bytes that the largest process of a browser's page holds and shares with no other."""
    sizes = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            sizes.append(child.memory_full_info().uss)
        except psutil.Error:
            continue
    return max(sizes)


@contextmanager
def limited(share: float) -> Iterator[Path | None]:
    """A control group whose processes get that share of one processor, all together."""
    if not share:
        yield None
        return
    root = next(g for g in GROUPS if (g / "cgroup.procs").is_file())
    group = root / f"moe_viz_{os.getpid()}"
    group.mkdir()
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD * share)))
        else:
            (group / "cpu.max").write_text(f"{round(PERIOD * share)} {PERIOD}")
        yield group
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:  # its processes are still ending
                time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--exact", action="store_true")
    args = parser.parse_args()
    commands = browsers()
    table = Table(title=f"moe_viz {mv.__version__}: a page with 8x7m in it")
    for name in ("what", *commands):
        table.add_column(name, justify="right" if name != "what" else "left")
    with screen(commands) as display, tempfile.TemporaryDirectory() as folder:
        page = mv.save_live(Path(folder) / "live.html", exact=args.exact)
        starts: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
        for _ in range(args.starts):
            for name, command in commands.items():
                starts[name].append(used(command, page, display, 0, 0))
        whole = {n: used(c, page, display, args.runs, args.repeats) for n, c in commands.items()}
        slow = {}
        if "Chromium" in commands and os.geteuid() == 0:
            slow["Chromium"] = used(commands["Chromium"], page, display, 0, 3, 1 / 6)
        size = page.stat().st_size / 1e6
    for what in ("picture", "ready"):
        times = {n: [s[what] / 1000 for s in all_] for n, all_ in starts.items()}
        name = {"picture": "first picture, s", "ready": "first run of the model, s"}[what]
        table.add_row(name, *(f"{statistics.median(times[n]):.2f}" for n in commands))
    for key, what in {
        "100": "100 tokens, ms", "500": "500 tokens, ms", "2000": "2,000 tokens, ms",
        "next": "one token more, ms", "changed": "100 tokens changed, beside intact, ms",
    }.items():  # fmt: skip
        table.add_row(what, *(f"{whole[n]['times'][key]:.1f}" for n in commands))
    for what, of in {
        "page's thread, tasks above 4 ms: 95 %, ms": lambda g: np.percentile(g, 95),
        "longest, ms": np.max,
    }.items():
        table.add_row(what, *(f"{of(whole[n]['gaps']):.0f}" for n in commands))
    tenth = max(1, args.runs // 10)
    table.add_row(
        "memory, MB: early, late, most",
        *(
            f"{np.median(m[tenth : 2 * tenth + 1]):.0f}, {np.median(m[-tenth:]):.0f}, {max(m):.0f}"
            for m in (whole[n]["memory"] for n in commands)
        ),
    )
    if slow:
        table.add_row(
            "held to a sixth: 100 tokens, ms",
            *(f"{slow[n]['times']['100']:.0f}" if n in slow else "" for n in commands),
        )
    Console(width=110).print(f"{size:.1f} MB", table)


if __name__ == "__main__":
    main()
