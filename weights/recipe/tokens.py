# SPDX-License-Identifier: Apache-2.0
"""Encode the corpus: flat files of token ids per domain and split.

In: DIR/corpus, DIR/prose and DIR/tokenizer.model.  Out: DIR/tokens/<domain>.<split>.bin,
little-endian uint16, every document as BOS (1), its ids, EOS (2); and DIR/tokens/index.json with
the number of tokens, bytes of text and documents of each file.  A language has two more to train
on: <language>-prose, what `prose.py` made and the sources of the corpus that are prose too, and
<language>-manuals, the rest of the corpus.  <language>-prose.held_out is the new prose alone.

    python weights/recipe/tokens.py --work DIR
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import sentencepiece
from corpus import PROCESSES, read
from held_out import size
from sources import DOMAINS, LANGUAGES
from stories import ALREADY

SPLITS = ("held_out", "train")


def documents(work: Path, name: str, split: str) -> Iterator[dict]:
    """The documents of one .bin file."""
    domain, _, part = name.partition("-")
    if part == "prose":
        yield from read(work / "prose" / domain / f"{split}.jsonl")
        if split == "held_out":  # what version two held out is looked at under the domain's name
            return
    for document in read(work / "corpus" / domain / f"{split}.jsonl"):
        if not part or (document["source"] in ALREADY) == (part == "prose"):
            yield document


def names(split: str) -> list[str]:
    """The .bin files of a split."""
    parts = ("prose", "manuals") if split == "train" else ("prose",)
    return [*DOMAINS, *(f"{language}-{part}" for language in LANGUAGES for part in parts)]


def encode(job: tuple[Path, str, str]) -> tuple[str, dict[str, int]]:
    """Write one .bin file; returns its name and its line of the index."""
    work, name, split = job
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(work / "tokenizer.model"))
    target = work / "tokens" / f"{name}.{split}.bin"
    counts = {"tokens": 0, "bytes": 0, "documents": 0}
    partial = target.with_suffix(".partial")
    with partial.open("wb") as out:
        for document in documents(work, name, split):
            ids = tokenizer.encode(document["text"], add_bos=True, add_eos=True)
            out.write(np.asarray(ids, dtype="<u2").tobytes())
            counts["tokens"] += len(ids)
            counts["bytes"] += size(document["text"])
            counts["documents"] += 1
    os.replace(partial, target)
    return f"{name}.{split}", counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode the corpus.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    work = parser.parse_args().work.resolve()
    (work / "tokens").mkdir(exist_ok=True)
    began = time.monotonic()
    with Pool(PROCESSES) as pool:
        index = dict(pool.imap(encode, [(work, n, s) for s in SPLITS for n in names(s)]))
    (work / "tokens" / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    for name, counts in index.items():
        print(
            f"{name}: {counts['tokens'] / 1e6:.2f} M tokens, {counts['documents']} documents, "
            f"{counts['bytes'] / counts['tokens']:.2f} bytes per token"
        )
    print(f"tokens: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
