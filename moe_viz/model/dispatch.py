"""Sending tokens to their experts and adding up what comes back.

In: hidden states (T, D), the chosen experts (T, k) and their gates (T, k). Out: (T, D), for each
token the sum of its experts' outputs, weighted by the gates. The tokens are sorted by expert, so
that each expert runs once on all of its tokens; what it returns is put back in the tokens' order,
and the k results of a token are added strongest first. No atomic additions are involved, so the
result is the same every time, on CUDA too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def run_experts(experts: Sequence[nn.Module], x: Tensor, chosen: Tensor, gates: Tensor) -> Tensor:
    """Weighted sum over each token's experts; a slot whose expert is −1 adds nothing."""
    T, k = chosen.shape
    if T == 1:
        return _run_one(experts, x, chosen, gates)
    flat = chosen.flatten()  # (T·k,): slot s of token t at t·k + s
    order = flat.argsort(stable=True)  # assignments expert by expert, unused ones (−1) first
    tokens_of = flat[:, None] == torch.arange(-1, len(experts), device=x.device)
    unused, *counts = tokens_of.sum(0).cpu().tolist()  # the one look at the host in a layer
    order = order[unused:]

    rows = x.index_select(0, order // k)  # each token once for every expert it goes to
    outputs = [
        expert(group)
        for expert, group in zip(experts, rows.split(counts), strict=True)
        if len(group)
    ]
    result = x.new_zeros(T * k, x.shape[1])
    if outputs:
        result = result.index_copy(0, order, torch.cat(outputs))
    return (result.view(T, k, -1) * gates[:, :, None]).sum(1).to(x.dtype)  # summed in float32


def _run_one(experts: Sequence[nn.Module], x: Tensor, chosen: Tensor, gates: Tensor) -> Tensor:
    """A single token, as in decoding: there is nothing to sort."""
    outputs = [experts[e](x) if e >= 0 else torch.zeros_like(x) for e in chosen[0].cpu().tolist()]
    return (torch.cat(outputs) * gates[0, :, None]).sum(0, keepdim=True).to(x.dtype)
