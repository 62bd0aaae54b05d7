# SPDX-License-Identifier: Apache-2.0
"""What the model makes of everyday text, beside the version before it.

In: `WORK/prose`, a folder of weights that `evaluate.py` has seen, and those of the version before.
Out, in `evaluation.json` and the card: bits per byte of held-out prose and of this project's own
passages under both; forty openings whose last word is withheld (`openings.py`), with the first
three guesses; and forty continuations, all that were made.

    git show COMMIT:weights/8x7m/model.safetensors > BEFORE/model.safetensors
    # and in the same way its config.json and tokenizer.model
    python weights/recipe/shown.py --work DIR --weights weights/8x7m --before BEFORE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import card
import numpy as np
import torch
from corpus import read
from evaluate import rounded
from openings import OPENINGS
from snapshots import first_piece
from sources import LANGUAGES
from windows import bits_per_byte, interval, nats

import moe_viz as mv
from moe_viz.model import Mixtral

#: What is to be continued, chosen before the training had ended: two beginnings of a story in each
#: of three languages, one in the others, and two programs.
BEGINNINGS = (
    "Once upon a time there was a",
    "The old man opened the door and",
    "Il était une fois une petite fille qui",
    "Le lendemain matin, le capitaine",
    "Es war einmal ein König, der",
    "Als sie am Abend nach Hause kam,",
    "Había una vez un pescador que",
    "C'era una volta un re che",
    "def read_lines(path):\n    ",
    "<!DOCTYPE html>\n<html>\n<head>\n",
)
COUNT, TEMPERATURE, TOKENS = 40, 0.7, 48  # continuations, with seeds 0 to 39; tokens of each


def costs(models: Sequence[Mixtral], texts: Sequence[str]) -> dict[str, Any]:
    """Bits per byte of some documents under two models, and the paired difference.

    The difference is positive where the first is better. Intervals are bootstraps over documents.
    """
    sizes = np.array([len(text.encode()) for text in texts])
    result: dict[str, Any] = {"documents": len(texts), "bytes": int(sizes.sum())}
    found = []
    for name, model in zip(("model", "before"), models, strict=True):
        assert model.tokenizer is not None
        ids = [model.tokenizer.encode(text, bos=False).ids for text in texts]
        found.append(nats(model, ids))
        result[name] = bits_per_byte(found[-1], sizes)
        result[f"{name}, interval"] = interval(found[-1], sizes)
    gained = found[1] - found[0]
    result |= {"better by": bits_per_byte(gained, sizes), "interval": interval(gained, sizes)}
    return result


def prose(models: Sequence[Mixtral], work: Path) -> dict[str, Any]:
    """Held-out prose of the five languages."""
    return {
        x: costs(models, [d["text"] for d in read(work / "prose" / x / "held_out.jsonl")])
        for x in LANGUAGES
    }


def everyday(models: Sequence[Mixtral]) -> dict[str, Any]:
    """The project's own passages and programs, by label."""
    every = mv.prompts.curated()
    return {x: costs(models, every.select(label=x).texts) for x in dict.fromkeys(every.labels)}


@torch.no_grad()
def guesses(model: Mixtral) -> list[dict[str, Any]]:
    """The first three guesses at each withheld word's first piece, and its rank, 1 the first."""
    tokenizer = model.tokenizer
    assert tokenizer is not None
    rows = [tokenizer.encode(o.text).ids for o in OPENINGS]
    logits = model(torch.tensor([i for row in rows for i in row]), [len(r) for r in rows], "last")
    assert logits is not None
    order = logits.float().argsort(-1, descending=True)
    result = []
    for opening, ids, best in zip(OPENINGS, rows, order, strict=True):
        wanted = first_piece(tokenizer, opening.text, opening.whole)
        rank = int((best == wanted).nonzero()[0, 0]) + 1
        pieces = [tokenizer.describe([ids[-1], i])[1].pieces[-1] for i in best[:3].tolist()]
        result.append({**opening._asdict(), "rank": rank, "guesses": pieces})
    return result


def continuations(model: Mixtral) -> list[dict[str, Any]]:
    """As many as there are seeds; each beginning has its turn."""
    result = []
    for seed in range(COUNT):
        text = BEGINNINGS[seed % len(BEGINNINGS)]
        written = mv.generate(model, text, TOKENS, temperature=TEMPERATURE, seed=seed)
        result.append({"seed": seed, "beginning": text, "continuation": written.text})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="What can be shown of the trained model.")
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--weights", type=Path, required=True, help="the folder train.py wrote")
    parser.add_argument("--before", type=Path, required=True, help="the version before")
    args = parser.parse_args()
    path = args.weights / "evaluation.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    models: list[Any] = [mv.load(folder) for folder in (args.weights, args.before)]
    shown = {
        "prose": prose(models, args.work),
        "everyday": everyday(models),
        "openings": guesses(models[0]),
        "openings before": [guess["rank"] for guess in guesses(models[1])],
        "continuations": continuations(models[0]),
        "sampling": {"temperature": TEMPERATURE, "tokens": TOKENS},
    }
    result["shown"] = rounded(shown)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    card.write(args.weights / "README.md", result)


if __name__ == "__main__":
    main()
