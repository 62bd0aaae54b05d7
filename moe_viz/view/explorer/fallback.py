# SPDX-License-Identifier: Apache-2.0
"""What remains of the picture where scripts do not run.

An untrusted notebook, GitHub, or the HTML viewer before "Trust" strip scripts and style sheets but
keep inline styles and pictures. In: a trace, a prompt and a layer. Out: HTML of coloured text and
the map as a PNG.
"""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from ...trace import GAP, Trace, TracePrompt, gap_sentence, with_gaps
from ..palette import EXPERTS, LIGHT, expert_colour, mix, rgb, token_share
from .numbers import with_shares

#: Experts from which on only the busiest have a colour, and how many those are.
MANY, NAMED = 16, 7
#: Tokens drawn without scripts; the text says how many of a longer prompt are left out.
MOST = 400


def fallback(trace: Trace, prompt: int, layer: int) -> str:
    """One prompt's tokens coloured by first choice at row `layer` of the trace, and its map."""
    whole, trace = trace, trace.select(prompt=prompt)
    trace = with_shares(with_gaps(trace))
    shown, hues = trace.prompts[0], hues_of(whole)
    where = trace.experts[:, :, 0] == GAP
    broken = f" {gap_sentence(int(where.sum()), where.size)}" if where.any() else ""
    stop = min(shown.stop, shown.start + MOST)
    tokens = "".join(_token(trace, hues, layer, t) for t in range(shown.start, stop))
    more = f" … and {shown.stop - stop:,} more tokens" if stop < shown.stop else ""
    named = sorted(np.flatnonzero(hues[layer] >= 0), key=lambda e: hues[layer, e])
    legend = " ".join(
        f'<span style="background:{mix(_hue(hues[layer, e]), LIGHT.ground, 0.5)};'
        f'color:{LIGHT.ink};padding:1px 6px">{e}</span>'
        for e in named
    )
    if rest := trace.expert_count - len(named):
        legend = f"the busiest {legend} and {rest} others, in grey"
    height = 24 if len(trace.layers) <= 8 else 7
    return (
        f'<div style="background:{LIGHT.ground};color:{LIGHT.ink};padding:8px;'
        f'font-family:system-ui,sans-serif;border:1px solid {LIGHT.line}">'
        f'<p style="margin:0 0 6px"><b>{escape(trace.provenance.title)}</b> · layer '
        f"{trace.layers[layer]} · first choice among experts {legend}</p>"
        '<p dir="auto" style="line-height:1.9;margin:0 0 6px;white-space:pre-wrap">'
        f"{tokens}{more}</p>"
        f'<img alt="{escape(describe(trace, shown))}" style="width:100%;'
        f'height:{height * len(trace.layers)}px;image-rendering:pixelated" '
        f'src="data:image/png;base64,{_map(trace, hues, shown, height)}"/>'
        f'<p style="color:{LIGHT.muted};margin:4px 0 0">{_caption(whole)}{broken}</p>'
        '<p style="margin:6px 0 0"><b>Scripts are off here.</b> Trust this notebook, or open the '
        "page where scripts run, to explore every prompt, layer and decision.</p></div>"
    )


def hues_of(trace: Trace) -> np.ndarray:
    """The number of each expert's colour, (L, E): its own; of many only the busiest have one.

    −1 for the others. The busiest are those of the whole trace, the first of equal ones.
    """
    L, E = len(trace.layers), trace.expert_count
    if E < MANY:
        return np.tile(np.arange(E), (L, 1))
    hues = np.full((L, E), -1)
    for layer, experts in enumerate(with_gaps(trace).experts[:, ~trace.special]):
        counts = np.bincount(experts[experts >= 0].astype(int), minlength=E)
        hues[layer, np.argsort(-counts, kind="stable")[:NAMED]] = np.arange(min(NAMED, E))
    return hues


def describe(trace: Trace, prompt: TracePrompt) -> str:
    """The picture in one sentence, for those who cannot see it."""
    L = len(trace.layers)
    what = "the number of the first-choice expert within its layer"
    if trace.expert_count >= MANY:
        what = f"the first-choice expert, if that is one of its layer's {NAMED} busiest, else grey"
    return (
        f"Map of {prompt.stop - prompt.start} tokens by {L} layers of {trace.provenance.model}; "
        f"the colour of a cell is {what}."
    )


def _hue(hue: int) -> str:
    return LIGHT.others if hue < 0 else expert_colour(int(hue))


def _caption(trace: Trace) -> str:
    model = trace.provenance.model
    other = "" if model.lower().startswith("mixtral-8x7b") else ", not Mixtral 8x7B"
    of = "expert number within its layer"
    if trace.expert_count >= MANY:
        of = f"one of the layer's {NAMED} busiest experts; grey: any other"
    return (
        f"Map: tokens from left to right, layer {trace.layers[0]} on top. Colour = {of}. "
        "The same number in another layer is another network. "
        f"{escape(model)}{other}."
    )


def _token(trace: Trace, hues: np.ndarray, layer: int, t: int) -> str:
    expert, gate = int(trace.experts[layer, t, 0]), float(trace.gates[layer, t, 0])
    piece = trace.tokens[t]
    # Spaces as a reader expects them; line ends keep their sign, and end the line.
    text = escape(piece.replace("␣", " ")).replace("⏎", "⏎\n")
    if trace.special[t] or expert < 0:
        own = ' dir="ltr"' if trace.special[t] else ""  # none of the text, which runs its own way
        return f'<span{own} style="color:{LIGHT.muted}">{text}</span>'
    share = token_share(gate, trace.experts.shape[2])
    return (
        f'<span style="background:{mix(_hue(hues[layer, expert]), LIGHT.ground, share)}">'
        f"{text}</span>"
    )


def _map(trace: Trace, hues: np.ndarray, prompt: TracePrompt, height: int) -> str:
    first = trace.experts[:, prompt.start : prompt.stop, 0].astype(int)
    colours = np.array([rgb(c) for c in (*EXPERTS, LIGHT.ground, LIGHT.others)], np.uint8)
    own = np.take_along_axis(hues, np.maximum(first, 0), axis=1)
    own = np.where(own < 0, len(EXPERTS) + 1, own % len(EXPERTS))  # the last: grey
    pixels = colours[np.where(first < 0, len(EXPERTS), own)]
    # At most 4096 across: viewers give up beyond some size. Each decision is drawn as large as it
    # is shown, since JupyterLab strips `image-rendering`, and blurred hues are other experts' hues.
    pixels = pixels[:, :4096]
    pixels = pixels.repeat(max(1, 1600 // max(1, pixels.shape[1])), axis=1).repeat(height, axis=0)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
