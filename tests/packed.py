# SPDX-License-Identifier: Apache-2.0
"""The data of a picture, taken out of its HTML."""

from __future__ import annotations

import json
import re
from typing import Any

_PART = re.compile(
    r'<script type="application/json" id="moe-viz-[\w-]+?-data(?:-\d+)?">(.*?)</script>', re.S
)


def packed_in(html: str) -> str:
    """The packed trace of the only picture in it, from all its elements."""
    return "".join(_PART.findall(html))


def data_in(html: str) -> dict[str, Any]:
    """The same, read."""
    return json.loads(packed_in(html))


def around(html: str) -> int:
    """Bytes of a picture beside its data: what its script and style take."""
    return len(html.encode()) - len(packed_in(html).encode())
