# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are a checkpoint: its weights, and what describes them.

In: a folder or a file, on this disk or on the Hub. Out: `Found`. Names of files decide, in any
case of letters; none is opened but the index of shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from ..files import small_text
from .gguf.file import split_stem
from .hub.repository import HubPath
from .refusals import adapter_alone, how_to_get, listed

#: What reading a malformed JSON file can raise.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)

#: Endings of weights, and their names where they are in one file; what comes first is taken.
_SINGLES = {
    ".safetensors": ("model.safetensors",),
    ".bin": ("pytorch_model.bin", "model.bin"),
    ".pt": (),
    ".pth": (),
}
_SHARD = re.compile(r"(?:model|pytorch_model)-\d{5}-of-(\d{5})(\.safetensors|\.bin)")

#: GGUF files beside a model that hold something else.
_BESIDE = ("mmproj", "imatrix")

Place = Path | HubPath


@dataclass(frozen=True)
class Found:
    """The files of weights, and the file that describes them: a config, or the GGUF itself."""

    weights: Sequence[Place]
    described: Place

    @property
    def form(self) -> str:
        """The weights' ending, in small letters."""
        return self.weights[0].suffix.lower()


def recognise(place: Place, expected: str) -> Found:
    """The checkpoint in a folder, or the GGUF file that was named.

    Raises `CheckpointError` where there is none, or more than one; it says what is there.
    """
    if not place.is_dir():
        if place.suffix.lower() != ".gguf":
            raise CheckpointError(f"{place}: a single file, and not a .gguf. {expected}")
        return Found([place], place)
    files = {path.name.lower(): path for path in sorted(place.iterdir())}
    config = files.get("config.json") or files.get("params.json")
    weights = _plain(files)
    if weights and config:
        return Found(weights, config)
    packed = _packed(place, files)
    if packed:
        return Found([packed], packed)
    if "adapter_config.json" in files:
        raise adapter_alone(place, files["adapter_config.json"])
    if weights:
        raise CheckpointError(
            f"{place}: {weights[0].name} has no config.json (nor params.json) beside it; found "
            f"{listed(place)}. Download it into this folder: it says how large the model is."
        )
    if config:
        raise CheckpointError(
            f"{place}: there are no weights beside {config.name}: expected model.safetensors or "
            "pytorch_model.bin, or shards with their index (model.safetensors.index.json); "
            "consolidated.* (.safetensors, .pt or .pth); or a .gguf; found "
            f"{listed(place)}. {how_to_get(place)}"
        )
    raise CheckpointError(f"{place}: is not a checkpoint folder: found {listed(place)}. {expected}")


def _plain(files: Mapping[str, Place]) -> Sequence[Place]:
    """Weights of a folder that are not GGUF, in the first form that is found.

    Safetensors come first: they can be read in parts.
    """
    for ending, singles in _SINGLES.items():
        for name in singles:
            if name in files:
                return [files[name]]
            if index := files.get(f"{name}.index.json"):
                return shards(index, files)
        if parts := _unlisted(files, ending) or _consolidated(files, ending):
            return parts
    ours = [name for name in files if name.endswith(".safetensors")]
    return [files[ours[0]]] if len(ours) == 1 and not ours[0].startswith("adapter") else []


def _consolidated(files: Mapping[str, Place], ending: str) -> Sequence[Place]:
    """Mistral's own files."""
    return [p for n, p in files.items() if n.startswith("consolidated") and n.endswith(ending)]


def shards(index: Place, files: Mapping[str, Place]) -> Sequence[Place]:
    """The files that an index of shards names, all of them there.

    Raises `CheckpointError` where the index is damaged, names anything but files of its kind beside
    it, or names files that are missing.
    """
    kind = index.name.lower().removesuffix(".index.json").rpartition(".")[2]
    try:
        weight_map = json.loads(small_text(index))["weight_map"]
        names = sorted(set(weight_map.values()))
    except _DAMAGED as error:
        raise CheckpointError(
            f"{index}: expected a JSON object with a weight_map ({error}). Download it again."
        ) from error
    for name in names:
        is_beside = isinstance(name, str) and Path(name).name == name
        if not (is_beside and name.lower().endswith(f".{kind}")):
            raise CheckpointError(
                f"{index}: {name!r} is not the name of a {kind} file beside it. Download "
                "it again from where the weights came from."
            )
    missing = [name for name in names if name.lower() not in files]
    if missing:
        raise CheckpointError(
            f"{index.parent}: {len(missing)} of {len(names)} shards are missing, the first is "
            f"{missing[0]!r}. {how_to_get(index.parent)}"
        )
    return [files[name.lower()] for name in names]


def _unlisted(files: Mapping[str, Place], ending: str) -> Sequence[Place]:
    """Shards without their index, for which their names make up."""
    matches = {name: match for name in files if (match := _SHARD.fullmatch(name))}
    parts = [files[name] for name, match in matches.items() if match[2] == ending]
    counts = {int(match[1]) for match in matches.values() if match[2] == ending}
    if parts and {len(parts)} != counts:
        raise CheckpointError(
            f"{parts[0].parent}: {len(parts)} shards like {parts[0].name} are here, and their "
            f"names say {max(counts)}. {how_to_get(parts[0].parent)}"
        )
    return parts


def _packed(folder: Place, files: Mapping[str, Place]) -> Place | None:
    """The GGUF file of a folder, or of a folder in it; where there are several, a refusal."""
    here = _models(files.values())
    if not here:
        inside = [path for path in files.values() if path.is_dir()]
        here = _models(path for each in inside for path in _readable(each))
    if len(here) > 1:
        names = [str(path.relative_to(folder)) for path in here]  # type: ignore[arg-type]
        example = f"{folder}/{names[0]}"
        if isinstance(folder, HubPath):
            example = f"{folder.repo.title}/{names[0]}"
        raise CheckpointError(
            f"{folder}: holds {len(here)} GGUF files: {', '.join(names[:20])}. Expected one; name "
            f"the one that you want, {example!r} for instance."
        )
    return here[0] if here else None


def _models(paths: Iterable[Place]) -> list[Place]:
    """The GGUF files among these, of those that were split the first part."""
    packed = [
        path
        for path in paths
        if path.suffix.lower() == ".gguf" and not path.name.lower().startswith(_BESIDE)
    ]
    firsts: dict[tuple[str, str], Place] = {}
    for path in sorted(packed):  # type: ignore[type-var]
        firsts.setdefault((str(path.parent), split_stem(path) or path.name), path)
    return list(firsts.values())


def _readable(folder: Place) -> list[Place]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
