# SPDX-License-Identifier: Apache-2.0
"""Atlases of any size, made of random numbers: their tables are what a page is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moe_viz.analysis import Finding
from moe_viz.analysis.atlas import Atlas

LABELS = ("en", "fr", "c")
PIECES = ("␣the", "the", "␣", "⏎", "␣le", "(", "␣return", "fr")


def made(
    L: int,
    E: int,
    k: int = 2,
    labels: Sequence[str] = LABELS,
    pieces: Sequence[str] = PIECES,
    said: str = "",
    control: str = "made-up · random weights",
    seed: int = 0,
) -> Atlas:
    """An atlas of layers 1, 3, 5 …; `said` stands in every context and document's name."""
    rng, layers = np.random.default_rng(seed), tuple(range(1, 2 * L, 2))
    V, G, n = len(pieces), len(labels), L * E
    layer, expert = np.repeat(layers, E), np.tile(np.arange(E), L)  # (n,) of each expert

    def some(*shape: int) -> np.ndarray:
        return rng.random(shape).round(4)

    def table(name: str, times: int, /, **columns: Any) -> Finding:
        """So many rows of each expert; columns are (n, times), or what all of them have."""
        own = {"layer": np.repeat(layer, times), "expert": np.repeat(expert, times)}
        for key, value in columns.items():
            own[key] = np.broadcast_to(np.asarray(value), (n, times)).ravel()
        return Finding(name, "made-up", "made up", own)

    load = np.minimum(some(G, L, E) ** 2 * 3 * k / E, 1).round(4)
    tokens = np.arange(1000, 1000 * (G + 1), 1000)[:G]
    whole = (load * tokens[:, None, None]).sum(0)  # (L, E)
    others = np.maximum(tokens.sum() - tokens, 1)[:, None, None]
    rest = (whole - load * tokens[:, None, None]) / others
    shares = [(some(V, E) ** 4).astype(np.float32) for _ in layers]
    top = np.stack([np.argsort(-share, axis=0, kind="stable")[:5].T for share in shares])
    top = top.reshape(n, -1)  # (n, 5) pieces
    row = np.repeat(np.arange(L), E)
    taken = np.stack([shares[r][v, e] for r, v, e in zip(row, top, expert, strict=True)])
    spelled, named = np.array(pieces, object), np.array(labels, object)
    by_expert = (load.transpose(1, 2, 0).reshape(n, G), rest.transpose(1, 2, 0).reshape(n, G))
    m = top.shape[1]
    known = some(n, 1) < 0.7  # of the others nothing is found
    twin = some(n, m)  # a piece is found only beside a smaller one
    tested = {"twin": 0.5, "twin_rest": 0.25}
    tables = {
        "pieces": table(
            "pieces", m, piece=spelled[top], share=taken.astype(float), count=np.full(m, 30),
            occurrences=60, twin=twin, first_half=0.5, second_half=0.25,
            q=np.where(some(n, m) < 0.2, np.nan, some(n, m) ** 3),
            found=known & (some(n, m) < 0.5) & (taken > twin),
        ),
        "kinds": table("kinds", 1, kind="digits", share=some(n, 1), random=0.2, twin=0.3,
                       q=0.0002, found=known & (some(n, 1) < 0.5)),
        "labels": table("labels", G, label=named, share=by_expert[0], rest=by_expert[1],
                        q=some(n, G), found=known & (some(n, G) < 0.3), twin_rest=0.25,
                        twin=0.25 + (some(n, G) * k / E).round(4)),
        "places": table("places", 1, place="tokens 0 to 3", share=some(n, 1), rest=0.2, q=0.04,
                        found=known & (some(n, 1) < 0.02), **tested),
        "neighbours": table("neighbours", 2, where=np.array(["before", "after"], object),
                            piece=spelled[top[:, :2]], count=9, times=2.5),
        "partners": table("partners", 1, other=(expert[:, None] + 1) % E, share=some(n, 1),
                          low=0.1, high=0.9, matched=0.2),
        "gates": table("gates", 1, gate=0.61, margin=0.27, uses=1234),
        "contexts": table(
            "contexts", 2, gate=np.array([0.9, 0.8]), before=f"before{said} ", token=f"token{said}",
            after=f"\nafter{said}", label=named[0], document=f"document{said}",
        ),
    }  # fmt: skip
    moved = table("moves", 1, next=(expert[:, None] + 2) % E, share=some(n, 1), low=0.1, high=0.9,
                  matched=0.2)  # fmt: skip
    tables["moves"] = moved.where(layer=list(layers[:-1]))
    come = table("origins", 1, before=(expert[:, None] + 3) % E, share=some(n, 1), matched=0.2)
    tables["origins"] = come.where(layer=list(layers[1:]))
    tables["load"] = Finding("load", "made-up", "made up", {
        "label": np.repeat(named, n), "layer": np.tile(layer, G), "expert": np.tile(expert, G),
        "share": load.ravel(), "low": load.ravel() * 0.9, "high": load.ravel() * 1.1,
        "assignments": np.repeat(k * tokens, n),
    })  # fmt: skip
    return Atlas(
        f"made-up{said}", True, layers, E, k, 40, int(tokens.sum()), control, 20, tables,
        list(pieces), np.arange(1000, 1000 - V, -1), shares, {}, (),
    )  # fmt: skip
