# SPDX-License-Identifier: Apache-2.0
"""What putting shards together takes, and planning a million of them: without a model.

    python benchmarks/merging.py [--only merge million]

Decisions are made up; what is measured is reading, counting and adding up.
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Measured, in_process, workspace

import moe_viz as mv
from moe_viz.analysis.corpus import CorpusDocuments
from moe_viz.analysis.counting import Counting, count_shard
from moe_viz.analysis.examples import example
from moe_viz.analysis.survey import counts_of, survey
from moe_viz.progress import quiet
from moe_viz.recording.corpora import plan as planning
from moe_viz.recording.corpora.rows import Row
from moe_viz.trace import TraceDataset
from moe_viz.trace.dataset import Part
from moe_viz.trace.shards import Shard, read_plan, write_plan


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

    with quiet(), Measured() as merging:
        docs = CorpusDocuments(data, run)
        docs.prepare(counts_of(docs))
    with quiet(), Measured() as measured:
        survey(data, run=run)
    return {**measured.figures, "merging": merging.figures["seconds"],
            "merged": merging.figures["memory"]}  # fmt: skip


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
        for name, seconds, peak in (
            ("merging", figures["merging"], figures["merged"]),
            (
                "a whole survey, what needs all documents counted anew",
                figures["seconds"],
                figures["memory"],
            ),
        ):
            print(f"{name}: {seconds:.1f} s, peak {peak / 1e6:.0f} MB")


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--part", nargs=2, help="one measurement, in a process of its own")
    asked = parser.parse_args()
    if asked.part:
        own = {"merged": _merged, "planned": _planned, "simulated": _simulated}
        name, argument = asked.part
        print(json.dumps(own[name](argument)))
        return
    for name, measure in {"merge": merge, "million": million}.items():
        if not asked.only or name in asked.only:
            print(f"== {name}", flush=True)
            measure()


if __name__ == "__main__":
    main()
