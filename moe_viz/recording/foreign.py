# SPDX-License-Identifier: Apache-2.0
"""A trace from what another program recorded: choices alone, and what is said beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..tokenization import Tokenizer, visible
from ..trace import Provenance, Rule, Trace, TracePrompt

#: What a trace says whose gates nobody recorded.
UNGATED = "The program that recorded it hands out the chosen experts alone: gates are not known."
UNUSED = " Where a token has no expert in a layer, none ran for it."


def foreign_trace(
    parts: Sequence[tuple[np.ndarray, list[int], int]],
    experts: int,
    layers: Sequence[int] | None,
    tokenizer: Tokenizer | None,
    labels: Sequence[str] | None,
    model: str,
) -> Trace:
    """A trace of choices: for each prompt expert ids (T, L, k), token ids, and how many are new.

    Raises `InputError` where parts do not fit together.
    """
    shapes = {routes.shape[1:] for routes, _, _ in parts}
    if len(shapes) > 1:
        raise InputError(f"The records are of several models: (layers, k) are {sorted(shapes)}.")
    ((L, k),) = shapes
    numbers = tuple(range(L)) if layers is None else tuple(int(n) for n in layers)
    if len(numbers) != L:
        raise InputError(f"layers= names {len(numbers)} layers, and the record has {L}.")
    if labels is not None and len(labels) != len(parts):
        raise InputError(f"Expected a label for each of {len(parts)} prompts, found {len(labels)}.")
    chosen = np.concatenate([routes for routes, _, _ in parts]).transpose(1, 0, 2)
    if chosen.size and not (chosen.min() >= -1 and chosen.max() < experts):
        raise InputError(
            f"The record names expert {int(chosen.max())}, and experts={experts} says that there "
            f"are {experts}."
        )
    pieces, spans, special, prompts, start = [], [], [], [], 0
    for n, (_, ids, _) in enumerate(parts):
        text, own, where, control = spelled(ids, tokenizer)
        label = "" if labels is None else str(labels[n])
        prompts.append(TracePrompt(text, label, start, start + len(ids)))
        pieces, spans, special = pieces + own, spans + where, special + control
        start += len(ids)
    generated = [np.arange(len(ids)) >= len(ids) - new for _, ids, new in parts]
    return Trace(
        router_logits=None,
        experts=chosen.astype(np.int16),
        gates=np.where(chosen >= 0, np.float32(1 / k), np.float32(0)).astype(np.float32),
        token_ids=np.array([n for _, ids, _ in parts for n in ids], np.int32),
        tokens=pieces,
        spans=np.array(spans, np.int32).reshape(-1, 2),
        special=np.array(special, bool),
        generated=np.concatenate(generated),
        prompts=tuple(prompts),
        provenance=Provenance(model=model or "a server's model"),
        layers=numbers,
        rule=Rule(
            choice="unknown",
            gates=False,
            gated=False,
            note=UNGATED + (UNUSED if (chosen < 0).any() else ""),
        ),
        expert_count=experts,
        mixtures=numbers,
    )


def spelled(
    ids: list[int], tokenizer: Tokenizer | None
) -> tuple[str, list[str], list[tuple[int, int]], list[bool]]:
    """A text, its pieces, where they lie, and which are special; numbers without a tokenizer."""
    if tokenizer is not None:
        text, encoding = tokenizer.describe(ids)
        return text, list(encoding.pieces), list(encoding.spans), list(encoding.special)
    words = [f"{n} " for n in ids]
    ends = np.cumsum([len(word) for word in words]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    return "".join(words), [visible(word) for word in words], spans, [False] * len(ids)
