# SPDX-License-Identifier: Apache-2.0
"""A trace as the explorer's JavaScript wants it: compact, and inert.

In: a `Trace`. Out: JSON that is safe inside a `<script>` element. Logits travel as differences from
their row's maximum, which keeps near-ties apart; experts as executed. A page carries logits and
gates as float16. A notebook's output is kept small: bytes where float16 takes too much room, and
choices and gates alone where bytes do too; the picture then says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import TraceError
from ...prompts import topics_of
from ...trace import GAP, Trace, with_gaps
from ...trace.choice import has_probabilities
from ...trace.rule import MIXTRAL

#: Bytes of a notebook output, and how far logits in bytes reach below their row's maximum.
NOTEBOOK, DEEPEST = 4_000_000, 20.0
#: Bytes of the packed data beside arrays and texts: at most, and for each prompt and layer.
HEAD, EACH = 2_000, 60


def precision(trace: Trace, limit: float) -> str:
    """How finely logits can travel within `limit` bytes: as "half", as "byte", or "none".

    Choices and tokens always travel whole.
    """
    return next((how for how in ("half", "byte") if _size(trace, how) <= limit), "none")


def fitting(trace: Trace, wanted: list[int], limit: float) -> list[int]:
    """Numbers of as many prompts as fit into `limit` bytes at the lowest precision.

    The first wanted prompt is always among them; the other wanted ones come next, and then the rest
    in their order.
    """
    width = _width(trace, "none")
    sizes = [width * (p.stop - p.start) + _texts([p.text, p.label]) + EACH for p in trace.prompts]
    left, kept = limit - _rest(trace), list[int]()
    if sum(sizes) <= left:
        return list(range(len(sizes)))
    for number in dict.fromkeys([*wanted, *range(len(sizes))]):
        left -= sizes[number]
        if kept and left < 0:
            break
        kept.append(number)
    return sorted(kept)


def _size(trace: Trace, how: str) -> float:
    """About how many bytes the packed trace takes at this precision."""
    prompts = sum(_texts([p.text, p.label]) + EACH for p in trace.prompts)
    return _width(trace, how) * len(trace) + prompts + _rest(trace)


def _rest(trace: Trace) -> float:
    """Bytes that do not grow with the prompts: the pieces, titles, experts switched off."""
    off = sum(len(stamp) for stamp in trace.provenance.interventions)
    return HEAD + EACH * len(trace.layers) + 2 * off + _texts(set(trace.tokens))


def _width(trace: Trace, how: str) -> float:
    """Bytes of a token in base64."""
    L, E = len(trace.layers), trace.expert_count
    k, expert = trace.experts.shape[2], 1 + _wide(trace)
    numbers = {"half": 2 * (E + k), "byte": E + k, "none": k}[how] + k * expert
    if how == "none" and _paired(trace):
        numbers = 2
    return (L * numbers + 13) * 4 / 3


def _texts(texts: Iterable[str]) -> int:
    """Bytes of texts in JSON, escaped."""
    return sum(size(_json(text)) + 3 for text in texts)


def size(text: str) -> int:
    """Bytes of a text in UTF-8; half a character, as in a folder's name, counts as one."""
    return len(text.encode("utf-8", "surrogatepass"))


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
    how, whole = precision(trace, limit), np.int16 if _wide(trace) else np.int8
    paired = how == "none" and _paired(trace)
    trace = with_shares(trace)
    experts, gates = trace.experts.astype(whole), _gates(trace, how)
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
    top, deepest = 0.0, DEEPEST
    if how != "none" and _ranked(trace):
        if not trace.rule.plain:
            top, deepest = _reach(trace)
        arrays["logits"] = _logits(trace, how, None if trace.rule.plain else top, deepest)
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
        "prompts": [
            [p.label, p.text, p.start, p.stop, topic]
            for p, topic in zip(
                trace.prompts, topics_of(p.text for p in trace.prompts), strict=True
            )
        ],
        "pieces": vocabulary,
        "precision": how,
        "deepest": deepest,
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
        "wide": _wide(trace),
        "paired": paired,
        "leftOut": left_out,
        "gaps": int((trace.experts[:, :, 0] == GAP).sum()),
        "off": [sorted(everywhere) for everywhere, _ in off],
        "partlyOff": [sorted(partly) for _, partly in off],
        "other": other.provenance.title if other is not None else "",
        "arrays": {name: _encode(array) for name, array in arrays.items()},
        "state": state,
    }
    return _json(data)


def _json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Escaped as JSON allows: no "</script>", no "<!--", no line separator of Unicode can occur.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _paired(trace: Trace) -> bool:
    """Whether two choices fit into a byte, and the first gate determines the second.

    It does not if an expert was dropped and the gates no longer add up to one.
    """
    if trace.experts.shape[2] != 2 or trace.expert_count > 14:
        return False
    sums = trace.gates.sum(axis=2)[trace.experts[:, :, 1] >= 0]  # otherwise it is 0
    return bool((np.abs(sums - 1) <= 0.5 / 255).all())  # half a step of a byte; NaN is not


def _wide(trace: Trace) -> bool:
    """Whether an expert's number needs two bytes."""
    return trace.expert_count > 127


def _gates(trace: Trace, how: str) -> np.ndarray:
    if how == "half":
        return trace.gates.astype(np.float16)
    return np.rint(255 * np.nan_to_num(trace.gates).clip(0, 1)).astype(np.uint8)


def with_shares(trace: Trace) -> Trace:
    """The same, with gates as shares of a token's gates where they do not add up to 1."""
    if trace.rule.sums_to_one or not trace.rule.gated:
        return trace
    sums = np.maximum(trace.gates.sum(axis=2, keepdims=True), np.float32(1e-20))
    return replace(trace, gates=trace.gates / sums)


def _ranked(trace: Trace) -> bool:
    """Whether the trace holds what its choices went by."""
    try:
        row = trace.scored.index(True) if trace.scored else 0
        return bool(trace.ranking(row, slice(0, 1)).size)
    except (TraceError, ValueError):
        return False


def _reach(trace: Trace) -> tuple[float, float]:
    """The largest of what choices went by, and how far the smallest finite one lies below."""
    least, most = np.inf, -np.inf
    for row in range(len(trace.layers)):
        if trace.scored and not trace.scored[row]:
            continue
        scores = trace.ranking(row)
        scores = scores[np.isfinite(scores)]
        if scores.size:
            least, most = min(least, float(scores.min())), max(most, float(scores.max()))
    return (most, max(most - least, 1e-6)) if np.isfinite(most) else (0.0, 1.0)


def _logits(trace: Trace, how: str, top: float | None, deepest: float) -> np.ndarray:
    """What choices went by: differences from the row's maximum, or from `top`, layer by layer.

    A mapped trace may be large.
    """
    shape = (len(trace.layers), len(trace), trace.expert_count)
    out = np.zeros(shape, np.float16 if how == "half" else np.uint8)
    for layer in range(shape[0]):
        if trace.scored and not trace.scored[layer]:
            continue
        raw = trace.ranking(layer)
        logits = np.nan_to_num(raw, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        highest = logits.max(axis=1, keepdims=True) if top is None else np.float32(top)
        with np.errstate(invalid="ignore", over="ignore"):  # ∞ − ∞, and beyond float16
            relative = np.where(logits == highest, np.float32(0), logits - highest)
            if how == "half":
                out[layer] = relative
            else:  # a square root: fine steps near the maximum, where choices are close
                steps = np.rint(254 * np.sqrt(np.clip(-relative / deepest, 0, 1)))
                out[layer] = np.where(np.isneginf(relative), 255, steps)
    return out


def _same_width(experts: np.ndarray, k: int) -> np.ndarray:
    """Choices of another run with room for k of them; −1 pads."""
    missing = max(0, k - experts.shape[2])
    return np.pad(experts[:, :, :k], ((0, 0), (0, 0), (0, missing)), constant_values=-1)


def _encode(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")
