# SPDX-License-Identifier: Apache-2.0
"""A repository whole, in Hugging Face's cache: a guest is not read in parts."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..checkpoint.hub.errors import explained
from ..checkpoint.hub.repository import HubPath
from ..errors import CheckpointError
from ..progress import tell

_WEIGHTS = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.txt")


def downloaded(place: HubPath) -> Path:
    """A repository whole, in Hugging Face's cache, after saying what that takes."""
    from huggingface_hub import constants, hf_hub_download

    repo = place.repo
    wanted = [n for n in repo.sizes if any(Path(n).match(pattern) for pattern in _WEIGHTS)]
    missing = sum(repo.sizes[n] for n in wanted if n not in repo.local)
    cache = Path(constants.HF_HUB_CACHE)
    if missing:
        free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
        said = (
            f"{place}: {missing / 1e9:,.1f} GB are to be downloaded into {cache}, where "
            f"{free / 1e9:,.1f} GB are free"
        )
        if missing > free:
            raise CheckpointError(f"{said}. Make room, or set HF_HUB_CACHE to another disk.")
        tell(f"{said}.")
    with explained(repo.name):
        got = [hf_hub_download(repo.name, n, revision=repo.commit) for n in wanted]
    described = next((path for path in got if Path(path).name == "config.json"), got[0])
    return Path(described).parent
