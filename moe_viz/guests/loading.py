# SPDX-License-Identifier: Apache-2.0
"""From a source to a model: Mixtral by our own code, every other mixture through transformers.

In: what `load` takes, or a model of transformers. Out: a `Mixtral` or a `Guest`, with its
tokenizer. A guest is downloaded whole, into Hugging Face's cache; no code from its repository is
run.
"""

from __future__ import annotations

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
    MoeVizError,
    OtherFamilyError,
    PlacementError,
    TokenizerError,
)
from ..model import Mixtral
from ..placement.loading import devices_named, dtype_named
from ..placement.loading import load as load_mixtral
from ..placement.memory import free_memory, what_binds
from ..progress import tell
from ..tokenization import Tokenizer
from .about import ends_of, fingerprint_of, placed, quantised, versions
from .guest import Guest
from .ledger import count
from .mixtures import language_model
from .source import configuration, downloaded, refuse_unknown, transformers_here, unreadable
from .tokens import tokenizer_of


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
    config = configuration(home)
    pickled = [] if any(home.glob("*.safetensors")) else sorted(home.glob("*.bin"))
    if pickled:
        open_pickles(pickled)  # refuses what is more than tensors, before transformers reads it
    where: Any = {"": devices[0]} if placement != "offload" and len(devices) == 1 else "auto"
    try:
        _check_room(_needed(config, home, kind), kind, devices, placement, title)
        made = language_model(config).from_pretrained(
            home, config=config, dtype=kind, device_map=where, trust_remote_code=False,
            use_safetensors=not pickled, local_files_only=True, **_unpacked(config),
        )  # fmt: skip
    except MoeVizError:
        raise
    except Exception as error:  # of many kinds
        raise unreadable(folder, error) from error
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


def _check_room(
    needed: int, dtype: torch.dtype, devices: list[torch.device], placement: str, title: str
) -> None:
    """Raise `PlacementError` before minutes of reading, where the weights do not fit."""
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


def _needed(config: Any, home: Path, dtype: torch.dtype) -> int:
    """Bytes that its weights take in memory."""
    method = _method(config)
    if method and method != "mxfp4":
        return sum(path.stat().st_size for path in home.glob("*.safetensors"))
    return count(config).total * dtype.itemsize


def _method(config: Any) -> str:
    """How its weights are quantised; "" for not at all."""
    said = getattr(config, "quantization_config", None) or {}
    return str(said.get("quant_method", "")) if isinstance(said, dict) else "some"


def _unpacked(config: Any) -> dict[str, Any]:
    """MXFP4 (gpt-oss) is unpacked: its kernels go past the modules at which decisions are heard."""
    if _method(config) != "mxfp4":
        return {}
    return {"quantization_config": transformers_here().Mxfp4Config(dequantize=True)}
