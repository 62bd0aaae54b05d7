# SPDX-License-Identifier: Apache-2.0
"""Where a guest comes from: its configuration, and its files on the disk.

In: a folder, or a repository, which is downloaded whole: a guest is not read in parts. Out: what
transformers reads of it; or an error that says by its name why it can be no guest.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..checkpoint.hub.errors import explained
from ..checkpoint.hub.repository import HubPath
from ..config import read_json
from ..errors import CheckpointError, MissingDependencyError, first_line
from ..progress import tell
from .families import FAMILIES

#: transformers' routers have had one form since then.
FLOOR = (5, 24)
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


def transformers_here() -> Any:
    """The package; `MissingDependencyError` where it is missing or too old."""
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "This is another family of mixtures than Mixtral's, which transformers runs: "
            "pip install 'moe-viz[guests]'."
        ) from error
    found = tuple(int(n) for n in transformers.__version__.split(".")[:2])
    if found < FLOOR:
        raise MissingDependencyError(
            f"transformers {transformers.__version__} is here, and its routers have another form: "
            f"expected {'.'.join(map(str, FLOOR))} or later. pip install -U 'moe-viz[guests]'."
        )
    return transformers


def refuse_unknown(raw: dict[str, Any], where: Path | HubPath) -> None:
    """Raise `CheckpointError` for what cannot be a guest, by its name."""
    kind = model_type_of(raw)
    if kind in FAMILIES:
        return
    if "auto_map" in raw and kind not in FAMILIES:
        raise CheckpointError(
            f"{where}: {kind} comes with code of its own (auto_map), which is not run. If you "
            "trust it, load it with transformers (trust_remote_code=True), and give the model to "
            "moe_viz.guest."
        )
    raise CheckpointError(
        f"{where}: model_type {kind!r} is no mixture of experts that can be recorded: dense "
        "models have no router. Known families: " + ", ".join(sorted(FAMILIES)) + "."
    )


def model_type_of(raw: dict[str, Any]) -> str:
    """The family that a config.json names: of a model that also sees, that of its text part."""
    text = raw.get("text_config") or raw.get("thinker_config", {}).get("text_config")
    named = text.get("model_type") if isinstance(text, dict) else None
    return str(named or raw.get("model_type"))


def configuration(folder: Path) -> Any:
    """A folder's configuration, as transformers reads it; its own code is not run.

    Raises `CheckpointError` where it is of no known mixture, or cannot be read.
    """
    transformers = transformers_here()
    refuse_unknown(read_json(folder / "config.json"), folder / "config.json")
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # of many kinds
        raise unreadable(folder, error) from error


def unreadable(where: Path | HubPath, error: Exception) -> CheckpointError:
    """What to say where transformers fails."""
    import transformers

    return CheckpointError(
        f"{where}: transformers {transformers.__version__} cannot load it "
        f"({type(error).__name__}: {first_line(error)}). Update transformers, download the "
        "files again, or load the model yourself and give it to moe_viz.guest."
    )
