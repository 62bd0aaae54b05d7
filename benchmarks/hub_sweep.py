# SPDX-License-Identifier: Apache-2.0
"""Recording a whole Mixtral 8x7B from a Hub, none of it on disk.

    python benchmarks/hub_sweep.py [--part a] [--dtype float32] [--tokens 320]
    python benchmarks/hub_sweep.py --part b --work DIR [--rates 100 200 400 800] [--keep]
    python benchmarks/hub_sweep.py --tiny       # does it run?

The stand-in of tests/hub, in a process of its own on the same machine, makes up 93 GB of bf16 in
shards as they are asked for. The client is another process, which knows it by HF_ENDPOINT.

Part a: 32 layers once, over a link as fast as it goes. Every byte that was sent is held against
what a recording needs: all tensors but the last layer's experts, the output head, and the rows of
the embedding that no prompt has.

Part b: four layers over links of several rates, in MB/s. The figure is wall time over what the link
alone takes for the bytes that were sent. It is asked for where the link takes at least twice the
time of the computation: that of the same four layers in files on this disk (12 GB), when the page
cache holds them, reading from it and casting included. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
from measuring import Measured, beside, in_process, workspace, written_once
from rich.console import Console
from rich.table import Table
from synthetic import (
    Repeated,
    Shard,
    mixtral,
    normal_numbers,
    ragged,
    shards,
    small_files,
    write_folder,
)

import moe_viz as mv
from moe_viz.config import MixtralConfig
from tests.hub.files import Bytes, BytesFile, Repo, StoredFile
from tests.hub.process import RemoteHub, forget, serve_in_process
from tests.hub.server import Hub

console = Console()
REPO = "org/mixtral"
ASKED_GB, ASKED_MEMORY, ASKED_LINK = 90.4, 4.0, 1.15
Ranges = list[tuple[int, int]]


class MadeUp(StoredFile):
    """A shard that exists in no other place than its header."""

    def __init__(self, shard: Shard, numbers: Repeated) -> None:
        etag = hashlib.sha256(shard.header).hexdigest()  # of something; nobody can check it
        super().__init__(shard.size, lfs=True, etag=etag)
        self.header, self.numbers = shard.header, numbers
        self.first = 2 * (int(etag[:12], 16) % (numbers.period // 2))  # each begins elsewhere

    def read(self, start: int, stop: int) -> Bytes:
        """The header, and then weights."""
        behind = self.first - len(self.header)
        if start >= len(self.header):
            return self.numbers.slice(start + behind, stop + behind)
        return (self.header + self.numbers.slice(self.first, max(self.first, stop + behind)))[
            start:stop
        ]


def make_hub(config: MixtralConfig) -> Hub:
    numbers = normal_numbers()
    files: dict[str, StoredFile] = {
        name: BytesFile(data, lfs=False) for name, data in small_files(config).items()
    }
    files |= {shard.name: MadeUp(shard, numbers) for shard in shards(config)}
    return Hub([Repo(REPO, files)])


# ---- the client --------------------------------------------------------------------------------


def prompts_of(args: argparse.Namespace, config: MixtralConfig) -> list[list[int]]:
    """Ragged prompts of about so many tokens."""
    return ragged(config, max(1, args.tokens // 40), 16, 64)


def client(args: argparse.Namespace, config: MixtralConfig) -> dict[str, Any]:
    """Load and record, from the Hub or from a folder."""
    with Measured() as measured:
        model = mv.load(args.source, placement="stream", dtype=args.dtype)
        trace = mv.record(model, prompts_of(args, config))
    assert np.isfinite(trace.router_logits).all()
    return {
        **measured.figures,
        "tokens": len(trace),
        # Of all layers' experts, those that any token went to: with few, little need be read.
        "experts": sum(len(np.unique(layer)) for layer in trace.experts),
    }


def run_client(args: argparse.Namespace, layers: int, source: object, **environment: str) -> Any:
    flags = ["--side", "client", "--source", source, "--dtype", args.dtype, "--layers", layers]
    flags += ["--tokens", args.tokens, *(["--tiny"] if args.tiny else [])]
    return in_process(flags, **environment)


def over_the_network(args: argparse.Namespace, layers: int, hub: RemoteHub, folder: Path) -> Any:
    hub.ask(forget)
    return run_client(
        args,
        layers,
        REPO,
        HF_ENDPOINT=hub.endpoint,
        HF_HOME=str(folder / "home"),
        XDG_CACHE_HOME=str(folder / "home"),
        HF_HUB_DISABLE_IMPLICIT_TOKEN="1",
        NO_PROXY="127.0.0.1,localhost",
    )


# ---- what was sent -----------------------------------------------------------------------------


def needed(config: MixtralConfig, prompts: list[list[int]]) -> dict[str, Ranges]:
    """What of each file a recording cannot do without."""
    unread = (f"layers.{config.layers - 1}.moe.experts.", "head.", "embedding.")
    rows = sorted({token for prompt in prompts for token in prompt})
    found: dict[str, Ranges] = {}
    for shard in shards(config):
        ranges = [(0, len(shard.header))]
        ranges += [place for name, place in shard.tensors.items() if not name.startswith(unread)]
        if "embedding.weight" in shard.tensors:
            start, row = shard.tensors["embedding.weight"][0], 2 * config.hidden_size
            ranges += [(start + n * row, start + (n + 1) * row) for n in rows]
        found[shard.name] = ranges
    return found


def covered(ranges: Iterable[tuple[int, int]]) -> int:
    """Bytes that lie in any of these ranges."""
    total = end = 0
    for start, stop in sorted(ranges):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def accounts(hub: RemoteHub, config: MixtralConfig, prompts: list[list[int]]) -> dict[str, int]:
    """Bytes of the shards: needed, sent more than once, missing, and sent for nothing."""
    found: dict[str, int] = {"needed": 0, "missing": 0, "sent again": 0, "sent for nothing": 0}
    for name, wanted in needed(config, prompts).items():
        sent: Ranges = hub.ask(Hub.sent, name)
        either, once, enough = covered(sent + wanted), covered(sent), covered(wanted)
        found["needed"] += enough
        found["sent again"] += sum(b - a for a, b in sent) - once
        found["missing"] += either - once
        found["sent for nothing"] += either - enough
    return found


# ---- the two parts -----------------------------------------------------------------------------


def part_a(args: argparse.Namespace, folder: Path) -> None:
    config = mixtral(args.layers or (4 if args.tiny else 32), args.tiny)
    with serve_in_process(partial(make_hub, config)) as hub:
        found = over_the_network(args, config.layers, hub, folder)
        totals = hub.totals()
        count = accounts(hub, config, prompts_of(args, config))
    kept = sum(f.stat().st_size for f in (folder / "home").rglob("*") if f.is_file())
    table = Table(
        title=f"moe_viz {mv.__version__}: {config.layers} layers of {config.hidden_size}/"
        f"{config.expert_size} from the Hub, {args.dtype}, {found['tokens']} tokens"
    )
    for name in ("what", "measured", "asked"):
        table.add_column(name, justify="left" if name == "what" else "right")
    table.add_row("wall time, s", f"{found['seconds']:.1f}")
    table.add_row("… GB/s", f"{totals.bytes_sent / found['seconds'] / 1e9:.2f}")
    sent = beside(totals.bytes_sent / 1e9, ASKED_GB, least=False, form=".3f")
    table.add_row(f"sent in {totals.requests} answers, GB", *sent)
    table.add_row("… needed, GB", f"{count['needed'] / 1e9:.3f}")
    for what in ("missing", "sent again", "sent for nothing"):
        asked = "" if what == "sent for nothing" else "0"
        table.add_row(f"… {what}, MB", f"{count[what] / 1e6:.3f}", asked)
    memory = beside(found["memory"] / 1e9, ASKED_MEMORY, least=False)
    table.add_row("peak anonymous memory, GB", *memory)
    table.add_row("extra disk, GB", f"{max(kept, found['written']) / 1e9:.2f}", "0")
    table.add_row("experts chosen", f"{found['experts']} of {config.experts * config.layers}")
    console.print(table)
    by_file = ", ".join(
        f"{size / 1e9:.3f}" for name, size in sorted(totals.by_file.items()) if "-of-" in name
    )
    console.print(f"GB of each shard: {by_file}", highlight=False)
    assert count["missing"] == 0, count


def part_b(args: argparse.Namespace, folder: Path) -> None:
    config = mixtral(4, args.tiny)
    size = sum(shard.size for shard in shards(config))
    local = folder / "local"
    local.mkdir(exist_ok=True)
    written_once(local, config, size, 0, lambda: write_folder(config, local))
    run_client(args, 4, local)  # into the page cache
    computing = run_client(args, 4, local)["seconds"]
    console.print(f"the same from files in the page cache: {computing:.1f} s")
    table = Table(
        title=f"4 layers of {config.hidden_size}/{config.expert_size} over a link, {args.dtype}"
    )
    for name in ("MB/s", "GB sent", "link alone, s", "wall, s", "ratio", "asked"):
        table.add_column(name, justify="right")
    with serve_in_process(partial(make_hub, config)) as hub:
        for rate in (None, *args.rates):
            hub.ask(setattr, "rate", rate and rate * 1e6)
            found = over_the_network(args, 4, hub, folder)
            sent = hub.totals().bytes_sent
            row = [f"{rate:.0f}" if rate else "unlimited", f"{sent / 1e9:.2f}"]
            if rate is None:
                table.add_row(*row, "", f"{found['seconds']:.1f}")
                continue
            link = sent / (rate * 1e6)
            figures = beside(found["seconds"] / link, ASKED_LINK, least=False)
            if link < 2 * computing:
                figures = f"{found['seconds'] / link:.2f}", ""
            table.add_row(*row, f"{link:.1f}", f"{found['seconds']:.1f}", *figures)
            console.print(f"{rate:.0f} MB/s: {found['seconds']:.1f} s, the link {link:.1f} s")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for part b's files (temporary)")
    parser.add_argument("--keep", action="store_true", help="leave the files for the next run")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, to try this script")
    parser.add_argument("--part", choices=["a", "b"], help="only this one")
    parser.add_argument("--layers", type=int, help="of part a (32)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tokens", type=int, default=320)
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 200.0, 400.0, 800.0])
    parser.add_argument("--side", choices=["client"], help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(client(args, mixtral(args.layers, args.tiny))))
        return
    with workspace(args.work, "hub_sweep", args.keep) as folder:
        if args.part != "b":
            part_a(args, folder)
        if args.part != "a":
            part_b(args, folder)


if __name__ == "__main__":
    main()
