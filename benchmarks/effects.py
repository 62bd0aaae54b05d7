# SPDX-License-Identifier: Apache-2.0
"""The damage of every expert of 8x7m: what sharing work saves, and what is found.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/effects.py [--repeats 5] [--every 8]
    OMP_WAIT_POLICY=PASSIVE python benchmarks/effects.py --matrix

`mv.effects` ablates the 48 experts of 8x7m in turn, on every n-th curated prompt. The other side is
ours too, and plain: the whole model once without and once under each intervention, each time with
losses (`record(loss=True)` within `intervene`). Same process, weights, threads and batches, by
turns; the ratio is that of the medians (above 1: sharing is faster). Both must give the same losses
to the last bit. Time of the processor, all threads together, is printed beside that of the wall:
other work on the machine disturbs it less.

What can be gained: of six layers, 3.5 are left to run on average, which alone would make 1.76. The
output head, which nobody can share, is as much work as 2.1 layers: with it, and the two passes
without an intervention, 1.4.

With --matrix: the damage itself, of 8x7m and of its untrained twin, on all curated prompts. Nothing
else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

import moe_viz as mv
from moe_viz.analysis.finding import Finding
from moe_viz.intervention import passes
from moe_viz.intervention.block import intervened
from moe_viz.intervention.effects import each_expert
from moe_viz.model import Mixtral
from moe_viz.prompts import Prompts

ASKED = 1.35
CLOCKS = perf_counter, process_time


def plain(model: Mixtral, prompts: Prompts) -> dict[str, np.ndarray]:
    """The loss of every token, without and under each intervention: 49 runs of the whole model."""
    losses = {"": _loss(model, prompts)}
    for name, change in each_expert(model.config).items():
        with intervened(model, change):
            losses[name] = _loss(model, prompts)
    return losses


def _loss(model: Mixtral, prompts: Prompts) -> np.ndarray:
    loss = mv.record(model, prompts, loss=True).loss
    assert loss is not None
    return loss


@contextmanager
def losses_kept() -> Iterator[list[np.ndarray]]:
    """What `effects` computes on its way, intervention after intervention."""
    kept: list[np.ndarray] = []
    compute = passes.token_losses

    def keeping(*args) -> torch.Tensor:
        losses = compute(*args)
        kept.append(losses.numpy())
        return losses

    passes.token_losses = keeping
    try:
        yield kept
    finally:
        passes.token_losses = compute


def same_losses(model: Mixtral, prompts: Prompts) -> bool:
    """Whether both sides give the same losses, to the last bit; one batch of prompts."""
    with losses_kept() as kept:
        mv.effects(model, prompts)
    expected = plain(model, prompts)
    del expected[""]
    pairs = zip(kept, expected.values(), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def by_turns(sides: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Seconds (repeats, clocks, sides), the first round thrown away."""
    seconds = np.zeros((repeats + 1, len(CLOCKS), len(sides)))
    for round_ in range(repeats + 1):
        for n, side in enumerate(sides):
            began = [now() for now in CLOCKS]
            side()
            seconds[round_, :, n] = [
                now() - start for now, start in zip(CLOCKS, began, strict=True)
            ]
    return seconds[1:]


def compare(repeats: int, every: int) -> None:
    model, prompts = mv.load("8x7m"), mv.prompts.curated()[::every]
    tokens = len(mv.record(model, prompts))
    if not same_losses(model, prompts):
        raise SystemExit("The two sides give different losses.")
    seconds = by_turns([lambda: mv.effects(model, prompts), lambda: plain(model, prompts)], repeats)
    print(
        f"48 ablations of 8x7m, {len(prompts)} curated prompts (every {every}th), {tokens:,} "
        f"tokens, float32, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{repeats} repeats; the same losses to the last bit\n\n"
        "| clock | mv.effects, s | plain re-runs, s | ratio | of single rounds | asked |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    for name, of_clock in zip(("wall", "processor"), np.moveaxis(seconds, 1, 0), strict=True):
        ours, theirs = np.median(of_clock, axis=0)
        each = of_clock[:, 1] / of_clock[:, 0]
        print(f"| {name} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} | "
              f"{each.min():.2f} … {each.max():.2f} | {ASKED} |")  # fmt: skip


def matrix() -> None:
    model, prompts = mv.load("8x7m"), mv.prompts.curated()
    for subject in (model, mv.untrained_twin(model)):
        began = [now() for now in CLOCKS]
        found = mv.effects(subject, prompts)
        wall, processor = (now() - start for now, start in zip(CLOCKS, began, strict=True))
        print(f"\n{found.title}: change of loss in nats per token ({found.counted}), 95 % interval")
        print(
            f"over documents; {len(prompts)} prompts, {wall:.0f} s ({processor:.0f} s of cores)\n"
        )
        print_matrix(found)
        print_summary(found)


def print_matrix(found: Finding) -> None:
    labels = list(dict.fromkeys(found["label"].tolist()))
    print("| expert | " + " | ".join(labels) + " |\n|---" + "|--:" * len(labels) + "|")
    losses = [f"{found.where(label=label)['loss'][0]:.3f}" for label in labels]
    print("| loss without | " + " | ".join(losses) + " |")
    for name in dict.fromkeys(found["intervention"].tolist()):
        rows = found.where(intervention=name).rows()
        cells = [f"{r['change']:+.3f} ({r['low']:+.3f} … {r['high']:+.3f})" for r in rows]
        print(f"| {name} | " + " | ".join(cells) + " |")


def print_summary(found: Finding) -> None:
    """What the table says, in four lines."""
    change, p = found["change"], found["p"]
    print(f"\nchanges: median {np.median(change):+.4f}, from {change.min():+.4f} to "
          f"{change.max():+.4f} nats; {(change < 0).mean():.0%} below 0; "
          f"{(p < 0.05).mean():.0%} with p < 0.05")  # fmt: skip
    for row in sorted(found.rows(), key=lambda r: -r["change"])[:5]:
        print(f"- without {row['intervention']}, {row['label']}: {row['change']:+.3f} "
              f"({row['low']:+.3f} … {row['high']:+.3f}), p {row['p']:.3f}")  # fmt: skip
    spread = []
    for name in dict.fromkeys(found["intervention"].tolist()):
        of_labels = found.where(intervention=name)["change"]
        spread.append((float(of_labels.max() - of_labels.min()), name))
    largest, name = max(spread)
    print(f"- labels differ most for {name}: {largest:.3f} nats; median over experts "
          f"{np.median([s for s, _ in spread]):.4f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--every", type=int, default=8, help="take every n-th curated prompt")
    parser.add_argument("--matrix", action="store_true", help="print the damage instead")
    args = parser.parse_args()
    if args.matrix:
        matrix()
    else:
        compare(args.repeats, args.every)


if __name__ == "__main__":
    main()
