# SPDX-License-Identifier: Apache-2.0
"""Sending tokens to their experts and adding up what comes back.

In: hidden states (T, D), the chosen experts (T, k) and their gates (T, k). Out: (T, D), for each
token the sum of its experts' outputs, weighted by the gates. The choices are sorted by expert, so
that each expert runs once on all of its tokens; then each token gathers its k results, and adds
them up with their weights. No atomic additions are involved, so the result is the same every time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import NumberError


def run_experts(
    experts: nn.ModuleList, x: Tensor, chosen: Tensor, gates: Tensor, unsound: Tensor | None = None
) -> Tensor:
    """Weighted sum over each token's experts; a slot whose expert is −1 adds nothing.

    `unsound` is a truth value, made on the device, that comes to the host with what must be known
    there anyway. Raises `NumberError` where it is true.
    """
    (T, k), D = chosen.shape, x.shape[1]
    if T == 1:
        return _run_one(experts, x, chosen, gates, unsound)
    # Slot s of token t is number s·T + t. Sorted by expert, unused ones (−1) first:
    experts_of, order = chosen.T.flatten().sort(stable=True)
    bounds = torch.searchsorted(experts_of, torch.arange(len(experts), device=x.device))
    unused, *ends = [*_on_host(bounds, unsound), k * T]  # the one wait for a copy to the host
    rows = x.index_select(0, order % T)  # each token once for every expert it goes to
    outputs = [x.new_zeros(unused, D)]
    for expert, start, end in zip(experts, [unused, *ends], ends, strict=False):
        if start < end:
            outputs.append(expert(rows[start:end]))
    # Where each slot's output is in what follows: the inverse of the sorting.
    places = torch.empty_like(order).index_copy_(0, order, torch.arange(k * T, device=x.device))
    # For each token the rows of its k slots, strongest first, times their gates, summed.
    return functional.embedding_bag(
        places.view(k, T).T.contiguous(),
        torch.cat(outputs),
        mode="sum",
        per_sample_weights=gates.to(x.dtype),
    )


def _run_one(
    experts: nn.ModuleList, x: Tensor, chosen: Tensor, gates: Tensor, unsound: Tensor | None
) -> Tensor:
    """A single token, as in decoding: there is nothing to sort."""
    there = _on_host(chosen[0], unsound)
    outputs = [experts[e](x) if e >= 0 else torch.zeros_like(x) for e in there]
    return gates.to(x.dtype) @ torch.cat(outputs)  # (1, k) @ (k, D)


def _on_host(numbers: Tensor, unsound: Tensor | None) -> list[int]:
    if unsound is None:
        return numbers.cpu().tolist()
    *found, bad = torch.cat([numbers, unsound.view(1)]).cpu().tolist()
    if bad:
        raise NumberError("The router's logits are NaN or infinite.")
    return found
