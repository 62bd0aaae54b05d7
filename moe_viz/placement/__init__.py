"""Where and when a model is computed.

`load` opens a checkpoint, decides device and dtype, and hands back a model that is ready to run.
So far there is one placement: resident, all weights on one device.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoint import Checkpoint, open_checkpoint
from ..errors import PlacementError
from ..model import Mixtral
from ..provenance import Provenance
from ..tokenizer import Tokenizer
from .resident import fill

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load(
    source: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    placement: str = "auto",
) -> Mixtral:
    """A model with its tokenizer, ready to record and to generate.

    `source` is `"8x7m"`, the embedded model; a folder in Hugging Face's or Mistral's form; or a
    GGUF file, whose packed weights stay packed. `device` is `"auto"` (CUDA where there is one), or
    anything torch understands. `dtype` is `"auto"` (float32: exact arithmetic on the stored
    weights, whatever the device), `"float32"`, `"bfloat16"` or `"float16"`. `placement` is `"auto"`
    or `"resident"`.

    Raises `CheckpointError`, `ConfigError`, `TokenizerError` where the source is at fault, and
    `PlacementError` where this machine, or this version, cannot do what was asked.

    >>> model = load("8x7m")
    >>> model.config.experts, model.provenance.title
    (8, '8x7m · float32')
    """
    checkpoint = open_checkpoint(source)
    if placement not in ("auto", "resident"):
        raise PlacementError(
            f"placement must be 'auto' or 'resident' in this version, found {placement!r}."
        )
    chosen_device, chosen_dtype = _device(device), _dtype(dtype)
    _refuse_if_too_large(checkpoint, chosen_device, chosen_dtype)
    tokenizer = Tokenizer(checkpoint.tokenizer, where=str(checkpoint.source))
    with torch.device("meta"):
        model = Mixtral(checkpoint.config)
    fill(model, checkpoint, chosen_device, chosen_dtype)
    model.tokenizer = tokenizer
    model.provenance = Provenance(
        model=checkpoint.config.name,
        fingerprint=checkpoint.fingerprint(),
        dtype=str(chosen_dtype).removeprefix("torch."),
        quantisation=", ".join(checkpoint.packed_kinds) or "none",
        placement="resident",
        device=str(chosen_device),
        versions={"torch": torch.__version__},
    )
    return model


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).cpu()  # "meta" has shapes, and holds nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise PlacementError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]} "
            "Expected 'auto', 'cpu', or a GPU that torch sees."
        ) from error
    return chosen


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        return torch.float32
    if name not in _DTYPES:
        raise PlacementError(f"dtype must be 'auto' or one of {list(_DTYPES)}, found {name!r}.")
    return _DTYPES[name]


def _refuse_if_too_large(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Say so before reading for minutes, where the weights cannot fit."""
    needed = checkpoint.memory(dtype)
    if device.type == "cuda":
        there = torch.cuda.mem_get_info(device)[0]
    elif device.type == "cpu":
        there = _available_memory()
    else:
        return
    if needed > there:
        raise PlacementError(
            f"{checkpoint.config.name} takes {needed / 2**30:.1f} GiB in {dtype}, and {device} has "
            f"{there / 2**30:.1f} GiB free. Try dtype='bfloat16', or a machine with more memory."
        )


def _available_memory() -> float:
    """Bytes that may be taken now; infinite where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return float("inf")
