# SPDX-License-Identifier: Apache-2.0
"""Kills recordings, caches and saves at random moments, and looks at what the next run makes of it.

In: how many kills, and a seed. Out: how many results were wrong, how many could not be resumed, and
how many temporary files stayed. Each trial is a process of its own, ended by SIGKILL up to three
times, then run to its end; what it leaves must be what an undisturbed run leaves. POSIX only.

    python tools/kill.py --kills 200 --seed 0
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a forked process has no other threads

import numpy as np
import torch

import moe_viz as mv
from moe_viz.checkpoint.hub.bytecache import ByteCache
from moe_viz.checkpoint.safetensors import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.files import TEMPORARY, embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.progress import quiet
from moe_viz.recording import recording

PROMPTS = [[1, *range(start, start + 40)] for start in range(300, 540, 40)]
SHAPE = {"hidden_size": 32, "layers": 4, "expert_size": 32, "head_dim": 8}
RANGES, RANGE = 60, 20_000
Work = Callable[[Path], None]


def record(folder: Path, loss: bool, placement: str) -> None:
    """A recording that can be resumed, of several batches, and saved."""
    model = mv.load(folder.parent / "model", placement=placement)
    out = folder / "out.safetensors"
    mv.record(model, PROMPTS, loss=loss, resume=folder / "half", out=out)


def cache(folder: Path) -> None:
    """Ranges of a file, taken from the cache or put there."""
    kept = ByteCache(2 * RANGES * RANGE / 1e9, folder / "ranges")
    kept.claim("a file")
    out = []
    for n in range(RANGES):
        whole = torch.full((RANGE,), n, dtype=torch.uint8)
        found = kept.get("a file", n * RANGE, (n + 1) * RANGE)
        if found is None:
            kept.put("a file", n * RANGE, whole)
            found = whole
        out.append(found.numpy())
    np.save(folder / "out.npy", np.concatenate(out))


def save(folder: Path) -> None:
    """A trace saved over itself many times: at any moment an old or a new one is there."""
    path = folder / "out.safetensors"
    trace = mv.Trace.load(path if path.exists() else folder.parent / "given.safetensors")
    for _ in range(40):
        trace.save(path)
        mv.Trace.load(path)


KINDS: dict[str, Work] = {
    "recording": lambda folder: record(folder, False, "resident"),
    "with loss": lambda folder: record(folder, True, "resident"),
    "streaming": lambda folder: record(folder, True, "stream"),
    "caching": cache,
    "saving": save,
}


def begun(work: Work, folder: Path) -> int:
    """A process that does this work; its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with quiet():
            work(folder)
        status = 0
    except BaseException as error:
        print(f"  {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def ended(child: int) -> bool:
    """Whether a process came to its end by itself, and well."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def contents(folder: Path) -> dict[str, bytes]:
    """What a run has left, file by file; of a trace the arrays, which hold no date."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors":
            trace = mv.Trace.load(path)
            for array in ("router_logits", "experts", "gates", "token_ids", "loss"):
                found[f"{name} {array}"] = np.asarray(getattr(trace, array)).tobytes()
        else:
            found[name] = path.read_bytes()
    return found


def temporaries(folder: Path) -> list[str]:
    """Temporary files: ours, and those of the libraries that write for us."""
    return [p.name for p in folder.rglob("*") if p.name.endswith(TEMPORARY) or ".tmp" in p.name]


def trial(
    work: Work, folder: Path, span: float, expected: dict[str, bytes], draw: random.Random
) -> Counter[str]:
    """One folder, killed up to three times, then run to its end."""
    folder.mkdir()
    told: Counter[str] = Counter()
    for _ in range(draw.randint(1, 3)):
        child = begun(work, folder)
        time.sleep(draw.uniform(0, 1.05 * span))
        os.kill(child, signal.SIGKILL)
        told["kills"] += 1
        told["in the middle"] += not ended(child)
        out = folder / "out.safetensors"
        if out.exists():  # whole at any moment, or not there
            mv.Trace.load(out)
    if ended(begun(work, folder)):
        left = temporaries(folder)
        told["temporary files left"] += len(left)
        told["wrong"] += contents(folder) != expected and not left
    else:
        told["not resumable"] += 1
    shutil.rmtree(folder)
    return told


def main() -> int:
    """All kinds in turn, until there were so many kills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recording.BATCH_TOKENS = 90  # several batches
    draw, faults = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shape = replace(MixtralConfig.preset("8x7m"), **SHAPE)
        model = initialise(Mixtral(shape), 0)
        save_checkpoint(model, root / "model", embedded_folder() / "tokenizer.model")
        (root / "first").mkdir()
        record(root / "first", False, "resident")
        (root / "first/out.safetensors").rename(root / "given.safetensors")
        share = -(-asked.kills // len(KINDS))
        for kind, work in KINDS.items():
            (root / "undisturbed").mkdir()
            start = time.monotonic()
            if not ended(begun(work, root / "undisturbed")):
                return 1
            span = time.monotonic() - start
            expected = contents(root / "undisturbed")
            told: Counter[str] = Counter()
            while told["kills"] < share:
                told += trial(work, root / "trial", span, expected, draw)
            shutil.rmtree(root / "undisturbed")
            words = ("kills", "in the middle", "wrong", "not resumable", "temporary files left")
            print(f"{kind}: " + ", ".join(f"{told[word]} {word}" for word in words), flush=True)
            faults += sum(told[word] for word in words[2:])
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
