# SPDX-License-Identifier: Apache-2.0
"""What a plan and an engine cost beside processes without them; a worker's memory; growth.

    python benchmarks/corpora.py [--minutes 10] [--turns 3] [--only ceiling ray memory …]

Ratios are of one run, the sides in turn, medians of several turns. The ceiling is two plain
processes that record half of the same texts each, started together; what counts is from the first
text to the last, loading apart, on both sides. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from measuring import Measured, in_process, workspace

import moe_viz as mv
from moe_viz.model import Mixtral, initialise
from moe_viz.progress import quiet
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.trace import Trace

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


#: Shapes by which the formula was found: hidden size, expert size, layers, experts.
SHAPES = (
    (256, 448, 6, 8),
    (256, 448, 6, 64),
    (768, 448, 3, 8),
    (256, 1792, 3, 8),
    (768, 1344, 2, 16),
)


def formula(D: int, L: int, E: int, k: int = 2, a_token: float = 4.0) -> float:
    """Bytes that a worker takes beyond its model, on a processor.

    Where a layer looks back, it holds a batch's hidden states some seven times (as they are,
    normed, as queries, keys and values, and what comes of them); a batch is 65,536 bytes of text,
    at `a_token` bytes a token. Experts run one by one, and need less. Then the decisions of a shard
    of the usual size, and what Python and torch hold of texts and buffers.
    """
    batch = 65_536 / a_token
    return 130e6 + 7 * 4 * batch * D + 65_536 * (L * (4 * E + 6 * k) + 32)


def _shape(asked: str) -> dict[str, float]:
    """Peak of a worker with random weights of such a shape, above what it holds after loading."""
    D, F, L, E = json.loads(asked)
    model = mv.load("8x7m")
    config = replace(
        model.config, name=f"{D}-{F}-{L}-{E}", hidden_size=D, expert_size=F, layers=L, experts=E,
        heads=D // 64, kv_heads=D // 64, head_dim=64,
    )  # fmt: skip
    made = initialise(Mixtral(config), seed=0)
    made.tokenizer = model.tokenizer
    texts = texts_of(90_000)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        mv.record(made, texts[:2])
        with Measured() as loaded:
            time.sleep(0.1)
        with Measured() as recorded:
            mv.record_corpus(made, texts, folder)
    return {"above": recorded.figures["memory"] - loaded.figures["memory"]}


def shapes() -> None:
    """The formula for other shapes, beside what is measured."""
    for shape in SHAPES:
        found = in_process(["--part", "shape", json.dumps(shape)])["above"]
        said = formula(shape[0], *shape[2:], a_token=2.6)  # of 8x7m's tokenizer
        print(f"D {shape[0]}, F {shape[1]}, L {shape[2]}, E {shape[3]}: {found / 1e6:.0f} MB; "
              f"formula {said / 1e6:.0f} MB: × {said / found:.2f}", flush=True)  # fmt: skip
    print(f"Mixtral 8x7B: {formula(4096, 32, 8) / 2**30:.1f} GiB by the formula")


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


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10, help="of work in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--part", nargs=2, help="one measurement, in a process of its own")
    asked = parser.parse_args()
    if asked.part:
        own = {"worker": _worker, "shape": _shape}
        name, argument = asked.part
        print(json.dumps(own[name](argument)))
        return
    parts: dict[str, Callable[[], None]] = {
        "ceiling": lambda: engines(asked.minutes, asked.turns, ["processes"]),
        "ray": lambda: engines(asked.minutes, asked.turns, ["processes", "ray"]),
        "memory": memory,
        "shapes": shapes,
        "growth": growth,
        "bits": bits,
    }
    for name, measure in parts.items():
        if not asked.only or name in asked.only:
            print(f"== {name}", flush=True)
            measure()


if __name__ == "__main__":
    main()
