# SPDX-License-Identifier: Apache-2.0
"""Break one line at a time, and see which tests notice.

    python tools/mutate.py map [TEST …]   run the tests, and keep which lines each runs
    python tools/mutate.py run            a seeded sample of small breakages, --sample of them
    python tools/mutate.py pins           the named breakages of pins.toml

Each breakage is made in a copy of the tree, and only the tests that run its line are run, the
fastest first, until one fails. Results are kept in .mutate/, one JSON line each: an interrupted run
continues where it stopped, and --again survived repeats what survived (with a larger --budget, if
only 40 of 112 tests were run). The map is of the tests as they were: make it again when they
change.

cosmic-ray 8 runs one command for every mutant; mutmut 3 leaves out a module's constants and most
decorated functions, and puts the rest behind trampolines, where tests that read the source fail;
neither reads JavaScript. So this is our own.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, this folder stands there instead

from tools.mutation.copies import Copy  # noqa: E402
from tools.mutation.covering import Coverage, merged  # noqa: E402
from tools.mutation.trials import Trial, equivalents, pins, sample  # noqa: E402

KEPT = ROOT / ".mutate"
TESTS = ("tests/unit", "tests/parity", "tests/browser", "moe_viz")
ROOMS = tuple(
    f"moe_viz/{room}"
    for room in ("trace", "analysis", "routing", "guests", "intervention", "recording", "view")
)
COLUMNS = ("noticed", "timed out", "survived", "equivalent", "uncovered", "error")


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description as it is written, and every default."""


def attempt_all(
    trials: Sequence[Trial], covering: Coverage, results: Path, again: Iterable[str],
    jobs: int = 2, budget: float = 90, timeout: float = 300, root: Path = ROOT,
) -> list[dict[str, Any]]:  # fmt: skip
    """Try each that has no result yet, and return the results of all."""
    results.parent.mkdir(parents=True, exist_ok=True)
    written = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    known = {r["key"]: r for r in map(json.loads, written) if r["status"] not in again}
    todo = [trial for trial in trials if trial.key not in known]
    lock, copies = threading.Lock(), queue.Queue[Copy]()

    def attempt(trial: Trial) -> None:
        m, begun = trial.mutant, time.monotonic()
        every = list(trial.tests) or covering.of(m.path, m.source, m.lines)
        tests, expected = [], 0.0
        for test in every:
            expected += covering.seconds.get(test, 20)
            if tests and expected > budget:
                break
            tests.append(test)
        found: dict[str, Any] = {"status": "uncovered"}
        if tests:
            copy = copies.get()
            try:
                found = copy.attempt(m, tests, max(timeout, 3 * expected))
            finally:
                copies.put(copy)
        row = {
            "key": trial.key, "group": trial.group, "name": trial.name, "path": m.path,
            "line": m.lines[0], "before": m.before, "after": m.after, "tests": len(tests),
            "of": len(every), "seconds": round(time.monotonic() - begun, 1), **found,
        }  # fmt: skip
        with lock, results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            known[trial.key] = row
            print(
                f"{len(known):4} {row['status']:10} {m.path}:{m.lines[0]} {trial.name}", flush=True
            )

    held, pool = list[Copy](), ThreadPoolExecutor(max(jobs, 1))
    try:
        for _ in range(min(jobs, len(todo))):
            held.append(Copy(root))
            copies.put(held[-1])
        list(pool.map(attempt, todo))
    finally:
        pool.shutdown(cancel_futures=True)  # interrupted: running ones finish, no others start
        for copy in held:
            copy.__exit__()
    same = equivalents()
    rows = [known[trial.key] for trial in trials]
    for row in rows:
        if row["status"] == "survived" and (row["path"], row["before"], row["after"]) in same:
            row["status"], row["why"] = "equivalent", same[row["path"], row["before"], row["after"]]
    return rows


def report(rows: Sequence[dict[str, Any]]) -> str:
    """A table by room, and every breakage that no test noticed."""
    groups = sorted({row["group"] for row in rows})
    lines = [f"{'':16}{'tried':>10}" + "".join(f"{column:>11}" for column in COLUMNS)]
    for group in [*groups, "all"] if len(groups) > 1 else groups:
        mine = Counter(r["status"] for r in rows if group in (r["group"], "all"))
        lines.append(f"{group:16}{mine.total():10}" + "".join(f"{mine[c]:11}" for c in COLUMNS))
    for status in ("survived", "equivalent", "uncovered", "error", "timed out"):
        found = [row for row in rows if row["status"] == status]
        lines += ["", f"{status}: {len(found)}"] if found else []
        for row in sorted(found, key=lambda r: (r["path"], r["line"])):
            tried = f"{row['tests']} of {row['of']} tests" if row["of"] else "no test"
            why = f"; {row['why']}" if "why" in row else ""
            lines += [f"  {row['path']}:{row['line']}  {row['name']} ({tried}{why})",
                      f"    - {row['before']}", f"    + {row['after']}"]  # fmt: skip
    return "\n".join(lines)


def make_map(path: Path, tests: Sequence[str]) -> None:
    """Measure these tests in a copy, and merge the result into the map, if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with Copy(ROOT) as copy:
        where = [t for t in tests if (copy.root / t.partition("::")[0]).exists()]
        command = [sys.executable, "-m", "pytest", "-p", "tools.mutation.covering", "--tb=line",
                   "-p", "no:cacheprovider", *where]  # fmt: skip
        out, _ = copy.run(command, 4 * 3600, MUTATE_MAP=str(new))
    print(out[-3000:])
    content = json.loads(new.read_text(encoding="utf-8"))
    if path.exists():
        content = merged(json.loads(path.read_text(encoding="utf-8")), content)
    path.write_text(json.dumps(content), encoding="utf-8")
    new.unlink()
    print(
        f"{len(content['tests'])} tests pass and are mapped; left out: {content['bad'] or 'none'}"
    )


def main() -> int:
    """The command line; ends with 1 where a breakage went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    parser.add_argument("what", choices=("map", "run", "pins"), help="what to do, as above")
    parser.add_argument("tests", nargs="*", help="map: only these tests, on top of the map")
    parser.add_argument("--sample", type=int, default=300, help="run: how many breakages")
    parser.add_argument("--seed", type=int, default=1, help="run: which sample")
    parser.add_argument("--only", nargs="+", default=ROOMS, help="run: folders or files to break")
    parser.add_argument("--named", default="", help="pins: only those with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at a time")
    parser.add_argument("--budget", type=float, default=90, help="seconds of tests each, about")
    parser.add_argument("--timeout", type=float, default=300, help="seconds each, at most")
    parser.add_argument("--again", nargs="*", default=(), choices=COLUMNS, help="try these again")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Interrupted. Run it again to continue."))
    where = KEPT / "map.json"
    if asked.what == "map":
        make_map(where, asked.tests or TESTS)
        return 0
    if not where.exists():
        raise SystemExit("There is no map yet: python tools/mutate.py map")
    if asked.what == "run":
        trials, name = sample(asked.sample, asked.seed, asked.only, ROOT), f"run-{asked.seed}"
    else:
        trials, name = [t for t in pins(ROOT) if asked.named in t.name], "pins"
    covering = Coverage(where)
    rows = attempt_all(trials, covering, KEPT / f"{name}.jsonl", asked.again, asked.jobs,
                       asked.budget, asked.timeout)  # fmt: skip
    print(report(rows))
    if covering.stale:
        print(f"\nChanged since the map was made: {', '.join(sorted(covering.stale))}")
    return int(any(row["status"] in ("survived", "uncovered", "error") for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
