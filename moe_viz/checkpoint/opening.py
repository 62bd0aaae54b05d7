"""From a source to a `Checkpoint`, one way: where it is, what describes it, where its weights are.

In: what the user names: the embedded model, a folder, a file, or a repository on the Hub. Out: a
mapping of canonical names to tensors; only headers have been read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import MixtralConfig
from ..embedded import EMBEDDED, embedded_folder
from ..errors import CheckpointError, ConfigError
from .gguf.file import open_gguf, whole_split
from .gguf.vocabulary import GGUFVocabulary
from .hub.repository import HubPath, open_hub, parse
from .mapping import Checkpoint
from .pickles import open_pickles
from .safetensors import INDEX, SINGLE, open_safetensors, shards
from .vocabulary import FolderVocabulary

_EXPECTED = (
    f"Expected '{EMBEDDED}', the embedded model; a folder in Hugging Face's form (config.json, "
    "model.safetensors or its shards, tokenizer.model) or in Mistral's (params.json, "
    "consolidated.*); a .gguf file; or a repository on the Hub, as org/name, org/name@revision, or "
    "org/name/file.gguf."
)


def open_checkpoint(source: str | Path, cache_gb: float = 0.0) -> Checkpoint:
    """Open the embedded model (`"8x7m"`), a folder of weights, a GGUF file, or a name on the Hub.

    A name on the Hub is `org/name`, `org/name@revision`, or `org/name/file.gguf`; a folder or file
    of that name on this disk comes first. `cache_gb` is how much of what is read from the Hub may
    be kept on disk.

    Raises `CheckpointError` for anything else, and for files that are missing or damaged;
    `ConfigError` where they describe another architecture.
    """
    described = _description(_located(source, cache_gb))
    if described.suffix == ".gguf":
        metadata, store = open_gguf(described)
        config = _gguf_config(metadata, described)
        vocabulary = GGUFVocabulary(metadata, described, config.vocab_size)
        return Checkpoint(described, config, "its metadata", store, vocabulary)
    folder, config = described.parent, MixtralConfig.from_file(described)
    weights = _weights_beside(described)
    store = open_pickles(weights) if weights[0].suffix == ".pt" else open_safetensors(weights)
    vocabulary = FolderVocabulary(folder, config.vocab_size)
    return Checkpoint(folder, config, described.name, store, vocabulary)


def _located(source: str | Path, cache_gb: float) -> Path | HubPath:
    """The folder or file that a source names: on this disk, else on the Hub."""
    if str(source) == EMBEDDED:
        return embedded_folder()
    # os.path, unlike pathlib, takes any name: one too long, or of a user who does not exist.
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):
        return path
    name = parse(str(source))
    if name is None:
        raise CheckpointError(f"{source}: there is no such folder or file. {_EXPECTED}")
    return open_hub(name, cache_gb)


def _description(path: Path | HubPath) -> Path | HubPath:
    """The file that says what a checkpoint is: its config, Hugging Face's before Mistral's; or a
    GGUF file, which holds the weights too.
    """
    if not path.is_dir():
        if path.suffix != ".gguf":
            raise CheckpointError(f"{path}: a single file, and not a .gguf. {_EXPECTED}")
        return path
    for name in ("config.json", "params.json"):
        if (path / name).is_file():
            return path / name
    packed = sorted(path.glob("*.gguf"))
    if len(packed) == 1 or whole_split(packed):
        return packed[0]
    found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    raise CheckpointError(f"{path}: is not a checkpoint folder: found {found}. {_EXPECTED}")


def _weights_beside(config: Path | HubPath) -> Sequence[Path | HubPath]:
    """The weights that this file describes, in the first form that is found."""
    folder = config.parent
    forms: list[Sequence[Path | HubPath]] = []
    if config.name == "config.json":
        single, index = folder / SINGLE, folder / INDEX
        forms.append([single] if single.is_file() else [])
        forms.append(shards(index) if index.is_file() and not single.is_file() else [])
    forms += (sorted(folder.glob(f"consolidated*.{end}")) for end in ("safetensors", "pt"))
    weights = next(filter(None, forms), None)
    if weights is None:
        raise CheckpointError(
            f"{folder}: there are no weights beside {config.name}: expected {SINGLE}, or shards "
            f"with {INDEX}, or consolidated.*.safetensors or .pt; found none. Download the "
            "weights into this folder."
        )
    return weights


def _gguf_config(metadata: Mapping[str, Any], path: Path | HubPath) -> MixtralConfig:
    said = metadata.get("general.name")
    name = "".join(filter(str.isprintable, said))[:80].strip() if isinstance(said, str) else ""
    try:
        return MixtralConfig.from_gguf(metadata, name or path.stem, where=str(path))
    except ConfigError as error:  # some of its errors do not name the file
        raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error
