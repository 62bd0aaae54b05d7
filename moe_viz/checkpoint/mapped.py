"""Files as tensors of bytes, without reading them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def map_file(path: Path) -> Tensor:
    """All bytes of a file, uint8, mapped.

    Whoever writes to them changes a copy of their own. The system counts such a mapping against
    its memory, though, and refuses 87 GiB: a file that large is mapped read-only.
    """
    try:
        return torch.from_numpy(np.memmap(path, np.uint8, mode="c"))
    except OSError:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.memmap(path, np.uint8, mode="r"))
