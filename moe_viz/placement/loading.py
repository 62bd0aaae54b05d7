# SPDX-License-Identifier: Apache-2.0
"""Where and when a model is computed.

`load` opens a checkpoint, decides device, dtype and placement, and returns a model that is ready to
run. Resident: all weights on one device. Offload: experts are fetched to the device when they are
needed. Stream: one pass over weights that need not fit anywhere.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoint import Checkpoint, open_checkpoint
from ..errors import PlacementError, TokenizerError, first_line
from ..model import Mixtral
from ..progress import tell
from ..trace.provenance import Provenance
from .memory import available_memory, free_memory, what_binds
from .offload import RESERVE, OffloadedMixtral
from .ondemand import expert_name
from .resident import fill
from .spread import SpreadMixtral
from .stream import StreamedMixtral
from .transfer import tensors

PLACEMENTS = ("auto", "resident", "offload", "stream")

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load(
    source: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    placement: str = "auto",
    cache_gb: float = 0.0,
    adapter: str | Path | None = None,
) -> Mixtral:
    """A model with its tokenizer, ready to record and to generate.

    `source` is `"8x7m"`, the embedded model; a folder in Hugging Face's or Mistral's format; a GGUF
    file, whose packed weights stay packed; or a repository on the Hub, `"org/name"` (with
    `@revision` after it, or a GGUF file's path), which is not downloaded: what lies in Hugging
    Face's cache is read from there, the rest when it is needed, and up to `cache_gb` gigabytes of
    that are kept on disk for the next time. `adapter` is the folder, or the name on the Hub, of a
    LoRA adapter, which is merged into the weights as they are read, in float32.

    `device` is `"auto"` (CUDA where there is one), anything torch understands, or several with
    commas, `"cuda:0,cuda:1"`, over which layers are spread. `"mps"`, Apple's GPU, is taken when it
    is named, in float32; nobody has tested it. `dtype` is `"auto"` (float32: exact
    arithmetic on the stored weights, whatever the device), `"float32"`, `"bfloat16"` or
    `"float16"`.

    `placement` is `"resident"` (all weights in the device's memory), `"offload"` (experts wait in
    the host's memory and are fetched to the GPU when needed; generates), `"stream"` (weights pass
    through memory once per recording; does not generate), or `"auto"`: resident where that fits
    into free memory, else offload on a GPU where the host's memory holds the weights, else stream.

    A checkpoint whose tokenizer is missing or cannot be read is loaded, and takes token ids; what
    is wrong is said once, and again when a text is given.

    Raises `CheckpointError`, `ConfigError` where the source is at fault, and `PlacementError` where
    this machine, or this version, cannot do what was asked.

    >>> model = load("8x7m")
    >>> model.config.experts, model.provenance.title
    (8, '8x7m · float32')
    """
    checkpoint = open_checkpoint(source, cache_gb, adapter)
    if placement not in PLACEMENTS:
        raise PlacementError(
            f"placement must be one of {', '.join(PLACEMENTS)} in this version, found "
            f"{placement!r}."
        )
    devices = devices_named(device)
    chosen_device, several = devices[0], len(devices) > 1
    chosen_dtype = dtype_named(dtype, chosen_device)
    if several and placement not in ("auto", "resident"):
        raise PlacementError(
            f"placement={placement!r} takes one device, found {device!r}. Name one, or take "
            "placement='resident', which spreads the layers over all of them."
        )
    placed = "resident" if several else _choose(placement, checkpoint, devices[0], chosen_dtype)
    try:
        tokenizer, unread = checkpoint.vocabulary.tokenizer(), ""
    except TokenizerError as error:
        tokenizer, unread = None, str(error)
        tell(f"{error} This model takes token ids only.")
    fingerprint = checkpoint.fingerprint()
    if placed == "stream":
        model = StreamedMixtral(checkpoint, chosen_device, chosen_dtype)
    elif placed == "offload":
        room = room_for_experts(checkpoint, chosen_device, chosen_dtype)
        model = OffloadedMixtral(checkpoint, chosen_device, chosen_dtype, room)
    elif several:
        room = [min(free_memory(d) - RESERVE, 2.0**60) for d in devices]
        model = SpreadMixtral(checkpoint, devices, room, chosen_dtype)
    else:
        with torch.device("meta"):
            model = Mixtral(checkpoint.config)
        fill(model, checkpoint, chosen_device, chosen_dtype)
    model.tokenizer, model.unread = tokenizer, unread
    model.ends = checkpoint.vocabulary.ends()
    model.stored_as = checkpoint.stored_as
    if any(checkpoint.lends(tensor) for tensor in tensors(model)):
        model.check_weights = checkpoint.check
    model.origin = Provenance(
        model=checkpoint.config.name,
        fingerprint=fingerprint,
        revision=checkpoint.revision,
        quantisation=", ".join(checkpoint.quantised_kinds) or "none",
        placement=placed,
        versions={"torch": torch.__version__},
    )
    return model


def devices_named(device: str | torch.device) -> list[torch.device]:
    """The devices with these names, separated by commas, each checked to work."""
    names = device.split(",") if isinstance(device, str) else [device]
    devices = [device_named(name.strip() if isinstance(name, str) else name) for name in names]
    if len(set(devices)) < len(devices):
        raise PlacementError(f"device={device!r} names a device twice. Name each once.")
    return devices


def device_named(device: str | torch.device) -> torch.device:
    """The device with this name, checked to work; "auto" is CUDA where there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).cpu()  # "meta" has shapes, and no data
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise PlacementError(
            f"device {str(device)!r} cannot be used here: {first_line(error)} "
            "Expected 'auto', 'cpu', or a GPU that torch sees."
        ) from error
    return chosen


def dtype_named(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype with this name, if the device can compute in it; "auto" is always float32."""
    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        return torch.float32
    if name not in _DTYPES:
        raise PlacementError(f"dtype must be 'auto' or one of {list(_DTYPES)}, found {name!r}.")
    if device.type == "mps" and name != "float32":
        raise PlacementError(
            f"dtype={name!r} was not tried on Apple's GPU; expected float32. Take that, or "
            "device='cpu'."
        )
    if (
        name == "bfloat16"
        and device.type == "cuda"
        and torch.cuda.get_device_capability(device) < (8,)
    ):
        raise PlacementError(
            f"{torch.cuda.get_device_name(device)} has no fast bfloat16 arithmetic, only "
            "emulation. Take dtype='float16', or 'float32', which is exact."
        )
    return _DTYPES[name]


def _choose(
    placement: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> str:
    """The placement that fits into what is free now; an error here saves minutes of reading."""
    needed, there = checkpoint.memory(dtype), free_memory(device)
    if placement == "offload" or needed <= there:  # offload counts for itself
        return "resident" if placement == "auto" else placement
    passing = stream_memory(checkpoint, dtype)
    if placement in ("auto", "stream") and passing > there:
        raise PlacementError(
            f"Even streamed, {checkpoint.config.name} takes {passing / 2**30:.1f} GiB, a "
            f"few of its experts at a time, and {device} has {there / 2**30:.1f} GiB free"
            f"{what_binds(device)}. Close other programs, take a smaller dtype, or a quantised "
            "file."
        )
    if placement == "stream":
        return placement
    sizes = (
        f"{checkpoint.config.name} takes {needed / 2**30:.1f} GiB in "
        f"{str(dtype).removeprefix('torch.')}, and {device} has {there / 2**30:.1f} GiB free"
        f"{what_binds(device)}"
    )
    if placement == "resident":
        raise PlacementError(
            f"{sizes}. Take placement='stream', which reads the weights once per recording; "
            "placement='offload' on a GPU, which can generate; dtype='bfloat16' or 'float16', if "
            "that is enough; or a machine with more memory."
        )
    # Offloaded experts are read again and again: from memory, not from a disk or a network.
    stored = sum(header.size for header in checkpoint.headers)
    apart = device.type not in ("cpu", "mps")
    waits = apart and checkpoint.is_local and stored <= available_memory()
    chosen, consequence = (
        ("offload", "experts wait in the host's memory, and are fetched when needed")
        if waits
        else ("stream", "each recording reads the weights once, and generation is not offered")
    )
    tell(f"{sizes}; so placement={chosen!r}: {consequence}.")
    return chosen


def stream_memory(checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """Bytes of weights that a sweep holds at once, without activations."""
    experts = [expert_name(n, 0) for n in range(checkpoint.config.layers)]
    return 3 * max(checkpoint.memory(dtype, name) for name in experts)


def room_for_experts(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> float:
    """Bytes of experts that a device may hold beside the rest of the model."""
    experts = sum(
        checkpoint.memory(dtype, f"layers.{n}.moe.experts") for n in range(checkpoint.config.layers)
    )
    return free_memory(device) - (checkpoint.memory(dtype) - experts) - RESERVE
