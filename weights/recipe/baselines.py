# SPDX-License-Identifier: Apache-2.0
"""What a model must beat: compressors and an n-gram that read the same training text.

In: one domain of DIR/corpus.  Out: bits per byte of its held-out text by each method, kept in
DIR/baselines/<domain>.json, since they depend on the corpus alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from compressors import compressors
from ngram import KneserNey
from windows import texts


def baselines(work: Path, domain: str) -> dict[str, float]:
    target = work / "baselines" / f"{domain}.json"
    if target.exists():
        return json.loads(target.read_text())
    training, held_out = (texts(work, domain, split) for split in ("train", "held_out"))
    found = compressors(held_out, training)
    encoded = [text.encode() for text in training]
    del training
    found["6-gram"] = KneserNey(encoded).bits_per_byte([text.encode() for text in held_out])
    found["training bytes"] = sum(map(len, encoded))
    target.parent.mkdir(exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(partial, target)
    return found
