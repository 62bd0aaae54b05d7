# SPDX-License-Identifier: Apache-2.0
"""Recording a guest against the same padded forward passes of transformers without hooks.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/guests.py [--repeats 7] [--tokens 2000] [--layers 24]

The model has the real shape of Granite-3.1-1b-a400m (24 layers of 32 experts, 8 chosen, hidden
size 1,024, experts of 512), written here from its config.json as remembered, and random weights:
1.3 billion parameters, 5.3 GB in float32. Prompts are random ids of 17 to 129 tokens. Both sides
run the same batches in the same order, without the output head, by turns in one process; what is
compared is the median of the ratios of each turn, on the clock and in processor time. Where turns
differ by more than what is looked for, as on a shared machine, the share of a recording that passes
in our own code tells more: it is printed beside, from the same turns. So is peak anonymous memory.
Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import transformers

import moe_viz as mv
from benchmarks.measuring import Measured
from moe_viz.guests.batches import padded, padded_batches
from moe_viz.guests.guest import Guest
from moe_viz.guests.seam import Ear

ASKED = 1.03


def granite(layers: int) -> Guest:
    """Random weights of the real shape."""
    config = transformers.GraniteMoeConfig(
        vocab_size=49_155, hidden_size=1024, intermediate_size=512, num_hidden_layers=layers,
        num_attention_heads=16, num_key_value_heads=8, num_local_experts=32,
        num_experts_per_tok=8, max_position_embeddings=131_072, embedding_multiplier=12.0,
        logits_scaling=6.0, residual_multiplier=0.22, attention_multiplier=0.015625,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.GraniteMoeForCausalLM(config).requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith("router.weight"):
            torch.nn.init.normal_(weight, std=0.1)
    return Guest(model, name="Granite-3.1-1b-a400m's shape")


def bare(guest: Guest, prompts: list[list[int]]) -> None:
    """The same batches through the same model, and nothing heard."""
    lengths = [len(ids) for ids in prompts]
    for numbers in padded_batches(lengths):
        sizes = [lengths[n] for n in numbers]
        ids, mask = padded(torch.tensor([i for n in numbers for i in prompts[n]]), sizes)
        with torch.inference_mode():
            body: Any = guest.hf.base_model
            body(input_ids=ids, attention_mask=mask, use_cache=False)


class Own:
    """What of a recording passes in our own code: all of it but the model's pass, and the hooks."""

    def __init__(self, guest: Guest) -> None:
        self.model = self.hooks = 0.0
        body: Any = guest.hf.base_model
        body.forward = self.timed(body.forward, "model")
        for name in ("router", "experts"):
            made: Any = getattr(Ear, name)
            setattr(Ear, name, lambda *args, made=made: self.timed(made(*args), "hooks"))

    def timed(self, run: Any, where: str) -> Any:
        """The same function, its time added up."""

        @functools.wraps(run)
        def inner(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return run(*args, **named)
            finally:
                setattr(self, where, getattr(self, where) + time.perf_counter() - began)

        return inner

    def share(self, whole: float) -> float:
        """Of a recording that took so long."""
        return (whole - self.model + self.hooks) / whole


def main() -> None:
    """Measure, and say the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--layers", type=int, default=24)
    asked = parser.parse_args()
    guest, rng, prompts = granite(asked.layers), np.random.default_rng(0), list[list[int]]()
    while sum(map(len, prompts)) < asked.tokens:
        prompts.append(rng.integers(0, 49_155, rng.integers(17, 130)).tolist())
    sides = {
        "without hooks": lambda: bare(guest, prompts),
        "recording": lambda: mv.record(guest, prompts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    worked: dict[str, list[float]] = {name: [] for name in sides}
    own, shares = Own(guest), list[float]()
    for turn in range(asked.repeats + 1):
        for name in sorted(sides, reverse=turn % 2 == 1):
            own.model = own.hooks = 0.0
            began, before = time.perf_counter(), time.process_time()
            sides[name]()
            took = time.perf_counter() - began
            if turn:  # the first warms up
                seconds[name].append(took)
                worked[name].append(time.process_time() - before)
                if name == "recording":
                    shares.append(own.share(took))
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    works = [b / a for a, b in zip(*worked.values(), strict=True)]
    print(f"{sum(map(len, prompts)):,} tokens, {len(prompts)} prompts, {asked.layers} layers")
    for name, took in seconds.items():
        print(f"{name:14} {statistics.median(took):6.2f} s (least {min(took):.2f})")
    print(
        f"recording takes {statistics.median(ratios):.3f} times as long (turns: "
        f"{', '.join(f'{ratio:.3f}' for ratio in ratios)}); at most {ASKED} is asked"
    )
    print(f"in processor time {statistics.median(works):.3f} times as much")
    print(f"our own code takes {statistics.median(shares):.2%} of a recording")
    for name, run in sides.items():
        with Measured() as measured:
            run()
        print(f"{name:14} {measured.figures['memory'] / 2**30:.2f} GiB at most, weights and all")


if __name__ == "__main__":
    main()
