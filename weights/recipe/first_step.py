# SPDX-License-Identifier: Apache-2.0
"""Why an untrained model already seems to route by domain: step 0 under several initialisations.

In: a folder of weights (for the architecture and the tokenizer) and, with `--work`, held-out text.
Out: a Markdown table, one row for each initialisation and text, layers across, on the standard
output.  README.md beside this file says what it shows.

    python weights/recipe/first_step.py --weights weights/8x7m [--work DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from routing_tests import Sample, divergence, entropy, halves, shares
from torch import Tensor, nn
from torch.nn import functional
from windows import balanced

import moe_viz as mv
from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral
from moe_viz.model.moe import Router

Deviation = Callable[[str, torch.Size, MixtralConfig], float]


def _scaled(name: str, config: MixtralConfig) -> float:
    return 0.02 / (2 * config.layers) ** 0.5 if ".wo." in name or ".w2." in name else 0.02


#: Standard deviation of each matrix, by its name; norms are ones.
INITIALISATIONS: dict[str, Deviation] = {
    "the first version's: 0.02, writes / √2L": lambda name, _, config: _scaled(name, config),
    "… attention writes nothing": lambda name, _, config: (
        0.0 if ".wo." in name else _scaled(name, config)
    ),
    "… embedding 0.1": lambda name, _, config: (
        0.1 if "embedding" in name else _scaled(name, config)
    ),
    "transformers: 0.02": lambda name, *_: 0.02,
    "… embedding 1": lambda name, _, config: 1.0 if "embedding" in name else _scaled(name, config),
    "embedding 1, linear 0.02": lambda name, *_: 1.0 if "embedding" in name else 0.02,
    "ours: torch's defaults": lambda name, shape, _: (
        1.0 if "embedding" in name else (3 * shape[1]) ** -0.5
    ),
}


def untrained(config: MixtralConfig, deviation: Deviation, seed: int) -> Mixtral:
    """A model of normal random numbers (torch's linear layers are uniform, equally wide)."""
    model = Mixtral(config).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1)
        else:
            parameter.normal_(0, deviation(name, parameter.shape, config), generator=generator)
    return model


class Inputs:
    """What the routers were shown: cosines between two tokens of one document, by layer."""

    def __init__(self, model: Mixtral, lengths: list[int]) -> None:
        self.lengths = lengths
        model.chunk = sum(lengths)  # the routers see whole documents
        routers = [module for module in model.modules() if isinstance(module, Router)]
        self.cosines: list[list[float]] = [[] for _ in routers]
        self.handles = [
            router.register_forward_pre_hook(partial(self._look, n))
            for n, router in enumerate(routers)
        ]

    def _look(self, layer: int, _module: nn.Module, args: tuple[Tensor]) -> None:
        """A batch of whole documents, the next ones in their order."""
        x, cosines = functional.normalize(args[0].float(), dim=-1), self.cosines[layer]
        while len(x):
            n = self.lengths[len(cosines)]
            # Without the n products of a token with itself, which are 1.
            cosines.append(((x[:n].sum(0).square().sum() - n) / (n * (n - 1))).item())
            x = x[n:]

    def close(self) -> np.ndarray:
        """Mean over documents, (L,)."""
        for handle in self.handles:
            handle.remove()
        return np.mean(self.cosines, axis=1)


def measure(model: Mixtral, ids: list[list[int]], labels: list[str]) -> dict[str, np.ndarray]:
    """The divergence and what it may be made of; arrays (L,)."""
    inputs = Inputs(model, [len(row) for row in ids])
    trace = mv.record(model, ids, labels=labels)
    cosines = inputs.close()
    sample = Sample.of(trace)
    first, both = sample.counts(1), sample.counts(2)
    within, between = halves(first, sample.labels, np.random.default_rng(0))
    return {
        "divergence": divergence(first, sample.labels),
        "both choices": divergence(both, sample.labels),
        "split-half": within,
        "corrected": between - within,
        "entropy in a document": entropy(shares(first)).mean(0),
        "largest share in a document": shares(first).max(-1).mean(0),
        "cosine of inputs": cosines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Routing at step 0.")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="the recipe's folder, for held-out documents")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    model: Any = mv.load(args.weights)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    prompts = mv.prompts.curated()
    texts = {"curated": ([tokenizer.encode(p.text).ids for p in prompts], prompts.labels)}
    if args.work:  # longer texts, and more of them
        texts["held out"] = balanced(args.work, tokenizer)
    L = model.config.layers
    print("| text | initialisation | measure |", *(f"{n} |" for n in range(L)))
    print("|---|---|---|" + "--:|" * L)
    for text, (ids, labels) in texts.items():
        rows = {"trained": [measure(model, ids, labels)]}
        for name, deviation in INITIALISATIONS.items():
            rows[name] = [
                measure(untrained(model.config, deviation, seed), ids, labels)
                for seed in range(args.seeds)
            ]
        for name, runs in rows.items():
            for what in runs[0]:
                values = np.array([run[what] for run in runs])
                mean, sd = values.mean(0), values.std(0)
                cells = [
                    f"{m:.3f} ± {s:.3f} |" if len(runs) > 1 else f"{m:.3f} |"
                    for m, s in zip(mean, sd, strict=True)
                ]
                print(f"| {text} | {name} | {what} |", *cells, flush=True)


if __name__ == "__main__":
    main()
