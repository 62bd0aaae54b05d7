# SPDX-License-Identifier: Apache-2.0
"""What use is a mixture of experts? The model, and a dense twin of as many active parameters.

In: `WORK/tokens`. Out: curves of held-out bits per byte over tokens seen, in the `evaluation.json`
of a folder of weights, and what they end at in its card: three pairs of 1,536 steps, and one of
three times as many.
The twins of a pair begin with the same seed, see the same batches in the same order, and go through
the same schedule; the dense one has a single expert per layer, k times as wide, and its router has
nothing to decide.

    python weights/recipe/twins.py --work DIR --weights weights/8x7m

Each training goes on from its last checkpoint. Several of these commands may run at once: each
takes a training that no other is busy with, and the last to end writes the result. What a command
left unfinished when it was stopped, the same command goes on with.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import card
import torch
from streams import Corpus
from train import Stop, bits_per_byte
from trainer import SEED, Settings, Trainer

from moe_viz.config import MixtralConfig
from moe_viz.costs import ledger

STEPS, LONGER = 1536, 4608  # of 4096 tokens
SEEDS = (SEED, SEED + 1, SEED + 2)
LOOKS = 16  # at the held-out text
SETTINGS = Settings()


def shapes() -> dict[str, MixtralConfig]:
    """The mixture, and its dense twin: as many active parameters but for the routers'."""
    config = MixtralConfig.preset("8x7m")
    wide = config.experts_per_token * config.expert_size
    dense = replace(config, name="dense twin", experts=1, experts_per_token=1, expert_size=wide)
    return {"mixture": config, "dense twin": dense}


@dataclass(frozen=True)
class Training:
    """One of them: a model, a seed, a length."""

    model: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.model.replace(' ', '-')}-{self.steps}-{self.seed}"


def trainings(steps: int = STEPS, longer: int = LONGER) -> list[Training]:
    """Pair by pair, so that what is finished can be compared."""
    pairs = [(seed, steps) for seed in SEEDS] + [(SEEDS[0], longer)]
    return [Training(model, seed, n) for seed, n in pairs for model in shapes()]


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Yields whether a folder is free; if so, it stays ours until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when a process ends, too
        except BlockingIOError:
            yield False
        else:
            yield True


def train(training: Training, work: Path, folder: Path, stopped: Callable[[], bool]) -> None:
    """Train, or go on; what was predicted on the way stands in `folder/looks.json`."""
    checkpoint, log = folder / "checkpoint.pt", folder / "looks.json"
    torch.manual_seed(training.seed)
    texts, held_out = Corpus(work / "tokens", "train"), Corpus(work / "tokens", "held_out")
    trainer = Trainer(shapes()[training.model], SETTINGS, seed=training.seed)
    looks: list[dict[str, Any]] = []
    if checkpoint.exists():  # the checkpoint is written before what was seen at it
        trainer.load(checkpoint)
        looks = json.loads(log.read_text()) if log.exists() else []
    every = training.steps // LOOKS
    while True:
        if trainer.step % every == 0 and all(look["step"] != trainer.step for look in looks):
            bits = bits_per_byte(trainer.model, held_out)
            looks.append({"step": trainer.step, "seconds": trainer.spent, "bits": bits})
            print(training.name, trainer.step, round(mean(bits.values()), 4), flush=True)
            trainer.save(checkpoint)
            whole(log, json.dumps(looks))
        if trainer.step >= training.steps:
            return
        if stopped():
            trainer.save(checkpoint)
            print(f"{training.name}: stopped at step {trainer.step}", flush=True)
            return
        trainer.train_step(texts, trainer.step / training.steps)


def curve(training: Training, folder: Path) -> dict[str, Any] | None:
    """What a training predicted; None if it has not finished."""
    log = folder / "looks.json"
    looks = json.loads(log.read_text()) if log.exists() else []
    if not looks or looks[-1]["step"] < training.steps:
        return None
    return {
        "model": training.model,
        "seed": training.seed,
        "steps": training.steps,
        "tokens": [look["step"] * SETTINGS.batch for look in looks],
        "bits_per_byte": [round(mean(look["bits"].values()), 4) for look in looks],
        "domains": {d: round(v, 3) for d, v in looks[-1]["bits"].items()},
    }


def run(work: Path, stopped: Callable[[], bool]) -> None:
    """Train what is not finished and what no other process is busy with, in order."""
    for training in trainings():
        folder = work / "twins" / training.name
        with alone(folder) as free:
            if free and curve(training, folder) is None and not stopped():
                train(training, work, folder, stopped)


def whole(path: Path, text: str) -> None:
    """Write a file that is never seen in part."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the mixture and its dense twin alike.")
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--weights", type=Path, required=True, help="whose evaluation to add to")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    args = parser.parse_args()
    stop, end = Stop(), time.monotonic() + args.minutes * 60

    def stopped() -> bool:
        return stop.asked or time.monotonic() > end

    run(args.work, stopped)
    curves = [curve(t, args.work / "twins" / t.name) for t in trainings()]
    if None in curves:  # or another process is still busy, and will write them
        print("not all trainings are finished; run the same command again", flush=True)
        return
    sizes = {name: ledger(config) for name, config in shapes().items()}
    parameters = {name: {"total": x.total, "active": x.active} for name, x in sizes.items()}
    path = args.weights / "evaluation.json"
    twins = {"twins": {"parameters": parameters, "trainings": curves}}
    result = json.loads(path.read_text()) | twins
    whole(path, json.dumps(result, indent=1) + "\n")
    card.write(args.weights / "README.md", result)


if __name__ == "__main__":
    main()
