# SPDX-License-Identifier: Apache-2.0
"""The picture as a page of its own: one offline file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...trace import Trace
from .. import palette
from ..document import document, write
from .explorer import opened


def save_page(
    trace: Trace | Sequence[Trace],
    path: str | Path,
    title: str | None = None,
    **opening: Any,
) -> Path:
    """Write the picture as one HTML file that needs no network and no kernel.

    `opening` is what `explore` takes: prompt, layer, token, mode, scale, beside. The opened page's
    address says what is shown (`#prompt=3&layer=2&token=14`), so that a single decision can be
    linked to, and enlarged with `&scale=2`. Raises `OutputError` if the file cannot be written; an
    earlier file is then kept.
    """
    return write(path, page_of(trace, title, **opening))


def page_of(trace: Trace | Sequence[Trace], title: str | None = None, **opening: Any) -> str:
    """The picture as a whole page; see `save_page`."""
    explorer = opened(trace, **opening)
    room = round(1600 * max(1, explorer.scale))  # larger type takes a wider window
    heading = title or f"How {explorer.trace.provenance.model} routes each token"
    style = (
        "html { color-scheme: light dark; background: "
        f"light-dark({palette.LIGHT.ground}, {palette.DARK.ground}); }}\n"
        f"body {{ margin: 0 auto; padding: 16px; max-width: {room}px; box-sizing: border-box; }}"
    )
    return document(heading, style, f"<main>\n{explorer.to_html(page=True)}</main>")
