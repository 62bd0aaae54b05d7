# SPDX-License-Identifier: Apache-2.0
"""Kills workers and drivers of record_corpus at random moments, and looks at what is left.

In: how many of each, an engine, and a seed. Out: how many shards were lost, left over or wrong, how
many temporary files stayed, and how many processes outlived their driver. Each trial is a corpus of
its own: drivers are started on its folder, their workers or they themselves are ended by SIGKILL,
and the last one runs to its end; what it leaves must be what an undisturbed run leaves. POSIX only.

    python tools/kill_corpora.py --workers 50 --drivers 20 --engine processes --seed 0
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

import moe_viz as mv
from moe_viz.errors import MoeVizError
from moe_viz.files import TEMPORARY
from moe_viz.prompts import curated

#: Workers of a driver, the most that are ended of one driver, and tokens of a shard.
WORKERS, MOST, SHARD = 2, 4, 1_000
#: How long processes may outlive their driver, in seconds, and how long a driver may take.
GRACE, LIMIT = 30.0, 300.0
FAULTS = ("lost", "left over", "wrong", "temporary files", "not finished", "outlived")


def write_corpus(folder: Path, rows: int) -> None:
    """Two files that hold the same, which are the same shards; and one that workers cannot seek."""
    folder.mkdir()
    said = [
        json.dumps({"text": f"{n}. {p.text} {p.text}", "label": p.label, "id": f"d{n}"}) + "\n"
        for n in range(rows)
        for p in [curated()[n % len(curated())]]
    ]
    for name in ("a.jsonl", "b.jsonl"):
        (folder / name).write_text("".join(said[: rows // 2]), encoding="utf-8")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress("".join(said[rows // 2 :]).encode()))


def begun(engine: str, source: Path, out: Path) -> subprocess.Popen[bytes]:
    """A driver: a process of its own that records the corpus."""
    asked = (
        "import sys, moe_viz as mv\n"
        "engine, source, out, workers, tokens = sys.argv[1:]\n"
        "mv.record_corpus('8x7m', source, out, engine=engine, workers=int(workers),"
        " loss=True, shard_tokens=int(tokens))\n"
    )
    said = out.with_suffix(".log").open("ab")
    with said:
        return subprocess.Popen(
            [sys.executable, "-c", asked, engine, source, out, str(WORKERS), str(SHARD)],
            stdout=said, stderr=said, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def below(process: int) -> list[psutil.Process]:
    """All processes that have come from this one."""
    with suppress(psutil.Error):
        return psutil.Process(process).children(recursive=True)
    return []


def is_worker(process: psutil.Process) -> bool:
    """Whether it does the work, and is none of the engine's own processes."""
    with suppress(psutil.Error):
        said = process.cmdline()
        loky = any("popen_loky" in word for word in said)
        return loky or bool(said and said[0].startswith("ray::_Actor"))
    return False


def lives(process: psutil.Process) -> bool:
    """Whether a process is there, and no zombie that waits to be asked for."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def killed_worker(driver: subprocess.Popen[bytes], draw: random.Random) -> bool:
    """End one of its workers, if it has any at this moment."""
    if there := [one for one in below(driver.pid) if is_worker(one)]:
        with suppress(psutil.Error):
            draw.choice(there).kill()
            return True
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """Every shard's arrays and prompts: all but the date."""
    found = {}
    for path in sorted((folder / "shards").rglob("*.safetensors")):
        trace = mv.Trace.load(path, whole=True)
        for array in ("router_logits", "experts", "gates", "token_ids", "spans", "loss"):
            found[f"{path.name} {array}"] = np.asarray(getattr(trace, array)).tobytes()
        found[f"{path.name} prompts"] = repr(trace.prompts).encode()
    return found


def looked_at(folder: Path, expected: dict[str, bytes], told: Counter[str]) -> None:
    """Count what is wrong with a corpus that has been run to its end."""
    planned = {json.loads(line)["name"] for line in (folder / "plan.jsonl").open(encoding="utf-8")}
    there = [path.stem for path in (folder / "shards").rglob("*.safetensors")]
    told["lost"] += len(planned - set(there))
    told["left over"] += len(there) - len(planned & set(there))
    told["temporary files"] += sum(
        path.name.endswith(TEMPORARY) or ".tmp" in path.name for path in folder.rglob("*")
    )
    found = contents(folder)
    told["wrong"] += sum(found.get(name) != data for name, data in expected.items())
    with suppress(MoeVizError):
        told["shards"] += len(mv.TraceDataset.load(folder))


class Trial:
    """One folder, whose drivers are disturbed until the last, which is not."""

    def __init__(self, engine: str, source: Path, out: Path, span: float, draw: random.Random):
        self.engine, self.source, self.out, self.span, self.draw = engine, source, out, span, draw
        self.told: Counter[str] = Counter()
        self.orphans: list[psutil.Process] = []

    def disturbed(self, workers: int, driver: bool) -> None:
        """A driver of which so many workers are ended at random moments, and then it itself."""
        process, deadline = begun(self.engine, self.source, self.out), time.monotonic() + LIMIT
        moments = sorted(self.draw.uniform(0, self.span) for _ in range(workers + driver))
        began = time.monotonic()
        for number, moment in enumerate(moments):
            while time.monotonic() < began + moment and process.poll() is None:
                time.sleep(0.02)
            if process.poll() is not None:
                break
            if driver and number == len(moments) - 1:
                there = below(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.told["drivers"] += 1
                self.told["drivers at work"] += any(map(is_worker, there)) or len(there) > 1
                self.orphans += there
                if self.engine == "processes":
                    self.gone()
                return
            self.told["workers"] += killed_worker(process, self.draw)
        self.ends(process, deadline)

    def ends(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Wait until a driver has ended by itself, and count it if that was not well."""
        try:
            status = process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.told["hung"] += 1
            self.orphans += below(process.pid)
            process.kill()
            status = process.wait()
        self.told["not finished"] += status != 0

    def gone(self) -> None:
        """Count, and end, what lives on although its driver does not."""
        until = time.monotonic() + GRACE
        while any(map(lives, self.orphans)) and time.monotonic() < until:
            time.sleep(0.1)
        for one in filter(lives, self.orphans):
            self.told["outlived"] += 1
            with suppress(psutil.Error):
                print(f"  outlived its driver: {one.pid} {' '.join(one.cmdline())[:100]}")
                one.kill()
        self.orphans = []

    def finished(self, expected: dict[str, bytes]) -> Counter[str]:
        """Run to the end, and look."""
        self.ends(begun(self.engine, self.source, self.out), time.monotonic() + LIMIT)
        self.gone()
        looked_at(self.out, expected, self.told)
        if sum(self.told[word] for word in FAULTS):
            print(self.out.with_suffix(".log").read_text(errors="replace")[-3000:], flush=True)
        return self.told


def main() -> int:
    """Trial after trial, until there were so many kills of either kind, or the time is up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--drivers", type=int, default=20)
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=100, help="documents of the corpus")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    asked = parser.parse_args()
    draw, told = random.Random(asked.seed), Counter[str]()
    until = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_corpus(root / "corpus", asked.rows)
        first = Trial(asked.engine, root / "corpus", root / "undisturbed", 0, draw)
        began = time.monotonic()
        expected: dict[str, bytes] = {}
        first.finished(expected)
        span = time.monotonic() - began
        expected |= contents(root / "undisturbed")
        files = len(list((root / "undisturbed/shards").rglob("*.safetensors")))
        print(
            f"{asked.engine}, undisturbed: {first.told['shards']} shards planned, {files} files, "
            f"{span:.0f} s",
            flush=True,
        )
        if sum(first.told[word] for word in FAULTS):
            return 1
        number = 0
        while time.monotonic() < until and (
            told["workers"] < asked.workers or told["drivers"] < asked.drivers
        ):
            trial = Trial(asked.engine, root / "corpus", root / f"trial-{number}", span, draw)
            for _ in range(draw.randint(1, 3)):
                more = told["workers"] + trial.told["workers"] < asked.workers
                end = told["drivers"] + trial.told["drivers"] < asked.drivers and (
                    not more or draw.random() < 0.6
                )
                trial.disturbed(draw.randint(1, MOST) if more else 0, end)
            told += trial.finished(expected)
            number += 1
            words = ("workers", "drivers", "drivers at work", *FAULTS)
            print(f"trial {number}: " + ", ".join(f"{told[w]} {w}" for w in words), flush=True)
    words = ("workers", "drivers", "drivers at work")
    print(
        f"{asked.engine}: killed " + ", ".join(f"{told[w]} {w}" for w in words)
        + f"; {number} corpora: " + ", ".join(f"{told[w]} {w}" for w in (*FAULTS, "hung")),
        flush=True,
    )  # fmt: skip
    return min(sum(told[word] for word in FAULTS), 1)


if __name__ == "__main__":
    sys.exit(main())
