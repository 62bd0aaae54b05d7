# SPDX-License-Identifier: Apache-2.0
"""From a source to a `Checkpoint`, one way: where it is, what describes it, where its weights are.

In: what the user names: the embedded model, a folder, a file, or a repository on the Hub. Out: a
mapping of canonical names to tensors; only headers have been read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import MixtralConfig, read_json
from ..errors import CheckpointError, ConfigError, OtherFamilyError
from ..files import EMBEDDED, embedded_folder
from .adapter import Adapter
from .fp8 import scaled
from .gguf.file import open_gguf
from .gguf.vocabulary import GGUFVocabulary
from .hub.opening import from_cache, open_hub
from .hub.repository import HubPath, parse
from .mapping import Checkpoint
from .pickles import open_pickles
from .quantised import scheme
from .recognise import recognise
from .refusals import refuse_pointer
from .safetensors import open_safetensors
from .vocabulary import FolderVocabulary

_EXPECTED = (
    f"Expected '{EMBEDDED}', the embedded model; a folder in Hugging Face's form (config.json, "
    "model.safetensors or its shards, tokenizer.json or tokenizer.model) or in Mistral's "
    "(params.json, consolidated.*); a .gguf file; or a repository on the Hub, as org/name, "
    "org/name@revision, or org/name/file.gguf."
)


def open_checkpoint(
    source: str | Path, cache_gb: float = 0.0, adapter: str | Path | None = None
) -> Checkpoint:
    """Open the embedded model (`"8x7m"`), a folder of weights, a GGUF file, or a name on the Hub.

    A name on the Hub is `org/name`, `org/name@revision`, or `org/name/file.gguf`; a folder or file
    of that name on this disk comes first, and where there is a folder `org`, only a name with a
    revision means the Hub. What lies in Hugging Face's cache is read from there;
    `cache_gb` is how much of what is read from the Hub may be kept on disk. `adapter` is the
    folder, or the name on the Hub, of a LoRA adapter to merge.

    Raises `CheckpointError` for anything else, and for files that are missing or damaged;
    `ConfigError` where they describe another architecture.
    """
    place = _located(source, cache_gb)
    found = recognise(place, _EXPECTED)
    folder, described = found.described.parent, found.described
    weights = [(w.local or w) if isinstance(w, HubPath) else w for w in found.weights]
    for path in (*weights, described, folder / "tokenizer.model", folder / "tokenizer.json"):
        refuse_pointer(path)
    if found.form == ".gguf":
        metadata, store = open_gguf(found.weights[0])
        config, added = _named(_gguf_config(metadata, described), place, adapter)
        vocabulary = GGUFVocabulary(metadata, described, config.vocab_size)
        return Checkpoint(described, config, "its metadata", store, vocabulary, added)
    raw = read_json(described)
    try:
        config, added = _named(MixtralConfig.from_file(described), place, adapter)
    except OtherFamilyError as error:
        error.described = described
        raise
    opener = open_safetensors if found.form == ".safetensors" else open_pickles
    store = scaled(opener(weights), scheme(raw, described), str(described))
    vocabulary = FolderVocabulary(folder, config.vocab_size)
    return Checkpoint(folder, config, described.name, store, vocabulary, added)


def _located(source: str | Path, cache_gb: float) -> Path | HubPath:
    """The folder or file that a source names: on this disk, else on the Hub."""
    if not isinstance(source, str | os.PathLike):
        raise CheckpointError(f"A source is a text or a path, found {source!r:.80}. {_EXPECTED}")
    if str(source) == EMBEDDED:
        return embedded_folder()
    # os.path, unlike pathlib, takes any name: one too long, or of a user who does not exist.
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):
        return from_cache(path) or path
    name = parse(str(source))
    if name is None:
        raise CheckpointError(f"{source}: there is no such folder or file. {_EXPECTED}")
    first = str(source).split("/")[0]
    if os.path.isdir(first) and "@" not in str(source):
        raise CheckpointError(
            f"{source}: there is no such folder or file, though there is a folder {first}; the Hub "
            f"was not asked. If you mean a name on the Hub, say its revision: "
            f"{name.repository}@main{'/' + name.file if name.file else ''}."
        )
    return open_hub(name, cache_gb)


def _named(
    config: MixtralConfig, place: Path | HubPath, adapter: str | Path | None
) -> tuple[MixtralConfig, Adapter | None]:
    """Under the name that people know it by, on the Hub org/name, with that of its adapter."""
    name = place.repo.title if isinstance(place, HubPath) else config.name
    added = None if adapter is None else Adapter(_located(adapter, 0.0), config)
    name = name if added is None else f"{name} + {added.name}"
    return replace(config, name=name), added


def _gguf_config(metadata: Mapping[str, Any], path: Path | HubPath) -> MixtralConfig:
    said = metadata.get("general.name")
    name = "".join(filter(str.isprintable, said))[:80].strip() if isinstance(said, str) else ""
    try:
        return MixtralConfig.from_gguf(metadata, name or path.stem, where=str(path))
    except ConfigError as error:  # some of its errors do not name the file
        raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error
