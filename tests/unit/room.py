# SPDX-License-Identifier: Apache-2.0
"""How much room a packed trace needs at each precision."""

from __future__ import annotations

import bisect

from moe_viz.trace import Trace
from moe_viz.view.explorer.fit import precision


def limit_for(trace: Trace, how: str) -> float:
    """The fewest bytes into which this precision fits; for the lowest, the most."""
    order = ["none", "top", "byte", "half"]

    def reached(n: int) -> bool:
        return order.index(precision(trace, n)) >= max(order.index(how), 1)

    least = bisect.bisect_left(range(1_000_000), True, key=reached)
    return least if how != "none" else least - 1
