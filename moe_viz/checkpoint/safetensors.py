# SPDX-License-Identifier: Apache-2.0
"""Safetensors files: Hugging Face's folders and Mistral's own.

In: the files of a folder. Out: a `Store` that maps a tensor from its file, without a copy, when it
is asked for. In the other direction, `save_checkpoint` writes a folder that transformers can load.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import save_file

from ..errors import CheckpointError
from ..files import atomic_path
from ..model import Mixtral
from ..tensorfile import read_header
from .hub.repository import HubPath
from .layout import hugging_face
from .quantised import by_tensors
from .stored import PLAIN, ByteStore, Stored, gather, read_from

SINGLE = "model.safetensors"


def open_safetensors(files: Sequence[Path | HubPath]) -> ByteStore:
    """The tensors of one or several safetensors files.

    Raises `CheckpointError` where a file is cut short, or holds another type of number.
    """
    with ThreadPoolExecutor(8) as pool:  # each may be a request over the network
        headers = pool.map(lambda path: read_from(path, _stored), files)
        return ByteStore(gather(dict(zip(files, headers, strict=True))))


def headers_of(path: Path | HubPath) -> dict[str, Stored]:
    """What a file says of its tensors, whatever they are stored as; `CheckpointError` if none."""
    return read_from(path, _headers)


def _headers(file: BinaryIO, size: int, path: Path | HubPath) -> dict[str, Stored]:
    """The tensors of an open file of `size` bytes; `path` is its name in messages."""
    try:
        _, entries = read_header(file, size)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: is not a whole safetensors file ({error!s:.200}). It was probably cut "
            f"short; download it again (it has {size:,} bytes now)."
        ) from error
    return {n: Stored(e.shape, e.kind, path, e.start, e.size) for n, e in entries.items()}


def _stored(file: BinaryIO, size: int, path: Path | HubPath) -> dict[str, Stored]:
    """The same; `CheckpointError` for another type of number than is computed with here."""
    entries = _headers(file, size, path)
    for name, entry in entries.items():
        if entry.kind not in PLAIN:
            why = by_tensors(entries) or "Download the weights in bf16, or convert them."
            raise CheckpointError(
                f"{path}: {name} is stored as {entry.kind:.20}; expected one of "
                f"{', '.join(PLAIN)}. {why}"
            )
    return entries


def save_checkpoint(
    model: Mixtral,
    folder: str | Path,
    tokenizer: str | Path | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a folder in Hugging Face's form: `config.json`, `model.safetensors`, the tokenizer."""
    folder = Path(folder)
    tensors = {
        hugging_face(name): parameter.detach().to("cpu", dtype).contiguous()
        for name, parameter in model.named_parameters()
    }
    with atomic_path(folder / SINGLE) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    with atomic_path(folder / "config.json") as path:
        path.write_text(json.dumps(model.config.to_hf(), indent=2) + "\n", encoding="utf-8")
    if tokenizer is not None:
        with atomic_path(folder / "tokenizer.model") as path:
            shutil.copyfile(tokenizer, path)
