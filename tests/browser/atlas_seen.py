# SPDX-License-Identifier: Apache-2.0
"""What a page of an atlas shall show, worked out from its tables, and what it shows."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from moe_viz.analysis.atlas import Atlas
from tests.browser.atlases import LABELS
from tests.browser.conftest import drawn, listen
from tests.browser.seen import cividis, near, picture, rgb

#: Every table of an entry: its name, and the texts of its rows' cells.
TABLES = """() => Object.fromEntries([...document.querySelectorAll('.folds details')].map((d) =>
  [d.className, [...d.querySelectorAll('tbody tr')].map((r) =>
    [...r.cells].map((c) => c.textContent.replaceAll('\\u00a0', ' ')))]))"""
#: Rows of what was found: of each table its links' addresses, shares and marks.
FOUND = """() => [...document.querySelectorAll('.found table')].map((table) =>
  [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll('a')].map((a) =>
    [a.getAttribute('href'), a.querySelector('.share').textContent.replace('\\u00a0', ' '),
      a.querySelector('.dot').textContent])))"""


@contextmanager
def shown(browser, path, hash="", **options):
    """A page of an atlas from the disk; nothing of it may fail, or ask for anything outside."""
    context = browser.new_context(**{"viewport": {"width": 1366, "height": 900}} | options)
    noise, page = listen(context), context.new_page()
    page.goto(path.as_uri() + hash)
    page.locator("h1").wait_for()
    drawn(page)
    yield page
    context.close()
    assert noise.errors == []
    assert noise.outside("file:") == []


def percent(share: float) -> str:
    """Worked out here: whole numbers from 10 %, else one digit; of very little, two."""
    value = 100 * share
    if value < 0.1:
        return f"{value:.2g} %" if share else "0 %"
    step = Decimal("1" if value >= 9.95 else "0.1")
    return f"{Decimal(value).quantize(step, ROUND_HALF_UP)} %"


def loads(atlas: Atlas) -> np.ndarray:
    """Share of all tokens, (L, E), from the table of loads by label."""
    table, shape = atlas["load"], (-1, len(atlas.layers), atlas.experts)
    share, weight = (table[n].reshape(shape).astype(float) for n in ("share", "assignments"))
    return (share * weight).sum(0) / weight.sum(0)


def findings(atlas: Atlas) -> np.ndarray:
    """How much was found of each expert that is strong, (L, E): half as much again as beside it,
    and more than any of the twin's experts.
    """
    counts = np.zeros((len(atlas.layers), atlas.experts), int)
    for name in ("pieces", "kinds", "labels", "places"):
        for row in atlas[name].rows():
            strong = row["found"]
            if name == "kinds":
                strong &= row["share"] >= 1.5 * row["random"] and not row["twin"] >= row["share"]
            elif name != "pieces":
                above, twins = row["share"] - row["rest"], row["twin"] - row["twin_rest"]
                strong &= row["share"] >= 1.5 * row["rest"] and not twins >= above
            counts[(int(row["layer"]) - 1) // 2, int(row["expert"])] += bool(strong)  # 1, 3, 5 …
    return counts


def mark(row: dict) -> str:
    """The mark of a row, worked out here: ● more, ○ some expert of the twin takes as much, ▽ less.

    Without a twin, which is NaN, nothing is as much.
    """
    share, twin = row["share"], row["twin"]
    if "rest" in row:
        share, twin = share - row["rest"], twin - row["twin_rest"]
    if not row["found"]:
        return ""
    if "rest" in row and share < 0:
        return "▽"
    return "○" if twin >= share else "●"


def q_said(row: dict) -> str:
    """What the cell of q says; a single rate that would do is not enough."""
    q = row["q"]
    if np.isnan(q):
        return "–"
    said = "< 0.001" if q < 0.001 else f"{q:.2g}"
    return said if mark(row) or q > 0.05 else f"{said} not in both halves"


def of_label(atlas: Atlas, label: str) -> list[list[dict]]:
    """A label's rows, by layer and expert."""
    rows = {(r["layer"], r["expert"]): r for r in atlas["labels"].where(label=label).rows()}
    return [[rows[layer, e] for e in range(atlas.experts)] for layer in atlas.layers]


def by_cell(atlas: Atlas, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a label, (L, E) each: shares, the rest's, and what is found to be more, and more than the
    twin's.
    """
    table, shape = atlas["labels"].where(label=label), (len(atlas.layers), atlas.experts)
    share, rest = (np.asarray(table[n], float).reshape(shape) for n in ("share", "rest"))
    return share, rest, np.array([[mark(r) == "●" for r in row] for row in of_label(atlas, label)])


def diverging(loads: np.ndarray, even: float) -> np.ndarray:
    """Colours of loads: as far to one side for twice as for half to the other."""
    with np.errstate(divide="ignore"):
        steps = np.log2(loads.round(4) / even)
    furthest = np.abs(steps[np.isfinite(steps)]).max()
    span = next(np.log2(n) for n in (1.5, 2, 4, 8, 16, 1e9) if np.log2(n) >= furthest)
    span = min(span, 4)
    less, middle, more = rgb("#b35806"), rgb("#f7f7f7"), rgb("#542788")
    x = np.clip(steps / span, -1, 1)[..., None]
    return middle + np.maximum(x, 0) * (more - middle) + np.maximum(-x, 0) * (less - middle)


def check_grid(atlas: Atlas, page, choice: str) -> None:
    """Hold every cell's pixels against the tables."""
    L, E = len(atlas.layers), atlas.experts
    page.get_by_label("What colours show").select_option(choice)
    drawn(page)
    pixels = picture(page.locator("canvas").evaluate("c => c.toDataURL()"))
    w, t = pixels.shape[1] // E, pixels.shape[0] // L
    assert (w * E, t * L) == (pixels.shape[1], pixels.shape[0])
    assert min(w, t) >= 4
    y, x = np.mgrid[0:L, 0:E]
    if choice == "load":
        expected, dots = diverging(loads(atlas), atlas.choices / E), findings(atlas) > 0
    elif choice == "found":
        counts = findings(atlas)
        expected = np.array([[cividis(n / counts.max()) for n in row] for row in counts])
        dots = counts > 0
    else:
        share, _, dots = by_cell(atlas, LABELS[int(choice)])
        expected = np.array([[cividis(s / share.max()) for s in row] for row in share])
    assert 0 < dots.sum() < dots.size
    near(pixels[y * t, x * w], expected, 2.5)
    # In the middle, or in front of a number.
    centre = pixels[y * t + t // 2, x * w + (12 if w >= 64 else w // 2)]
    black_or_white = (centre.max(axis=2) < 40) | (centre.min(axis=2) > 250)
    assert np.array_equal(black_or_white, dots)


def takers_of_piece(atlas: Atlas, piece: str) -> list[list[list]]:
    """Worked out from the atlas: of each layer the three experts that take most."""
    rows, v = [], atlas.spelled.index(piece)
    found = atlas["pieces"].where(piece=piece, found=True)
    sure = set(zip(found["layer"].tolist(), found["expert"].tolist(), strict=True))
    for layer, shares in zip(atlas.layers, atlas.shares, strict=True):
        best = sorted(range(atlas.experts), key=lambda e: (-shares[v, e], e))[:3]
        rows.append([
            [f"#{layer}/{e}", percent(round(float(shares[v, e]), 3)),
             "●" if (layer, e) in sure else ""]
            for e in best if shares[v, e] >= 0.0005
        ])  # fmt: skip
    return rows
