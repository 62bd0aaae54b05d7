# SPDX-License-Identifier: Apache-2.0
"""Train 8x7m: from the recipe's tokens to a Hugging Face folder, within a budget of minutes.

In: `WORK/tokens` and `WORK/tokenizer.model` (`corpus.py`, `vocabulary.py`, `tokens.py`). Out: the
folder named by `--out`. Checkpoints and a log go to `WORK/train`; a run that was cut off goes on
from the last one.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from saturation import Saturation
from streams import Corpus
from torch.nn import functional
from trainer import SEED, TRAINING, Settings, Trainer

from moe_viz.checkpoint import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral


@torch.no_grad()
def bits_per_byte(model: Mixtral, corpus: Corpus, windows: int = 12, length: int = 512) -> dict:
    """A quick look at each domain: evenly spaced windows of the held-out text."""
    result = {}
    for domain, stream in corpus.streams.items():
        starts = np.linspace(0, len(stream) - length, windows).astype(int)
        rows = torch.from_numpy(np.stack([corpus.window(domain, s, length) for s in starts]))
        logits = model(rows[:, :-1].flatten(), [length] * windows)
        assert logits is not None
        nats = functional.cross_entropy(logits.float().cpu(), rows[:, 1:].flatten()).item()
        result[domain] = nats / math.log(2) * len(stream) / corpus.bytes[domain]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished weights")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with a batch that fills it")
    parser.add_argument("--batch", type=int, default=Settings.batch, help="tokens of a step")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    config = MixtralConfig.preset("8x7m")
    training = Corpus(args.work / "tokens", "train")
    held_out = Corpus(args.work / "tokens", "held_out")
    folder = args.work / "train"
    folder.mkdir(exist_ok=True)
    tokenizer = args.work / "tokenizer.model"
    checkpoint = folder / "checkpoint.pt"
    settings, budget = Settings(batch=args.batch), args.minutes * 60
    trainer = Trainer(config, settings, args.device)
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"resumed at step {trainer.step}, {trainer.spent / 60:.1f} minutes in", flush=True)

    saturation = Saturation(folder / "saturation.npz", tokenizer)
    saturation.look(trainer.model, trainer.step)
    saved = looked = trainer.spent
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        while trainer.spent < budget:
            row = trainer.train_step(training, trainer.spent / budget)
            saturation.look(trainer.model, trainer.step)
            if trainer.spent - looked > min(300, budget / 5):
                looked = trainer.spent
                row["held_out"] = bits_per_byte(trainer.model, held_out)
            if trainer.spent - saved > 120:
                saved = trainer.spent
                trainer.save(checkpoint)
            if row["step"] % 20 == 0 or "held_out" in row:
                line = json.dumps(row)
                print(line, flush=True)
                log.write(line + "\n")
                log.flush()
    trainer.save(checkpoint)
    saturation.look(trainer.model, trainer.step, last=True)
    save_checkpoint(trainer.model, args.out, tokenizer=tokenizer)
    shutil.copyfile(saturation.path, args.out / saturation.path.name)
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
