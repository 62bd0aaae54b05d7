# SPDX-License-Identifier: Apache-2.0
"""Go on with finished weights where their checkpoint is gone: a fresh optimiser, warmed up again.

In: `WORK/tokens`, as `train.py` has them, and a folder of weights. Out: another folder of weights.
Windows are long throughout; the rate is a fifth of the first run's, and falls to a hundredth of
that. Cut off, it goes on from its own checkpoint in `WORK/go_on`.

    python weights/recipe/go_on.py --work DIR --weights weights/8x7m --out FOLDER --steps 900
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from streams import Corpus
from train import bits_per_byte
from trainer import SEED, TRAINING, Settings, Trainer

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint

RATE = 0.2  # of the first run's peak: at three fifths it got worse for 178 steps, and was stopped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--weights", type=Path, required=True, help="where to go on from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new weights")
    parser.add_argument("--steps", type=int, default=900)
    args = parser.parse_args()

    torch.manual_seed(SEED)
    begun = json.loads((args.weights / TRAINING).read_text())
    settings = Settings(**begun["settings"])
    start: Any = mv.load(args.weights, dtype="float32")
    trainer = Trainer(start.config, replace(settings, rate=RATE * settings.rate))
    trainer.go_on_from(start)
    trainer.rng = np.random.default_rng(SEED + 1)  # other windows than the first run began with
    training, held_out = (Corpus(args.work / "tokens", part) for part in ("train", "held_out"))
    checkpoint = args.work / "go_on" / "checkpoint.pt"
    checkpoint.parent.mkdir(exist_ok=True)
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"resumed at step {trainer.step}", flush=True)
    while trainer.step < args.steps:
        if trainer.step % 100 == 0:
            found = bits_per_byte(trainer.model, held_out)
            mean = np.mean(list(found.values()))
            print(f"step {trainer.step}: {mean:.4f} bits per byte", flush=True)
            trainer.save(checkpoint)
        trainer.train_step(training, trainer.step / args.steps)
    save_checkpoint(trainer.model, args.out, tokenizer=args.work / "tokenizer.model")
    # The twin is step 0 of the first run: its seed and settings stay what tells it.
    report = {
        **begun,
        "steps": begun["steps"] + trainer.step,
        "tokens": begun["tokens"] + trainer.step * settings.batch,
        "minutes": round(begun["minutes"] + trainer.spent / 60, 1),
        "went_on_at": begun["steps"],
    }
    (args.out / TRAINING).write_text(json.dumps(report, indent=1) + "\n")
    shutil.copyfile(args.weights / "saturation.npz", args.out / "saturation.npz")
    print(f"written to {args.out}: {report}")


if __name__ == "__main__":
    main()
