"""moe_viz against transformers with accelerate: recording a model that is larger than memory.

    pip install accelerate           # transformers' way to a disk; nothing else needs it
    python benchmarks/sweep.py --work DIR [--layers 9] [--keep]
    python benchmarks/sweep.py --tiny           # does it run? and do both sides say the same?

Layers as wide as Mixtral 8x7B's in bf16, random weights, in shards as Hugging Face has them. Ours:
`mv.load(placement="stream")` and `mv.record` of 32 ragged prompts, loading counted. Theirs:
`MixtralForCausalLM` with `device_map="auto"` and --their-memory gigabytes of memory, the rest on
disk: transformers 5 merges experts, so loading writes them all anew to its `offload_folder`, which
is not counted; then (a) some of the prompts one by one, from which all are extrapolated, (b) all in
one padded batch. `output_router_logits=True`, `logits_to_keep=1`, no cache of keys.

Cold: no file is in the page cache when a pass begins. Warm: the same again, after that pass. Each
side runs in a process of its own. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import Measured, beside, drop_cache, in_process, workspace, written_once  # isort: skip

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from synthetic import mixtral, ragged, shards, write_folder

import moe_viz as mv
from moe_viz.config import MixtralConfig

console = Console()
ASKED = {"one by one": 15.0, "padded cold": 1.3, "padded warm": 1.0}
AGREEMENT = 0.95
Figures = dict[str, float]


def prompts_of(args: argparse.Namespace, config: MixtralConfig) -> list[list[int]]:
    return ragged(config, args.prompts, 16, 160)


def passes(run: Callable[[], object], files: list[Path], repeats: int) -> dict[str, Figures]:
    """Medians of a pass, cold and warm by turns."""
    found: dict[str, list[Figures]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        drop_cache(files)
        for name in found:
            with Measured() as measured:
                run()
            found[name].append(measured.figures)
    return {
        name: {key: statistics.median(f[key] for f in figures) for key in figures[0]}
        for name, figures in found.items()
    }


def ours(args: argparse.Namespace, config: MixtralConfig, folder: Path) -> dict[str, Any]:
    """All prompts in one sweep, as a user has it: the last layer's experts are never read."""
    prompts = prompts_of(args, config)

    def run() -> None:
        model = mv.load(folder, placement="stream", dtype="bfloat16")
        trace = mv.record(model, prompts)
        np.save(folder / "ours.npy", np.sort(trace.experts, axis=-1))

    return passes(run, sorted(folder.glob("*.safetensors")), args.repeats)


def theirs(args: argparse.Namespace, config: MixtralConfig, folder: Path) -> dict[str, Any]:
    """Some prompts one by one, then all in one batch."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    prompts, offloaded = prompts_of(args, config), folder / "offloaded"
    with Measured() as loading:
        model: Any = transformers.MixtralForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            device_map="auto",
            max_memory={"cpu": int(args.their_memory * 1e9)},
            offload_folder=str(offloaded),
        ).eval()
    places = set(model.hf_device_map.values())
    assert places <= {"cpu", "disk"} and "disk" in places, places

    def run(batch: list[list[int]]) -> tuple[torch.Tensor, ...]:
        longest = max(map(len, batch))
        ids = torch.tensor([p + [0] * (longest - len(p)) for p in batch])
        mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in batch])
        with torch.inference_mode():
            logits = model(
                ids,
                attention_mask=mask,
                output_router_logits=True,
                logits_to_keep=1,
                use_cache=False,
            ).router_logits
        return tuple(layer[mask.flatten() == 1] for layer in logits)

    def run_all() -> None:
        best = torch.stack([layer.float().topk(2).indices for layer in run(prompts)])
        np.save(folder / "theirs.npy", best.sort().values.numpy())

    files = sorted([*folder.glob("*.safetensors"), *offloaded.glob("*.safetensors")])
    # Of evenly spread lengths, so that they are as long as all prompts on average.
    step = len(prompts) / args.one_by_one
    some = [prompts[int((n + 0.5) * step)] for n in range(args.one_by_one)]
    return {
        "loading": loading.figures,
        "on disk": sum(f.stat().st_size for f in offloaded.iterdir()),
        "modules": [list(model.hf_device_map.values()).count(p) for p in ("cpu", "disk")],
        "lengths": [len(p) for p in some],
        "alone": [passes(lambda p=p: run([p]), files, args.repeats) for p in some],
        "padded": passes(run_all, files, args.repeats),
    }


def agreement(folder: Path) -> np.ndarray:
    """Of each layer, the share of tokens for which both sides choose the same experts."""
    mine, others = (np.load(folder / f"{side}.npy") for side in ("ours", "theirs"))
    return (mine == others).all(axis=-1).mean(axis=1)


def report(args: argparse.Namespace, config: MixtralConfig, folder: Path) -> None:
    flags = ["--work", folder, *(["--tiny"] if args.tiny else [])]
    for name in ("layers", "prompts", "one_by_one", "their_memory", "repeats"):
        flags += [f"--{name.replace('_', '-')}", getattr(args, name)]
    mine = in_process(["--side", "ours", *flags])
    console.print(f"moe_viz: {mine['cold']['seconds']:.1f} s, {mine['warm']['seconds']:.1f} s warm")
    other = in_process(["--side", "theirs", *flags])

    prompts = prompts_of(args, config)
    tokens, padded = sum(map(len, prompts)), len(prompts) * max(map(len, prompts))
    table = Table(
        title=f"moe_viz {mv.__version__}, {torch.get_num_threads()} threads, {config.layers} layers "
        f"of {config.hidden_size}/{config.expert_size}, bf16, {len(prompts)} prompts"
    )
    for name in ("what", "moe_viz", "transformers", "ratio", "asked"):
        table.add_column(name, justify="left" if name == "what" else "right")
    share = len(prompts) / args.one_by_one
    for state in ("cold", "warm"):
        alone = share * sum(one[state]["seconds"] for one in other["alone"])
        batch, seconds = other["padded"][state]["seconds"], mine[state]["seconds"]
        figures = beside(alone / seconds, ASKED["one by one"], least=True)
        table.add_row(
            f"one by one, {state}, s (from prompts of {other['lengths']})",
            f"{seconds:.1f}",
            f"{alone:.0f}",
            *(figures if state == "cold" else (f"{alone / seconds:.2f}", "")),
        )
        table.add_row(
            f"one batch, {state}, s ({tokens} tokens, padded {padded})",
            f"{seconds:.1f}",
            f"{batch:.1f}",
            *beside(batch / seconds, ASKED[f"padded {state}"], least=True),
        )
        table.add_row(
            f"read from the disk, {state}, GB (one batch)",
            f"{mine[state]['read'] / 1e9:.2f}",
            f"{other['padded'][state]['read'] / 1e9:.2f}",
        )
    for what, key in (("peak anonymous memory", "memory"), ("written to the disk", "written")):
        runs = [other["padded"], *other["alone"]]
        table.add_row(
            f"{what}, GB",
            f"{max(run[key] for run in mine.values()) / 1e9:.2f}",
            f"{max(run[s][key] for run in runs for s in run) / 1e9:.2f}",
        )
    table.add_row(
        "once, to load: s", "", f"{other['loading']['seconds']:.0f}",
    )
    table.add_row(
        "… peak anonymous memory, GB", "", f"{other['loading']['memory'] / 1e9:.2f}",
    )
    table.add_row("extra disk, GB", "0.00", f"{other['on disk'] / 1e9:.2f}")
    console.print(table)
    same, (cpu, disk) = agreement(folder), other["modules"]
    console.print(f"transformers kept {cpu} modules in memory, and {disk} on disk")
    console.print(
        f"same two experts: {same.mean():.1%} of tokens, {same.min():.1%} in the worst layer "
        f"(asked ≥ {AGREEMENT:.0%})",
        highlight=False,
    )
    if args.tiny:
        assert same.mean() >= AGREEMENT, same


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for the files (temporary)")
    parser.add_argument("--keep", action="store_true", help="leave the files for the next run")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, to try this script")
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--one-by-one", type=int, default=4, help="prompts that run alone")
    parser.add_argument("--their-memory", type=float, help="GB for their weights (4)")
    parser.add_argument("--repeats", type=int, default=1, help="of each pass; medians")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    config = mixtral(args.layers, args.tiny)
    if args.their_memory is None:
        args.their_memory = 0.03 if args.tiny else 4.0
    if args.side:
        side = {"ours": ours, "theirs": theirs}[args.side]
        print(json.dumps(side(args, config, args.work)))
        return
    with workspace(args.work, "sweep", args.keep) as folder:
        size = sum(shard.size for shard in shards(config))
        written_once(folder, config, size, size, lambda: write_folder(config, folder))
        report(args, config, folder)


if __name__ == "__main__":
    main()
