# SPDX-License-Identifier: Apache-2.0
"""A whole HTML page around what is shown: one file that needs no network.

The policy in its head makes "offline" a property of the file: nothing in it can be fetched from
anywhere, whatever a picture, a notebook or a prompt contains.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..files import atomic_path

POLICY = {
    "default-src": "'none'",
    "script-src": "'unsafe-inline'",
    "style-src": "'unsafe-inline'",
    "img-src": "data:",
    "media-src": "data:",
    "form-action": "'none'",
    "base-uri": "'none'",
}
#: What charts need besides: plotly arrives packed, and is unpacked and run in the page.
CHARTS = {"script-src": "'unsafe-inline' 'unsafe-eval'", "img-src": "data: blob:"}


def document(title: str, style: str, body: str, policy: dict[str, str] | None = None) -> str:
    """A page with this style and body; `policy` replaces entries of `POLICY`."""
    allowed = "; ".join(f"{kind} {source}" for kind, source in (POLICY | (policy or {})).items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def write(path: str | Path, html: str) -> Path:
    """Write a page whole or not at all; invalid Unicode, as in a file's name, becomes "?"."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(html.encode("utf-8", "replace"))
    return Path(path)
