# SPDX-License-Identifier: Apache-2.0
"""Where NaN and infinity come from: which weights hold them, or which numbers grew too large.

In: a model, and the place where a number should have been. Out: what an error says: layer, token,
dtype, cause, and what to try. Weights are read only once something has gone wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from ..config import MixtralConfig
from ..routing import Routing, TokenIndex
from ..tokenization import Tokenizer
from .quantized import PackedModule

#: Rows of a matrix that are looked at together.
_ROWS = 4096


class Diagnosed(Protocol):
    """A model, as far as its errors need to know it."""

    config: MixtralConfig
    tokenizer: Tokenizer | None
    stored_as: Callable[[str], str]

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        ...

    def get_submodule(self, target: str) -> nn.Module:
        """A part of it."""
        ...


def bad_routing(model: Diagnosed, routing: Routing, index: TokenIndex, token_ids: Tensor) -> str:
    """What the error says about a layer whose router gave NaN or infinity."""
    n, logits = routing.layer, routing.logits
    wrong = ~logits.isfinite().all(1)
    first = int(wrong.nonzero()[0])
    at = (index.tokens.cpu() == routing.tokens[first].cpu()).nonzero()[0]
    # Before this layer's router all was well with the last one's: what lies between?
    parts = [f"layers.{n - 1}.moe.experts"] if n else ["embedding"]
    parts += [f"layers.{n}.{part}" for part in ("attention_norm", "attention", "moe_norm")]
    found = "NaN" if bool(logits[first].isnan().any()) else "infinite"
    return (
        f"{model.config.name}, layer {n}: the router's logits are {found}, first at "
        f"{_token(model, int(token_ids.cpu()[at]))}, position {int(routing.position[first])} of "
        f"prompt {int(routing.prompt[first])} ({int(wrong.sum()):,} of {len(wrong):,} tokens). "
        + _cause(model, [*parts, f"layers.{n}.moe.router"])
    )


def bad_output(model: Diagnosed, what: str, where: str = "") -> str:
    """What the error says about output logits or losses that are NaN or infinite."""
    last = model.config.layers - 1
    parts = [f"layers.{last}.moe.experts", "norm", "head"]
    return (
        f"{model.config.name}, after its last layer ({last}): the {what} are NaN or infinite"
        f"{where}. {_cause(model, parts)}"
    )


def _token(model: Diagnosed, token: int) -> str:
    if model.tokenizer is None:
        return f"token {token}"
    (piece,) = model.tokenizer.describe([token])[1].pieces
    return f"token {token} (‘{piece}’)"


def _cause(model: Diagnosed, parts: list[str]) -> str:
    """What these modules hold, and what to try."""
    name = str(model.dtype).removeprefix("torch.")
    largest = torch.finfo(model.dtype).max
    wider = "Load the model with dtype='float32'."
    with torch.no_grad():
        found = [hit for part in parts for hit in _not_finite(model, part)]
    if not found:
        return (
            f"No weight that led here is, so numbers grew beyond what {name} holds "
            f"({largest:,.0f}). {wider}"
            if model.dtype == torch.float16
            else f"No weight that led here is, so numbers grew beyond what {name} holds. "
            "Are these weights scaled as the config says, and is the file whole?"
        )
    tensor, nans, infinite, size = found[0]
    also = f", and {len(found) - 1} more tensors" if len(found) > 1 else ""
    stored = model.stored_as(tensor)
    if infinite and not nans and model.dtype == torch.float16:
        return (
            f"In float16, whose numbers end at {largest:,.0f}, {infinite:,} of {size:,} numbers of "
            f"{stored} are infinite{also}. {wider}"
        )
    return (
        f"Its weights hold them, as {name}: {nans:,} NaN and {infinite:,} infinite among {size:,} "
        f"numbers of {stored}{also}. The file is damaged, or was merged or converted wrongly: get "
        "or make it again."
    )


def _not_finite(model: Diagnosed, part: str) -> Iterator[tuple[str, int, int, int]]:
    """Tensors of a module that hold NaN or infinity: name, how many of each, and of how many."""
    for name, weight in _weights(model.get_submodule(part), part):
        nans = infinite = size = 0
        for n in range(0, len(weight), _ROWS):
            rows = weight[n : n + _ROWS]
            numbers = rows if isinstance(rows, Tensor) else rows.unpacked()
            nans += int(numbers.isnan().sum())
            infinite += int(numbers.isinf().sum())
            size += numbers.numel()
        if nans or infinite:
            yield name, nans, infinite, size


def _weights(module: nn.Module, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module, plain or packed; read now where they do not stay in memory."""
    whole = getattr(module, "whole", None)
    if whole is not None:
        yield from _weights(whole(), name)
    elif isinstance(module, PackedModule):
        yield f"{name}.weight", module.packed  # type: ignore[misc]
    else:
        yield from ((f"{name}.{n}", w) for n, w in module.named_parameters(recurse=False))
        for child, inner in module.named_children():
            yield from _weights(inner, f"{name}.{child}")
