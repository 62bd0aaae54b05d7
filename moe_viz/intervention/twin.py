# SPDX-License-Identifier: Apache-2.0
"""The model that was never trained: the control beside every claim about routing."""

from __future__ import annotations

from ..costs import ledger
from ..errors import PlacementError
from ..model import Mixtral, initialise
from ..placement.memory import available_memory

#: The seed from which 8x7m was trained (weights/8x7m/training.json): its own step 0.
STEP_0 = 20261123


def untrained_twin(model: Mixtral, seed: int = STEP_0) -> Mixtral:
    """A model of the same architecture with random weights: the control beside every claim.

    Resident on the CPU in float32, stamped "random weights". The default seed makes 8x7m's own
    step 0. Raises `PlacementError` where it does not fit into memory.

    >>> import moe_viz as mv
    >>> twin = mv.untrained_twin(mv.load("8x7m"))
    >>> twin.provenance.title
    '8x7m · float32 · random weights, seed 20261123'
    """
    needed, there = ledger(model.config).bytes("float32"), available_memory()
    if needed > there:
        raise PlacementError(
            f"The untrained twin of {model.config.name} takes {needed / 2**30:.1f} GiB, and "
            f"{there / 2**30:.1f} GiB are free. Take the twin of a smaller model, or a machine "
            "with more memory."
        )
    twin = initialise(Mixtral(model.config), seed).requires_grad_(False)
    twin.tokenizer, twin.unread, twin.ends = model.tokenizer, model.unread, model.ends
    return twin
