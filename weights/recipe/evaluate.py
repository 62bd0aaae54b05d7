"""What is known about the trained model: bits per byte by domain, and routing by label.

In: `WORK/corpus` and the folder of weights. Out: `evaluation.json` beside the weights and a table.
Bits per byte: held-out documents, windows of 512 tokens with BOS in front and nothing before it,
beside gzip -9 of the same bytes. Routing: Jensen-Shannon divergence (bits) between the labels'
first-choice shares in the curated prompts, averaged over pairs, beside the untrained twin: the
same architecture at step 0 of the same run.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
from pathlib import Path

import numpy as np
from train import DOMAINS, SEED

import moe_viz as mv
from moe_viz.model import Mixtral, initialise
from moe_viz.trace import Trace

WINDOW, BYTES = 512, 60_000  # tokens of a window; bytes of held-out text looked at in each domain


def held_out(work: Path, domain: str) -> list[str]:
    """Documents of the held-out split, the beginning of each, evenly, up to BYTES in all."""
    with open(work / "corpus" / domain / "held_out.jsonl", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    share = max(BYTES // len(texts), 400)
    return [text[:share] for text in texts][: BYTES // share]


def bits_per_byte(model: Mixtral, texts: list[str]) -> float:
    """Every token is predicted; each window starts afresh, which costs a little."""
    assert model.tokenizer is not None
    bos = model.tokenizer.bos
    ids = [model.tokenizer.encode(text, bos=False).ids for text in texts]
    windows = [[bos, *d[n : n + WINDOW]] for d in ids for n in range(0, len(d), WINDOW)]
    loss = mv.record(model, windows, loss=True).loss
    return float(np.nansum(loss)) / math.log(2) / sum(len(t.encode()) for t in texts)


def divergence(trace: Trace) -> np.ndarray:
    """Mean Jensen-Shannon divergence between labels of the first-choice shares, (L,), in bits."""
    E = trace.router_logits.shape[2]
    shares = []
    for label in trace.labels:
        part = trace.select(label=label)
        first = part.experts[:, ~part.special, 0]
        shares.append([np.bincount(row, minlength=E) / len(row) for row in first])
    pairs = [
        entropy((a + b) / 2) - (entropy(a) + entropy(b)) / 2
        for a, b in itertools.combinations(np.array(shares), 2)
    ]
    return np.mean(pairs, axis=0)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    args = parser.parse_args()
    model = mv.load(args.weights)
    twin = initialise(Mixtral(model.config), SEED).requires_grad_(False)
    twin.tokenizer = model.tokenizer
    rows = {}
    for domain in DOMAINS:
        texts = held_out(args.work, domain)
        data = "\n".join(texts).encode()
        packed = len(gzip.compress(data, 9)) * 8 / len(data)
        rows[domain] = {"model": bits_per_byte(model, texts), "gzip": packed}
        print(domain, {name: round(value, 3) for name, value in rows[domain].items()}, flush=True)
    prompts = mv.prompts.curated()
    trained, untrained = (divergence(mv.record(m, prompts)) for m in (model, twin))
    result = {
        "bits_per_byte": rows,
        "divergence": {"trained": trained.tolist(), "untrained": untrained.tolist()},
    }
    (args.weights / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    for layer, (a, b) in enumerate(zip(trained, untrained, strict=True)):
        print(f"layer {layer}: divergence {a:.4f}, untrained {b:.4f}, ratio {a / b:.1f}")


if __name__ == "__main__":
    main()
