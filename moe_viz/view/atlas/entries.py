# SPDX-License-Identifier: Apache-2.0
"""An atlas as plain data for its page: a head, and a part for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...analysis import Finding
from ...analysis.atlas import Atlas
from ...analysis.atlas.tables import MANY, SOME
from .marks import ALIKE, MORE, marks, strong
from .words import sentences, work_of

#: Experts of a layer that a piece is listed with.
BEST = 3


def head_of(atlas: Atlas) -> dict[str, Any]:
    """What the page needs at once: what it is of, the grid's numbers, the pieces' names."""
    load = atlas["load"]
    labels = list(dict.fromkeys(load["label"].tolist()))
    shape = (len(labels), len(atlas.layers), atlas.experts)
    shares = np.nan_to_num(load["share"]).reshape(shape)
    weight = load["assignments"].astype(float).reshape(shape)
    whole = (shares * weight).sum(0) / np.maximum(weight.sum(0), 1)
    return {
        "title": atlas.title,
        "synthetic": atlas.synthetic,
        "layers": list(atlas.layers),
        "experts": atlas.experts,
        "choices": atlas.choices,
        "documents": atlas.documents,
        "tokens": atlas.tokens,
        "labels": labels,
        "control": atlas.control,
        "minimum": atlas.minimum,
        "many": MANY,
        "some": SOME,
        "notes": list(atlas.notes),
        "left_out": atlas.left_out,
        "load": _rounded(whole),
        "by_label": _rounded(shares),
        "tokens_of": (weight[:, 0, 0] / atlas.choices).round().astype(int).tolist(),
        "surely": _surely(atlas, labels),
        "found": _found(atlas),
        "pieces": atlas.spelled,
        "counts": atlas.counts.tolist(),
    }


def layer_of(atlas: Atlas, row: int) -> dict[str, Any]:
    """A layer's entries, and for each piece the experts that take most of it, in permille."""
    layer, shares = atlas.layers[row], atlas.shares[row]
    # Of this layer alone: a sentence looks through the tables for each expert.
    atlas = replace(
        atlas, tables={name: table.where(layer=layer) for name, table in atlas.tables.items()}
    )
    best = np.argsort(-shares, axis=1, kind="stable")[:, :BEST]
    permille = np.rint(1000 * np.take_along_axis(shares, best, 1)).astype(int)
    tables = {name: _more(name, table) for name, table in atlas.tables.items()}
    of = {name: (table, _by_expert(table)) for name, table in tables.items()}
    number = {piece: n for n, piece in enumerate(atlas.spelled)}
    sure = atlas["pieces"].where(found=True)
    return {
        "layer": layer,
        "best": np.stack([best, permille], axis=2).reshape(len(best), -1).tolist(),
        "sure": [
            [number[piece], int(expert)]
            for piece, expert in zip(sure["piece"], sure["expert"], strict=True)
        ],
        "entries": [
            {
                "said": sentences(atlas, layer, e),
                **{
                    name: [_cells(of[name], i, columns) for i in of[name][1].get(e, ())]
                    for name, columns in COLUMNS.items()
                    if name in of
                },
            }
            for e in range(atlas.experts)
        ],
    }


#: The columns of each table that a page has, in this order.
COLUMNS: dict[str, tuple[str, ...]] = {
    "load": ("label", "share", "low", "high", "assignments", "work"),
    "contexts": ("before", "token", "after", "label", "document", "gate"),
    "pieces": ("piece", "share", "count", "occurrences", "twin", "first_half", "second_half", "q",
               "mark"),
    "kinds": ("kind", "share", "random", "twin", "q", "mark"),
    "labels": ("label", "share", "rest", "twin", "twin_rest", "q", "mark"),
    "places": ("place", "share", "rest", "twin", "twin_rest", "q", "mark"),
    "neighbours": ("where", "piece", "count", "times"),
    "partners": ("other", "share", "low", "high", "matched"),
    "moves": ("next", "share", "low", "high", "matched"),
    "origins": ("before", "share", "matched"),
    "gates": ("gate", "margin", "uses"),
    "effects": ("label", "loss", "change", "low", "high", "p"),
}  # fmt: skip


def _more(name: str, table: Finding) -> Finding:
    """A table with what its page tells too: marks, or shares of an expert's own work."""
    if name in ("pieces", "kinds", "labels", "places"):
        own = {"mark": marks(table)}
    else:
        own = {"work": work_of(table)} if name == "load" else {}
    return replace(table, columns={**table.columns, **own})


def _by_expert(table: Finding) -> dict[int, list[int]]:
    """The rows of a table, by expert."""
    rows: dict[int, list[int]] = {}
    for n, expert in enumerate(table["expert"].tolist() if len(table) else []):
        rows.setdefault(int(expert), []).append(n)
    return rows


def _cells(of: tuple[Finding, Any], row: int, columns: Sequence[str]) -> list[Any]:
    return [_plain(of[0][name][row]) for name in columns]


def _plain(value: Any) -> Any:
    """A number as few digits as a page shows; what is none is null."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


def _rounded(shares: np.ndarray) -> list[Any]:
    return np.round(shares, 4).tolist()


def _surely(atlas: Atlas, labels: list[str]) -> list[list[list[int]]]:
    """Of each label the experts found to take more of it: row · E + expert, and their mark.

    What is found to be less is in the experts' own tables.
    """
    rows: dict[str, list[list[int]]] = {label: [] for label in labels}
    table = atlas["labels"]
    for row, mark in zip(table.rows(), marks(table).tolist(), strict=True):
        if mark in (MORE, ALIKE):
            cell = atlas.layers.index(row["layer"]) * atlas.experts + row["expert"]
            rows[row["label"]].append([int(cell), mark])
    return list(rows.values())


def _found(atlas: Atlas) -> list[list[int]]:
    """How much was found of each expert that is strong: (L, E)."""
    number = {layer: n for n, layer in enumerate(atlas.layers)}
    counts = np.zeros((len(atlas.layers), atlas.experts), int)
    for name in ("kinds", "labels", "pieces", "places"):
        table, rows = atlas[name], strong(atlas, name)
        pairs = (table[column][rows].tolist() for column in ("layer", "expert"))
        for layer, expert in zip(*pairs, strict=True):
            counts[number[layer], expert] += 1
    return counts.tolist()
