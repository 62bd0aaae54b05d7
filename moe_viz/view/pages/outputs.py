# SPDX-License-Identifier: Apache-2.0
"""What a cell has put out, as what a page without a kernel can show.

In: an output as it was saved, which offers itself in several kinds. Out: the one that shows most,
as HTML, text or a picture, and a line for what cannot be shown: a widget needs its kernel, a
script its network.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from typing import Any

from ...errors import MissingDependencyError
from ..charts.chart import plotly_script
from ..script import script
from .cleaned import cleaned
from .markdown import formula, rendered

#: The script that draws a bare figure: its file, what it exports, what that is called in a page.
SCRIPT = ("view/pages/figure.js", "drawFigure", "moeVizFigure")
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
PLOTLY = "application/vnd.plotly.v1+json"
#: Kinds of pictures that browsers draw, best first; SVG as a picture, so that its scripts rest.
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/webp", "image/gif")
#: What the live prompt box says of itself in its text.
PROMPT_BOX = "Type a text, and run it through the model"
_PROGRESS = re.compile(r"^[^\n]*\d+%\|[^|\n]*\|[^\n]*\n?", re.M)  # tqdm's
_OTHER_CODES = re.compile(
    r"\x1b\].*?(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[=>()][AB0]?", re.S
)


def presented(outputs: list[Any], folder: Path, widgets: dict[str, Any]) -> list[Any]:
    """Outputs with one kind each, and in `metadata.missing` what they lack; the rest is dropped."""
    return [shown for output in outputs for shown in _presented(output, folder, widgets)]


def _presented(output: Any, folder: Path, widgets: dict[str, Any]) -> list[Any]:
    if output.output_type == "stream":
        text = overwritten(output.text)
        if output.name == "stderr":
            text = _PROGRESS.sub("", text)
        output.text, output.metadata = text, {}
        return [output] if text.strip() else []
    if output.output_type == "error":
        lines = output.get("traceback") or [f"{output.ename}: {output.evalue}"]
        output.traceback = [overwritten(line) for line in lines]
        output.metadata = {}
        return [output]
    inner = _inside(output.data.get(WIDGET, {}).get("model_id"), widgets)
    if inner:  # what was printed and drawn within a widget outlives it
        return presented(inner, folder, widgets) + _one(output, {}, ["a widget"])
    return _chosen(output, folder)


def _chosen(output: Any, folder: Path) -> list[Any]:
    """The first kind that shows something; what others would have needed is said."""
    data, missing = output.data, []
    if PLOTLY in data:
        try:
            return _one(output, {"text/html": figure(data[PLOTLY])}, [])
        except MissingDependencyError as error:
            missing.append(f"a figure of plotly. {error}")
    if "text/html" in data:
        html, absent = cleaned(data["text/html"], folder)
        missing += absent
        if not absent or _visible(html):
            return _one(output, {"text/html": html} if html.strip() else {}, missing)
    if "text/markdown" in data:
        html, absent = cleaned(rendered(data["text/markdown"]), folder, written=True)
        return _one(output, {"text/html": html}, missing + absent)
    if "image/svg+xml" in data:
        return _one(output, {"image/svg+xml": _encoded(data["image/svg+xml"])}, missing)
    if "text/latex" in data and (html := latex(data["text/latex"])):
        html, absent = cleaned(html, folder)
        return _one(output, {"text/html": html}, missing + absent)
    for kind in PICTURES[1:]:
        if kind in data:
            return _one(output, {kind: re.sub(r"\s", "", data[kind])}, missing)
    plain = overwritten(data.get("text/plain", ""))
    if WIDGET in data:
        said = re.match(r"(\w+)\(", plain)
        box = PROMPT_BOX in plain
        missing.append("a prompt box" if box else f"a widget{f' ({said[1]})' if said else ''}")
        plain = "" if box else plain
    elif "application/javascript" in data:
        missing.append("what a script draws")
    elif not missing:  # what a table or a text says of itself in Colab is no picture
        missing += [
            f"an output of the kind {kind}" for kind in data
            if kind.startswith(("application/vnd.vega", "application/pdf")) or not plain
        ]  # fmt: skip
    if not plain and "text/latex" in data:
        plain = data["text/latex"]
    return _one(output, {"text/plain": plain} if plain else {}, missing)


def _one(output: Any, data: dict[str, str], missing: list[str]) -> list[Any]:
    """The output with this content, where there is any, and a line for each thing it lacks."""
    kind = next(iter(data), "")
    given = output.get("metadata", {})
    said = given.get(kind, {}) if isinstance(given.get(kind), dict) else {}
    alt = said.get("alt") or given.get("alt") or output.data.get("text/plain") or "figure"
    made = type(output)(output_type="display_data", data=data)
    made.metadata = {"alt": alt, "missing": missing}
    made.metadata |= {side: said[side] for side in ("width", "height") if side in said}
    return [made] if data or missing else []


def figure(content: dict[str, Any]) -> str:
    """A figure of plotly that was saved bare, drawn where it is first seen."""
    name = f"moe-viz-{uuid.uuid4().hex[:12]}"
    packed = json.dumps({k: content.get(k) for k in ("data", "layout")}).replace("<", "\\u003c")
    height = (content.get("layout") or {}).get("height") or 450
    return (
        f'<div id="{name}" class="moe-viz-figure" style="width:100%;height:{float(height):.0f}px">'
        f'</div><script type="application/json" id="{name}-data">{packed}</script>\n'
        f"{plotly_script()}<script>"
        f"{script(*SCRIPT)}\n"
        f'moeVizFigure("{name}");</script>\n'
    )


def latex(source: str) -> str:
    """An output of LaTeX as MathML, or nothing where it cannot be drawn.

    >>> latex("$x$") == latex(r"\\(x\\)"), latex(r"\\frac{")
    (True, '')
    """
    text = source.strip()
    for left, right in (("$$", "$$"), ("\\[", "\\]"), ("$", "$"), ("\\(", "\\)")):
        if text.startswith(left) and text.endswith(right) and len(text) > len(left + right):
            html = formula(text[len(left) : -len(right)], block=left in ("$$", "\\["))
            return f"<p>{html}</p>" if html else ""
    html = rendered(text)
    return html if "<math" in html else ""


def overwritten(text: str) -> str:
    """Without what a carriage return overwrote, and without terminal codes but for colours.

    >>> overwritten("10%\\r100%\\r\\nnext")
    '100%\\nnext'
    """
    text = _OTHER_CODES.sub("", text).replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _inside(model: Any, widgets: dict[str, Any]) -> list[Any]:
    """The outputs that a widget had caught, and those of the widgets within it."""
    found, waiting, seen = [], [model], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in widgets:
            continue
        seen.add(name)
        state = widgets[name].get("state", {})
        found += (
            state.get("outputs", []) if widgets[name].get("model_name") == "OutputModel" else []
        )
        children = state.get("children") or []
        waiting += [str(child).removeprefix("IPY_MODEL_") for child in children]
    return [output for output in found if "output_type" in output]


def _visible(html: str) -> bool:
    """Whether HTML shows anything without scripts: a word, a picture, or one of ours."""
    bare = re.sub(r"(?s)<(script|style)\b.*?</\1>|<!--.*?-->", "", html)
    return bool(
        re.search(r"<(?:img|svg|table|canvas)\b", bare) or re.sub(r"<[^>]*>", "", bare).strip()
    )


def _encoded(svg: str) -> str:
    return base64.b64encode(svg.encode("utf-8")).decode("ascii")


def mentioned(text: str) -> str:
    """A line for what is missing.

    >>> mentioned("a script from https://x.org/a.js")
    'Not in this page: a script from https://x.org/a.js.'
    """
    return f"Not in this page: {text.rstrip('.')}."
