# SPDX-License-Identifier: Apache-2.0
"""A model before its training: random weights, the same for the same seed."""

from __future__ import annotations

import torch

from ..trace.provenance import RANDOM_WEIGHTS, Provenance
from .mixtral import Mixtral


def initialise(model: Mixtral, seed: int) -> Mixtral:
    """Fill a model with random weights, the same for the same seed: the untrained model.

    Normal, of deviation 1 in the embedding and 1/√(3·inputs) in all other matrices, which is how
    wide torch's own linear layers are; norms are ones. 8x7m was trained from here. An embedding of
    0.02, as transformers has it, would be as short as what attention adds to it, and an untrained
    router would already tell whole texts apart. Made on the CPU in float32, so that a seed means
    the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                values = torch.ones(parameter.shape)
            else:
                values = torch.empty(parameter.shape).normal_(generator=generator)
                inputs = parameter.shape[1]
                values *= (1 if name == "embedding.weight" else (3 * inputs) ** -0.5) / values.std()
            parameter.copy_(values)
    model.origin = Provenance(
        model=model.config.name,
        weights=f"{RANDOM_WEIGHTS}, seed {seed}",
    )
    return model
