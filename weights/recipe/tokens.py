# SPDX-License-Identifier: Apache-2.0
"""Encode the corpus: one flat file of token ids per domain and split.

In: DIR/corpus and DIR/tokenizer.model.  Out: DIR/tokens/<domain>.<split>.bin, little-endian
uint16, every document as BOS (1), its ids, EOS (2); and DIR/tokens/index.json with the number of
tokens, bytes of text and documents of each file.

    python weights/recipe/tokens.py --work DIR
"""

from __future__ import annotations

import argparse
import json
import os
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import sentencepiece
from corpus import PROCESSES, read
from held_out import size
from sources import DOMAINS

SPLITS = ("held_out", "train")


def encode(job: tuple[Path, str, str]) -> tuple[str, dict[str, int]]:
    """Write one .bin file; returns its name and its line of the index."""
    work, domain, split = job
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(work / "tokenizer.model"))
    target = work / "tokens" / f"{domain}.{split}.bin"
    counts = {"tokens": 0, "bytes": 0, "documents": 0}
    partial = target.with_suffix(".partial")
    with partial.open("wb") as out:
        for document in read(work / "corpus" / domain / f"{split}.jsonl"):
            ids = tokenizer.encode(document["text"], add_bos=True, add_eos=True)
            out.write(np.asarray(ids, dtype="<u2").tobytes())
            counts["tokens"] += len(ids)
            counts["bytes"] += size(document["text"])
            counts["documents"] += 1
    os.replace(partial, target)
    return f"{domain}.{split}", counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode the corpus.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    work = parser.parse_args().work.resolve()
    (work / "tokens").mkdir(exist_ok=True)
    began = time.monotonic()
    with Pool(PROCESSES) as pool:
        index = dict(pool.imap(encode, [(work, d, s) for s in SPLITS for d in DOMAINS]))
    (work / "tokens" / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    for name, counts in index.items():
        print(
            f"{name}: {counts['tokens'] / 1e6:.2f} M tokens, {counts['documents']} documents, "
            f"{counts['bytes'] / counts['tokens']:.2f} bytes per token"
        )
    print(f"tokens: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
