# SPDX-License-Identifier: Apache-2.0
"""Pickles of tensors: Mistral's first files, `consolidated.NN.pt`, and `pytorch_model.bin`.

In: the files, each with some of the tensors. Out: a `Store` whose tensors are mapped from them.
Unpickling runs nothing but torch's own list of harmless types (`weights_only=True`); anything else
in a file is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError, first_line, kind_of
from ..tensorfile import HeldFile
from .hub.repository import HubPath
from .opcodes import check_work
from .stored import PLAIN, Stored, gather, lies_in, refuse_changed

#: The first version of torch whose weights_only has no hole that is known.
SAFE = (2, 10)

_KINDS = {dtype: kind for kind, dtype in PLAIN.items()}


class PickleStore:
    """The tensors of one or several `.pt`, `.pth` or `.bin` files.

    Raises `CheckpointError` where a file is cut short, holds more than tensors, or another type of
    number, or where two shards hold parts of the same tensor.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        opened = {path: _load(path) for path in files}
        self._held = [held for held, _ in opened.values()]
        loaded = {path: found for path, (_, found) in opened.items()}
        self.headers: dict[str, Stored] = gather(
            {
                path: {k: _header(path, k, t) for k, t in found.items()}
                for path, found in loaded.items()
            }
        )
        for path in files:
            _refuse_repeated(path, sum(h.size for h in self.headers.values() if h.file == path))
        self._tensors = {k: t for found in loaded.values() for k, t in found.items()}
        self._places = {lies_in(tensor) for tensor in self._tensors.values()}

    def read(self, key: str, rows: slice | None) -> Tensor:
        """Rows of a stored tensor taken as a matrix; with None all of it, in its own shape."""
        self.check()
        tensor = self._tensors[key]
        return tensor if rows is None else tensor.flatten(0, -2)[rows]

    def pick(self, key: str, rows: Tensor) -> Tensor:
        """Rows of a stored matrix, by number."""
        self.check()
        return self._tensors[key][rows]

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of a file, and no copy."""
        return lies_in(tensor) in self._places

    def check(self) -> None:
        """Raise `CheckpointError` if a file is not what it was when it was opened."""
        for held in self._held:
            refuse_changed(held)


def open_pickles(files: Sequence[Path | HubPath]) -> PickleStore:
    """The tensors of pickles on this disk.

    Raises `CheckpointError` for files on the Hub, with a torch in which unpickling is known to be
    unsafe, and where `PickleStore` does.
    """
    here = [file for file in files if isinstance(file, Path)]
    if len(here) < len(files):
        raise CheckpointError(
            f"{files[0]}: a {files[0].suffix} file cannot be read in parts. Download the "
            "repository first (hf download), and it is read from there; or take one that has "
            "safetensors files."
        )
    found = tuple(int(n) for n in re.findall(r"\d+", torch.__version__)[:2])
    if found < SAFE:
        raise CheckpointError(
            f"{files[0]}: torch {torch.__version__} can run code that is hidden in such a file, in "
            "spite of weights_only (CVE-2025-32434, CVE-2026-24747). Update torch to "
            f"{'.'.join(map(str, SAFE))} or later, or take the safetensors files, which hold none."
        )
    return PickleStore(here)


def _load(path: Path) -> tuple[HeldFile, Mapping[str, Tensor]]:
    """The file, held, and what is in it."""
    try:
        held = HeldFile(path)
        check_work(path)
        # Files of before 2020 are no archives, and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch's unpickler stumbles over damage in many ways
        raise CheckpointError(
            f"{path}: is not a whole file of tensors ({_reason(error)}). Expected a torch file "
            "that holds nothing but tensors; download it again, or the safetensors files instead."
        ) from error
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path}: expected a dictionary of tensors, found {type(loaded).__name__}. Is this "
            "a file of weights?"
        )
    return held, {k: t.detach() if isinstance(t, Tensor) else t for k, t in loaded.items()}


def _reason(error: Exception) -> str:
    """What is wrong with a pickle; torch's own words go on to say how to run what is in it."""
    said = str(error)
    if asked := re.search(r"GLOBAL ([\w.]+) (?:was not|whose module)", said):
        return f"it asks for {asked[1]:.80}, which is no tensor"
    if other := re.search(r"WeightsUnpickler error:\s*(.+)", said):
        return f"it is more than tensors: {other[1].strip():.80}"
    return first_line(error)


def _refuse_repeated(path: Path, size: int) -> None:
    """Embeddings may be the head too, which is one storage twice; no file has all of it twice."""
    held = path.stat().st_size
    if size > 2 * held:
        raise CheckpointError(
            f"{path}: its tensors have {size:,} bytes, and the file {held:,}: they are the same "
            "few again and again. Expected a tensor under each name; download it again."
        )


def _header(path: Path, key: object, tensor: object) -> Stored:
    if not (isinstance(key, str) and isinstance(tensor, Tensor)):
        raise CheckpointError(
            f"{path}: under {kind_of(key)} there is {kind_of(tensor)}; expected a tensor under "
            "each name. Is this a file of weights, and not of a training run?"
        )
    if (
        tensor.dtype not in _KINDS
        or tensor.layout is not torch.strided
        or tensor.device.type != "cpu"
    ):
        raise CheckpointError(
            f"{path}: {key} is stored as {tensor.dtype} ({tensor.layout}, {tensor.device}); "
            f"expected one of {', '.join(_KINDS.values())}. Download the weights in bf16, or "
            "convert them."
        )
    if tensor.nbytes > tensor.untyped_storage().nbytes():  # one number may stand for millions
        raise CheckpointError(
            f"{path}: {key} has {tensor.nbytes:,} bytes, of which the file holds "
            f"{tensor.untyped_storage().nbytes():,}. Expected whole tensors: save it again with "
            "tensor.contiguous(), or download another one."
        )
    return Stored(tuple(tensor.shape), _KINDS[tensor.dtype], path, 0, tensor.nbytes)
