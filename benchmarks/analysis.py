# SPDX-License-Identifier: Apache-2.0
"""How long the analyses take, and how much memory, up to 100 million routing decisions.

    python benchmarks/analysis.py [--millions 1 10 100] [--work DIR] [--keep] [--only load paths]

Decisions are layers × tokens: 32 layers, 8 experts, 2 of them for each token. Documents of about
1,000 tokens in five languages, a third of them about something that all five have. Logits are
made up: what a token is, its language and its document add to noise, so that no analysis runs
empty. A second run of the same tokens, its logits rounded to bf16, is there for `agreement`.

Files are written layer by layer and opened mapped. Each analysis runs in a process of its own, the
trace's opening not counted. Peak is anonymous memory (the mapped file is the system's to take back)
and includes Python, NumPy and SciPy: the row "opening" shows them. 100 million decisions need
9.2 GB of disk. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from measuring import Measured, in_process, workspace, written_once

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.trace import Trace
from moe_viz.trace.provenance import Provenance

L, E, K, V = 32, 8, 2, 8000
LABELS = ("en", "fr", "de", "es", "it")
BLOCK = 131_072  # tokens that are made up at once
#: What a trace takes on the disk, for each decision and each token.
DECISION, TOKEN = 4 * E + 6 * K, 40
ASKED_MEMORY, ASKED_SECONDS = 2e9, 300

ANALYSES: dict[str, Callable[[Documents], Any]] = {
    "load": analysis.load,
    "repetition": analysis.repetition,
    "coactivation": analysis.coactivation,
    "vocabulary": analysis.vocabulary,
    "favourites": lambda docs: analysis.favourites(docs, layer=0),
    "label_divergence": analysis.label_divergence,
    "language_divergence": analysis.language_divergence,
    "certainty": analysis.certainty,
    "margin_histogram": analysis.margin_histogram,
    "transitions": analysis.transitions,
    "paths": analysis.paths,
    "expert_cache": analysis.expert_cache,
    "committee": analysis.committee,
    "committee_overlap": analysis.committee_overlap,
}
ROWS = ("opening", *ANALYSES, "agreement")


# ---- traces ------------------------------------------------------------------------------------


def lengths_of(tokens: int) -> np.ndarray:
    """Documents of 500 to 1,500 tokens, all tokens together."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(500, 1500, max(tokens // 1000, 10))
    lengths = np.maximum(lengths * tokens // lengths.sum(), 1)
    lengths[-1] += tokens - lengths.sum()
    return lengths


def topics_of(documents: int) -> list[str]:
    """Labels go round, so five documents in a row can be one text; every third five are."""
    return [f"topic {n // 5}" if n // 5 % 3 == 0 else "" for n in range(documents)]


def write_traces(folder: Path, tokens: int) -> None:
    """Two runs of the same tokens, never more than a block of them in memory."""
    rng = np.random.default_rng(0)
    lengths = lengths_of(tokens)
    N = len(lengths)
    ids = (rng.random(tokens, np.float32) ** 3 * V).astype(np.int32)  # some are frequent
    pieces = [f" w{n}" for n in range(V)]
    special = np.zeros(tokens, np.uint8)
    starts = np.cumsum(lengths) - lengths
    special[starts] = 1
    texts = ["".join([pieces[n] for n in ids[s : s + m]]) for s, m in zip(starts, lengths)]  # noqa: B905
    whole = "".join(texts).encode()
    small = {
        "token_ids": ids,
        "pieces": ids,
        "spans": np.zeros((tokens, 2), np.int32),
        "special": special,
        "generated": np.zeros(tokens, np.uint8),
        "prompt_stops": np.cumsum(lengths, dtype=np.int64),
        "text_stops": np.cumsum([len(text) for text in texts], dtype=np.int64),
        "texts": np.frombuffer(whole, np.uint8),
    }
    header = {
        "format": 1,
        "pieces": pieces,
        "labels": [LABELS[n % len(LABELS)] for n in range(N)],
        "layers": list(range(L)),
    }
    runs = [
        create(folder / f"{name}.safetensors", header, name, tokens, small)
        for name in ("first", "second")
    ]
    document = np.repeat(np.arange(N), lengths)
    by_document = rng.normal(0, 0.3, (N, E)).astype(np.float32)
    for layer in range(L):
        by_token = rng.normal(0, 0.7, (V, E)).astype(np.float32)
        by_label = rng.normal(0, 0.4, (len(LABELS), E)).astype(np.float32)
        for start in range(0, tokens, BLOCK):
            rows = slice(start, min(start + BLOCK, tokens))
            of = document[rows]
            x = rng.standard_normal((len(of), E), np.float32)
            x += by_token[ids[rows]] + by_label[of % len(LABELS)] + by_document[of]
            rounded = ((x.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
            for arrays, logits in zip(runs, (x, rounded), strict=True):
                experts, gates = decided(logits)
                arrays["router_logits"][layer, rows] = logits
                arrays["experts"][layer, rows] = experts
                arrays["gates"][layer, rows] = gates


def decided(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two best experts and their gates: (T, E) → (T, 2) each."""
    rest, every = logits.copy(), np.arange(len(logits))
    experts = np.empty((len(logits), K), np.int16)
    for slot in range(K):
        experts[:, slot] = rest.argmax(1)
        rest[every, experts[:, slot]] = -np.inf
    gates = np.exp(np.take_along_axis(logits, experts.astype(np.int64), 1))
    return experts, gates / gates.sum(1, keepdims=True)


def create(
    path: Path, header: dict[str, Any], name: str, tokens: int, small: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """A safetensors file with room for the large arrays, which are returned mapped for writing."""
    types = {"int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "float32": "F32"}
    shapes = {
        "router_logits": ((L, tokens, E), np.dtype(np.float32)),
        "experts": ((L, tokens, K), np.dtype(np.int16)),
        "gates": ((L, tokens, K), np.dtype(np.float32)),
        **{key: (array.shape, array.dtype) for key, array in small.items()},
    }
    origin = Provenance("made up", weights="random weights: a benchmark", dtype=name)
    said = json.dumps({**header, "provenance": origin.to_json()})
    layout: dict[str, Any] = {"__metadata__": {"moe_viz_trace": said}}
    end, offsets = 0, {}
    for key, (shape, dtype) in sorted(shapes.items(), key=lambda item: -item[1][1].itemsize):
        offsets[key] = end
        end += int(np.prod(shape)) * dtype.itemsize
        layout[key] = {
            "dtype": types[dtype.name],
            "shape": shape,
            "data_offsets": [offsets[key], end],
        }
    raw = json.dumps(layout).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end)
    mapped = {
        key: np.memmap(path, dtype, "r+", 8 + len(raw) + offsets[key], shape)
        for key, (shape, dtype) in shapes.items()
    }
    for key, array in small.items():
        mapped[key][...] = array
    return {key: mapped[key] for key in ("router_logits", "experts", "gates")}


# ---- measuring ---------------------------------------------------------------------------------


def measure(folder: Path, what: str) -> dict[str, float]:
    """Seconds and peak anonymous memory of one analysis, in this process."""
    if what == "opening":
        with Measured() as opening:
            trace = Trace.load(folder / "first.safetensors")
            Documents(trace)
        return opening.figures
    trace = Trace.load(folder / "first.safetensors")
    if what == "agreement":
        other = Trace.load(folder / "second.safetensors")
        with Measured() as measured:
            found = analysis.compare(trace, other)
    else:
        documents = Documents(trace, topics=topics_of(len(trace.prompts)))
        with Measured() as measured:
            found = ANALYSES[what](documents)
    return {**measured.figures, "rows": len(found)}


def table(found: dict[float, dict[str, dict[str, float]]]) -> str:
    """Markdown: a row for each analysis, seconds and gigabytes for each size."""
    sizes = list(found)
    heads = [f"{size:g} M: s" for size in sizes] + [f"{size:g} M: GB" for size in sizes]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for what in found[sizes[0]]:
        seconds = [marked(found[s][what]["seconds"], ASKED_SECONDS, ".1f") for s in sizes]
        memory = [marked(found[s][what]["memory"], ASKED_MEMORY, ".2f", 1e9) for s in sizes]
        lines.append(f"| {what} | {' | '.join(seconds + memory)} |")
    totals = [f"{sum(f['seconds'] for f in found[s].values()):.1f}" for s in sizes]
    peaks = [f"{max(f['memory'] for f in found[s].values()) / 1e9:.2f}" for s in sizes]
    lines.append(f"| all together; highest | {' | '.join(totals + peaks)} |")
    return "\n".join(lines)


def marked(figure: float, asked: float, form: str, unit: float = 1) -> str:
    return f"**{figure / unit:{form}}**" if figure > asked else f"{figure / unit:{form}}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder, what = args.measure
        print(json.dumps(measure(Path(folder), what)))
        return
    found: dict[float, dict[str, dict[str, float]]] = {}
    for millions in args.millions:
        tokens = int(millions * 1e6 / L)
        size = 2 * tokens * (L * DECISION + TOKEN)
        with workspace(args.work, f"analysis-{millions:g}m", args.keep) as folder:
            written_once(folder, tokens, size, 0, lambda f=folder, t=tokens: write_traces(f, t))
            found[millions] = {}
            for what in args.only:
                figures = in_process(["--measure", folder, what])
                found[millions][what] = figures
                said = f"{figures['seconds']:.1f} s, {figures['memory'] / 1e9:.2f} GB"
                print(f"{millions:g} M {what}: {said}", flush=True)
    print(table(found))
    print("Bold: more than asked (2 GB of anonymous memory; five minutes).")


if __name__ == "__main__":
    main()
