# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: canonical names on one side, whatever a file format keeps on the other.

In: a config, stored tensors, and where the vocabulary is. Out: a mapping from the model's own names
to tensors, which are read when they are asked for. On opening, every tensor is looked up, and its
shape compared with the config, from headers alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..config import MixtralConfig
from ..errors import CheckpointError
from ..model.gguf_blocks import BLOCK_TYPES
from ..model.quantized import Packed
from .adapter import Adapter
from .fp8 import KIND as FP8_KIND
from .hub.repository import HubPath
from .layout import LAYOUTS, Place, Shape, detect
from .stored import PLAIN, Store, Stored
from .vocabulary import CheckpointVocabulary

#: Tensors that some files hold and no Mixtral needs: RoPE's frequencies follow from the config.
_HARMLESS = ("rotary_emb.inv_freq",)


class Checkpoint(Mapping[str, "Tensor | Packed"]):
    """The tensors of a Mixtral under their canonical names.

    `source` is its name in messages, `described` the file that its config comes from; its
    `vocabulary` is read when a tokenizer is asked for; `adapter` is merged into what is read.

    Raises `CheckpointError` on opening if a tensor is missing, unknown, or has another shape than
    the config promises, or if an adapter would change packed weights.
    """

    def __init__(
        self,
        source: Path | HubPath,
        config: MixtralConfig,
        described: str,
        store: Store,
        vocabulary: CheckpointVocabulary,
        adapter: Adapter | None = None,
    ) -> None:
        self.source: Path | HubPath = source
        self.config: MixtralConfig = config
        self.vocabulary: CheckpointVocabulary = vocabulary
        self._described = described
        self._store = store
        self._adapter = adapter
        self._stores = [store, adapter.store] if adapter else [store]
        layout = detect(store.headers)
        if layout is None:
            raise _no_layout(source, store.headers)
        self.layout: str = layout.title
        self._places: dict[str, Place] = {}
        for name, shape, place in layout.places(config):  # may promise more than memory holds
            self._check(name, shape, place)
            self._places[name] = place
        known = {place.key for place in self._places.values()}
        unknown = [k for k in store.headers if k not in known and not k.endswith(_HARMLESS)]
        if unknown:
            raise CheckpointError(
                f"{source}: holds {len(unknown)} tensors that a Mixtral of this shape does not "
                f"have, the first is {unknown[0]!r}. Do {described} and the weights belong "
                "together? Without those tensors this would be another model."
            )

        for name in adapter.names() if adapter else ():
            kind = store.headers[self._places[name].key].kind
            if kind in BLOCK_TYPES:
                raise CheckpointError(
                    f"{source}: {name} is packed as {kind}, and an adapter cannot be added to "
                    "packed weights exactly. Take the base's weights in bf16."
                )

    def _check(self, name: str, shape: Shape, place: Place) -> None:
        header = self._store.headers.get(place.key)
        if header is None:
            raise CheckpointError(
                f"{self.source}: the tensor {place.key} is missing; expected it with shape "
                f"{place.shape} ({self.layout}). Do {self._described} and the weights belong "
                "together, and are all shards here?"
            )
        if header.shape != place.shape:
            raise CheckpointError(
                f"{header.file}: {place.key} has shape {header.shape}; {self._described} asks for "
                f"{place.shape}. Do the two belong together?"
            )

    def __getitem__(self, name: str) -> Tensor | Packed:
        return self._deciding[name] if _decides(name) else self._read(name)

    @cached_property
    def _deciding(self) -> dict[str, Tensor | Packed]:
        """Routers and norms: small, read together, since each may be a request over the network."""
        names = [name for name in self if _decides(name)]
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(names, pool.map(self._read, names), strict=True))

    def _read(self, name: str) -> Tensor | Packed:
        tensor = self._stored(name)
        if self._adapter is None or isinstance(tensor, Packed):
            return tensor
        return self._adapter.merged(name, tensor)

    def _stored(self, name: str) -> Tensor | Packed:
        """A tensor of the model as the file has it."""
        place = self._places[name]
        tensor = self._store.read(place.key, place.rows)
        if isinstance(tensor, Packed) and len(place.shape) == 1:
            return tensor.unpacked().view(place.shape)  # packed numbers are rows of a matrix
        if place.interleaved:
            return tensor[half_apart(place.shape[0], place.interleaved)]
        return tensor.T if place.transposed and isinstance(tensor, Tensor) else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def rows(self, name: str, rows: Tensor) -> Tensor | Packed:
        """Some rows of a tensor, by ascending number: those of the embedding that are in use."""
        if self._adapter is not None and name in self._adapter.names():
            return self[name][rows]
        return self._store.pick(self._places[name].key, rows)

    def lends(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of a mapped file, which must then stay what it is."""
        here = tensor.device.type == "cpu"  # what lies elsewhere is a copy
        return here and any(store.lends(tensor) for store in self._stores)

    def check(self) -> None:
        """Raise `CheckpointError` if a mapped file is not what it was when it was opened."""
        for store in self._stores:
            store.check()

    def header(self, name: str) -> tuple[Shape, str]:
        """Shape and stored type of a tensor, without reading it."""
        place = self._places[name]
        kind, shape = self._store.headers[place.key].kind, place.shape
        if place.rows is not None:
            shape = (place.rows.stop - place.rows.start, shape[-1])
        return (shape[::-1] if place.transposed else shape), kind

    def stored_as(self, name: str) -> str:
        """What a tensor is called in its file, and in which.

        >>> from moe_viz.checkpoint import open_checkpoint
        >>> open_checkpoint("8x7m").stored_as("norm.weight")
        'model.norm.weight (model.safetensors)'
        """
        key = self._places[name].key
        return f"{key} ({self._store.headers[key].file.name})"

    def size(self, name: str) -> int:
        """Stored bytes of a tensor, or of all tensors of a module."""
        return sum(self._stored_bytes(place) for place in self._under(name))

    def _under(self, name: str) -> list[Place]:
        """The places of a tensor, of all tensors of a module, or of all there are ("")."""
        stem = f"{name}." if name else ""
        return [p for n, p in self._places.items() if n == name or n.startswith(stem)]

    def _stored_bytes(self, place: Place) -> int:
        header = self._store.headers[place.key]
        if place.rows is None:
            return header.size
        return header.size * (place.rows.stop - place.rows.start) // math.prod(header.shape[:-1])

    @property
    def revision(self) -> str:
        """The repository and commit that it is read from; nothing for files on this machine."""
        places = [self.source, *([self._adapter.folder] if self._adapter else [])]
        return " + ".join(
            f"{place.repo.name}@{place.repo.commit}"
            for place in places
            if isinstance(place, HubPath)
        )

    @property
    def kinds(self) -> dict[str, int]:
        """How the numbers are stored: each type, with the bytes it takes, most first."""
        sizes: dict[str, int] = {}
        for header in self.headers:
            sizes[header.kind] = sizes.get(header.kind, 0) + header.size
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    @property
    def quantised_kinds(self) -> list[str]:
        """Those of them that are coarser than what a model is trained in."""
        return [kind for kind in self.kinds if kind in BLOCK_TYPES or kind == FP8_KIND]

    @property
    def is_local(self) -> bool:
        """Whether all of it is on this disk."""
        return all(isinstance(header.file, Path) for header in self.headers)

    def memory(self, dtype: torch.dtype, name: str = "") -> int:
        """Bytes that all tensors take in memory, or those of a module: plain ones in `dtype`,
        packed ones as they are.
        """
        total = 0
        for place in self._under(name):
            kind, size = self._store.headers[place.key].kind, self._stored_bytes(place)
            total += size if kind in BLOCK_TYPES else size // PLAIN[kind].itemsize * dtype.itemsize
        return total

    @property
    def headers(self) -> list[Stored]:
        """What the files say about the stored tensors that this model is made of."""
        keys = dict.fromkeys(place.key for place in self._places.values())
        return [self._store.headers[key] for key in keys]

    def fingerprint(self) -> str:
        """A short hash of the config, the tensors' names, and the routers' and norms' values.

        Enough to tell apart any two checkpoints that route differently, base and Instruct for
        instance, without reading all of the weights; the same in every file format.
        """
        config = replace(self.config, name="")  # the folder's name, which says nothing
        digest = hashlib.sha256(repr((config, sorted(self))).encode())
        for value in self._deciding.values():
            exact = value.unpacked() if isinstance(value, Packed) else value.float()
            digest.update(exact.contiguous().view(torch.uint8).numpy().tobytes())
        if self._adapter is not None:
            digest.update(self._adapter.digest())
        return digest.hexdigest()[:16]


def _decides(name: str) -> bool:
    """Whether a tensor has a say in every decision: a router, or a norm before it."""
    return ".router." in name or "norm" in name


def half_apart(rows: int, heads: int) -> Tensor:
    """Where the rows of queries or keys lie when RoPE's pairs are neighbours: (rows,).

    >>> half_apart(8, heads=2)
    tensor([0, 2, 1, 3, 4, 6, 5, 7])
    """
    return torch.arange(rows).view(heads, -1, 2).transpose(1, 2).flatten()


def _no_layout(source: Path | HubPath, headers: Mapping[str, Stored]) -> CheckpointError:
    found = ", ".join(sorted(headers)[:4]) or "no tensor at all"
    dense = any("mlp.gate_proj" in k or k == "blk.0.ffn_gate.weight" for k in headers)
    why = "These are a dense model's: it has no experts and no router. " if dense else ""
    expected = "; ".join(f"{layout.marker} ({layout.title})" for layout in LAYOUTS)
    return CheckpointError(
        f"{source}: the tensors in it are not named like a Mixtral's. {why}Found {found} …; "
        f"expected one of {expected}."
    )
