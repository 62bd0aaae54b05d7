# SPDX-License-Identifier: Apache-2.0
"""A LoRA adapter: a low-rank change of some weights, added to them as they are read.

In: a folder that peft wrote, adapter_config.json and its tensors, named as under transformers 4 (a
module for each matrix of an expert) or 5 (all experts of a layer in one parameter). Out: for a
canonical name and its tensor the merged one, in float32: W + scaling · B A (arXiv 2106.09685).
Whatever peft can train beyond that is refused by its name.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import MixtralConfig, read_json
from ..errors import CheckpointError
from .hub.repository import HubPath
from .layout import hugging_face, shapes
from .patterns import Patterns
from .pickles import open_pickles
from .safetensors import open_safetensors
from .stored import Store

#: Settings that make an adapter something else than W + B A, and those that are harmless.
_OTHER_KINDS = {
    "use_dora": "DoRA", "use_qalora": "QALoRA", "use_bdlora": "block-diagonal LoRA",
    "fan_in_fan_out": "fan_in_fan_out, for transposed layers", "lora_bias": "lora_bias",
    "alora_invocation_tokens": "activated LoRA", "arrow_config": "Arrow", "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA", "layer_replication": "layer_replication",
    "trainable_token_indices": "trainable_token_indices",
}  # fmt: skip

#: Ways to begin that change the base's own weights, which the folder of the adapter does not hold.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")

#: Above any rank and lora_alpha.
_MOST = 1_000_000
_FACTOR = re.compile(r"(.+?)((?:\.base_layer)*)\.lora_(?:embedding_)?([AB])(?:\.weight)?")


@dataclass(frozen=True)
class Change:
    """What is added to one tensor: scaling · B A, or, of a fused tensor, an expert's rows of it."""

    a: str  # the stored tensors' names
    b: str
    scaling: float
    expert: tuple[int, int] | None = None  # its number, and how many there are
    rows: tuple[int, int | None] = (0, None)  # of the product, from and to
    flipped: bool = False  # stored as the change of the transposed matrix


class Adapter:
    """The changes of one adapter to a Mixtral of this shape.

    Raises `CheckpointError` where it is not plain LoRA, is damaged, or belongs to another model.
    """

    def __init__(self, folder: Path | HubPath, config: MixtralConfig) -> None:
        self.folder: Path | HubPath = folder
        self._file = folder / "adapter_config.json"
        if not self._file.is_file():
            raise CheckpointError(
                f"{folder}: is not an adapter: expected adapter_config.json and "
                "adapter_model.safetensors, as peft saves them. Name the folder that has them."
            )
        self._said = read_json(self._file)
        self._refuse_others()
        self.store: Store = self._opened()
        self._shapes = dict(shapes(config))
        self._config = config
        self._ranks = Patterns(self._said.get("rank_pattern"), self._file)
        self._alphas = Patterns(self._said.get("alpha_pattern"), self._file)
        self._changes: dict[str, Change] = {}
        self._replaced: dict[str, str] = {}
        self._assign()

    @property
    def name(self) -> str:
        """What a title calls it: its folder, or org/name."""
        folder = self.folder
        return folder.repo.title if isinstance(folder, HubPath) else folder.absolute().name

    def names(self) -> list[str]:
        """The canonical names of the tensors that it changes."""
        return [*dict.fromkeys([*self._changes, *self._replaced])]

    def merged(self, name: str, base: Tensor) -> Tensor:
        """A tensor of the base with the change added, in float32; others as they are."""
        if name in self._replaced:
            base = self._read(self._replaced[name])
        change = self._changes.get(name)
        return base if change is None else base.float() + self._delta(change)

    def digest(self) -> bytes:
        """A hash of everything that it changes: two adapters on one base are two models."""
        found = hashlib.sha256()
        for name in sorted(self.names()):
            found.update(repr((name, self._replaced.get(name), self._changes.get(name))).encode())
        for key in sorted(self.store.headers):
            found.update(self._read(key).contiguous().view(torch.uint8).numpy().tobytes())
        return found.digest()

    # ---- What is added ---------------------------------------------------------------------

    def _delta(self, change: Change) -> Tensor:
        a, b = self._read(change.a), self._read(change.b)
        if change.expert is not None:  # its rank lies apart in A, and every E-th column in B
            e, count = change.expert
            rank = len(a) // count
            a, b = a[e * rank : (e + 1) * rank], b[:, e::count]
        left, right = (a.T, b.T) if change.flipped else (b, a)
        return (left[slice(*change.rows)] @ right) * change.scaling

    def _read(self, key: str) -> Tensor:
        found = self.store.read(key, None)
        assert isinstance(found, Tensor)  # no format of adapters packs
        return found.float()

    # ---- What the folder holds -------------------------------------------------------------

    def _refuse_others(self) -> None:
        kind = str(self._said.get("peft_type", "")).upper()
        begun = str(self._said.get("init_lora_weights", "")).lower()
        what = "" if kind == "LORA" else f"peft_type {kind or 'missing'!s:.40}"
        what = next((said for key, said in _OTHER_KINDS.items() if self._said.get(key)), what)
        if begun.startswith(_CHANGES_BASE):
            what = f"init_lora_weights {begun!r:.40}, which changes the base"
        if what:
            raise CheckpointError(
                f"{self._file}: {what}; expected plain LoRA. Merge it with peft "
                "(merge_and_unload), save the result, and load that."
            )

    def _opened(self) -> Store:
        for name, opened in (
            ("adapter_model.safetensors", open_safetensors),
            ("adapter_model.bin", open_pickles),
        ):
            path = self.folder / name
            if path.is_file():
                here = (path.local or path) if isinstance(path, HubPath) else path
                return opened([here])
        raise CheckpointError(
            f"{self.folder}: has no adapter_model.safetensors (nor .bin) beside "
            "adapter_config.json. Download it into this folder."
        )

    def _assign(self) -> None:
        """Which stored tensors change which canonical one."""
        modules = {hugging_face(name).removesuffix(".weight"): name for name in self._shapes}
        modules |= {m.replace(".block_sparse_moe.", ".mlp."): name for m, name in modules.items()}
        pairs: dict[tuple[str, str], dict[str, str]] = {}
        for key in self.store.headers:
            plain = key.removeprefix("base_model.model.").replace(".default", "")
            factor = _FACTOR.fullmatch(plain)
            if factor is not None:
                pair = pairs.setdefault((factor[1], factor[2]), {})
                if pair.setdefault(factor[3], key) != key:
                    raise self._twice(key, pair[factor[3]])
                continue
            module = re.sub(r"\.(modules_to_save|base_layer|weight)(?=\.|$)", "", plain)
            name = modules.get(module)
            if name is None or not plain.endswith(".weight"):
                raise self._strange(key)
            self._fits(key, self._shapes[name])
            if self._replaced.setdefault(name, key) != key:
                raise self._twice(key, self._replaced[name])
        for (module, _), pair in pairs.items():
            if pair.keys() != {"A", "B"}:
                raise self._strange(next(iter(pair.values())))
            if module in modules:
                self._plain(modules[module], module, pair)
            elif module.endswith(".mlp.experts"):
                self._fused(module, pair)
            else:
                raise self._strange(pair["A"])
        if not self.names():
            raise CheckpointError(f"{self.folder}: the adapter holds no tensor. Download it again.")

    def _plain(self, name: str, module: str, pair: Mapping[str, str]) -> None:
        """The change of one module's matrix."""
        height, width = self._shapes[name]
        rank, scaling = self._rank(module)
        # Of an embedding the factors are stored the other way round.
        flipped = "lora_embedding" in pair["A"]
        tall, wide = (width, height) if flipped else (height, width)
        self._fits(pair["A"], (rank, wide))
        self._fits(pair["B"], (tall, rank))
        self._add(name, Change(pair["A"], pair["B"], scaling, flipped=flipped))

    def _fused(self, module: str, pair: Mapping[str, str]) -> None:
        """The change of one of the two parameters that hold a layer's experts: shapes say which."""
        c, layer = self._config, module.split(".")[2]
        E, F, D = c.experts, c.expert_size, c.hidden_size
        sizes = (self._shape(pair["B"])[0], self._shape(pair["A"])[-1])
        known = {"gate_up_proj": (2 * F, D), "down_proj": (D, F)}
        fitting = [name for name, size in known.items() if sizes in (size, size[::-1])]
        if not fitting:
            raise self._strange(pair["A"])
        parameter = fitting[0]
        rank, scaling = self._rank(f"{module}.{parameter}")
        self._fits(pair["A"], (rank * E, sizes[1]))
        self._fits(pair["B"], (sizes[0], rank * E))
        halves = {"w1": (0, F), "w3": (F, 2 * F)}
        parts = halves if parameter == "gate_up_proj" else {"w2": (0, D)}
        for e in range(E):
            for matrix, rows in parts.items():
                name = f"layers.{layer}.moe.experts.{e}.{matrix}.weight"
                # The first peft that knew such parameters took their sides the other way round.
                flipped = sizes != known[parameter]
                self._add(name, Change(pair["A"], pair["B"], scaling, (e, E), rows, flipped))

    def _add(self, name: str, change: Change) -> None:
        if name not in self._shapes:
            raise self._strange(change.a)
        if self._changes.setdefault(name, change) != change:
            raise self._twice(change.a, self._changes[name].a)

    def _rank(self, module: str) -> tuple[int, float]:
        """Rank and scaling of a module: its own where a pattern names it, else everybody's."""
        rank = self._number(self._ranks.of(module), "r")
        alpha = self._number(self._alphas.of(module), "lora_alpha")
        root = math.sqrt(rank) if self._said.get("use_rslora") else rank
        return int(rank), alpha / root

    def _number(self, own: Any, key: str) -> float:
        value: Any = self._said.get(key) if own is None else own
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = is_number and value == value // 1 >= 1 if key == "r" else is_number
        if whole and abs(value) < _MOST:
            return value
        raise CheckpointError(
            f"{self._file}: {key} is {value!r:.40}; expected {'a whole' if key == 'r' else 'a'} "
            f"number below {_MOST:,}. Download it again."
        )

    # ---- What does not fit -----------------------------------------------------------------

    def _shape(self, key: str) -> Sequence[int]:
        return self.store.headers[key].shape

    def _fits(self, key: str, shape: tuple[int, ...]) -> None:
        if tuple(self._shape(key)) != shape:
            raise CheckpointError(
                f"{self.store.headers[key].file}: {key} has shape {tuple(self._shape(key))}; with "
                f"this model and {self._file.name} expected {shape}. Does the adapter belong to "
                f"{self._said.get('base_model_name_or_path') or 'another model'!s:.80}, or was the "
                "vocabulary extended? Merge it with peft (merge_and_unload), and load the result."
            )

    def _twice(self, key: str, other: str) -> CheckpointError:
        return CheckpointError(
            f"{self.store.headers[key].file}: {key} and {other} change the same weights. Expected "
            "one adapter in one folder: download it again."
        )

    def _strange(self, key: str) -> CheckpointError:
        return CheckpointError(
            f"{self.store.headers[key].file}: {key} changes nothing that a Mixtral of this shape "
            "has, or not by LoRA alone. Expected pairs lora_A and lora_B of its matrices; merge "
            "the adapter with peft (merge_and_unload), and load the result."
        )
