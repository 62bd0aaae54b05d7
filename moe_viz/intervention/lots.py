# SPDX-License-Identifier: Apache-2.0
"""Random numbers for tokens and experts that depend only on seed, layer, row and expert.

In: a seed, a layer, and the tokens' rows. Out: the same numbers however tokens are packed or
chunked, on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def drawn_lots(seed: int, layer: int, tokens: Tensor, E: int) -> Tensor:
    """A number in [0, 1) for each token and expert, (T, E).

    A hash (splitmix64) instead of a generator: the same however tokens are packed or chunked.

    >>> whole = drawn_lots(0, 1, torch.arange(6), 8)
    >>> torch.equal(whole[4:], drawn_lots(0, 1, torch.arange(4, 6), 8))
    True
    """
    place = tokens[:, None] * E + torch.arange(E, device=tokens.device)
    x = place + _signed(0x9E3779B97F4A7C15 * (seed * 1_000_003 + layer + 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return _shifted(x ^ _shifted(x, 31), 40).float() / 2**24


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shifted right with zeros, as an unsigned number would be."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    """The signed number with the same low 64 bits."""
    x &= 2**64 - 1
    return x - 2**64 if x >= 2**63 else x
