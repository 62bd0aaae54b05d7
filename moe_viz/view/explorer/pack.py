"""A trace as the explorer's JavaScript wants it: compact, and inert.

In: a `Trace`. Out: JSON that is safe inside a `<script>` element. Logits travel as differences from
their row's maximum, which keeps near-ties apart; experts as executed. A page carries logits and
gates as float16. A notebook's output is kept small: bytes where float16 takes too much room, and
choices and gates alone where bytes do too; the picture then says so.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from ...prompts import topics_of
from ...trace import Trace

#: Bytes of a notebook output, and how far logits in bytes reach below their row's maximum.
NOTEBOOK, DEEPEST = 4_000_000, 20.0


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
    if _size(trace, "none") <= limit:
        return list(range(len(trace.prompts)))
    kept, left = list[int](), limit / _size(trace, "none") * len(trace)
    for number in dict.fromkeys([*wanted, *range(len(trace.prompts))]):
        left -= trace.prompts[number].stop - trace.prompts[number].start
        if kept and left < 0:
            break
        kept.append(number)
    return sorted(kept)


def _size(trace: Trace, how: str) -> float:
    """About how many bytes a trace takes in base64 at this precision."""
    L, T, E = trace.router_logits.shape
    k, expert = trace.experts.shape[2], 1 + _wide(trace)
    numbers = {"half": 2 * (E + k), "byte": E + k, "none": k}[how] + k * expert
    if how == "none" and _paired(trace):
        numbers = 2
    text = sum(len(prompt.text) for prompt in trace.prompts)
    return (L * T * numbers + 13 * T) * 4 / 3 + text + 100_000  # script and fallback


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
    vocabulary = list(dict.fromkeys(trace.tokens))
    number = {piece: n for n, piece in enumerate(vocabulary)}
    how, whole = precision(trace, limit), np.int16 if _wide(trace) else np.int8
    paired = how == "none" and _paired(trace)
    experts, gates = trace.experts.astype(whole), _gates(trace, how)
    if paired:  # two choices in a byte, and the second gate is what the first leaves
        halves = np.where(experts < 0, 15, experts).astype(np.uint8)
        experts, gates = halves[:, :, 0] | halves[:, :, 1] << 4, gates[:, :, 0]
    arrays = {
        "experts": experts,
        "gates": gates,
        "piece": np.array([number[t] for t in trace.tokens], np.uint32),
        "spans": trace.spans.astype(np.uint32),
        "flags": (trace.special + 2 * trace.generated).astype(np.uint8),
    }
    if how != "none":
        arrays["logits"] = _logits(trace, how)
    if other is not None:
        arrays["others"] = _same_width(other.experts, trace.experts.shape[2]).astype(whole)
    provenance = trace.provenance
    data = {
        "title": provenance.title,
        "model": provenance.model,
        "synthetic": provenance.weights if provenance.synthetic else "",
        "date": provenance.date,
        "shape": [*trace.router_logits.shape, trace.experts.shape[2]],
        "layers": list(trace.layers),
        "prompts": [
            [p.label, p.text, p.start, p.stop, topic]
            for p, topic in zip(
                trace.prompts, topics_of(p.text for p in trace.prompts), strict=True
            )
        ],
        "pieces": vocabulary,
        "precision": how,
        "deepest": DEEPEST,
        "wide": _wide(trace),
        "paired": paired,
        "leftOut": left_out,
        "other": other.provenance.title if other is not None else "",
        "arrays": {name: _encode(array) for name, array in arrays.items()},
        "state": state,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Escaped as JSON allows: no "</script>", no "<!--", no line separator of Unicode can occur.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _paired(trace: Trace) -> bool:
    """Whether two choices fit into a byte, and the first gate determines the second.

    It does not if an expert was dropped and the gates no longer add up to one.
    """
    if trace.experts.shape[2] != 2 or trace.router_logits.shape[2] > 15:
        return False
    sums = trace.gates.sum(axis=2)[trace.experts[:, :, 1] >= 0]
    return bool((np.abs(sums - 1) <= 0.5 / 255).all())  # half a step of a byte; NaN is not


def _wide(trace: Trace) -> bool:
    """Whether an expert's number needs two bytes."""
    return trace.router_logits.shape[2] > 127


def _gates(trace: Trace, how: str) -> np.ndarray:
    if how == "half":
        return trace.gates.astype(np.float16)
    return np.rint(255 * np.nan_to_num(trace.gates).clip(0, 1)).astype(np.uint8)


def _logits(trace: Trace, how: str) -> np.ndarray:
    """Differences from the row's maximum, layer by layer: a mapped trace may be large."""
    out = np.empty(trace.router_logits.shape, np.float16 if how == "half" else np.uint8)
    for layer, raw in enumerate(trace.router_logits):
        logits = np.nan_to_num(raw, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        top = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", over="ignore"):  # ∞ − ∞, and beyond float16
            relative = np.where(logits == top, np.float32(0), logits - top)
            if how == "half":
                out[layer] = relative
            else:  # a square root: fine steps near the maximum, where choices are close
                steps = np.rint(254 * np.sqrt(np.clip(-relative / DEEPEST, 0, 1)))
                out[layer] = np.where(np.isneginf(relative), 255, steps)
    return out


def _same_width(experts: np.ndarray, k: int) -> np.ndarray:
    """Choices of another run with room for k of them; −1 pads."""
    missing = max(0, k - experts.shape[2])
    return np.pad(experts[:, :, :k], ((0, 0), (0, 0), (0, missing)), constant_values=-1)


def _encode(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")
