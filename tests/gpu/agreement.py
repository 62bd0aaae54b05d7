# SPDX-License-Identifier: Apache-2.0
"""What "the same" means between an accelerator and the CPU.

On the simulated device, which computes with the CPU's kernels: bit for bit. On CUDA: float32 logits
within 1e-4 of the largest, and the same experts wherever the k-th expert's score is clear of the
next.
"""

from __future__ import annotations

import numpy as np
import torch

import moe_viz as mv

LENGTHS = [9, 9, 1, 20, 18]  # two neighbours of equal length, which are attended to as one batch


def same(found: torch.Tensor, expected: torch.Tensor, device: torch.device) -> bool:
    """Bit for bit, or on CUDA within 1e-4 of the largest value."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    found, expected = found.cpu(), expected.cpu()
    if device.type != "cuda":
        return torch.equal(found, expected)
    return close(found, expected)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    difference = (found.cpu().double() - expected.cpu().double()).abs().max()
    return bool(difference <= 1e-4 * expected.abs().max().cpu())


def assert_same_trace(found: mv.Trace, expected: mv.Trace, exact: bool) -> None:
    """Bit for bit; or the same experts where the margin is clear, and logits within 1e-4."""
    for name in ("token_ids", "generated", "special", "spans"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert (found.tokens, found.prompts) == (expected.tokens, expected.prompts)
    assert (found.loss is None) == (expected.loss is None)
    floats = ["router_logits", "gates", *(["loss"] if expected.loss is not None else [])]
    clear = np.ones(expected.margins.shape, bool) if exact else expected.margins > 1e-3
    assert clear.mean() > 0.9  # what follows is about nearly all tokens
    assert np.array_equal(found.experts[clear], expected.experts[clear])
    for name in floats:
        a, b = (torch.from_numpy(getattr(trace, name)) for trace in (found, expected))
        assert np.array_equal(a.isnan(), b.isnan()), name
        assert (
            torch.equal(a[~a.isnan()], b[~b.isnan()])
            if exact
            else close(a.nan_to_num(), b.nan_to_num())
        ), name


def exact(device: torch.device) -> bool:
    return device.type != "cuda"
