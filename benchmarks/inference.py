# SPDX-License-Identifier: Apache-2.0
"""moe_viz against transformers: recording every router logit, and decoding.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/inference.py [--repeats 7]

The same weights, dtype, threads and process on both sides, interleaved; the figure is the ratio of
the medians (above 1: moe_viz is faster). transformers runs as a user would run it: padded batches
with attention masks, `output_router_logits=True`, `logits_to_keep=1`, its default attention and
experts implementations. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from rich.console import Console
from rich.table import Table

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.recording.recording import Recorder

console = Console()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NEW_TOKENS = 96


def interleaved(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, run by turns, the first round thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(repeats + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if round_:
                seconds[name].append(time.perf_counter() - began)
    return seconds


class Report:
    """A table of ratios with what the project asks of each."""

    def __init__(self) -> None:
        self.table = Table(
            title=f"moe_viz {mv.__version__}, transformers "
            f"{transformers.__version__}, torch {torch.__version__}, "
            f"{torch.get_num_threads()} threads"
        )
        for name in ("what", "dtype", "moe_viz, s", "transformers, s", "ratio", "asked"):
            self.table.add_column(name)

    def add(self, what: str, dtype: str, seconds: dict[str, list[float]], asked: float) -> None:
        ours, theirs = (statistics.median(s) for s in seconds.values())
        ratio = theirs / ours
        verdict = "" if ratio >= asked else "  [red]below[/]"
        self.table.add_row(
            what, dtype, f"{ours:.4f}", f"{theirs:.4f}", f"{ratio:.2f}{verdict}", f"≥ {asked:.2f}"
        )
        console.print(f"{what}, {dtype}: {ratio:.2f} (asked {asked:.2f})", highlight=False)


def their_recording(model, prompts: list[list[int]]) -> Callable[[], object]:
    """All prompts as one padded batch, all router logits, the head for last tokens only."""
    longest = max(map(len, prompts))
    there = model.device
    ids = torch.tensor([p + [0] * (longest - len(p)) for p in prompts], device=there)
    mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts], device=there)

    def run() -> object:
        with torch.inference_mode():
            return model(
                ids,
                attention_mask=mask,
                output_router_logits=True,
                logits_to_keep=1,
                use_cache=False,
            ).router_logits

    return run


def our_recording(model: Mixtral, prompts: list[list[int]]) -> Callable[[], object]:
    """As users do it: the last layer's experts, which no router depends on, are left out."""
    return lambda: mv.record(model, prompts)


def our_whole_pass(model: Mixtral, prompts: list[list[int]]) -> Callable[[], object]:
    """The same products as transformers': all experts, and the head for last tokens."""
    ids, lengths = torch.tensor(list(chain.from_iterable(prompts))), [len(p) for p in prompts]

    def run() -> object:
        recorder = Recorder(model, len(ids))
        with torch.inference_mode(), model.router_hooks(recorder):
            model(ids, lengths, logits="last")
        return recorder.arrays(len(ids))

    return run


def load_theirs(folder: Path, dtype: torch.dtype) -> Any:
    return transformers.MixtralForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def ragged(model: Mixtral) -> list[list[int]]:
    """The curated prompts, as they are."""
    assert model.tokenizer is not None
    return [model.tokenizer.encode(text).ids for text in mv.prompts.curated()[::4].texts]


def recording(report: Report, repeats: int) -> None:
    for name, dtype in DTYPES.items():
        ours, theirs = mv.load("8x7m", dtype=name), load_theirs(embedded_folder(), dtype)
        prompts = ragged(ours)
        tokens, padded = sum(map(len, prompts)), len(prompts) * max(map(len, prompts))
        sides = {"moe_viz": our_recording(ours, prompts), "hf": their_recording(theirs, prompts)}
        report.add(
            f"record {len(prompts)} ragged prompts, {tokens} tokens (padded {padded})",
            name,
            interleaved(sides, repeats),
            1.05 * padded / tokens,
        )
        equal = [p[:64] for p in prompts if len(p) >= 64]
        sides = {"moe_viz": our_recording(ours, equal), "hf": their_recording(theirs, equal)}
        asked = {"float32": 1.05, "bfloat16": 1.1}[name]
        report.add(
            f"record {len(equal)} prompts of 64 tokens", name, interleaved(sides, repeats), asked
        )
        sides["moe_viz"] = our_whole_pass(ours, equal)
        report.add("… and the last layer's experts", name, interleaved(sides, repeats), asked)


def wide_layer(report: Report, repeats: int) -> None:
    config = MixtralConfig(
        name="wide",
        hidden_size=1024,
        layers=1,
        heads=16,
        kv_heads=4,
        head_dim=64,
        expert_size=3584,
        experts=8,
        experts_per_token=2,
        vocab_size=512,
        context=2048,
        rope_theta=1e6,
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, dtype in DTYPES.items():
            ours = initialise(Mixtral(config), 0).to(dtype).requires_grad_(False)
            save_checkpoint(ours, folder, dtype=dtype)
            theirs = load_theirs(Path(folder), dtype)
            prompts = torch.randint(0, 512, (8, 128)).tolist()
            sides = {
                "moe_viz": our_whole_pass(ours, prompts),
                "hf": their_recording(theirs, prompts),
            }
            report.add(
                "one layer, 1024/3584, 8 × 128 tokens",
                name,
                interleaved(sides, repeats),
                {"float32": 1.05, "bfloat16": 1.0}[name],
            )


def decoding(report: Report, repeats: int) -> None:
    text = mv.prompts.curated().select(label="en").texts[0]
    for name, dtype in DTYPES.items():
        ours, theirs = mv.load("8x7m", dtype=name), load_theirs(embedded_folder(), dtype)
        assert ours.tokenizer is not None
        ids = torch.tensor([ours.tokenizer.encode(text).ids])

        def their_generate(theirs=theirs, ids=ids) -> object:
            with torch.inference_mode():
                return theirs.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    max_new_tokens=NEW_TOKENS,
                    min_new_tokens=NEW_TOKENS,
                    pad_token_id=0,
                )

        sides = {
            "moe_viz": lambda ours=ours: mv.generate(
                ours, text, max_new_tokens=NEW_TOKENS, ignore_eos=True
            ),
            "hf": their_generate,
        }
        report.add(
            f"greedy decode, {NEW_TOKENS} tokens, moe_viz recording",
            name,
            interleaved(sides, repeats),
            {"float32": 2.0, "bfloat16": 2.5}[name],
        )


def overhead(repeats: int) -> None:
    """What recording itself costs: the same pass with and without the recorder."""
    model = mv.load("8x7m")
    prompts = ragged(model)
    ids, lengths = torch.tensor(list(chain.from_iterable(prompts))), [len(p) for p in prompts]

    def plain() -> object:
        with torch.inference_mode():
            return model(ids, lengths, logits="none")

    def recorded() -> object:
        recorder = Recorder(model, len(ids))
        with torch.inference_mode(), model.router_hooks(recorder):
            model(ids, lengths, logits="none")
        return recorder.arrays(len(ids))

    seconds = interleaved({"plain": plain, "recorded": recorded}, 4 * repeats)
    # Pairs taken next to each other, so that the machine's drift cancels.
    extra = statistics.median(
        b / a - 1 for a, b in zip(seconds["plain"], seconds["recorded"], strict=True)
    )
    console.print(f"recording overhead: {extra:.1%} (asked ≤ 2.0%), {len(ids)} tokens, float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=["recording", "wide", "decoding", "overhead"])
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    report = Report()
    for name, part in {"recording": recording, "wide": wide_layer, "decoding": decoding}.items():
        if args.only in (None, name):
            part(report, args.repeats)
    if args.only != "overhead":
        console.print(report.table)
    if args.only in (None, "overhead"):
        overhead(args.repeats)


if __name__ == "__main__":
    main()
