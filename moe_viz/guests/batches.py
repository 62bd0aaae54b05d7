# SPDX-License-Identifier: Apache-2.0
"""Prompts in batches of like lengths, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Tokens of a padded batch, its padding counted; and how much of one may be padding.
BATCH, PADDING = 8192, 0.2


def padded_batches(lengths: Sequence[int], room: int = BATCH) -> list[list[int]]:
    """Numbers of prompts in batches of like lengths, each of at most `room` tokens with padding.

    >>> padded_batches([3, 50, 4, 49], room=120)
    [[0, 2], [3, 1]]
    """
    batches: list[list[int]] = []
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        batch = [*batches[-1], n] if batches else []
        size = len(batch) * lengths[n]
        waste = 1 - sum(lengths[m] for m in batch) / size if batch else 1.0
        if batch and size <= room and waste <= PADDING:
            batches[-1] = batch
        else:
            batches.append([n])
    return batches


def padded(token_ids: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Prompts that lie end to end as rows of a batch, and the mask of what is no padding: (B, S).

    >>> [x.tolist() for x in padded(torch.tensor([5, 6, 7]), [1, 2])]
    [[[5, 0], [6, 7]], [[1, 0], [1, 1]]]
    """
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, part in enumerate(token_ids.split(list(lengths))):
        ids[row, : len(part)], mask[row, : len(part)] = part, 1
    return ids, mask
