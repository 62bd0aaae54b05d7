# SPDX-License-Identifier: Apache-2.0
"""What a picture shall show, worked out from a trace, and what it shows, read from its pixels.

Expected colours are mixed here, from the published hex values; of the explorer's script only its
elements and canvases are known. In: a synthetic trace whose every number is chosen here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import moe_viz as mv
from moe_viz.trace import Trace, TracePrompt
from moe_viz.trace.provenance import Provenance
from moe_viz.view.palette import CIVIDIS, EXPERTS
from tests.browser.conftest import listen, until

GROUNDS = {"light": "#ffffff", "dark": "#15181c"}
SHARES = {"light": (0.18, 0.50), "dark": (0.25, 0.48)}  # of a token's colour, gate 1/k to 1
SPECIAL = 0.3  # share of colour in the cell of a special token
FADED = 0.15
GROUND = "e => getComputedStyle(e).backgroundColor"
SIZE = {"width": 1366, "height": 900}

#: What stands out of the frame to the right, and text cut off within its own box.
MISFITS = """() => {
  const root = document.querySelector('.moe-viz').shadowRoot.querySelector('.mv');
  const edge = root.getBoundingClientRect().right + 0.5, found = [];
  for (const e of root.querySelectorAll('*')) {
    const name = e.tagName + ' ' + e.className, words = 'h2, h3, .value, .n, .swatch, footer';
    if (e.getBoundingClientRect().right > edge) found.push('stands out: ' + name);
    if (e.matches(words) && e.scrollWidth > e.clientWidth + 1) found.push('cut off: ' + name);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  return found;
}"""

#: Text on the slide that is shown, smaller than 18 px as it appears: what, where, how large.
SMALL = """() => {
  const found = [], look = (root) => {
    for (const e of root.querySelectorAll('*')) {
      if (e.shadowRoot) look(e.shadowRoot);
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
      if (!own || e.matches('style, script, option, .sr') || !e.checkVisibility()) continue;
      if (!e.getBoundingClientRect().width || e.closest('[aria-hidden=true], aside')) continue;
      const drawn = e.getScreenCTM?.(); // a drawing's; its text may be turned
      const by = drawn ? Math.hypot(drawn.a, drawn.b) : Reveal.getScale();
      const size = parseFloat(getComputedStyle(e).fontSize) * by;
      const whose = e.getRootNode() !== document ? 'explorer'
        : e.closest('.moe-viz-chart') ? 'chart' : 'slide';
      if (size < 17.9) found.push([whose, e.tagName + '.' + (e.className.baseVal ?? e.className),
        e.textContent.trim().slice(0, 30), Math.round(10 * size) / 10]);
    }
  };
  look(Reveal.getCurrentSlide());
  return found;
}"""

#: Set what a select says, as a reader does, and wait until the next frames are drawn.
TOOLS = """const root = document.querySelector('.moe-viz').shadowRoot;
const frame = () => new Promise(requestAnimationFrame);
const settled = async () => { await frame(); await frame(); };
const choose = async (name, value) => {
  const select = root.querySelector(`select[aria-label='${name}']`);
  select.value = value;
  select.dispatchEvent(new Event('change'));
  await settled();
};
const url = (query) => root.querySelector(query).toDataURL('image/png');
const drawn = () => ({ map: url('.stack canvas'), strip: url('canvas.overview'),
  legend: root.querySelector('.legend').innerText,
  said: root.querySelector('.stack canvas').ariaLabel,
  axis: [...root.querySelectorAll('.axis span')].map((s) => [s.innerText, parseFloat(s.style.top)]),
  ends: [...root.querySelectorAll('.ends > span:not(.hint)')].map((s) => s.innerText) });"""
#: The map and all that belongs to it, now.
NOW = f"async () => {{ {TOOLS} await settled(); return drawn(); }}"
#: The same in each of these modes, one after the other; of experts, "expert 3".
MODES = f"""async (modes) => {{ {TOOLS}
  const found = {{}};
  for (const mode of modes) {{
    const [name, watched] = mode.split(' ');
    await choose('Colour of the map', name);
    if (watched) await choose('Expert whose probability is shown', watched);
    found[mode] = drawn();
  }}
  return found;
}}"""


def synthetic(
    E: int = 8,
    k: int = 2,
    layers: tuple[int, ...] = (2, 5, 9),
    prompts: tuple[tuple[str, int], ...] = (("en", 12), ("fr", 9), ("en", 7)),
    seed: int = 0,
) -> Trace:
    """A trace that no model made. Each prompt has a special token first; the last two tokens are
    generated; in the first prompt, token 4 has an unused slot (where k > 1), token 5 went to no
    expert, and token 6 did not go where its logits said."""
    rng, L, T = np.random.default_rng(seed), len(layers), sum(n for _, n in prompts)
    logits = rng.normal(0, 2, (L, T, E)).astype(np.float32)
    experts = np.argsort(-logits, axis=2)[:, :, :k].astype(np.int16)
    experts[:, 6] = np.argsort(logits[:, 6], axis=1)[:, :k]  # the weakest
    best = np.exp(np.take_along_axis(logits, experts.astype(int), 2).astype(float))
    gates = best / best.sum(axis=2, keepdims=True)
    if k > 1:
        experts[:, 4, 1:], gates[:, 4, 0], gates[:, 4, 1:] = -1, 1, 0
    experts[:, 5], gates[:, 5] = -1, 0
    tokens, spans, records, special, stop = [], [], [], [], 0
    for label, n in prompts:
        words = ["".join(rng.choice(list("abdeghiklmnoprstu"), 3)) for _ in range(n - 1)]
        at = [4 * i for i in range(n)]
        tokens += ["<s>", *("␣" + word for word in words)]
        spans += [(0, 0), *((a, a + 4) for a in at[:-1])]
        special += [True] + [False] * (n - 1)
        records.append(TracePrompt("".join(" " + w for w in words), label, stop, stop + n))
        stop += n
    return Trace(
        router_logits=logits, experts=experts, gates=gates.astype(np.float32),
        token_ids=np.arange(T, dtype=np.int32), tokens=tokens, spans=np.array(spans, np.int32),
        special=np.array(special), generated=np.arange(T) >= T - 2, prompts=tuple(records),
        provenance=Provenance("made-up", dtype="bfloat16", quantisation="Q4_K, Q6_K"),
        layers=layers,
    )  # fmt: skip


@contextmanager
def looking(browser, folder: Path) -> Iterator[Callable]:
    """Opens the page of a trace, in a theme; what was opened is closed, and made no errors."""
    made = []

    def look(trace: Any, theme: str = "light", **opening: Any):
        context = browser.new_context(viewport=SIZE, color_scheme=theme)
        made.append((context, listen(context)))
        page = context.new_page()
        page.goto(mv.save_page(trace, folder / f"{len(made)}.html", **opening).as_uri())
        page.locator(".sentence:not(:empty)").wait_for()
        ground = tuple(rgb(GROUNDS[theme]).astype(int))
        until(lambda: colours(page.locator(".mv").evaluate(GROUND)) == [ground])
        return page

    yield look
    for context, noise in made:
        assert noise.errors == []
        context.close()


# ---- Colours, worked out


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)], float)


def mixed(colour: str, ground: str, share: float) -> np.ndarray:
    return rgb(colour) * share + rgb(ground) * (1 - share)


def full(expert: int) -> np.ndarray:
    return rgb(EXPERTS[expert % 8])


def cividis(x: float) -> np.ndarray:
    """Between the published anchors, in a straight line."""
    steps = np.array([rgb(c) for c in CIVIDIS])
    at = np.linspace(0, 1, len(steps))
    return np.array([np.interp(min(max(x, 0), 1), at, steps[:, n]) for n in range(3)])


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits.astype(float) - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def token_ground(trace: Trace, layer: int, t: int, theme: str) -> np.ndarray:
    """Behind a token: its first expert's colour, by how far its gate is from 1/k to 1."""
    k = trace.experts.shape[2]
    low, high = SHARES[theme]
    way = (float(np.float16(trace.gates[layer, t, 0])) - 1 / k) / (1 - 1 / k) if k > 1 else 1
    share = low + (high - low) * min(max(way, 0), 1)
    return mixed(EXPERTS[int(trace.experts[layer, t, 0]) % 8], GROUNDS[theme], share)


def part(trace: Trace, number: int) -> slice:
    """The tokens of a prompt."""
    return slice(trace.prompts[number].start, trace.prompts[number].stop)


def first_choices(trace: Trace, number: int, theme: str = "light") -> np.ndarray:
    """Colours of the cells of a prompt, (L, n, 3): full, paler where special, ground if none."""
    ground, rows = GROUNDS[theme], []
    for layer in trace.experts[:, part(trace, number), 0]:
        rows.append([full(e) if e >= 0 else rgb(ground) for e in layer.tolist()])
        rows[-1][0] = SPECIAL * rows[-1][0] + (1 - SPECIAL) * rgb(ground)
    return np.array(rows)


# ---- Pixels, read


def picture(url: str) -> np.ndarray:
    """The pixels of a data URL on white: (height, width, 3)."""
    file = BytesIO(base64.b64decode(url.partition(",")[2]))
    above = Image.open(file).convert("RGBA")
    below = Image.new("RGBA", above.size, "white")
    return np.asarray(Image.alpha_composite(below, above).convert("RGB"), float)


def shot(element) -> np.ndarray:
    """The pixels of an element of a page: (height, width, 3)."""
    return np.asarray(Image.open(BytesIO(element.screenshot())).convert("RGB"), float)


def cells(pixels: np.ndarray, rows: list[float], columns: int) -> np.ndarray:
    """The colour of each cell: at these heights, in the middle of each column."""
    x = ((np.arange(columns) + 0.5) * pixels.shape[1] / columns).astype(int)
    return pixels[np.array(rows).astype(int)[:, None], x[None, :]]


def tops(pixels: np.ndarray, L: int) -> list[float]:
    """Heights where each of a few layers' rows is free of digits: a sixth below its top."""
    return [(n + 1 / 6) * pixels.shape[0] / L for n in range(L)]


def near(found: np.ndarray, expected: np.ndarray, tolerance: float = 1.01) -> None:
    """Equal colours, up to rounding; says where they are not."""
    apart = np.abs(np.asarray(found, float) - expected).max(axis=-1)
    wrong = np.argwhere(apart > tolerance)
    few = [(at.tolist(), found[tuple(at)], expected[tuple(at)]) for at in wrong[:4]]
    assert not len(wrong), f"{len(wrong)} of {apart.size} differ: {few}"


def shown(drawn: dict, trace: Trace, n: int) -> np.ndarray:
    """The colours of a map's cells, (L, n, 3), where all its tokens are in view."""
    pixels = picture(drawn["map"])
    return cells(pixels, tops(pixels, len(trace.layers)), n)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal cells, of which the first is special: its share comes in steps of a 64th."""
    near(found[:, 1:], expected[:, 1:])
    near(found[:, :1], expected[:, :1], 3)


def colours(css: str) -> list[tuple[int, ...]]:
    """Every colour named in a computed style, in order."""
    return [tuple(map(int, c)) for c in re.findall(r"rgb\((\d+), (\d+), (\d+)\)", css)]
