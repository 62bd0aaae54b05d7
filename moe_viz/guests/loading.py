# SPDX-License-Identifier: Apache-2.0
"""From a source to a model: Mixtral by our own code, every other mixture through transformers.

In: what `load` takes, or a model of transformers. Out: a `Mixtral` or a `Guest`, with its
tokenizer. A guest is downloaded whole, into Hugging Face's cache; no code from its repository is
run.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import nn

from ..checkpoint.hub.repository import HubPath
from ..checkpoint.pickles import open_pickles
from ..checkpoint.vocabulary import FolderVocabulary
from ..config import read_json
from ..errors import (
    CheckpointError,
    MissingDependencyError,
    OtherFamilyError,
    PlacementError,
    TokenizerError,
    first_line,
)
from ..model import Mixtral
from ..placement.loading import devices_named, dtype_named
from ..placement.loading import load as load_mixtral
from ..placement.memory import free_memory, what_binds
from ..progress import tell
from ..tokenization import Tokenizer
from .about import ends_of, fingerprint_of, placed, quantised, versions
from .download import downloaded
from .families import FAMILIES
from .guest import Guest
from .tokens import tokenizer_of

#: transformers' routers have had one form since then.
FLOOR = (5, 24)


@overload
def load(
    source: Literal["8x7m"],
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    placement: str = "auto",
) -> Mixtral: ...


@overload
def load(
    source: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    placement: str = "auto",
    cache_gb: float = 0.0,
    adapter: str | Path | None = None,
) -> Mixtral | Guest: ...


def load(
    source: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    placement: str = "auto",
    cache_gb: float = 0.0,
    adapter: str | Path | None = None,
) -> Mixtral | Guest:
    """A model with its tokenizer, ready to record and to generate.

    `source` is `"8x7m"`, the embedded model; a folder in Hugging Face's or Mistral's format; a GGUF
    file, whose packed weights stay packed; or a repository on the Hub, `"org/name"` (with
    `@revision` after it, or a GGUF file's path), which is not downloaded: what lies in Hugging
    Face's cache is read from there, the rest when it is needed, and up to `cache_gb` gigabytes of
    that are kept on disk for the next time. `adapter` is the folder, or the name on the Hub, of a
    LoRA adapter, which is merged into the weights as they are read, in float32.

    A folder or name of another family of mixtures (OLMoE, Qwen3, DeepSeek, gpt-oss, Granite …)
    gives a `Guest`, run by transformers (`pip install 'moe-viz[guests]'`). A guest on the Hub is
    downloaded whole; its size and the free disk are said before.

    `device` is `"auto"` (CUDA where there is one), anything torch understands, or several with
    commas, `"cuda:0,cuda:1"`, over which layers are spread. `"mps"`, Apple's GPU, is taken when it
    is named, in float32; nobody has tested it. `dtype` is `"auto"` (float32: exact
    arithmetic on the stored weights, whatever the device), `"float32"`, `"bfloat16"` or
    `"float16"`.

    `placement` is `"resident"` (all weights in the device's memory), `"offload"` (experts wait in
    the host's memory and are fetched to the GPU when needed; generates), `"stream"` (weights pass
    through memory once per recording; does not generate), or `"auto"`: resident where that fits
    into free memory, else offload on a GPU where the host's memory holds the weights, else stream.
    A guest is resident, or spread by accelerate over what is there (`"offload"`: GPU, memory and
    disk).

    A checkpoint whose tokenizer is missing or cannot be read is loaded, and takes token ids; what
    is wrong is said once, and again when a text is given.

    Raises `CheckpointError`, `ConfigError` where the source is at fault, and `PlacementError` where
    this machine, or this version, cannot do what was asked.

    >>> model = load("8x7m")
    >>> model.config.experts, model.provenance.title
    (8, '8x7m · float32')
    """
    try:
        return load_mixtral(source, device, dtype, placement, cache_gb, adapter)
    except OtherFamilyError as other:
        if adapter is not None:
            raise CheckpointError(
                f"{source}: adapters are merged into Mixtral only. Merge it with peft "
                "(merge_and_unload), and give the result to moe_viz.guest."
            ) from other
        return _loaded(other, device, dtype, placement)


def guest(hf_model: nn.Module, tokenizer: Any = None, name: str | None = None) -> Guest:
    """A model of transformers of your own making, ready to record, generate and intervene.

    For what `load` does not make itself: quantised weights, adapters, several GPUs, or code from
    a repository that you trust. `tokenizer` is a fast tokenizer of transformers, a `Tokenizer`, or
    None: then it takes token ids. `name` is what figures call it.

    Raises `CheckpointError` for a family without routers that can be heard (dense models,
    encoder-decoders, product keys), and `TokenizerError` for a tokenizer without a fast form.

    >>> from transformers import OlmoeConfig, OlmoeForCausalLM
    >>> config = OlmoeConfig(hidden_size=32, num_attention_heads=4, num_hidden_layers=2,
    ...                      intermediate_size=16, num_experts=8, vocab_size=64)
    >>> model = guest(OlmoeForCausalLM(config), name="tiny")
    >>> import moe_viz as mv
    >>> mv.record(model, [[5, 6, 7]]).experts.shape
    (2, 3, 8)
    """
    split = tokenizer if isinstance(tokenizer, Tokenizer) else None
    made = Guest(hf_model, split, name or "")
    if tokenizer is not None and split is None:
        made.tokenizer = tokenizer_of(tokenizer, made.config.vocab_size)
    made.ends = ends_of(hf_model)
    made.origin = replace(
        made.origin, fingerprint=fingerprint_of(made), placement=placed(hf_model),
        quantisation=quantised(hf_model), versions=versions(),
    )  # fmt: skip
    return made


def _loaded(
    other: OtherFamilyError, device: str | torch.device, dtype: str | torch.dtype, placement: str
) -> Guest:
    """A guest from a folder or from the Hub."""
    described: Any = other.described  # a path, here or on the Hub
    folder, raw = described.parent, read_json(described)
    transformers = transformers_here()
    refuse_unknown(raw, described)
    if placement not in ("auto", "resident", "offload"):
        raise PlacementError(
            f"placement must be 'auto', 'resident' or 'offload' for a guest, found {placement!r}: "
            "transformers runs all of it at once."
        )
    devices = devices_named(device)
    kind = dtype_named(dtype, devices[0])
    home = downloaded(folder) if isinstance(folder, HubPath) else folder
    title = folder.repo.title if isinstance(folder, HubPath) else home.absolute().name
    _check_room(home, kind, devices, placement, title)
    pickled = [] if any(home.glob("*.safetensors")) else sorted(home.glob("*.bin"))
    if pickled:
        open_pickles(pickled)  # refuses what is more than tensors, before transformers reads it
    where: Any = {"": devices[0]} if placement != "offload" and len(devices) == 1 else "auto"
    try:
        made = transformers.AutoModelForCausalLM.from_pretrained(
            home, dtype=kind, device_map=where, trust_remote_code=False,
            use_safetensors=not pickled, local_files_only=True,
        )  # fmt: skip
    except Exception as error:  # of many kinds
        raise CheckpointError(
            f"{folder}: transformers {transformers.__version__} cannot load it "
            f"({type(error).__name__}: {first_line(error)}). Update transformers, download the "
            "files again, or load the model yourself and give it to moe_viz.guest."
        ) from error
    found = Guest(made, name=title)
    try:
        found.tokenizer = FolderVocabulary(home, found.config.vocab_size).tokenizer()
    except TokenizerError as error:
        found.unread = str(error)
        tell(f"{error} This model takes token ids only.")
    found.ends = ends_of(made) | FolderVocabulary(home, found.config.vocab_size).ends()
    revision = f"{folder.repo.name}@{folder.repo.commit}" if isinstance(folder, HubPath) else ""
    found.origin = replace(
        found.origin, fingerprint=fingerprint_of(found), revision=revision,
        placement=placed(made), quantisation=quantised(made), versions=versions(),
    )  # fmt: skip
    return found


def transformers_here() -> Any:
    """The package; `MissingDependencyError` where it is missing or too old."""
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "This is another family of mixtures than Mixtral's, which transformers runs: "
            "pip install 'moe-viz[guests]'."
        ) from error
    found = tuple(int(n) for n in transformers.__version__.split(".")[:2])
    if found < FLOOR:
        raise MissingDependencyError(
            f"transformers {transformers.__version__} is here, and its routers have another form: "
            f"expected {'.'.join(map(str, FLOOR))} or later. pip install -U 'moe-viz[guests]'."
        )
    return transformers


def refuse_unknown(raw: dict[str, Any], where: Path | HubPath) -> None:
    """Raise `CheckpointError` for what cannot be a guest, by its name."""
    kind = model_type_of(raw)
    if kind in FAMILIES:
        return
    if "auto_map" in raw and kind not in FAMILIES:
        raise CheckpointError(
            f"{where}: {kind} comes with code of its own (auto_map), which is not run. If you "
            "trust it, load it with transformers (trust_remote_code=True), and give the model to "
            "moe_viz.guest."
        )
    raise CheckpointError(
        f"{where}: model_type {kind!r} is no mixture of experts that can be recorded: dense "
        "models have no router. Known families: mixtral, " + ", ".join(sorted(FAMILIES)) + "."
    )


def model_type_of(raw: dict[str, Any]) -> str:
    """The family that a config.json names: of a model that also sees, that of its text part."""
    text = raw.get("text_config") or raw.get("thinker_config", {}).get("text_config")
    named = text.get("model_type") if isinstance(text, dict) else None
    return str(named or raw.get("model_type"))


def _check_room(
    home: Path, dtype: torch.dtype, devices: list[torch.device], placement: str, title: str
) -> None:
    """Raise `PlacementError` before minutes of reading, where the weights do not fit."""
    needed = sum(
        count * dtype.itemsize for path in home.glob("*.safetensors") for count in _counts(path)
    )
    there = sum(free_memory(device) for device in devices)
    if needed <= there or placement == "offload":
        return
    name = str(dtype).removeprefix("torch.")
    raise PlacementError(
        f"{title} takes {needed / 2**30:.1f} GiB in {name}, and {devices[0]} has "
        f"{there / 2**30:.1f} GiB free{what_binds(devices[0])}. Take dtype='bfloat16' or "
        "'float16', if that is enough; placement='offload', which leaves what does not fit in "
        "memory or on the disk; or a machine with more memory."
    )


def _counts(path: Path) -> list[int]:
    """How many numbers each tensor of a safetensors file has."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(length, 2**27)))
    sizes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    return [int(torch.Size(size).numel()) for size in sizes]
