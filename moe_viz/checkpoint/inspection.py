# SPDX-License-Identifier: Apache-2.0
"""What is in a checkpoint, from its headers alone: format, shape, sizes, types.

In: anything that `load` takes. Out: findings, one line each. Only the weights of routers and norms
are read, for the fingerprint, so even 87 GiB take a moment.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..costs import ledger
from .opening import Checkpoint, open_checkpoint


def inspect(source: str | Path) -> list[tuple[str, str]]:
    """Findings about a checkpoint by name, in reading order.

    Raises `CheckpointError`, `ConfigError` or `TokenizerError` where `load` would.

    >>> dict(inspect("8x7m"))["layers"]
    '6, each with 8 experts; a token goes to 2 of them'
    """
    checkpoint = open_checkpoint(source)
    c, books = checkpoint.config, ledger(checkpoint.config)
    files = {header.file for header in checkpoint.headers}
    stored = sum(header.size for header in checkpoint.headers)
    remote = [("read from", checkpoint.revision)] if checkpoint.revision else []
    return [
        ("model", c.name),
        *remote,
        ("layout", checkpoint.layout),
        ("files", f"{len(files)}, {readable(stored)} of tensors"),
        ("stored as", _kinds(checkpoint, stored)),
        ("parameters", f"{books.total:,}; a token uses {books.active:,} of them"),
        ("layers", f"{c.layers}, each with {c.experts} experts; a token goes to "
                   f"{c.experts_per_token} of them"),
        ("widths", f"hidden {c.hidden_size}, expert {c.expert_size}, {c.heads} query heads and "
                   f"{c.kv_heads} key heads of {c.head_dim}"),
        ("vocabulary", f"{c.vocab_size:,} tokens"),
        ("context", f"{c.context:,} tokens, RoPE theta {c.rope_theta:,.0f}"),
        ("in memory", f"{_memory(checkpoint, torch.float32)} exact (float32), "
                      f"{_memory(checkpoint, torch.bfloat16)} in bfloat16"),
        ("fingerprint", checkpoint.fingerprint()),
    ]  # fmt: skip


def _kinds(checkpoint: Checkpoint, stored: int) -> str:
    shares = (f"{kind} {size / stored:.1%}" for kind, size in checkpoint.kinds.items())
    return ", ".join(shares)


def _memory(checkpoint: Checkpoint, dtype: torch.dtype) -> str:
    return readable(checkpoint.memory(dtype))


def readable(count: float) -> str:
    """A number of bytes in units that a person reads easily."""
    large = count >= 2**30
    return f"{count / 2**30:,.2f} GiB" if large else f"{count / 2**20:,.1f} MiB"
