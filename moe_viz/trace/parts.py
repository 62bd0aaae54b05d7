# SPDX-License-Identifier: Apache-2.0
"""Parts of a trace, and several traces as one: see `Trace.select` and `Trace.join`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import TraceError

#: The arrays of a trace that go by layer and token, and those that go by token.
DECISIONS = ("router_logits", "choice_scores", "experts", "gates")
PER_TOKEN = ("token_ids", "spans", "special", "generated", "loss")


def selected(
    trace: Any,
    label: str | Iterable[str] | None,
    prompt: int | Iterable[int] | None,
    layers: int | Iterable[int] | None,
) -> Any:
    """See `Trace.select`."""
    chosen = list(range(len(trace.prompts)))
    if label is not None:
        wanted = _asked(label, trace.labels, "labels")
        chosen = [n for n in chosen if trace.prompts[n].label in wanted]
    if prompt is not None:
        wanted = _asked(prompt, range(len(trace.prompts)), "prompts")
        chosen = [n for n in chosen if n in wanted]
    if not chosen:
        raise TraceError("No prompt has both this label and this number.")
    rows = list(range(len(trace.layers)))
    if layers is not None:
        wanted = _asked(layers, trace.layers, "layers")
        rows = [n for n in rows if trace.layers[n] in wanted]
    kept = [trace.prompts[n] for n in chosen]
    columns = np.concatenate([np.arange(p.start, p.stop) for p in kept])
    lengths = np.cumsum([0, *(p.stop - p.start for p in kept)])

    picked = {
        name: array[rows][:, columns] if name in DECISIONS else array[columns]
        for name in (*DECISIONS, *PER_TOKEN)
        if (array := getattr(trace, name)) is not None
    }
    return replace(
        trace,
        **picked,
        tokens=[trace.tokens[n] for n in columns],
        bias=None if trace.bias is None else trace.bias[rows],
        scored=tuple(trace.scored[n] for n in rows) if trace.scored else (),
        prompts=tuple(
            replace(p, start=int(start), stop=int(stop))
            for p, start, stop in zip(kept, lengths, lengths[1:], strict=False)
        ),
        layers=tuple(trace.layers[n] for n in rows),
    )


def joined(parts: Sequence[Any]) -> Any:
    """See `Trace.join`."""
    if not parts:
        raise TraceError("There is no trace to join: give at least one.")
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for other in parts[1:]:
        if _run(other) != _run(first):
            raise TraceError(
                f"Only recordings of one model, run the same way, can be joined: found "
                f"{first!r} and {other!r}."
            )
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    arrays = dict[str, np.ndarray | None]()
    for axis, names in ((1, DECISIONS), (0, PER_TOKEN)):
        for name in names:
            held = [array for part in parts if (array := getattr(part, name)) is not None]
            whole = len(held) == len(parts)  # what some lack, the whole lacks
            arrays[name] = np.concatenate(held, axis=axis) if whole else None
    return replace(
        first,
        **arrays,
        tokens=[token for part in parts for token in part.tokens],
        prompts=tuple(
            replace(p, start=p.start + start, stop=p.stop + start)
            for part, start in zip(parts, starts, strict=False)
            for p in part.prompts
        ),
    )


def _run(trace: Any) -> tuple[Any, ...]:
    """What recordings must share to be one trace: model, rule, how it was run, and E and k."""
    p, E, k = trace.provenance, trace.expert_count, trace.experts.shape[2]
    bias = None if trace.bias is None else trace.bias.tobytes()
    return p.title, p.fingerprint, trace.layers, E, k, trace.rule, bias, trace.scored


def _asked(wanted: Any, there: Iterable[Any], what: str) -> set[Any]:
    asked = {wanted} if isinstance(wanted, str | int | np.integer) else set(wanted)
    missing = asked - set(there)
    if missing:
        raise TraceError(f"The trace has no {what} {sorted(missing)}; it has {sorted(there)[:20]}.")
    return asked
