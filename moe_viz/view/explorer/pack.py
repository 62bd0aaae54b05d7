# SPDX-License-Identifier: Apache-2.0
"""A trace as the explorer's JavaScript wants it: compact, and inert.

In: a `Trace`. Out: JSON that is safe inside `<script>` elements. Experts travel as executed; scores
and gates as finely as there is room: float16, bytes, the highest scores alone, or choices and gates
alone. The picture says so where it is not the finest.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ...prompts import topics_of
from ...trace import GAP, Trace, with_gaps
from ...trace.choice import has_probabilities
from ...trace.rule import MIXTRAL
from ..script import inert
from . import fit
from .numbers import DEEPEST, gates_as, ranked, reach, scores_as, top_scores, with_shares

#: Characters of a script element: beyond 65,536, of which an emoji counts as two, WebKit takes
#: quadratic time (32 MB: 31 s).
PIECE = 32_000


def pack(
    trace: Trace,
    state: dict[str, Any],
    limit: float = float("inf"),
    other: Trace | None = None,
    left_out: int = 0,
) -> str:
    """The trace and the state to open it in, as JSON without any `<` (so no tag can end it).

    `limit` bounds its size in bytes; `other` is another run of the same tokens (only its choices
    travel); `left_out` says how many prompts are missing.
    """
    trace = with_gaps(trace)
    vocabulary = list(dict.fromkeys(trace.tokens))
    number = {piece: n for n, piece in enumerate(vocabulary)}
    how, whole = fit.precision(trace, limit), np.int16 if fit.wide(trace) else np.int8
    paired = how == "none" and fit.paired(trace)
    trace = with_shares(trace)
    experts, gates = trace.experts.astype(whole), gates_as(trace, how)
    if paired:  # two choices in a byte, and the second gate is what the first leaves
        halves = np.where(experts < 0, 16 + experts, experts).astype(np.uint8)
        experts, gates = halves[:, :, 0] | halves[:, :, 1] << 4, gates[:, :, 0]
    arrays = {
        "experts": experts,
        "gates": gates,
        "piece": np.array([number[t] for t in trace.tokens], np.uint32),
        "spans": trace.spans.astype(np.uint32),
        "flags": (trace.special + 2 * trace.generated).astype(np.uint8),
    }
    top, deepest, more = 0.0, DEEPEST, 0
    if how != "none" and ranked(trace):
        if not trace.rule.plain:
            top, deepest = reach(trace)
        below = None if trace.rule.plain else top
        if how == "top":
            more = fit.next_best(trace)
            nearest, arrays["logits"] = top_scores(trace, more, below)
            arrays["nearest"] = nearest.astype(whole)
        else:
            arrays["logits"] = scores_as(trace, how, below, deepest)
    if other is not None:
        others = np.maximum(with_gaps(other).experts, -1)  # a gap agrees with nothing
        arrays["others"] = _same_width(others, trace.experts.shape[2]).astype(whole)
    off = [trace.provenance.switched_off(layer) for layer in trace.layers]
    provenance = trace.provenance
    data = {
        "title": provenance.title,
        "model": provenance.model,
        "synthetic": provenance.weights if provenance.synthetic else "",
        "date": provenance.date,
        "shape": [len(trace.layers), len(trace), trace.expert_count, trace.experts.shape[2]],
        "layers": list(trace.layers),
        "dense": _dense(trace),
        "prompts": [
            [p.label, p.text, p.start, p.stop, topic]
            for p, topic in zip(
                trace.prompts, topics_of(p.text for p in trace.prompts), strict=True
            )
        ],
        "pieces": vocabulary,
        "precision": how,
        "deepest": deepest,
        "more": more,
        "rule": {
            "plain": trace.rule.plain,
            "words": trace.rule.words,
            "softmax": has_probabilities(trace) and trace.rule.plain,
            "shares": not trace.rule.sums_to_one,
            "normal": trace.rule == MIXTRAL,
            "gated": trace.rule.gated,
            "note": trace.rule.remarks,
            "top": top,
            "scored": [bool(n) for n in trace.scored],
        },
        "wide": fit.wide(trace),
        "paired": paired,
        "leftOut": left_out,
        "gaps": int((trace.experts[:, :, 0] == GAP).sum()),
        "off": [sorted(everywhere) for everywhere, _ in off],
        "partlyOff": [sorted(partly) for _, partly in off],
        "other": other.provenance.title if other is not None else "",
        "twin": other is not None and other.provenance.synthetic and not provenance.synthetic,
        "arrays": {name: _encode(array) for name, array in arrays.items()},
        "state": state,
    }
    return inert(data)


def in_elements(packed: str, name: str) -> str:
    """Packed data as script elements that run nothing: `name`-data, `name`-data-1 and so on."""
    parts = [packed[n : n + PIECE] for n in range(0, len(packed), PIECE)]
    ends = ["", *(f"-{n}" for n in range(1, len(parts)))]
    return "".join(
        f'<script type="application/json" id="{name}-data{end}">{part}</script>\n'
        for end, part in zip(ends, parts, strict=True)
    )


def _dense(trace: Trace) -> list[int]:
    """Numbers of the model's layers that have no experts."""
    return sorted(set(range(trace.model_layers)) - set(trace.mixtures)) if trace.mixtures else []


def _same_width(experts: np.ndarray, k: int) -> np.ndarray:
    """Choices of another run with room for k of them; −1 pads."""
    missing = max(0, k - experts.shape[2])
    return np.pad(experts[:, :, :k], ((0, 0), (0, 0), (0, missing)), constant_values=-1)


def _encode(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")
