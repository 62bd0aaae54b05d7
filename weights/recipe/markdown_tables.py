# SPDX-License-Identifier: Apache-2.0
"""Tables of the model card: Markdown, numbers as the card writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def number(value: float, digits: int = 3) -> str:
    """`.123` below one, `1.234` above."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")


def numbers(name: str, values: Iterable[float], digits: int = 3) -> list[str]:
    return [name, *(number(v, digits) for v in values)]
