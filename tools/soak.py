# SPDX-License-Identifier: Apache-2.0
"""An hour of everything at once, in one process: does anything grow that should not?

In: minutes. Out: memory, open files and threads as time passes, and a verdict: after a tenth of the
time, in which caches fill, none may go up. Recordings, explorers, generations, the live box, blocks
of two threads, traces saved and loaded, pages written, the loopback server asked.

    python tools/soak.py --minutes 60
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")

import moe_viz as mv
from moe_viz.errors import MoeVizError
from moe_viz.exploring import LivePrompt
from moe_viz.progress import quiet
from moe_viz.view.pages.serve import serve

TEXTS = [
    "Good morning, world.",
    "Guten Morgen, Welt.",
    "def f(x):\n    return x + 1\n",
    "¿Qué tal?",
]
#: How much more of each the end may have than the beginning: a share, and a number.
ALLOWED = {"memory, MB": (0.03, 10.0), "open files": (0.0, 2.0), "threads": (0.0, 2.0)}


class Soak:
    """What is done again and again, with one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = mv.load("8x7m")
        self.plain = mv.record(self.model, TEXTS)
        self.random = Random(0)
        self.done: dict[str, int] = {}
        self.address = self._served()
        self.box = LivePrompt(self.model)  # one: widgets stay until they are closed

    def _served(self) -> str:
        """The address of a server that stays for as long as this process."""
        told: list[str] = []
        there = threading.Event()

        def said(address: str) -> None:
            told.append(address)
            there.set()

        page = mv.explore(self.plain).to_html(page=True)
        threading.Thread(
            target=serve, args=(page, said), kwargs={"browser": False}, daemon=True
        ).start()
        there.wait(60)
        return told[0]

    def record(self) -> None:
        """A recording that is saved, loaded, and made into a page."""
        path = self.folder / "trace.safetensors"
        mv.record(self.model, TEXTS, loss=True, resume=self.folder / "half", out=path)
        trace = mv.Trace.load(path, copy=self.random.random() < 0.5)
        trace.select(prompt=1).table()
        mv.save_page(trace, self.folder / "page.html")

    def generate(self) -> None:
        """A few tokens, and their picture."""
        out = mv.generate(self.model, self.random.choice(TEXTS), max_new_tokens=8)
        mv.explore(out.trace).to_html()

    def analyse(self) -> None:
        """An analysis, its chart, and a comparison."""
        mv.chart(mv.analysis.load(self.plain)).to_html()
        mv.compare(self.plain, self.plain)

    def intervene_in_threads(self) -> None:
        """Blocks that begin and end beside each other; one fails in the middle."""

        def other() -> None:
            try:
                with mv.intervene(self.model, top_k=1):
                    mv.record(self.model, TEXTS[:2])
                    raise MoeVizError("on purpose")
            except MoeVizError:
                pass

        threads = [threading.Thread(target=other) for _ in range(2)]
        for thread in threads:
            thread.start()
        found = mv.record(self.model, TEXTS)
        for thread in threads:
            thread.join()
        if (found.experts != self.plain.experts).any() or found.provenance.interventions:
            raise AssertionError("a block of another thread is in a plain recording")

    def live(self) -> None:
        """The box of the explorer, used as its button does."""
        thread = self.box.run(self.random.choice(TEXTS))
        assert thread is not None
        thread.join()
        assert self.box.picture is not None
        self.box.picture.to_html()
        if "tokens" not in self.box.status.value:
            raise AssertionError(f"the box says: {self.box.status.value}")

    def ask(self) -> None:
        """A page from the server, and one that it does not have."""
        parts = urlsplit(self.address)
        connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        connection.request("GET", f"/?{parts.query}" if self.random.random() < 0.5 else "/nothing")
        connection.getresponse().read()
        connection.close()

    def works(self) -> list[Callable[[], None]]:
        """All of them."""
        return [
            self.record, self.generate, self.analyse, self.intervene_in_threads, self.live, self.ask
        ]  # fmt: skip


def measured() -> dict[str, float]:
    """Memory that is this process's own, open files, threads."""
    gc.collect()
    anonymous = next(
        int(line.split()[1]) / 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssAnon:")
    )
    return {
        "memory, MB": anonymous,
        "open files": float(len(os.listdir("/proc/self/fd"))),
        "threads": float(threading.active_count()),
    }


def grown(settled: Sequence[Mapping[str, float]]) -> list[str]:
    """What the last third of the measurements has more of than the first; said, too."""
    third, found = max(1, len(settled) // 3), []
    for what, (share, number) in ALLOWED.items():
        first = statistics.median(at[what] for at in settled[:third])
        last = statistics.median(at[what] for at in settled[-third:])
        if more := last > first * (1 + share) + number:
            found.append(what)
        verdict = "GROWS" if more else "flat"
        print(f"{what}: {first:,.1f} in the first third, {last:,.1f} in the last: {verdict}")
    return found


def main() -> None:
    """Go on for as long as was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    end = 60 * parser.parse_args().minutes
    began, seen = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, quiet():
        soak = Soak(Path(folder))
        while (passed := time.monotonic() - began) < end:
            for work in soak.works():
                work()
                soak.done[work.__name__] = soak.done.get(work.__name__, 0) + 1
            found = measured()
            if not seen or passed - seen[-1][0] >= end / 60:
                seen.append((passed, found))
                said = ", ".join(f"{what} {figure:,.0f}" for what, figure in found.items())
                print(f"{passed:7,.0f} s: {said}", flush=True)
    print("done:", ", ".join(f"{name} {count:,}" for name, count in soak.done.items()))
    settled = [found for passed, found in seen if passed >= end / 10]
    sys.exit(bool(grown(settled)))


if __name__ == "__main__":
    main()
