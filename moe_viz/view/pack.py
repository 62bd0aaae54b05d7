"""A trace as the explorer's JavaScript wants it: compact, and inert.

In: a `Trace`. Out: JSON that is safe inside a `<script>` element. Logits travel as float16
differences to their row's maximum, which keeps near-ties apart; experts and gates as executed.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from ..trace import Trace


def pack(trace: Trace, state: dict[str, Any]) -> str:
    """The trace and the state to open it in, as JSON without any `<` (so no tag can end it)."""
    vocabulary = list(dict.fromkeys(trace.tokens))
    number = {piece: n for n, piece in enumerate(vocabulary)}
    logits = np.nan_to_num(trace.router_logits, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    top = logits.max(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):  # ∞ − ∞, and differences beyond float16
        relative = np.where(logits == top, 0, logits - top).astype(np.float16)
    provenance = trace.provenance
    data = {
        "title": provenance.title,
        "model": provenance.model,
        "synthetic": provenance.weights if provenance.synthetic else "",
        "date": provenance.date,
        "shape": [*trace.router_logits.shape, trace.experts.shape[2]],
        "layers": list(trace.layers),
        "prompts": [[p.label, p.text, p.start, p.stop] for p in trace.prompts],
        "pieces": vocabulary,
        "arrays": {
            "logits": _encode(relative),
            "experts": _encode(trace.experts.astype(np.int8)),
            "gates": _encode(trace.gates.astype(np.float16)),
            "piece": _encode(np.array([number[t] for t in trace.tokens], np.uint32)),
            "spans": _encode(trace.spans.astype(np.uint32)),
            "flags": _encode((trace.special + 2 * trace.generated).astype(np.uint8)),
        },
        "state": state,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Escaped as JSON allows: no "</script>" or "<!--" can occur, and no line ends that are not.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _encode(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")
