# SPDX-License-Identifier: Apache-2.0
"""Train 8x7m: from the recipe's tokens to a Hugging Face folder, in so many steps.

In: `WORK/tokens` and `WORK/tokenizer.model` (`corpus.py`, `prose.py`, `vocabulary.py`,
`tokens.py`). Out: the folder named by `--out`. Checkpoint, snapshots and a log go to `--run`; a run
that was cut off, by a signal, by `--minutes` or by the machine, goes on from its last checkpoint
when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from saturation import Saturation
from snapshots import Snapshots
from streams import Corpus
from torch.nn import functional
from trainer import SEED, TRAINING, Settings, Trainer

from moe_viz.checkpoint import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral

STEPS = 15_000  # of 4096 tokens: 61.4 million
EVERY = 600  # seconds between checkpoints


@torch.no_grad()
def bits_per_byte(model: Mixtral, corpus: Corpus, windows: int = 12, length: int = 512) -> dict:
    """A quick look at each domain: evenly spaced windows of the held-out text."""
    result = {}
    for domain, stream in corpus.streams.items():
        starts = np.linspace(0, len(stream) - length, windows).astype(int)
        rows = torch.from_numpy(np.stack([corpus.window(stream, s, length) for s in starts]))
        logits = model(rows[:, :-1].flatten(), [length] * windows)
        assert logits is not None
        nats = functional.cross_entropy(logits.float().cpu(), rows[:, 1:].flatten()).item()
        result[domain] = nats / math.log(2) * len(stream) / corpus.bytes[domain]
    return result


class Stop:
    """Set by SIGTERM or SIGINT: finish the step, write the checkpoint, end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--run", type=Path, help="checkpoint and log; by default WORK/train")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished weights")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with a batch that fills it")
    parser.add_argument("--batch", type=int, default=Settings.batch, help="tokens of a step")
    args = parser.parse_args()

    stop, began = Stop(), time.monotonic()
    torch.manual_seed(SEED)
    config = MixtralConfig.preset("8x7m")
    training = Corpus(args.work / "tokens", "train")
    held_out = Corpus(args.work / "tokens", "held_out")
    folder = args.run or args.work / "train"
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    tokenizer = args.work / "tokenizer.model"
    checkpoint = folder / "checkpoint.pt"
    settings = Settings(batch=args.batch)
    trainer = Trainer(config, settings, args.device)
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"resumed at step {trainer.step}, {trainer.spent / 60:.1f} minutes in", flush=True)

    saturation = Saturation(folder / "saturation.npz", tokenizer)
    snapshots = Snapshots(folder / "snapshots.npz", tokenizer, held_out, args.steps)
    saved = began
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:

        def look() -> None:
            saturation.look(trainer.model, trainer.step, last=trainer.step == args.steps)
            bits = snapshots.look(trainer.model, trainer.step)
            if bits:
                trainer.save_weights(folder / "weights" / f"{trainer.step:05}.pt")
                note({"step": trainer.step, "held_out": bits})

        def note(row: dict) -> None:
            line = json.dumps(row)
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()

        look()
        while trainer.step < args.steps and not stop.asked:
            row = trainer.train_step(training, trainer.step / args.steps)
            look()
            if trainer.step % 20 == 0:
                note(row)
            now = time.monotonic()
            if now - saved > EVERY:
                saved = now
                trainer.save(checkpoint)
            if now - began > args.minutes * 60:
                break
    trainer.save(checkpoint)
    if trainer.step < args.steps:
        print(f"stopped at step {trainer.step}; the same command goes on", flush=True)
        return
    save_checkpoint(trainer.model, args.out, tokenizer=tokenizer)
    for kept in (saturation.path, snapshots.path):
        shutil.copyfile(kept, args.out / kept.name)
    report = {
        "seed": SEED,
        "settings": asdict(settings),
        "steps": trainer.step,
        "tokens": trainer.step * settings.batch,
        "minutes": round(trainer.spent / 60, 1),
    }
    (args.out / TRAINING).write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {args.out}: {report}")


if __name__ == "__main__":
    main()
