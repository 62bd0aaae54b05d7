# SPDX-License-Identifier: Apache-2.0
"""What people bring that is no checkpoint: what each thing is called, and what to do instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..files import small_bytes, small_text
from .hub.repository import HubPath

#: How a file begins that git-lfs left in the place of the real one, and how long it is at most.
_POINTER, _POINTER_LENGTH = b"version https://git-lfs", 1024


def listed(folder: Path | HubPath, most: int = 12) -> str:
    """What is in a folder, for a message: "config.json, sub/, …", or "nothing".

    >>> listed(Path("/nowhere/at/all"))
    'nothing'
    """
    try:
        names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir())
    except OSError:
        names = []
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def how_to_get(folder: Path | HubPath) -> str:
    """What to do where files of a checkpoint are missing."""
    if isinstance(folder, HubPath) and folder.repo.alone:
        return (
            f"Only Hugging Face's cache was looked at ({folder.repo.alone}), and it has no more of "
            f"this commit. Download the rest: hf download {folder.repo.name} --revision "
            f"{folder.repo.commit[:12]}."
        )
    if isinstance(folder, HubPath):
        return "The repository has no others. Download the weights from another one."
    return "Download the weights into this folder."


def adapter_alone(folder: Path | HubPath, config: Path | HubPath) -> CheckpointError:
    """An adapter was named where a model was expected."""
    try:
        said: Any = json.loads(small_text(config))
        base = str(said.get("base_model_name_or_path") or "") or "its base"
    except (OSError, ValueError, AttributeError, RecursionError):
        base = "its base"
    name = folder.repo.title if isinstance(folder, HubPath) else str(folder)
    return CheckpointError(
        f"{folder}: is an adapter, which changes the weights of another model and is none by "
        f"itself. Expected the model; load the two together: "
        f"mv.load({base!r:.200}, adapter={name!r})."
    )


def refuse_pointer(path: Path | HubPath) -> None:
    """Refuse a file that git-lfs left in the place of the real one."""
    if isinstance(path, HubPath) or not path.is_file() or path.stat().st_size > _POINTER_LENGTH:
        return
    if small_bytes(path).startswith(_POINTER):
        raise CheckpointError(
            f"{path}: is a git-lfs pointer, {path.stat().st_size} bytes that stand for the real "
            "file. Fetch it with `git lfs pull` in this folder, or download it again."
        )
