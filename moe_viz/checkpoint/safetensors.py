"""Hugging Face folders: `config.json`, and weights in one safetensors file or in indexed shards.

In: a folder. Out: a `SafetensorsCheckpoint`, a mapping from canonical names to tensors. Opening
reads headers only and checks every shape against the config; a tensor is mapped from its file,
without a copy, when it is asked for. The other direction, `save_checkpoint`, writes a folder that
transformers loads as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import MixtralConfig
from ..errors import CheckpointError
from ..files import atomic_path
from ..model import Mixtral
from .layout import hugging_face, shapes

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

#: What a JSON file that is not what it should be can raise when it is read.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class SafetensorsCheckpoint(Mapping[str, Tensor]):
    """The tensors of a Hugging Face Mixtral folder under their canonical names.

    Raises `CheckpointError` on opening if a file is missing, cut short, or holds a tensor of
    another shape or type than the config promises.
    """

    format = "Hugging Face safetensors"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config = MixtralConfig.from_file(self.folder / "config.json")
        self._files = {file: _open(self.folder / file) for file in self._file_names()}
        where = {key: file for file, opened in self._files.items() for key in opened.keys()}  # noqa: SIM118
        self._where: dict[str, str] = {}
        dtypes: set[str] = set()
        for name, shape in shapes(self.config):  # a config may promise more than memory holds
            dtypes.add(self._locate(name, shape, where))
        self.dtype = "mixed" if len(dtypes) > 1 else dtypes.pop()

    def _file_names(self) -> list[str]:
        if (self.folder / _SINGLE).is_file():
            return [_SINGLE]
        index = self.folder / _INDEX
        if not index.is_file():
            raise CheckpointError(
                f"{self.folder}: expected {_SINGLE}, or shards with {_INDEX}; found neither. "
                "Download the weights into this folder."
            )
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except _DAMAGED as error:
            raise CheckpointError(
                f"{index}: expected a JSON object with a weight_map ({error}). Download it again."
            ) from error
        for name in names:
            is_beside = isinstance(name, str) and Path(name).name == name
            if not (is_beside and name.endswith(".safetensors")):
                raise CheckpointError(
                    f"{index}: {name!r} is not the name of a safetensors file beside it. Download "
                    "it again from where the weights come."
                )
        missing = [name for name in names if not os.path.isfile(self.folder / name)]
        if missing:
            raise CheckpointError(
                f"{self.folder}: {len(missing)} of {len(names)} shards are missing, the first is "
                f"{missing[0]!r}. Download them into this folder."
            )
        return names

    def _locate(self, name: str, shape: tuple[int, ...], where: Mapping[str, str]) -> str:
        key = hugging_face(name)
        if key not in where:
            raise CheckpointError(
                f"{self.folder}: the tensor {key} is missing; expected it with shape {shape}. "
                "Do config.json and the weights belong together, and are all shards here?"
            )
        self._where[name] = where[key]
        header = self._files[where[key]].get_slice(key)
        if tuple(header.get_shape()) != shape:
            raise CheckpointError(
                f"{self.folder / where[key]}: {key} has shape {tuple(header.get_shape())}; "
                f"config.json asks for {shape}. Do the two belong together?"
            )
        if header.get_dtype() not in _DTYPES:
            raise CheckpointError(
                f"{self.folder / where[key]}: {key} is stored as {header.get_dtype()}; expected "
                f"one of {', '.join(_DTYPES)}. Download the weights in bf16, or convert them."
            )
        return _DTYPES[header.get_dtype()]

    def __getitem__(self, name: str) -> Tensor:
        return self._files[self._where[name]].get_tensor(hugging_face(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    @property
    def tokenizer_file(self) -> Path:
        """The SentencePiece model beside the weights."""
        return self.folder / "tokenizer.model"

    def fingerprint(self) -> str:
        """A short hash of the config, the tensors' names, and the routers' and norms' values.

        Enough to tell apart any two checkpoints that route differently, base and Instruct for
        instance, without reading all of the weights.
        """
        config = replace(self.config, name="")  # the folder's name, which says nothing
        digest = hashlib.sha256(repr((config, sorted(self))).encode())
        for name in self:
            if ".router." in name or "norm" in name:
                digest.update(self[name].contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def _open(path: Path):
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: is not a whole safetensors file ({error}). It was probably cut short; "
            f"download it again (it has {path.stat().st_size:,} bytes now)."
        ) from error


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
    with atomic_path(folder / _SINGLE) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    with atomic_path(folder / "config.json") as path:
        path.write_text(json.dumps(model.config.to_hf(), indent=2) + "\n", encoding="utf-8")
    if tokenizer is not None:
        with atomic_path(folder / "tokenizer.model") as path:
            shutil.copyfile(tokenizer, path)
