# SPDX-License-Identifier: Apache-2.0
"""What follows from a trace's numbers, and where they are none."""

from __future__ import annotations

import numpy as np


def margins_of(logits: np.ndarray, k: int) -> np.ndarray:
    """k-th largest logit minus the next: (…, E) → (…). Infinite where k = E, NaN beside a NaN.

    >>> margins_of(np.array([[3.0, 1.0, 2.5, 0.0], [3.0, np.nan, 2.5, 0.0]]), 2)
    array([1.5, nan])
    """
    E = logits.shape[-1]
    if k == E:
        return np.full(logits.shape[:-1], np.inf, np.float32)
    ranked = np.partition(logits, [E - k - 1, E - k, E - 1], axis=-1)  # NaN counts as the largest
    margins = ranked[..., E - k] - ranked[..., E - k - 1]
    return np.where(np.isnan(ranked[..., -1]), np.nan, margins).astype(margins.dtype, copy=False)


def not_finite(logits: np.ndarray | None, gates: np.ndarray) -> np.ndarray:
    """Decisions whose logits (L, T, E) or gates (L, T, k) are NaN or infinite, (L, T) bool.

    A logit of −∞ is right for an expert that a layer does not have.
    """
    found = np.zeros(gates.shape[:2], bool)
    for layer, chosen in enumerate(gates):
        found[layer] = ~np.isfinite(chosen.sum(axis=1))
        if logits is not None:
            found[layer] |= ~np.isfinite(logits[layer].max(axis=1))
    return found


def gap_sentence(number: int, of: int) -> str:
    """What a picture or table with gaps says.

    >>> gap_sentence(3, 1200)[:52]
    '3 of 1,200 decisions are gaps: their router logits o'
    """
    return (
        f"{number:,} of {of:,} decisions are gaps: their router logits or gates are NaN or "
        "infinite. Record again with this version, which says where that comes from."
    )
