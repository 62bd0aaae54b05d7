# SPDX-License-Identifier: Apache-2.0
"""What general compressors make of the held-out text.

In: the held-out documents of one domain, and training text to prime with.  Out: bits per byte.
Like any compressor they see one document after the other, so they may use what earlier ones said;
the model may not.
"""

from __future__ import annotations

import gzip
import lzma
import random
from collections.abc import Sequence

PRIME = 3_000_000  # bytes of training text put in front
_EXTREME = 9 | lzma.PRESET_EXTREME  # a dictionary of 64 MiB: all of the priming text is in reach


def _xz(data: bytes) -> int:
    return len(lzma.compress(data, preset=_EXTREME))


def compressors(held_out: Sequence[str], training: Sequence[str]) -> dict[str, float]:
    """gzip -9, xz -9e, and what xz -9e adds for the text behind PRIME bytes of training text."""
    data, prime = "".join(held_out).encode(), sample(training)
    sizes = {
        "gzip": len(gzip.compress(data, 9)),
        "xz": _xz(data),
        "primed xz": _xz(prime + data) - _xz(prime),
    }
    return {name: 8 * bytes_ / len(data) for name, bytes_ in sizes.items()}


def sample(documents: Sequence[str], bytes_: int = PRIME) -> bytes:
    """Random documents, end to end, the last one cut."""
    found = bytearray()
    for text in random.Random(0).sample(documents, len(documents)):
        found += text.encode()
        if len(found) >= bytes_:
            break
    return bytes(found[:bytes_])
