"""Where weights come from: one lazy mapping of canonical names to tensors, whatever the format.

`open_checkpoint(source)` reads headers only. The model asks for canonical names (`layout.py`) and
never knows where a tensor came from, nor how it was stored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..config import MixtralConfig
from ..embedded import EMBEDDED, embedded_folder
from ..errors import CheckpointError, ConfigError
from .gguf.file import open_gguf, whole_split
from .gguf.vocabulary import sentencepiece_model
from .hub.repository import HubPath, open_hub, parse
from .mapping import Checkpoint
from .pickles import PickleStore
from .safetensors import INDEX, SINGLE, indexed, open_safetensors, save_checkpoint

__all__ = ["Checkpoint", "embedded_folder", "open_checkpoint", "save_checkpoint"]

_EXPECTED = (
    f"Expected '{EMBEDDED}', the embedded model; a folder in Hugging Face's form (config.json, "
    "model.safetensors or its shards, tokenizer.model) or in Mistral's (params.json, "
    "consolidated.*); a .gguf file; or a repository on the Hub, as org/name, org/name@revision, or "
    "org/name/file.gguf."
)


def open_checkpoint(source: str | Path, cache_gb: float = 0.0) -> Checkpoint:
    """Open the embedded model (`"8x7m"`), a folder of weights, a GGUF file, or what the Hub has.

    A name on the Hub is `org/name`, `org/name@revision`, or `org/name/file.gguf`; what is on this
    disk goes before. `cache_gb` is how much of what is read there may be kept on disk.

    Raises `CheckpointError` for anything else, and for files that are missing or damaged;
    `ConfigError` where they describe another architecture.
    """
    is_embedded = str(source) == EMBEDDED
    # os.path, unlike pathlib, takes any name: too long, or of a user who does not exist.
    path = embedded_folder() if is_embedded else Path(os.path.expanduser(source))
    if not os.path.exists(path):
        if parse(str(source)) is None:
            raise CheckpointError(f"{source}: there is no such folder or file. {_EXPECTED}")
        path = open_hub(str(source), cache_gb)
    if path.is_dir():
        return _open_folder(path)
    if path.suffix != ".gguf":
        raise CheckpointError(f"{path}: a single file, and not a .gguf. {_EXPECTED}")
    return _open_gguf(path)


def _open_folder(folder: Path | HubPath) -> Checkpoint:
    """A folder of Hugging Face's or Mistral's; of one that holds both, Hugging Face's."""
    consolidated = sorted(folder.glob("consolidated*.safetensors"))
    pickled = sorted(folder.glob("consolidated*.pt"))
    packed = sorted(folder.glob("*.gguf"))
    if (folder / "config.json").is_file():
        weights = ("config.json", _hugging_face_files(folder) or consolidated)
    elif (folder / "params.json").is_file():
        weights = ("params.json", consolidated)
    elif len(packed) == 1 or whole_split(packed):
        return _open_gguf(packed[0])
    else:
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(f"{folder}: is not a checkpoint folder: found {found}. {_EXPECTED}")
    config = MixtralConfig.from_file(folder / weights[0])
    if not (weights[1] or pickled):
        raise CheckpointError(
            f"{folder}: there are no weights beside {weights[0]}: expected {SINGLE}, or shards "
            f"with {INDEX}, or consolidated.*.safetensors or .pt; found none. Download the "
            "weights into this folder."
        )
    store = open_safetensors(weights[1]) if weights[1] else _open_pickles(pickled)
    return Checkpoint(folder, config, weights[0], store, _tokenizer(folder / "tokenizer.model"))


def _open_pickles(files: Sequence[Path | HubPath]) -> PickleStore:
    here = [file for file in files if isinstance(file, Path)]
    if len(here) < len(files):
        raise CheckpointError(
            f"{files[0]}: a .pt file cannot be read in parts. Download the repository, and give "
            "its folder; or take one that has safetensors files."
        )
    return PickleStore(here)


def _tokenizer(path: Path | HubPath) -> Path | bytes:
    return path if isinstance(path, Path) else path.read_bytes()


def _hugging_face_files(folder: Path | HubPath) -> Sequence[Path | HubPath]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    return indexed(folder / INDEX) if (folder / INDEX).is_file() else []


def _open_gguf(path: Path | HubPath) -> Checkpoint:
    metadata, store = open_gguf(path)
    said = metadata.get("general.name")
    name = "".join(filter(str.isprintable, said))[:80].strip() if isinstance(said, str) else ""
    try:
        config = MixtralConfig.from_gguf(metadata, name or path.stem, where=str(path))
    except ConfigError as error:  # what is impossible is said without the file's name
        raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error
    return Checkpoint(path, config, "its metadata", store, sentencepiece_model(metadata, path))
