# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the analyses whose work grows with the number of experts.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/many_experts.py [--layers 3] [--documents 1600]

DeepSeek-V3 has 256 experts in a layer, of which a token goes to 8. The trace is made up: documents
of 200 tokens that each prefer some experts. Asked for at most: 2 s of processor and 1 GiB a layer,
SciPy's import left out.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import t as _loaded  # noqa: F401

from benchmarks.measuring import Measured
from moe_viz.analysis import coactivation, expert_cache, repetition, transitions
from moe_viz.analysis.documents import Documents
from moe_viz.trace import Provenance, Rule, Trace, TracePrompt

E, K, TOKENS = 256, 8, 200


def made_up(layers: int, documents: int) -> Trace:
    """Choices without logits, of documents under three labels."""
    rng, T = np.random.default_rng(0), documents * TOKENS
    experts = np.empty((layers, T, K), np.int16)
    for layer in range(layers):
        for d in range(documents):
            scores = rng.normal(0, 1, E) + rng.gumbel(size=(TOKENS, E))
            rows = slice(d * TOKENS, (d + 1) * TOKENS)
            experts[layer, rows] = np.argpartition(-scores, K, axis=1)[:, :K]
    prompts = [
        TracePrompt("a" * TOKENS, "abc"[d % 3], d * TOKENS, (d + 1) * TOKENS)
        for d in range(documents)
    ]
    return Trace(
        router_logits=None, experts=experts, gates=np.full(experts.shape, 1 / K, np.float32),
        token_ids=np.zeros(T, np.int32), tokens=["a"] * T, spans=np.zeros((T, 2), np.int32),
        special=np.zeros(T, bool), generated=np.zeros(T, bool), prompts=tuple(prompts),
        provenance=Provenance("made up"), layers=tuple(range(layers)), expert_count=E,
        rule=Rule(choice="unknown", gates=False),
    )  # fmt: skip


def main() -> None:
    """Measure each, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--documents", type=int, default=1600)
    asked = parser.parse_args()
    docs = Documents(made_up(asked.layers, asked.documents))
    print(f"{asked.layers} layers, {asked.documents:,} documents of {TOKENS} tokens, {K} of {E}")
    for analyse in (coactivation, expert_cache, repetition, transitions):
        before = time.process_time()
        with Measured() as measured:
            analyse(docs)
        seconds = (time.process_time() - before) / asked.layers
        memory = measured.figures["memory"] / 2**30
        print(
            f"{analyse.__name__:14} {seconds:5.2f} s of processor a layer, {memory:.2f} GiB at most"
        )


if __name__ == "__main__":
    main()
