# SPDX-License-Identifier: Apache-2.0
"""What corpora of internet size would take, by arithmetic: the table in docs/scale.md.

    python tools/scale.py            print it
    python tools/scale.py --write    put it into docs/scale.md

The assumptions stand here and in the page; nothing is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import moe_viz as mv
from moe_viz.config import MixtralConfig
from moe_viz.costs import Ledger
from moe_viz.recording.recording import bytes_of_trace

PAGE = Path(__file__).parents[1] / "docs/scale.md"
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
#: Dense bf16 operations a second that NVIDIA publishes for an H100 SXM, and the share in use.
PEAK, SHARE = 989e12, 0.40
#: Tokens of a shard, and bytes of text in a token.
SHARD, TEXT = 65_536, 4
MODELS = ("mixtral-8x7b", "mixtral-8x22b")
SIZES = (10**9, 10**12)


def row(name: str, tokens: int) -> list[str]:
    """What so many tokens take with a model."""
    books = mv.ledger(name)
    assert isinstance(books, Ledger)
    rate = PEAK * SHARE / books.flops_per_token()
    with_logits = bytes_of_trace(books.config, 1)
    without = with_logits - 4 * books.config.experts * books.config.layers
    return [
        name, f"10{_raised(tokens)}", f"{rate:,.0f}", _days(tokens / rate / 86_400),
        f"{-(-tokens // SHARD):,}", _bytes(tokens * with_logits), _bytes(tokens * without),
        _bytes(tokens * TEXT),
    ]  # fmt: skip


def hidden_bytes(config: MixtralConfig) -> int:
    """Bytes of one shard's hidden states in float32: what a worker's memory grows by, and more."""
    return SHARD * config.hidden_size * 4


def table() -> str:
    """The table, in Markdown."""
    head = ["model", "tokens", "tokens/s a GPU", "GPU days", "shards", "traces with logits",
            "choices only", "text"]  # fmt: skip
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)]
    lines += [row(name, tokens) for name in MODELS for tokens in SIZES]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _raised(tokens: int) -> str:
    return str(len(str(tokens)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _days(days: float) -> str:
    return f"{days:,.0f}" if days >= 10 else f"{days:.2g}"


def _bytes(size: float) -> str:
    for unit in ("GB", "TB", "PB"):
        size /= 1e9 if unit == "GB" else 1e3
        if size < 1000:
            return f"{size:,.3g} {unit}"
    return f"{size:,.0f} PB"


def main() -> None:
    """Print the table, or write it into the page."""
    if "--write" not in sys.argv:
        print(table())
        return
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
