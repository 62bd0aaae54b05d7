# SPDX-License-Identifier: Apache-2.0
"""How closely moe_viz and transformers agree on 8x7m, in float32 and in bfloat16.

    python benchmarks/agreement.py

Every fourth curated prompt, one at a time on transformers' side (eager attention and experts).
Relative: norm of the difference over norm of transformers' value. Experts: share of (token, layer)
pairs whose set of chosen experts is the same. The last row is moe_viz against itself: what bf16
alone changes.
"""

from __future__ import annotations

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table

import moe_viz as mv
from moe_viz.files import embedded_folder


def theirs(dtype: torch.dtype, prompts: list[list[int]]) -> np.ndarray:
    """transformers' router logits, (L, T, E)."""
    model = transformers.MixtralForCausalLM.from_pretrained(
        embedded_folder(), dtype=dtype, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    parts = []
    with torch.inference_mode():
        for prompt in prompts:
            out = model(torch.tensor([prompt]), output_router_logits=True, logits_to_keep=1)
            parts.append(torch.stack(out.router_logits).float().numpy())
    return np.concatenate(parts, axis=1)


def chosen(logits: np.ndarray, k: int) -> np.ndarray:
    """The k best experts, in the order of their numbers."""
    return np.sort(np.argsort(-logits, axis=2, kind="stable")[:, :, :k], axis=2)


def main() -> None:
    transformers.utils.logging.set_verbosity_error()
    table = Table(title=f"transformers {transformers.__version__}, torch {torch.__version__}")
    for name in ("router logits", "relative difference", "same experts", "pairs"):
        table.add_column(name, justify="left" if name == "router logits" else "right")
    ours: dict[str, np.ndarray] = {}
    k = 2
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model = mv.load("8x7m", dtype=name)
        assert model.tokenizer is not None
        prompts = [model.tokenizer.encode(t).ids for t in mv.prompts.curated()[::4].texts]
        ours[name], k = mv.record(model, prompts).router_logits, model.config.experts_per_token
        add(table, f"moe_viz and transformers, {name}", ours[name], theirs(dtype, prompts), k)
    add(table, "moe_viz, bfloat16 and float32", ours["bfloat16"], ours["float32"], k)
    Console(width=110).print(table)


def add(table: Table, what: str, a: np.ndarray, b: np.ndarray, k: int) -> None:
    difference = np.linalg.norm((a - b).astype(np.float64)) / np.linalg.norm(b.astype(np.float64))
    same = (chosen(a, k) == chosen(b, k)).all(axis=2)
    table.add_row(what, f"{difference:.1e}", f"{same.mean():.4%}", f"{same.size:,}")


if __name__ == "__main__":
    main()
