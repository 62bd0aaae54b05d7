# SPDX-License-Identifier: Apache-2.0
"""Whether two traces can be set side by side."""

from __future__ import annotations

import numpy as np

from .trace import Trace


def mismatch(a: Trace, b: Trace) -> str:
    """Why two traces cannot be set side by side, token by token; nothing where they can."""
    stops = [[prompt.stop for prompt in trace.prompts] for trace in (a, b)]
    if not np.array_equal(a.token_ids, b.token_ids) or stops[0] != stops[1]:
        return (
            f"These two traces are not of the same tokens ({len(a):,} and {len(b):,}). Record the "
            "same prompts both times."
        )
    if a.layers != b.layers or a.expert_count != b.expert_count:
        return (
            f"These two traces have other layers or experts: {len(a.layers)} layers of "
            f"{a.expert_count} and {len(b.layers)} of {b.expert_count}. "
            "Compare runs of one architecture, with the same layers selected."
        )
    return ""
