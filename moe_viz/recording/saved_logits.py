# SPDX-License-Identifier: Apache-2.0
"""Router logits that transformers returned (`output_router_logits=True`), as a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError, TraceError
from ..tokenization import Tokenizer
from ..trace import Rule, Trace
from ..trace.rule import MIXTRAL, gates_of, ranking_of
from .foreign import foreign_trace


def import_logits(
    logits: Sequence[Any],
    ids: Any,
    mask: Any = None,
    k: int = 2,
    rule: Rule | None = None,
    tokenizer: Tokenizer | None = None,
    layers: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    model: str = "",
) -> Trace:
    """A trace from `output_router_logits=True`: a tuple of router logits, one for each layer.

    Each is (B × S, E) or (B, S, E), padding in it; `ids` are (B, S), and `mask` says which are no
    padding. `rule` is the family's (default: Mixtral's), by which the k chosen and their gates
    follow. Where they do not follow from the logits alone (a bias for the choice, gates of another
    making), record with `mv.guest` instead.

    Raises `InputError` where shapes do not fit, where choices or gates do not follow, and for
    probabilities, which some families return under the name of logits.

    >>> logits = (np.array([[0.0, 1, 2], [5, 1, 0], [9, 9, 9]]),)
    >>> trace = import_logits(logits, ids=[[7, 8, 0]], mask=[[1, 1, 0]], k=1)
    >>> trace.experts[0, :, 0].tolist(), trace.token_ids.tolist()
    ([2, 0], [7, 8])
    """
    rule = MIXTRAL if rule is None else rule
    if rule.bias or rule.choice != "scores" or not rule.gates or rule.weighted:
        what = "gates" if rule.choice == "scores" and not rule.bias else "choices"
        raise InputError(
            f"By this rule {what} do not follow from router logits alone. Record with mv.guest."
        )
    rows = np.asarray(ids)
    rows = rows[None] if rows.ndim == 1 else rows
    kept = np.ones(rows.shape, bool) if mask is None else np.asarray(mask).astype(bool)
    if rows.ndim != 2 or kept.shape != rows.shape or not kept.any(1).all():
        raise InputError(
            f"ids and mask must be of one shape (prompts, tokens), found {rows.shape} and "
            f"{kept.shape}; each prompt needs a token."
        )
    arrays = [_as_rows(n, one, rows.size)[kept.ravel()] for n, one in enumerate(logits)]
    if len({a.shape for a in arrays}) != 1:
        raise InputError("Expected one array of router logits for each layer, all of one shape.")
    whole = np.stack(arrays)
    if not 1 <= k <= whole.shape[-1]:
        raise InputError(f"k must lie in 1 … {whole.shape[-1]}, the experts here; found {k!r}.")
    if whole.shape[-1] > 1 and (whole >= 0).all() and (abs(whole.sum(-1) - 1) < 2e-2).all():
        raise InputError(
            "These are probabilities: none is below 0, and each token's add up to 1. Some families "
            "return them under this name. Give their logarithms, which route alike."
        )
    experts = np.argsort(-ranking_of(rule, whole), axis=-1, kind="stable")[..., :k]
    gates = gates_of(rule, whole, experts)
    stops = kept.sum(1).cumsum().tolist()
    parts = [
        (experts[:, a:b].transpose(1, 0, 2), rows[n][kept[n]].tolist(), 0)
        for n, (a, b) in enumerate(zip([0, *stops[:-1]], stops, strict=True))
    ]
    bare = foreign_trace(parts, whole.shape[-1], layers, tokenizer, labels, model)
    return replace(
        bare, router_logits=whole, experts=experts.astype(np.int16),
        gates=gates.astype(np.float32), rule=rule,
    )  # fmt: skip


def _as_rows(layer: int, logits: Any, tokens: int) -> np.ndarray:
    array = logits.detach().float().cpu().numpy() if hasattr(logits, "detach") else logits
    array = np.asarray(array, np.float32)
    rows = array.size // max(1, array.shape[-1]) if array.ndim in (2, 3) else -1
    if rows != tokens:
        raise TraceError(
            f"Layer {layer}: expected router logits of {tokens} tokens, padding included, found "
            f"shape {array.shape}."
        )
    return array.reshape(tokens, -1)
