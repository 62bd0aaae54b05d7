# SPDX-License-Identifier: Apache-2.0
"""How finely a trace can travel in so many bytes, and how many of its prompts.

In: a trace and a limit. Out: a precision, or numbers of prompts. What is worked out here from
shapes, `pack` then writes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...trace import Trace
from ..script import inert
from .numbers import ranked

#: Bytes of a notebook's output, and of a page, which a browser should open in a moment.
NOTEBOOK, PAGE = 4_000_000, 45_000_000
#: Bytes of the packed data beside arrays and texts: at most, and for each prompt and layer.
HEAD, EACH = 2_000, 60
#: Precisions, the finest first: what each costs is in `_width`.
PRECISIONS = ("half", "byte", "top", "none")


def precision(trace: Trace, limit: float) -> str:
    """How finely the scores of all experts can travel within `limit` bytes.

    As "half" (float16), as "byte"; as "top", those of the chosen and of the next few; or "none".
    Choices and tokens always travel whole.
    """
    order = [how for how in PRECISIONS if how != "top" or next_best(trace)]
    return next((how for how in order if _size(trace, how) <= limit), "none")


def next_best(trace: Trace) -> int:
    """How many experts beside the chosen travel with "top"; 0 where all of them do as well.

    One more than are chosen, so that a margin is known whatever was chosen; and at least eight.
    """
    k = trace.experts.shape[2]
    most = max(k + 1, 8)
    return most if k + most < trace.expert_count // 2 and ranked(trace) else 0


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


def size(text: str) -> int:
    """Bytes of a text in UTF-8; half a character, as in a folder's name, counts as one."""
    return len(text.encode("utf-8", "surrogatepass"))


def paired(trace: Trace) -> bool:
    """Whether two choices fit into a byte, and the first gate determines the second.

    It does not if an expert was dropped and the gates no longer add up to one.
    """
    if trace.experts.shape[2] != 2 or trace.expert_count > 14:
        return False
    sums = trace.gates.sum(axis=2)[trace.experts[:, :, 1] >= 0]  # otherwise it is 0
    return bool((np.abs(sums - 1) <= 0.5 / 255).all())  # half a step of a byte; NaN is not


def wide(trace: Trace) -> bool:
    """Whether an expert's number needs two bytes."""
    return trace.expert_count > 127


def _size(trace: Trace, how: str) -> float:
    """About how many bytes the packed trace takes at this precision."""
    prompts = sum(_texts([p.text, p.label]) + EACH for p in trace.prompts)
    return _width(trace, how) * len(trace) + prompts + _rest(trace)


def _rest(trace: Trace) -> float:
    """Bytes that do not grow with the prompts: the pieces, titles, experts switched off."""
    off = sum(len(stamp) for stamp in trace.provenance.interventions)
    layers = len(trace.layers) + trace.model_layers
    return HEAD + EACH * layers + 2 * off + _texts(set(trace.tokens))


def _width(trace: Trace, how: str) -> float:
    """Bytes of a token in base64."""
    L, E = len(trace.layers), trace.expert_count
    k, expert, more = trace.experts.shape[2], 1 + wide(trace), next_best(trace)
    top = k + 2 * (k + more) + expert * more
    numbers = {"half": 2 * (E + k), "byte": E + k, "top": top, "none": k}[how] + k * expert
    if how == "none" and paired(trace):
        numbers = 2
    return (L * numbers + 13) * 4 / 3


def _texts(texts: Iterable[str]) -> int:
    """Bytes of texts in JSON, escaped."""
    return sum(size(inert(text)) + 3 for text in texts)
