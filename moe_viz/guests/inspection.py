# SPDX-License-Identifier: Apache-2.0
"""What is in a checkpoint of any family, from config and headers alone, and whether it fits.

In: anything that `load` takes. Out: findings, one line each.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from ..checkpoint.hub.repository import HubPath
from ..checkpoint.inspection import inspect as inspect_mixtral
from ..checkpoint.inspection import readable
from ..checkpoint.safetensors import headers_of
from ..config import read_json
from ..errors import OtherFamilyError
from ..placement.memory import available_memory
from .ledger import count
from .source import model_type_of, refuse_unknown, transformers_here


def inspect(source: str | Path) -> list[tuple[str, str]]:
    """Findings about a checkpoint by name, in reading order.

    Raises `CheckpointError`, `ConfigError` or `TokenizerError` where `load` would.

    >>> dict(inspect("8x7m"))["layers"]
    '6, each with 8 experts; a token goes to 2 of them'
    """
    try:
        return inspect_mixtral(source)
    except OtherFamilyError as other:
        return _guest(other.described)  # type: ignore[arg-type]


def _guest(described: Path | HubPath) -> list[tuple[str, str]]:
    folder, raw = described.parent, read_json(described)
    transformers = transformers_here()
    refuse_unknown(raw, described)
    config = _config(raw, transformers)
    text, books = config.get_text_config(), count(config)
    weights = [path for path in folder.iterdir() if path.name.endswith(".safetensors")]
    stored = [header for path in weights for header in headers_of(path).values()]
    size = sum(header.size for header in stored)
    kinds = Counter[str]()
    for header in stored:
        kinds[header.kind] += header.size
    context = getattr(text, "max_position_embeddings", None)
    parts = {part.name: part.total for part in books.parts}
    layers, most = books.experts, max(books.experts.values())
    fits = " and ".join(
        name for name in ("float32", "bfloat16") if books.bytes(name) <= available_memory()
    )
    remote = [("read from", f"{folder.repo.name}@{folder.repo.commit}")] if isinstance(
        folder, HubPath
    ) else []  # fmt: skip
    return [
        ("model", folder.repo.title if isinstance(folder, HubPath) else folder.absolute().name),
        ("family", f"{model_type_of(raw)}, run by transformers {transformers.__version__}"),
        *remote,
        ("files", f"{len(weights)}, {readable(size)} of tensors"),
        ("stored as", ", ".join(f"{kind} {n / size:.1%}" for kind, n in kinds.most_common())
                      or "nothing that is read here"),
        ("parameters", f"{books.total:,}; a token uses {books.active:,} of them"),
        ("layers", f"{books.layers}, {len(layers)} of them with experts"),
        ("experts", f"{parts['experts']:,} parameters; {readable(2 * most)} a layer in bfloat16; a "
                    f"token goes to {books.choice}"),
        *([("shared experts", f"{parts['shared experts']:,} parameters, which every token uses")]
          if "shared experts" in parts else []),
        ("vocabulary", f"{text.vocab_size:,} tokens"),
        *([("context", f"{context:,} tokens")] if context else []),
        ("in memory", f"{readable(books.bytes('float32'))} exact (float32), "
                      f"{readable(books.bytes('bfloat16'))} in bfloat16; fits here now: "
                      f"{fits or 'neither, so placement=offload'}"),
    ]  # fmt: skip


def _config(raw: dict[str, Any], transformers: Any) -> Any:
    """The config as transformers reads it, from a folder that holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(raw), encoding="utf-8")
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
