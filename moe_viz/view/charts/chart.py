# SPDX-License-Identifier: Apache-2.0
"""A chart: a figure of plotly with its title, one sentence, and its data, as inert HTML.

In: a figure and the table it was made from. Out: HTML that needs no network and no kernel. Plotly's
script is in every output of a notebook, packed (2 MB), since an output may be kept alone; a page
holds it once. Without scripts, title, sentence and table remain.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import uuid
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...analysis.finding import Finding
from ...errors import MissingDependencyError
from ...files import package_text
from .. import palette
from ..document import CHARTS, document, write
from ..script import inert, script

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Rows of a chart's table that the page shows; the CSV has all of them.
ROWS = 400
#: The entry module, its function, and what the joined script calls that.
SCRIPT = "view/charts/chart.js", "drawChart", "moeVizChart"


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure with what belongs beside it; the last line of a notebook cell shows it."""

    figure: go.Figure
    title: str  # what is drawn
    provenance: str  # of which model, run how
    sentence: str  # what it shows, in words
    data: Finding

    def __repr__(self) -> str:
        return f"<Chart: {self.title} · {self.provenance}. {self.sentence}>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, plotly: bool = True) -> str:
        """The chart as an HTML fragment; `plotly=False` where the page already holds the script."""
        name = f"moe-viz-{uuid.uuid4().hex[:12]}"
        height = self.figure["layout"]["height"] or 420
        content = {
            "figure": json.loads(self.figure.to_json() or "{}"),
            "title": f"{self.title} · {self.provenance}",
            "sentence": self.sentence,
            "csv": self.data.csv(),
            "name": re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-"),
        }
        packed, themes = inert(content), inert(palette.for_script())
        flag = (
            '<p style="margin:4px 0"><strong>Few documents: treat intervals with care.</strong></p>'
            if self.data.few
            else ""
        )
        flag += "".join(
            f'<p style="margin:4px 0"><strong>{escape(note)}</strong></p>'
            for note in self.data.notes
            if note.startswith("Left out")
        )
        return (
            f'<div id="{name}" class="moe-viz-chart" data-lm-suppress-shortcuts="true" '
            'style="border:1px solid #8886;border-radius:6px;padding:8px 12px;margin:8px 0;'
            'font:14px/1.4 system-ui,sans-serif">'
            f'<div style="font-size:16px;font-weight:600">{escape(self.title)} '
            f'<span style="font-weight:400;opacity:.75">{escape(self.provenance)}</span></div>'
            f'<div class="moe-viz-plot" style="width:100%;height:{height}px"></div>'
            '<div class="moe-viz-status"></div>'
            f'<p class="moe-viz-sentence" style="margin:4px 0">{escape(self.sentence)}</p>{flag}'
            '<details><summary>Data</summary><div style="max-height:320px;overflow:auto" '
            f'tabindex="0" role="region" aria-label="Data">{self.data.to_html(ROWS)}'
            "</div></details>"
            '<div class="moe-viz-buttons"></div></div>\n'
            f'<script type="application/json" id="{name}-data">{packed}</script>\n'
            f"{plotly_script() if plotly else ''}"
            f"<script>{script(*SCRIPT)}\nmoeVizChart({json.dumps(name)}, {themes});</script>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the chart as one page that needs no network; whole or not at all."""
        return write(path, page(self.title, self.to_html()))


def page(title: str, body: str, policy: dict[str, str] | None = None) -> str:
    """A whole page around a body of charts and text; `policy` adds to what charts need."""
    light, dark = (
        f":root {{ --ground: {theme.ground}; --ink: {theme.ink}; --line: {theme.line}; "
        f"--muted: {theme.muted}; }}"
        for theme in (palette.LIGHT, palette.DARK)
    )
    own = package_text("view/pages/page.css")
    style = f"{own}\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
    return document(title, style, f"<main>\n{body}</main>", CHARTS | (policy or {}))


@cache
def plotly_script() -> str:
    """Plotly's own script, packed, as an element that does nothing by itself."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingDependencyError(
            "Charts are drawn by the package plotly: pip install 'moe-viz[analysis]'. Tables "
            "(Finding.table(), .csv()) need nothing more."
        ) from error
    packed = base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9)).decode("ascii")
    return f'<script type="text/plain" class="moe-viz-plotly">{packed}</script>\n'


def graph_objects() -> Any:
    """`plotly.graph_objects`, or what to install."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise MissingDependencyError(
            "Charts are drawn by the package plotly: pip install 'moe-viz[analysis]'."
        ) from error
    return go
