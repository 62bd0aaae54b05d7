# SPDX-License-Identifier: Apache-2.0
"""Five-minute comparisons: which settings give the best model in equal time.

In: `WORK/tokens`. Out: `WORK/compare.jsonl`, one line per run, and a table. A run first measures
what a step takes (the lower quartile, which other programs on the machine disturb least), and then
makes as many steps as fit into the minutes. The measure is bits per byte on evenly spaced held-out
windows, averaged over the domains; the first batches and the data's order are the same.

    python weights/recipe/compare.py --work DIR [--minutes 5] [--only muon]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, quantiles

import torch
from streams import Corpus
from train import bits_per_byte
from trainer import SEED, Settings, Trainer

from moe_viz.config import MixtralConfig

SHAPE = MixtralConfig.preset("8x7m")
TIMED = 24  # steps that measure how long one takes
OLD = Settings(rate=2e-3, batch=2048, embedding=1.0, matrices="gpt2")
BASE = Settings(rate=2e-3, batch=2048, embedding=1.0, matrices="torch")

#: Name → shape and settings. Shapes have nearly the same active parameters and dense twin.
RUNS = {
    "0.02 throughout, writes smaller (the first version's)": (SHAPE, replace(OLD, embedding=0.02)),
    "… embedding 1": (SHAPE, OLD),
    "… embedding 1, rate 4e-3": (SHAPE, replace(OLD, rate=4e-3)),
    "base: embedding 1, matrices as torch's": (SHAPE, BASE),
    "muon, rate 4e-3, batch 4096": (
        SHAPE,
        replace(BASE, optimiser="muon", rate=4e-3, batch=4096),
    ),
    "4 layers of expert size 896": (replace(SHAPE, layers=4, expert_size=896), BASE),
    "rate 4e-3": (SHAPE, replace(BASE, rate=4e-3)),
    "rate 8e-3": (SHAPE, replace(BASE, rate=8e-3)),
    "batch 1024": (SHAPE, replace(BASE, batch=1024)),
    "balance 0.001": (SHAPE, replace(BASE, balance=0.001)),
    "rate 1e-3": (SHAPE, replace(BASE, rate=1e-3)),
    "9 layers of expert size 256": (replace(SHAPE, layers=9, expert_size=256), BASE),
    "muon, rate 2e-3, batch 2048": (SHAPE, replace(BASE, optimiser="muon")),
    "batch 4096, rate 3e-3": (SHAPE, replace(BASE, batch=4096, rate=3e-3)),
    "no z-loss": (SHAPE, replace(BASE, z_loss=0.0)),
    "balance 0.02": (SHAPE, replace(BASE, balance=0.02)),
}


def pace(training: Corpus, shape: MixtralConfig, settings: Settings) -> float:
    """Seconds of a step: the lower quartile of some, after a few to warm up."""
    timer, seconds = Trainer(shape, settings), []
    for _ in range(TIMED):
        began = time.perf_counter()
        timer.train_step(training, 0.0)
        seconds.append(time.perf_counter() - began)
    return quantiles(seconds[4:], n=4)[0]


def run(work: Path, shape: MixtralConfig, settings: Settings, minutes: float, steps: int) -> dict:
    """Train for as many steps as fit, or for so many; what came of it."""
    torch.manual_seed(SEED)
    training, held_out = Corpus(work / "tokens", "train"), Corpus(work / "tokens", "held_out")
    step = pace(training, shape, settings)
    steps = steps or round(minutes * 60 / step)
    trainer = Trainer(shape, settings)
    loads = [trainer.train_step(training, n / steps)["max_load"] for n in range(steps)]
    bits = bits_per_byte(trainer.model, held_out)
    return {
        "bits_per_byte": round(mean(bits.values()), 4),
        "domains": {domain: round(value, 3) for domain, value in bits.items()},
        "steps": steps,
        "tokens": steps * settings.batch,
        "seconds_per_step": round(step, 3),
        "largest_load": round(mean(loads[-50:]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare settings at equal time.")
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--minutes", type=float, default=5)
    same = "this many steps instead: for settings that do not change what a step takes"
    parser.add_argument("--steps", type=int, default=0, help=same)
    parser.add_argument("--only", default="", help="runs whose names contain this")
    args = parser.parse_args()
    path = args.work / "compare.jsonl"
    done = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {json.loads(line)["run"] for line in done}
    with path.open("a", encoding="utf-8") as log:
        for name, (shape, settings) in RUNS.items():
            if args.only not in name or name in known:
                continue
            row = {"run": name, **run(args.work, shape, settings, args.minutes, args.steps)}
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(
                f"| {row['run']} | {row['tokens'] / 1e6:.2f} | {row['bits_per_byte']:.3f} | "
                f"{row['largest_load']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
