# SPDX-License-Identifier: Apache-2.0
"""What an expert's page opens with: a sentence or two, of what was found and how sure it is.

Only what is found is claimed; what an untrained router does as well is called that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from ...analysis.atlas import Atlas

Row = dict[str, Any]
#: How many times as much as what it is compared with is worth a sentence, and how many sentences.
MUCH, MOST = 1.5, 3


@dataclass(frozen=True)
class Claim:
    """Something that was found of an expert."""

    said: str
    times: float  # as much as what it is compared with
    beyond: bool  # more than any expert of the untrained twin, or there is none


def sentences(atlas: Atlas, layer: int, expert: int) -> str:
    """What can be said of an expert, as one paragraph: the strongest findings first."""
    who = f"Expert {expert} of layer {layer}"
    claims = [
        *_shares(_of(atlas, "labels", layer, expert), "label", "the tokens of texts labelled {}"),
        *_kinds(_of(atlas, "kinds", layer, expert)),
        *_pieces(_of(atlas, "pieces", layer, expert)),
        *_shares(_of(atlas, "places", layer, expert), "place", "the {} of a document"),
    ]
    strong = sorted((c for c in claims if c.times >= MUCH), key=lambda claim: -claim.times)
    beyond = [claim.said for claim in strong if claim.beyond][:MOST]
    alike = [claim.said for claim in strong if not claim.beyond][:1]
    load = _percent(load_of(atlas, layer, expert))
    even = _percent(atlas.choices / atlas.experts)
    text = f"It is chosen at {load} of all tokens; even would be {even}."
    if beyond:
        text = f"{who} takes {_listed(beyond)}. {text}"
    elif claims:
        text = f"{who} has small or ordinary preferences only. {text}"
    else:
        text = f"Nothing sure was found of {who[0].lower()}{who[1:]}. {text}"
    if alike:
        text += f" It also takes {alike[0]}, but so does some expert of an untrained router."
    if not atlas.control and beyond:
        text += " There is no untrained twin beside it: this may not come from training."
    return text


def strong(atlas: Atlas, name: str) -> np.ndarray:
    """Which rows of a table are found, much, and more than any of the twin's experts: (rows,)."""
    table = atlas[name]
    found = table["found"].astype(bool)
    if name == "pieces" or not len(found):
        return found
    columns = ("share", "random" if name == "kinds" else "rest", "twin")
    share, other, twin = (np.asarray(table[column], float) for column in columns)
    ahead = share
    if name != "kinds":
        ahead, twin = share - other, twin - np.asarray(table["twin_rest"], float)
    return found & (share >= MUCH * other) & ~(twin >= ahead)


def load_of(atlas: Atlas, layer: int, expert: int) -> float:
    """The share of all tokens that have the expert among their choices, all labels together."""
    table = atlas["load"].where(layer=layer, expert=expert)
    weight = table["assignments"].astype(float)
    return float((np.nan_to_num(table["share"]) * weight).sum() / max(weight.sum(), 1))


def _of(atlas: Atlas, name: str, layer: int, expert: int) -> list[Row]:
    return list(atlas[name].where(layer=layer, expert=expert, found=True).rows())


def _kinds(rows: list[Row]) -> Iterator[Claim]:
    for row in rows:
        said = f"{_percent(row['share'])} of {row['kind']} "
        said += f"({_percent(row['random'])} of other pieces as frequent)"
        yield Claim(said, row["share"] / row["random"], not row["twin"] >= row["share"])


def _shares(rows: list[Row], what: str, said_of: str) -> Iterator[Claim]:
    for row in (row for row in rows if row["share"] > row["rest"]):
        said = f"{_percent(row['share'])} of {said_of.format(row[what] or 'nothing')} "
        said += f"({_percent(row['rest'])} of the rest)"
        beyond = not row["twin"] - row["twin_rest"] >= row["share"] - row["rest"]
        yield Claim(said, row["share"] / max(row["rest"], 1e-9), beyond)


def _pieces(rows: list[Row]) -> Iterator[Claim]:
    if rows:
        named = ", ".join(f"“{row['piece'].strip('␣▁ ') or row['piece']}”" for row in rows[:6])
        yield Claim(f"most of {named}", float("inf"), True)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _percent(share: float) -> str:
    """A share as people read it.

    A half is rounded up, as the page's script rounds it: 8 of 64 are 13 % in both.

    >>> [_percent(share) for share in (0.314, 0.125, 0.0625, 0.0123, 0.0004)]
    ['31 %', '13 %', '6.3 %', '1.2 %', '0.04 %']
    """
    value = 100 * share
    if value < 0.1:
        return f"{value:.2g} %"
    step = Decimal("1" if value >= 9.95 else "0.1")
    return f"{Decimal(value).quantize(step, ROUND_HALF_UP)} %"
