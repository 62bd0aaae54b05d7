# SPDX-License-Identifier: Apache-2.0
"""Many changed files, in processes that go on with the next one when a file ends them.

In: a format, and how many files. Out: how many were accepted and refused, and which ended in
anything else: another error, a crash of the process, or no end within twenty seconds. The number of
a file alone decides how it is changed, so each can be made again.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from moe_viz.errors import MoeVizError
from moe_viz.progress import quiet
from tests.fuzz.format import Format

#: Bytes of addresses that a process may take while it opens files.
MEMORY = 12 * 2**30


@dataclass
class Result:
    """What became of a format's files."""

    accepted: int = 0
    refused: int = 0
    faults: dict[int, str] = field(default_factory=dict)  # number of a file: what it did
    slowest: float = 0.0  # seconds
    peak: int = 0  # bytes of memory, of the largest process
    seconds: float = 0.0

    @property
    def runs(self) -> int:
        """All files."""
        return self.accepted + self.refused + len(self.faults)


def run(
    name: str, count: int, folder: Path, formats: str = "tests.fuzz.formats", patience: float = 20.0
) -> Result:
    """Try files 0 … count − 1 of a format; each may take so many seconds."""
    result, start, began = Result(), 0, time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    # Forked from one that has imported everything: the next is there at once when one dies.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzz.formats"])
    while start < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_serve, args=(formats, name, start, count, folder, theirs), daemon=True
        )
        process.start()
        theirs.close()
        number, wait = start, 300.0  # the first file waits for imports
        while True:
            if not ours.poll(wait):
                result.faults[number] = f"no end within {wait:.0f} s"
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                number += 1
                break
            try:
                kind, said = ours.recv()
            except EOFError:
                process.join()
                result.faults[number] = f"the process ended ({process.exitcode})"
                number += 1
                break
            if kind == "end":
                number = count
                break
            wait = patience
            if kind == "begun":
                continue
            accepted, refused, faults, number, slowest, peak = said
            result.accepted += accepted
            result.refused += refused
            result.faults |= faults
            result.slowest, result.peak = max(result.slowest, slowest), max(result.peak, peak)
        process.join()
        start = number
    result.seconds = time.monotonic() - began
    return result


def _serve(formats: str, name: str, start: int, count: int, folder: Path, to: Any) -> None:
    """Use one file after the other, and tell about each that is not just accepted or refused."""
    faulthandler.disable()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    warnings.simplefilter("ignore")
    tried: Format = importlib.import_module(formats).FORMATS[name]
    files, used = tried.prepared(folder)
    path = used / tried.name
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    to.send(("begun", None))
    with quiet():
        for number in range(start, count):
            random = Random(f"{name} {number}")
            path.unlink(missing_ok=True)  # what an earlier one has mapped stays as it is
            path.write_bytes(tried.change(random.choice(files), random))
            accepted, faults, at = 0, {}, time.perf_counter()
            try:
                tried.use(path)
                accepted = 1
            except MoeVizError:
                pass
            except BaseException:
                faults[number] = traceback.format_exc()
            took = time.perf_counter() - at
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            refused = 1 - accepted - len(faults)
            to.send(("done", (accepted, refused, faults, number + 1, took, peak)))
    to.send(("end", None))
    os._exit(0)  # a server's threads need no farewell


def main() -> None:
    """`python -m tests.fuzz.campaign NUMBER [FORMAT …]`: prints a table, and every fault."""
    from tests.fuzz.formats import FORMATS

    count, names = int(sys.argv[1]), sys.argv[2:] or list(FORMATS)
    print(f"{'':16}{'runs':>9}{'accepted':>10}{'refused':>9}{'faults':>8}{'slowest':>9}{'peak':>9}")
    kept = Path(os.environ.get("FUZZ_OUT", "out/fuzz"))
    bad = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as base:
        for name in names:
            result = run(name, round(count * FORMATS[name].share), Path(base) / name)
            print(
                f"{name:16}{result.runs:>9,}{result.accepted:>10,}{result.refused:>9,}"
                f"{len(result.faults):>8,}{result.slowest:>7.1f} s{result.peak / 1e6:>6,.0f} MB"
                f"  in {result.seconds:,.0f} s",
                flush=True,
            )
            bad += len(result.faults)
            if result.faults:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{name}.json").write_text(json.dumps(result.faults, indent=1))
                seen: set[str] = set()
                for number, said in result.faults.items():
                    last = said.strip().splitlines()[-1][:200]
                    if last not in seen:
                        print(f"  {number}: {last}", flush=True)
                    seen.add(last)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
