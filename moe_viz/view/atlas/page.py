# SPDX-License-Identifier: Apache-2.0
"""The page of an atlas: one offline file; with very many experts, its layers as scripts beside it.

A page that is opened from a folder may not fetch anything, but it may load scripts that lie beside
it: so a layer that is not in the page is a script that hands the page its data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...analysis.atlas import Atlas
from ...files import package_text
from .. import palette
from ..document import document, write
from ..script import inert, script
from .entries import head_of, layer_of

#: The entry module, its function, and that function's name in the joined script.
SCRIPT = "view/atlas/js/atlas.js", "mountAtlas", "moeVizAtlas"
#: What a part calls with its data.
HANDED = "moeVizAtlasLayer"
#: Experts that a page holds; of more, each layer is a part.
WHOLE = 2048
#: What a page that has its parts beside it may do.
PARTS = {"script-src": "'self' 'unsafe-inline'"}


def atlas_html(atlas: Atlas, parts: list[str] | None = None) -> str:
    """The page; `parts` are the addresses of its layers, where they are not in it."""
    head = head_of(atlas) | {"parts": parts or []}
    layers = [] if parts else [layer_of(atlas, row) for row in range(len(atlas.layers))]
    light, dark = palette.LIGHT, palette.DARK
    names = ("ground", "ink", "line", "muted", "shared")
    pairs = (f"--{n}: light-dark({getattr(light, n)}, {getattr(dark, n)});" for n in names)
    style = f":root {{ {' '.join(pairs)} }}\n{package_text('view/atlas/atlas.css')}"
    data = [_element("head", head), *(_element(f"layer-{n}", one) for n, one in enumerate(layers))]
    body = (
        '<main id="moe-viz-atlas"></main>\n'
        f"{''.join(data)}<script>{script(*SCRIPT)}</script>\n"
        f'<script>{SCRIPT[2]}("moe-viz-atlas", {inert(palette.for_script())}, "{HANDED}");'
        "</script>\n"
    )
    title = f"Atlas of {atlas.title}"
    return document(title, style, body, PARTS if parts else None)


def save_atlas(atlas: Atlas, path: str | Path) -> Path:
    """Write the page, and before it its parts where there are very many experts."""
    path = Path(path)
    if len(atlas.layers) * atlas.experts <= WHOLE:
        return write(path, atlas_html(atlas))
    folder, parts = path.with_name(f"{path.stem}-parts"), []
    for row, layer in enumerate(atlas.layers):
        name = f"layer-{layer:03}.js"
        write(folder / name, f"{HANDED}({row}, {inert(layer_of(atlas, row))});\n")
        parts.append(quote(f"{folder.name}/{name}", errors="replace"))
    return write(path, atlas_html(atlas, parts))


def _element(name: str, data: Any) -> str:
    return f'<script type="application/json" id="moe-viz-atlas-{name}">{inert(data)}</script>\n'
