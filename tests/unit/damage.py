# SPDX-License-Identifier: Apache-2.0
"""What tests of damaged checkpoints share: a small shape, and what opening one should lead to."""

from __future__ import annotations

from pathlib import Path

import torch

from moe_viz.checkpoint import open_checkpoint
from moe_viz.errors import ConfigError, MoeVizError
from tests.conftest import small_config
from tests.unit.test_checkpoint import ADVICE

TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "a", "▁a", "<|end|>"]


def config_of(**changes):
    # Widths that blocks of 32 divide; experts wider than the hidden states, to tell them apart.
    shape = {"hidden_size": 64, "expert_size": 96, "layers": 1, "vocab_size": len(TOKENS)}
    return small_config(**{**shape, **changes})


def opened_fully(source) -> None:
    """Open it, and read whatever loading would read."""
    checkpoint = open_checkpoint(source)
    checkpoint.vocabulary.tokenizer().encode("a a")
    for name in checkpoint:
        checkpoint[name]
    checkpoint.fingerprint()


def same(ours, theirs) -> bool:
    return set(ours) == set(theirs) and all(torch.equal(ours[n], theirs[n]) for n in theirs)


def says_enough(error: MoeVizError, path: Path) -> bool:
    """Its message names the file, and says what to do next."""
    advises = isinstance(error, ConfigError) or ADVICE.search(str(error))
    return bool(advises and str(path) in str(error))


def complaint(path: Path, shapes: dict, opening) -> str:
    """What is wrong with how a damaged file is opened: it should give an error, or these shapes."""
    try:
        found = opening(path)
    except MoeVizError as error:
        return "" if says_enough(error, path) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"RAW {type(error).__name__}: {error}"
    got = {name: tuple(found[name].shape) for name in found} if found is not None else shapes
    return "" if got == shapes else "other shapes"
