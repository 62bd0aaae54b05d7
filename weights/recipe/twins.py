# SPDX-License-Identifier: Apache-2.0
"""What use is a mixture of experts? The model, and a dense twin of as many active parameters.

In: `WORK/tokens`. Out: two curves of held-out bits per byte over tokens seen, in the
`evaluation.json` of a folder of weights, and in its card. Both twins begin with the same seed, see
the same batches in the same order, and go through the same schedule; the dense one has a single
expert per layer, k times as wide, and its router has nothing to decide. Each goes on from its last
checkpoint if it was cut off.

    python weights/recipe/twins.py --work DIR --weights weights/8x7m
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import card
import torch
from streams import Corpus
from train import bits_per_byte
from trainer import SEED, Settings, Trainer

from moe_viz.config import MixtralConfig
from moe_viz.costs import ledger

STEPS = 1536  # of 4096 tokens: what the mixture does in half an hour, alone on two cores
LOOKS = 16  # at the held-out text


def shapes() -> dict[str, MixtralConfig]:
    """The mixture, and its dense twin: as many active parameters but for the routers'."""
    config = MixtralConfig.preset("8x7m")
    wide = config.experts_per_token * config.expert_size
    dense = replace(config, name="dense twin", experts=1, experts_per_token=1, expert_size=wide)
    return {"mixture": config, "dense twin": dense}


def curve(config: MixtralConfig, work: Path, steps: int) -> dict[str, Any]:
    """Train for so many steps; what was predicted on the way."""
    folder = work / "twins" / config.name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "looks.json"
    torch.manual_seed(SEED)
    training, held_out = Corpus(work / "tokens", "train"), Corpus(work / "tokens", "held_out")
    trainer = Trainer(config, Settings())
    looks: list[dict[str, Any]] = []
    if checkpoint.exists():  # the checkpoint is written before what was seen at it
        trainer.load(checkpoint)
        looks = json.loads(log.read_text()) if log.exists() else []
    every = steps // LOOKS
    while True:
        if trainer.step % every == 0 and all(look["step"] != trainer.step for look in looks):
            bits = bits_per_byte(trainer.model, held_out)
            looks.append({"step": trainer.step, "seconds": trainer.spent, "bits": bits})
            print(config.name, trainer.step, round(mean(bits.values()), 4), flush=True)
            trainer.save(checkpoint)
            log.write_text(json.dumps(looks))
        if trainer.step >= steps:
            break
        trainer.train_step(training, trainer.step / steps)
    books = ledger(config)
    return {
        "parameters": books.total,
        "active": books.active,
        "tokens": [look["step"] * trainer.settings.batch for look in looks],
        "seconds": [round(look["seconds"], 1) for look in looks],
        "bits_per_byte": [round(mean(look["bits"].values()), 4) for look in looks],
        "domains": {d: round(v, 3) for d, v in looks[-1]["bits"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the mixture and its dense twin alike.")
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--weights", type=Path, required=True, help="whose evaluation to add to")
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    curves = {name: curve(config, args.work, args.steps) for name, config in shapes().items()}
    path = args.weights / "evaluation.json"
    result = json.loads(path.read_text()) | {"twins": curves}
    path.write_text(json.dumps(result, indent=1) + "\n")
    card.write(args.weights / "README.md", result)


if __name__ == "__main__":
    main()
