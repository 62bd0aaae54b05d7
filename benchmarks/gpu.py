# SPDX-License-Identifier: Apache-2.0
"""What a GPU makes of moe_viz: recording, decoding, offload and streaming, within minutes.

    sh tools/on_gpu.sh [FOLDER]          # on a machine with CUDA and torch: tests, then this
    python benchmarks/gpu.py --device cpu --tiny     # to try the script anywhere

Ratios are against transformers on the same weights, dtype and device, interleaved, medians; rates
are beside what copying pinned memory to the card reaches in the same run. Each part that is done is
in the JSON file at once: what cuts the script short costs the rest, no more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from inference import interleaved, load_theirs, ragged, their_recording
from synthetic import mixtral, write_folder
from synthetic import ragged as made_up

import moe_viz as mv
from moe_viz.files import embedded_folder
from moe_viz.placement import offload, stream

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
NEW_TOKENS = 64
Figures = dict[str, Any]


class Bench:
    """One device, how often each side runs, and where figures go as they come."""

    def __init__(self, device: torch.device, dtypes: list[str], repeats: int, out: Path) -> None:
        self.device, self.dtypes, self.repeats, self.out = device, dtypes, repeats, out
        self.figures: Figures = {}

    def note(self, part: str, **figures: Any) -> None:
        """Keep the figures of a part, and write all that there are."""
        self.figures.setdefault(part, {}).update(figures)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.figures, indent=1) + "\n", encoding="utf-8")
        print(part, figures, flush=True)

    def wait(self) -> None:
        """Until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def ending(self, run: Callable[[], object]) -> Callable[[], None]:
        """The same, to its real end."""

        def waited() -> None:
            run()
            self.wait()

        return waited

    def ratio(self, ours: Callable[[], object], theirs: Callable[[], object]) -> Figures:
        """Median seconds of both sides, and how many times faster ours is."""
        sides = {"moe_viz": ours, "transformers": theirs}
        waited: dict[str, Callable[[], object]] = {k: self.ending(v) for k, v in sides.items()}
        medians = {k: statistics.median(v) for k, v in interleaved(waited, self.repeats).items()}
        ratio = medians["transformers"] / medians["moe_viz"]
        return {f"{k}, s": v for k, v in medians.items()} | {"ratio": ratio}

    def peak(self, run: Callable[[], object]) -> int:
        """Most bytes on the device while this runs; 0 where the device does not say."""
        if self.device.type != "cuda":
            run()
            return 0
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """Median of some runs, the first thrown away."""
        return statistics.median(interleaved({"": self.ending(run)}, self.repeats)[""])


def their_decoding(model: Any, ids: list[int]) -> Callable[[], object]:
    """Greedy, with its own cache."""
    given = torch.tensor([ids], device=model.device)

    def run() -> object:
        with torch.inference_mode():
            return model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=False, pad_token_id=0,
                max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
            )  # fmt: skip

    return run


def compared(bench: Bench, part: str, folder: Path, prompts: list[list[int]]) -> None:
    """Recording and decoding in each dtype, beside transformers, and the memory they take."""
    tokens = f"{sum(map(len, prompts)):,} tokens of {len(prompts)} prompts"
    for name in bench.dtypes:
        ours = mv.load(folder, device=bench.device, dtype=name, placement="resident")
        theirs = load_theirs(folder, DTYPES[name]).to(bench.device)
        bench.note(part, **{
            f"record {tokens}, {name}": bench.ratio(
                lambda ours=ours: mv.record(ours, prompts),
                their_recording(theirs, prompts),
            ),
            f"decode {NEW_TOKENS} tokens, recording, {name}": bench.ratio(
                lambda ours=ours: mv.generate(
                    ours, prompts[0][:32], max_new_tokens=NEW_TOKENS, ignore_eos=True
                ),
                their_decoding(theirs, prompts[0][:32]),
            ),
            f"peak of a recording, bytes, {name}": bench.peak(
                lambda ours=ours: mv.record(ours, prompts)
            ),
        })  # fmt: skip
        del ours, theirs


def copying(bench: Bench, size: int) -> float:
    """Bytes a second from pinned memory to the device: what no transfer can beat."""
    host = torch.empty(size, dtype=torch.uint8)
    host = host.pin_memory() if bench.device.type == "cuda" else host
    there = torch.empty_like(host, device=bench.device)
    rate = size / bench.seconds(lambda: there.copy_(host, non_blocking=True))
    bench.note("copying", **{"host to device, GB/s": rate / 1e9})
    return rate


def offloaded(bench: Bench, folder: Path, prompts: list[list[int]], rate: float) -> None:
    """Experts that are fetched: half of them have room."""
    whole: Any = mv.load(folder, device=bench.device, dtype="bfloat16", placement="resident")
    expected = mv.record(whole, prompts)
    checkpoint_bytes = sum(w.nbytes for n, w in whole.named_parameters() if ".experts." in n)
    del whole
    model = mv.load(folder, device=bench.device, dtype="bfloat16", placement="offload")
    assert isinstance(model, offload.OffloadedMixtral)
    model.experts.budget = checkpoint_bytes / 2
    took = bench.seconds(lambda: mv.record(model, prompts))
    decode = bench.seconds(
        lambda: mv.generate(model, prompts[0][:32], max_new_tokens=NEW_TOKENS, ignore_eos=True)
    )
    same = (mv.record(model, prompts).experts == expected.experts).mean()
    bench.note("offload, bfloat16, room for half of the experts", **{
        "record, s": took,
        "experts, GB/s": checkpoint_bytes / took / 1e9,
        "share of the copying rate": checkpoint_bytes / took / rate,
        "decode, tokens/s": NEW_TOKENS / decode,
        "peak, bytes": bench.peak(lambda: mv.record(model, prompts)),
        "choices as when resident": float(same),
    })  # fmt: skip


def streamed(bench: Bench, folder: Path, prompts: list[list[int]], rate: float) -> None:
    """One pass over files that the system keeps in memory: reading, copying, computing at once."""
    model = mv.load(folder, device=bench.device, dtype="bfloat16", placement="stream")
    assert isinstance(model, stream.StreamedMixtral)
    size = model.sweep_bytes
    took = bench.seconds(lambda: mv.record(model, prompts, loss=True))
    bench.note("stream, bfloat16, files in the page cache", **{
        "sweep, GB": size / 1e9,
        "sweep, s": took,
        "GB/s": size / took / 1e9,
        "share of the copying rate": size / took / rate,
        "peak, bytes": bench.peak(lambda: mv.record(model, prompts)),
    })  # fmt: skip


def table(figures: Figures) -> str:
    """The figures as Markdown, for benchmarks/README.md."""
    rows = ["| part | what | figure |", "|---|---|--:|"]
    for part, found in figures.items():
        for what, figure in found.items():
            if isinstance(figure, dict):
                figure = figure["ratio"]
                what = f"{what}: times as fast as transformers"
            said = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
            rows.append(f"| {part} | {what} | {said} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, default=4, help="of Mixtral 8x7B's width")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--tiny", action="store_true", help="little of all, to try the script")
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    device = torch.device(args.device)
    bench, began = Bench(device, args.dtypes, args.repeats, args.out), time.perf_counter()
    card = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    bench.note("machine", **{
        "device": card.name if card else platform.processor() or "cpu",
        "memory, GB": card.total_memory / 1e9 if card else 0.0,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    })  # fmt: skip
    curated = ragged(mv.load("8x7m"))
    compared(bench, "8x7m", embedded_folder(), curated[:3] if args.tiny else curated)
    rate = copying(bench, 2**24 if args.tiny else 2**30)
    config = mixtral(args.layers, args.tiny)
    prompts = made_up(config, 8, 64, 64 if args.tiny else 512)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(config, Path(folder))
        what = f"{args.layers} layers of {config.hidden_size}/{config.expert_size}"
        for part in (
            lambda: compared(bench, what, Path(folder), prompts),
            lambda: offloaded(bench, Path(folder), prompts, rate),
            lambda: streamed(bench, Path(folder), prompts, rate),
        ):
            part()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    bench.note("all", seconds=time.perf_counter() - began)
    args.out.with_suffix(".md").write_text(table(bench.figures) + "\n", encoding="utf-8")
    print(table(bench.figures))


if __name__ == "__main__":
    main()
