"""Where weights come from: one lazy mapping of canonical names to tensors, whatever the format.

`open_checkpoint(source)` reads headers only. The model asks for canonical names (`layout.py`) and
never knows where a tensor came from.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..embedded import EMBEDDED, embedded_folder
from ..errors import CheckpointError
from .safetensors import SafetensorsCheckpoint, save_checkpoint

__all__ = ["embedded_folder", "open_checkpoint", "save_checkpoint"]


def open_checkpoint(source: str | Path) -> SafetensorsCheckpoint:
    """Open the embedded model (`"8x7m"`) or a folder in Hugging Face's form.

    Raises `CheckpointError` for anything else, and for files that are missing or damaged.
    """
    is_embedded = str(source) == EMBEDDED
    # os.path, unlike pathlib, takes any name: too long, or of a user who does not exist.
    folder = embedded_folder() if is_embedded else Path(os.path.expanduser(source))
    if not os.path.exists(folder):
        raise CheckpointError(
            f"{source}: there is no such folder. Expected '{EMBEDDED}', the embedded model, or a "
            "folder with config.json, model.safetensors (or shards) and tokenizer.model."
        )
    if not (folder / "config.json").is_file():
        found = sorted(p.name for p in folder.iterdir())[:8] if folder.is_dir() else "a single file"
        raise CheckpointError(
            f"{folder}: is not a checkpoint folder. Expected config.json and model.safetensors in "
            f"it, found {found}."
        )
    return SafetensorsCheckpoint(folder)
