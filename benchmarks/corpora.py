# SPDX-License-Identifier: Apache-2.0
"""What a plan and an engine cost beside processes without them; and what merging shards takes.

    python benchmarks/corpora.py [--minutes 10] [--turns 3] [--only ceiling ray memory …]

Ratios are of one run, the sides in turn, medians of several turns. The ceiling is two plain
processes that record half of the same texts each, started together; what counts is from the first
text to the last, loading apart, on both sides. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from measuring import Measured, in_process, workspace

import moe_viz as mv
from moe_viz.analysis.corpus import CorpusDocuments
from moe_viz.analysis.counting import Counting, count_shard
from moe_viz.analysis.examples import example
from moe_viz.analysis.survey import counts_of, survey
from moe_viz.progress import quiet
from moe_viz.recording.corpora import plan as planning
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.recording.corpora.rows import Row
from moe_viz.trace import Trace, TraceDataset
from moe_viz.trace.dataset import Part
from moe_viz.trace.shards import Shard, read_plan, write_plan

#: Tokens a second of 8x7m on one core of the machine that this was written on.
SPEED = 4000


def texts_of(tokens: int, seed: int = 0) -> list[str]:
    """Curated texts, cut and put together at random: about so many tokens, none twice."""
    rng, found, size = np.random.default_rng(seed), [], 0
    pool = mv.prompts.curated().texts
    while size < 3 * tokens:
        text = pool[rng.integers(len(pool))]
        start = rng.integers(max(1, len(text) - 400))
        found.append(f"{len(found)} {text[start : start + int(rng.integers(200, 1600))]}")
        size += len(found[-1])
    return found


# ---- What the machine can do, and what the engines make of it

PLAIN = """
import json, sys, time, torch
import moe_viz as mv
from moe_viz.progress import quiet
torch.set_num_threads(1)
texts = json.load(open(sys.argv[1]))
model = mv.load("8x7m")
with quiet():
    mv.record(model, texts[:8])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    tokens, some = 0, []
    for text in texts:
        some.append(text)
        if sum(map(len, some)) > 4 * 16_384:
            trace = mv.record(model, some)
            trace.save(sys.argv[2])
            tokens, some = tokens + len(trace), []
    if some:
        tokens += len(mv.record(model, some))
print(tokens, time.perf_counter() - began, flush=True)
"""


def plainly(texts: list[str], folder: Path) -> float:
    """Tokens a second of two processes that record half each, until the later one is done."""
    running = []
    for half in (0, 1):
        given = folder / f"half-{half}.json"
        given.write_text(json.dumps(texts[half::2]))
        command = [sys.executable, "-c", PLAIN, str(given), str(folder / f"half-{half}.trace")]
        running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})
        )  # fmt: skip
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    tokens = 0
    for process in running:
        assert process.stdout is not None
        tokens += int(process.stdout.readline().split()[0])
    seconds = time.perf_counter() - began
    for process in running:
        process.communicate()
    return tokens / seconds


def by_engine(texts: list[str], folder: Path, engine: str) -> tuple[float, float]:
    """Tokens a second from the first shard's start to the last one's end; and of the whole call."""
    corpus = Corpus("8x7m", texts, folder / f"{engine}-{time.monotonic_ns()}", engine, workers=2)
    times: list[float] = []
    tasks = corpus._tasks

    def watched(*args: Any) -> Iterator[Any]:
        times.append(time.perf_counter())
        yield from tasks(*args)

    corpus._tasks = watched  # type: ignore[method-assign]
    began = time.perf_counter()
    with quiet():
        data = corpus.record()
    ended = time.perf_counter()
    return data.tokens / (ended - times[0]), data.tokens / (ended - began)


def engines(minutes: float, turns: int, which: list[str]) -> None:
    """Two workers of each engine beside two plain processes, in turn."""
    texts = texts_of(round(minutes * 60 * 2 * SPEED))
    found: dict[str, list[float]] = {name: [] for name in ("plain", *which)}
    with workspace(None, "corpora", False) as folder:
        for turn in range(turns):
            found["plain"].append(plainly(texts, folder))
            for engine in which:
                of, whole = by_engine(texts, folder, engine)
                found[engine].append(of)
                print(f"turn {turn}: {engine} {of:,.0f} tokens/s, {whole:,.0f} with starting; "
                      f"plain {found['plain'][-1]:,.0f}", flush=True)  # fmt: skip
    for engine in which:
        ratios = [a / b for a, b in zip(found[engine], found["plain"], strict=True)]
        print(f"{engine} × plain: {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
              f"{max(ratios):.3f}), {minutes:g} min a turn")  # fmt: skip
    if "ray" in which and "processes" in which:
        ratios = [a / b for a, b in zip(found["ray"], found["processes"], strict=True)]
        print(f"ray × processes: {statistics.median(ratios):.3f}")


# ---- Memory and growth


def _worker(asked: str) -> dict[str, float]:
    """Peak of one worker above what it holds after loading."""
    texts = texts_of(int(asked))
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model = mv.load("8x7m")
        mv.record(model, texts[:2])
        with Measured() as loaded:
            time.sleep(0.1)
        with Measured() as recorded:
            mv.record_corpus(model, texts, folder)
    held = recorded.figures["memory"] - loaded.figures["memory"]
    return {"loaded": loaded.figures["memory"], "above": held,
            "seconds": recorded.figures["seconds"]}  # fmt: skip


def memory() -> None:
    """A worker's memory, whatever the corpus; and how its time grows with it."""
    for tokens in (130_000, 1_300_000):
        found = in_process(["--part", "worker", tokens])
        print(f"{tokens:,} tokens: {found['loaded'] / 1e6:.0f} MB after loading, "
              f"{found['above'] / 1e6:.0f} MB above that while recording")  # fmt: skip


def growth() -> None:
    """Ten times the corpus, how many times the seconds."""
    ratios = []
    for turn in range(3):
        once, ten = (
            in_process(["--part", "worker", tokens])["seconds"] for tokens in (60_000, 600_000)
        )
        ratios.append(ten / once)
        print(f"turn {turn}: {once:.1f} s, {ten:.1f} s: × {ten / once:.2f}", flush=True)
    print(f"ten times as large: × {statistics.median(ratios):.2f}")


# ---- Merging


def made(folder: Path, shards: int, tokens: int) -> TraceDataset:
    """Shards of made-up decisions, 6 layers of 8 experts, documents of about 170 tokens."""
    rng, parts, at = np.random.default_rng(0), [], 0
    for n in range(shards):
        lengths = [170] * (tokens // 170)
        T = sum(lengths)
        logits = rng.normal(size=(6, T, 8)).astype(np.float32)
        trace = example(
            np.argsort(-logits, axis=2)[:, :, :2], lengths,
            [("en", "fr", "de")[(at + d) % 3] for d in range(len(lengths))],
            token_ids=rng.integers(0, 2000, T), logits=logits,
        )  # fmt: skip
        part = Part(folder, Shard(f"{n:032x}", "made", at, len(lengths), len(lengths), 0))
        trace.save(part.path)
        parts.append(part)
        at += len(lengths)
    return TraceDataset(parts)


def _key(task: Counting) -> str:
    return repr([(kind, count.__qualname__, args) for kind, count, args in task.counts])


def _merged(folder: str) -> dict[str, float]:
    """A survey of counted shards: the counts are read back as they were, nothing is counted."""
    with open(Path(folder) / "counts.pickle", "rb") as file:
        data, answers = pickle.load(file)

    def run(tasks: Any) -> Iterator[Any]:
        for task in tasks:
            path = Path(folder) / "counts" / f"{task.number}-{answers.get(_key(task), 'none')}"
            if path.is_file():
                yield task.number, pickle.loads(path.read_bytes())
            else:
                yield count_shard(task)

    with quiet(), Measured() as measured:
        survey(data, run=run)
    return measured.figures


def merge() -> None:
    """10 million decisions in 1,000 shards: counted, and merged."""
    with workspace(None, "corpora", False) as folder:
        data = made(folder, 1000, 1700)
        print(f"{data.tokens * 6:,} decisions in {len(data):,} shards", flush=True)
        (folder / "counts").mkdir()
        answers: dict[Any, int] = {}

        def run(tasks: Any) -> Iterator[Any]:
            for task in tasks:
                number = answers.setdefault(_key(task), len(answers))
                found = count_shard(task)
                path = folder / "counts" / f"{task.number}-{number}"
                path.write_bytes(pickle.dumps(found[1]))
                yield found

        with quiet(), Measured() as counted:
            docs = CorpusDocuments(data, run)
            docs.prepare(counts_of(docs))
        print(f"counting, one process: {counted.figures['seconds']:.1f} s", flush=True)
        (folder / "counts.pickle").write_bytes(pickle.dumps((data, answers)))
        figures = in_process(["--part", "merged", folder])
        print(f"merging and all analyses: {figures['seconds']:.1f} s, peak "
              f"{figures['memory'] / 1e6:.0f} MB")  # fmt: skip


def bits() -> None:
    """1,024 documents in shards beside one recording of all."""
    texts = texts_of(170_000)[:1024]
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model = mv.load("8x7m")
        whole = mv.record(model, texts)
        joined = Trace.join(list(mv.record_corpus(model, texts, folder, shard_tokens=65_536)))
    apart = np.abs(whole.router_logits - joined.router_logits)
    print(f"{len(texts)} documents, {len(whole):,} tokens: experts equal: "
          f"{np.array_equal(whole.experts, joined.experts)}; logits differ in "
          f"{(apart > 0).mean():.2%}, by at most {apart.max():.1e}")  # fmt: skip


# ---- A million shards, without a model


class _Endless:
    """A source of so many rows that nobody holds."""

    name = "endless"

    def __init__(self, rows: int) -> None:
        self.count = rows

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """Rows of 1,000 bytes, each another."""
        for n in range(first, self.count):
            yield None, Row(f"{n:>1000}", ("en", "fr")[n % 2])


def _planned(asked: str) -> dict[str, float]:
    """Plan so many shards of four rows, write the plan and read it again."""
    shards = int(asked)
    with tempfile.TemporaryDirectory() as folder, Measured() as measured:
        tally = planning.Tally()
        source: Any = [_Endless(4 * shards)]
        write_plan(Path(folder), planning.planned(source, "", 4000, tally), dict)
        size = (Path(folder) / "plan.jsonl").stat().st_size
        read = sum(1 for _ in read_plan(Path(folder)))
        assert read == tally.shards
    return {**measured.figures, "shards": read, "size": size}


def _simulated(asked: str) -> dict[str, float]:
    """Merge counts of so many shards of 160 documents, all made up."""
    shards = int(asked)
    with tempfile.TemporaryDirectory() as folder:
        data = made(Path(folder), 1, 160 * 170)
        pattern = data.parts[0]
        many = TraceDataset([pattern] * shards)
        answers: dict[Any, Any] = {}

        def run(tasks: Any) -> Iterator[Any]:
            for task in tasks:
                if (key := _key(task)) not in answers:  # counted once: others would give the like
                    answers[key] = count_shard(task)[1]
                yield task.number, answers[key]

        with quiet(), Measured() as measured:
            docs = CorpusDocuments(many, run)
            found = mv.analysis.load(docs)
            mv.analysis.label_divergence(docs)
            mv.analysis.transitions(docs)
        assert len(found)
    return {**measured.figures, "documents": 160 * shards}


def million() -> None:
    """Plan and merge of a hundred thousand and a million shards: seconds, memory, growth."""
    for shards in (100_000, 1_000_000):
        found = in_process(["--part", "planned", shards])
        print(f"plan of {found['shards']:,.0f} shards: {_figures(found)}; "
              f"{found['size'] / 1e6:.0f} MB", flush=True)  # fmt: skip
        found = in_process(["--part", "simulated", shards])
        print(f"merge of {shards:,} shards, {found['documents']:,.0f} documents: "
              f"{_figures(found)}", flush=True)  # fmt: skip


def _figures(found: dict[str, float]) -> str:
    return f"{found['seconds']:.0f} s, peak {found['memory'] / 1e6:.0f} MB"


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10, help="of work in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--part", nargs=2, help="one measurement, in a process of its own")
    asked = parser.parse_args()
    if asked.part:
        own = {"worker": _worker, "merged": _merged, "planned": _planned, "simulated": _simulated}
        name, argument = asked.part
        print(json.dumps(own[name](argument)))
        return
    parts: dict[str, Callable[[], None]] = {
        "ceiling": lambda: engines(asked.minutes, asked.turns, ["processes"]),
        "ray": lambda: engines(asked.minutes, asked.turns, ["processes", "ray"]),
        "memory": memory,
        "growth": growth,
        "merge": merge,
        "bits": bits,
        "million": million,
    }
    for name, measure in parts.items():
        if not asked.only or name in asked.only:
            print(f"== {name}", flush=True)
            measure()


if __name__ == "__main__":
    main()
