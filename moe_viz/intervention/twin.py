# SPDX-License-Identifier: Apache-2.0
"""The model that was never trained: the control beside every claim about routing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import torch

from ..costs import ledger
from ..errors import PlacementError
from ..guests.about import fingerprint_of, versions
from ..guests.guest import Guest, Recordable
from ..model import Mixtral, initialise
from ..placement.memory import available_memory
from ..trace.provenance import RANDOM_WEIGHTS

#: The seed from which 8x7m was trained (weights/8x7m/training.json): its own step 0.
STEP_0 = 20261123


@overload
def untrained_twin(model: Mixtral, seed: int = STEP_0) -> Mixtral: ...


@overload
def untrained_twin(model: Guest, seed: int = STEP_0) -> Guest: ...


def untrained_twin(model: Recordable, seed: int = STEP_0) -> Recordable:
    """A model of the same architecture with random weights: the control beside every claim.

    Resident on the CPU in float32, stamped "random weights". The default seed makes 8x7m's own
    step 0. A guest's twin has the weights that transformers begins the training of its family with.
    Raises `PlacementError` where it does not fit into memory.

    >>> import moe_viz as mv
    >>> twin = mv.untrained_twin(mv.load("8x7m"))
    >>> twin.provenance.title
    '8x7m · float32 · random weights, seed 20261123'
    """
    if isinstance(model, Guest):
        needed = 4 * sum(weight.numel() for weight in model.hf.parameters())
    else:
        needed = ledger(model.config).bytes("float32")
    there = available_memory()
    if needed > there:
        raise PlacementError(
            f"The untrained twin of {model.config.name} takes {needed / 2**30:.1f} GiB, and "
            f"{there / 2**30:.1f} GiB are free. Take the twin of a smaller model, or a machine "
            "with more memory."
        )
    if isinstance(model, Guest):
        return _guest_twin(model, seed)
    twin = initialise(Mixtral(model.config), seed).requires_grad_(False)
    twin.tokenizer, twin.unread, twin.ends = model.tokenizer, model.unread, model.ends
    return twin


def _guest_twin(model: Guest, seed: int) -> Guest:
    kind: Any = type(model.hf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = kind(model.hf.config).float().requires_grad_(False)
    twin = Guest(made, model.tokenizer, model.config.name, model.unread)
    twin.ends = model.ends
    twin.origin = replace(
        twin.origin, weights=f"{RANDOM_WEIGHTS}, seed {seed}", fingerprint=fingerprint_of(twin),
        versions=versions(),
    )  # fmt: skip
    return twin
