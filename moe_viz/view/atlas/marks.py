# SPDX-License-Identifier: Apache-2.0
"""How a row of an atlas is marked, said once for the sentences, the tables and the map.

A mark tells what was found, and whether the untrained twin has the like. It is worked out from the
numbers as they are, not as the page rounds them.
"""

from __future__ import annotations

import numpy as np

from ...analysis import Finding
from ...analysis.atlas import Atlas

#: Not found; found, and more than any expert of the twin; found, but the twin has the like; less.
NONE, MORE, ALIKE, LESS = range(4)
#: How many times as much as what it is compared with is strong.
MUCH = 1.5
#: What the shares of a table are compared with.
OTHER = {"kinds": "random", "labels": "rest", "places": "rest"}


def marks(table: Finding) -> np.ndarray:
    """The mark of each row of `pieces`, `kinds`, `labels` or `places`: (rows,).

    Without a twin its shares are NaN, and none of them is as large as anything.
    """
    if not len(table):
        return np.zeros(0, int)
    ahead, twin = (np.asarray(table[column], float) for column in ("share", "twin"))
    less = np.zeros(len(table), bool)
    if "twin_rest" in table.columns:  # labels and places: by how much above the rest
        ahead = ahead - np.asarray(table["rest"], float)
        twin, less = twin - np.asarray(table["twin_rest"], float), ahead < 0
    found = np.where(less, LESS, np.where(twin >= ahead, ALIKE, MORE))
    return np.where(table["found"].astype(bool), found, NONE)


def strong(atlas: Atlas, name: str) -> np.ndarray:
    """Which rows of a table are found, much, and more than any of the twin's experts: (rows,).

    A single piece is compared with nothing but the twin.
    """
    table = atlas[name]
    ahead = marks(table) == MORE
    if name not in OTHER or not len(table):
        return ahead
    share, other = (np.asarray(table[column], float) for column in ("share", OTHER[name]))
    return ahead & (share >= MUCH * other)
