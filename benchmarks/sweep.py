# SPDX-License-Identifier: Apache-2.0
"""moe_viz against transformers with accelerate: recording a model that is larger than memory.

    pip install accelerate                      # transformers' way to a disk
    python benchmarks/sweep.py --work DIR [--layers 9] [--keep]
    python benchmarks/sweep.py --tiny           # does it run, and do both sides say the same?

Layers as wide as Mixtral 8x7B's, random weights in bf16, in shards as Hugging Face has them. Ours:
`mv.load(placement="stream")` and `mv.record` of 32 ragged prompts, loading counted. Theirs:
`MixtralForCausalLM` with `device_map="auto"` and --their-memory gigabytes of memory, the rest on
disk: transformers 5 merges experts, so loading writes them all anew to its `offload_folder`, which
is not counted; then (a) some of the prompts one by one, from which all are extrapolated, (b) all in
one padded batch. `output_router_logits=True`, `logits_to_keep=1`, `use_cache=False`.

Cold: no file is in the page cache when a pass begins. Warm: the same again, after that pass; files
that are larger than memory push each other out all the same. Each side runs in a process of its
own. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from measuring import Measured, beside, cold_and_warm, in_process, workspace, written_once
from rich.console import Console
from rich.table import Table
from synthetic import mixtral, ragged, shards, write_folder

import moe_viz as mv
from moe_viz.config import MixtralConfig

console = Console()
ASKED_ALONE, ASKED_PADDED = 15.0, {"cold": 1.3, "warm": 1.0}
ASKED_AGREEMENT = 0.95


def ours(args: argparse.Namespace, prompts: list[list[int]], folder: Path) -> dict[str, Any]:
    """All prompts in one sweep, as a user has it: the last layer's experts are never read."""

    def run() -> None:
        model = mv.load(folder, placement="stream", dtype="bfloat16")
        trace = mv.record(model, prompts)
        np.save(folder / "ours.npy", np.sort(trace.experts, axis=-1))

    return cold_and_warm(run, folder.glob("*.safetensors"), args.repeats)


def theirs(args: argparse.Namespace, prompts: list[list[int]], folder: Path) -> dict[str, Any]:
    """Some prompts one by one, then all in one batch."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    offloaded = folder / "offloaded"
    with Measured() as loading:
        model: Any = transformers.MixtralForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            device_map="auto",
            max_memory={"cpu": int(args.their_memory * 1e9)},
            offload_folder=str(offloaded),
        ).eval()
    places = list(model.hf_device_map.values())
    assert "disk" in places, "Everything fits into --their-memory: nothing would be streamed."

    def run(batch: list[list[int]]) -> list[torch.Tensor]:
        longest = max(map(len, batch))
        ids = torch.tensor([p + [0] * (longest - len(p)) for p in batch])
        mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in batch])
        with torch.inference_mode():
            output = model(
                ids,
                attention_mask=mask,
                output_router_logits=True,
                logits_to_keep=1,
                use_cache=False,
            )
        return [layer[mask.flatten() == 1] for layer in output.router_logits]

    def run_all() -> None:
        experts = torch.stack([logits.float().topk(2).indices for logits in run(prompts)])
        np.save(folder / "theirs.npy", experts.sort().values.numpy())

    copies = list(offloaded.iterdir())
    files = [*folder.glob("*.safetensors"), *copies]
    # Lengths are spread evenly: these are as long as all prompts on average.
    step = len(prompts) / args.one_by_one
    some = [prompts[int((n + 0.5) * step)] for n in range(args.one_by_one)]
    found = {
        "loading": loading.figures,
        "extra disk": sum(file.stat().st_size for file in copies),
        "places": {place: places.count(place) for place in places},
        "lengths": [len(prompt) for prompt in some],
        "alone": [cold_and_warm(lambda p=p: run([p]), files, args.repeats) for p in some],
        "padded": cold_and_warm(run_all, files, args.repeats),
    }
    shutil.rmtree(offloaded)
    return found


def table_of(
    args: argparse.Namespace, prompts: list[list[int]], mine: dict[str, Any], other: dict[str, Any]
) -> Table:
    tokens, padded = sum(map(len, prompts)), len(prompts) * max(map(len, prompts))
    table = Table(
        title=f"moe_viz {mv.__version__}, torch {torch.__version__}, {torch.get_num_threads()} "
        f"threads: {args.layers} layers, bf16, {len(prompts)} prompts, {tokens} tokens"
    )
    for name in ("what", "moe_viz", "transformers", "ratio", "asked"):
        table.add_column(name, justify="left" if name == "what" else "right")
    share = len(prompts) / args.one_by_one
    for state, figures in mine.items():
        seconds = figures["seconds"]
        alone = share * sum(one[state]["seconds"] for one in other["alone"])
        compared = beside(alone / seconds, ASKED_ALONE, least=True)
        compared = compared if state == "cold" else (f"{alone / seconds:.2f}", "")
        table.add_row(f"{state}, one by one, s", f"{seconds:.1f}", f"{alone:.0f}", *compared)
        batch = other["padded"][state]
        compared = beside(batch["seconds"] / seconds, ASKED_PADDED[state], least=True)
        table.add_row(
            f"{state}, padded to {padded}, s",
            f"{seconds:.1f}",
            f"{batch['seconds']:.1f}",
            *compared,
        )
        read = (f"{side['read'] / 1e9:.2f}" for side in (figures, batch))
        table.add_row("… read from the disk, GB", *read)
    passes = [run for one in (other["padded"], *other["alone"]) for run in one.values()]
    memory = (max(run["memory"] for run in runs) / 1e9 for runs in (mine.values(), passes))
    table.add_row("peak anonymous memory, GB", *(f"{gb:.2f}" for gb in memory))
    loading = other["loading"]
    table.add_row("… while loading, GB", "", f"{loading['memory'] / 1e9:.2f}")
    table.add_row("loading, s", "counted", f"{loading['seconds']:.0f}")
    extra = (max(run["written"] for run in mine.values()), other["extra disk"])
    table.add_row("extra disk, GB", *(f"{size / 1e9:.2f}" for size in extra))
    return table


def report(args: argparse.Namespace, prompts: list[list[int]], folder: Path) -> None:
    flags = ["--work", folder, "--lengths", *args.lengths, *(["--tiny"] if args.tiny else [])]
    for name in ("layers", "prompts", "one-by-one", "their-memory", "repeats"):
        flags += [f"--{name}", getattr(args, name.replace("-", "_"))]
    mine = in_process(["--side", "ours", *flags])
    seconds = " s, warm ".join(f"{run['seconds']:.1f}" for run in mine.values())
    console.print(f"moe_viz: {seconds} s", highlight=False)
    other = in_process(["--side", "theirs", *flags])
    console.print(table_of(args, prompts, mine, other))
    alone = {
        length: [round(run["seconds"], 1) for run in one.values()]
        for length, one in zip(other["lengths"], other["alone"], strict=True)
    }
    console.print(f"transformers, seconds of one prompt by its tokens, cold and warm: {alone}")
    console.print(f"transformers' modules lie in {other['places']}")
    chosen = (np.load(folder / f"{side}.npy") for side in ("ours", "theirs"))
    same = np.equal(*chosen).all(axis=-1).mean(axis=1)
    # Both sides round to bf16, in another order; layers of noise have many close calls.
    console.print(
        f"same two experts: {same.mean():.1%} of tokens, {same.min():.1%} in the worst layer"
    )
    if args.tiny:
        assert same.mean() >= ASKED_AGREEMENT, same


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for the files (a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the files for the next run")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, to try this script")
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--lengths", type=int, nargs=2, default=[16, 160], help="of prompts")
    parser.add_argument("--one-by-one", type=int, default=4, help="prompts that run alone")
    parser.add_argument("--their-memory", type=float, help="GB of memory for their weights (4)")
    parser.add_argument("--repeats", type=int, default=1, help="of each pass; medians")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.their_memory is None:
        args.their_memory = 0.03 if args.tiny else 4.0
    config: MixtralConfig = mixtral(args.layers, args.tiny)
    prompts = ragged(config, args.prompts, *args.lengths)
    if args.side:
        side = {"ours": ours, "theirs": theirs}[args.side]
        print(json.dumps(side(args, prompts, args.work)))
        return
    with workspace(args.work, "sweep", args.keep) as folder:
        size = sum(shard.size for shard in shards(config))
        written_once(folder, config, size, size, lambda: write_folder(config, folder))
        report(args, prompts, folder)


if __name__ == "__main__":
    main()
