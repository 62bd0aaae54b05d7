# SPDX-License-Identifier: Apache-2.0
"""Tables as analyses make them, with random numbers instead: no two columns agree by chance.

In: the kind of chart that draws them. Out: a `Finding`, and its rows by a loop of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from moe_viz.analysis.finding import Finding

LAYERS, LABELS, E = (2, 5, 9), ("en", "fr", "de"), 4
OWN = "mine · bfloat16 · Q4_K, Q6_K · ablated 2/5"
TWIN = "mine · float32 · random weights, seed 7"
EVEN = 0.25


def table(name: str, keys: dict, numbers: list[str], seed=0, title=OWN, skip=lambda row: False):
    """Every combination of the keys, with random numbers, an interval, and 30 documents."""
    rng = np.random.default_rng(seed)
    rows = [dict(zip(keys, values, strict=True)) for values in product(*keys.values())]
    rows = [row for row in rows if not skip(row)]
    columns = {key: np.array([row[key] for row in rows]) for key in keys}
    for number in numbers:
        columns[number] = rng.uniform(0.1, 0.9, len(rows))
    columns["low"] = columns[numbers[0]] - rng.uniform(0.01, 0.05, len(rows))
    columns["high"] = columns[numbers[0]] + rng.uniform(0.01, 0.05, len(rows))
    columns["documents"] = np.full(len(rows), 30)
    return Finding(name, title, "what was counted", columns)


def load(**how) -> Finding:
    keys = {"layer": LAYERS, "label": LABELS, "expert": range(E)}
    found = table("load, both choices", keys, ["share"], **how)
    n = len(found)
    even = {"uniform": np.full(n, EVEN), "assignments": np.arange(1000, 1000 + n)}
    return Finding(found.name, found.title, found.counted, {**found.columns, **even})


LINES = {  # kind: what is drawn, the keys beside the layer, and the baselines with their names
    "repetition": ("share", {"what": ("first choice", "any choice"), "label": LABELS},
                   {"uniform": "uniform", "matched": "matched", "shuffled": "shuffled"}),
    "label divergence": ("divergence", {}, {"null": "labels permuted"}),
    "language divergence": ("divergence", {"label": LABELS[1:]},
                            {"within": "other passages of one language"}),
    "certainty": ("mean", {"what": ("margin", "entropy"), "label": LABELS},
                  {"shuffled": "shuffled"}),
    "vocabulary": ("share", {"label": LABELS}, {"uniform": "uniform", "shuffled": "shuffled"}),
    "agreement": ("share", {"what": ("overlap", "identical", "first")}, {"chance": "by chance"}),
}  # fmt: skip


def lines(kind: str, **how) -> Finding:
    value, keys, baselines = LINES[kind]
    return table(kind, {"layer": LAYERS, **keys}, [value, *baselines], **how)


#: Kind: the other expert's column, and the baseline's.
MATRICES = {"co-activation": ("other", "matched"), "transitions": ("next", "shuffled")}


def matrix(kind: str, **how) -> Finding:
    keys = MATRICES[kind]
    found = table(kind, {"layer": LAYERS, "expert": range(E), keys[0]: range(E)},
                  ["share", keys[1]], skip=lambda r: kind == "co-activation" and
                  r["expert"] == r["other"], **how)  # fmt: skip
    counted = {"tokens": np.arange(1000, 1000 + len(found))}
    return Finding(found.name, found.title, found.counted, {**found.columns, **counted})


def margins(**how) -> Finding:
    found = table("margins", {"layer": LAYERS, "start": (0.0, 0.5, 1.0)}, ["share"], **how)
    stops = {"stop": np.where(found["start"] < 1, found["start"] + 0.5, np.inf)}
    return Finding(found.name, found.title, found.counted, {**found.columns, **stops})


def cache(**how) -> Finding:
    keys = {"layer": LAYERS, "policy": ("LRU", "LFU", "random"), "size": range(1, E + 1)}
    return table("expert cache", keys, ["hit", "shuffled", "uniform"], **how)


def damage(**how) -> Finding:
    keys = {"intervention": ("no 0/1", "no 1/3", "top-1"), "label": LABELS}
    return table("effects", keys, ["change", "loss"], **how)


class Tables(dict[str, Callable[..., Finding]]):
    def __missing__(self, kind: str) -> Callable[..., Finding]:
        raise AssertionError(f"{__file__} makes no table of the kind {kind!r} yet: add it here.")


MADE = Tables({
    "load": load, "margins": margins, "expert cache": cache, "effects": damage,
    **{kind: partial(lines, kind) for kind in LINES},
    **{kind: partial(matrix, kind) for kind in MATRICES},
})  # fmt: skip


def rows(found: Finding, **equal) -> list[dict]:
    """Rows with these values, by a loop of its own."""
    plain = {name: values.tolist() for name, values in found.columns.items()}
    every = [{name: plain[name][n] for name in plain} for n in range(len(found))]
    return [row for row in every if all(row[k] == v for k, v in equal.items())]


def column(found: Finding, name: str, **equal) -> list:
    return [row[name] for row in rows(found, **equal)]
