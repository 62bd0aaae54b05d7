# SPDX-License-Identifier: Apache-2.0
"""What an expert's page opens with: a few sentences, of what was found and how sure it is.

Only what is found is claimed; what the untrained twin does as well is called that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from ...analysis import Finding
from ...analysis.atlas import Atlas
from .marks import ALIKE, LESS, MUCH, marks

Row = dict[str, Any]
#: How many findings are worth a sentence.
MOST = 3
#: The level of a p-value that is already corrected for all that was switched off.
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """Something that was found of an expert."""

    said: str
    what: str  # the same without its figures
    times: float  # as much as what it is compared with
    beyond: bool  # more than any expert of the untrained twin, or there is none
    label: str | None = None  # of texts


def sentences(atlas: Atlas, layer: int, expert: int) -> str:
    """What can be said of an expert, as one paragraph: the strongest findings first."""
    who = f"expert {expert} of layer {layer}"
    claims = [
        *_labels(_of(atlas, "labels", layer, expert)),
        *_kinds(_of(atlas, "kinds", layer, expert)),
        *_pieces(_of(atlas, "pieces", layer, expert)),
        *_places(_of(atlas, "places", layer, expert)),
    ]
    strong = sorted((c for c in claims if c.times >= MUCH), key=lambda claim: -claim.times)
    beyond = [claim for claim in strong if claim.beyond][:MOST]
    alike = [claim.what for claim in strong if not claim.beyond]
    if beyond:
        said = [f"{who.capitalize()} takes {_listed([claim.said for claim in beyond])}."]
    elif claims:
        said = [f"Nothing strong was found of {who}."]
    else:
        said = [f"Nothing was found that {who} takes more of."]
    load, even = load_of(atlas, layer, expert), atlas.choices / atlas.experts
    said.append(f"It is chosen at {_percent(load)} of all tokens; even would be {_percent(even)}.")
    said += _own_work(atlas, layer, expert, [c.label for c in beyond if c.label is not None])
    if alike:
        also = "also takes" if beyond else "takes"
        said.append(f"It {also} {_few(alike)}, but so does some expert of the untrained twin.")
    if not atlas.control and beyond:
        said.append("There is no untrained twin beside it: this may not come from training.")
    said += _harm(atlas, layer, expert)
    return " ".join(said)


def work_of(load: Finding) -> np.ndarray:
    """How much of its expert's own work each row of the table of loads is: (rows,).

    `assignments` counts a label's choices of any expert of the layer; what an expert has of them
    goes with its share of the label's tokens.
    """
    taken = np.nan_to_num(load["share"].astype(float)) * load["assignments"].astype(float)
    pairs = np.stack([load["layer"].astype(int), load["expert"].astype(int)], axis=1)
    _, which = np.unique(pairs, axis=0, return_inverse=True)
    total = np.bincount(which.ravel(), taken)[which.ravel()]
    return np.divide(taken, total, out=np.full(len(taken), np.nan), where=total > 0)


def load_of(atlas: Atlas, layer: int, expert: int) -> float:
    """The share of all tokens that have the expert among their choices, all labels together."""
    table = atlas["load"].where(layer=layer, expert=expert)
    weight = table["assignments"].astype(float)
    return float((np.nan_to_num(table["share"]) * weight).sum() / max(weight.sum(), 1))


def _own_work(atlas: Atlas, layer: int, expert: int, labels: list[str]) -> Iterator[str]:
    """Of the leading label: that an expert takes most of it does not make it most of its work."""
    table = atlas["load"].where(layer=layer, expert=expert)
    for label, work in zip(table["label"], work_of(table), strict=True):
        if labels and label == labels[0] and len(table) > 1:
            yield f"T{_texts(label)[1:]} are {_percent(work)} of its work."


def _harm(atlas: Atlas, layer: int, expert: int) -> Iterator[str]:
    """The largest rise of the loss that is significant, where effects were given."""
    table = atlas.tables.get("effects")
    if table is None:
        return
    of = table.where(layer=layer, expert=expert).rows()
    rows = [row for row in of if row["change"] > 0 and row["p"] <= LEVEL]
    if rows:
        most = max(rows, key=lambda row: row["change"])
        rise, low, high = (_signed(most[name]) for name in ("change", "low", "high"))
        yield (
            f"Without it, the loss on {_texts(most['label'])} rises by {rise} nats a token "
            f"({low} to {high})."
        )


def _of(atlas: Atlas, name: str, layer: int, expert: int) -> list[Row]:
    """What was found that an expert takes more of, with its mark."""
    table = atlas[name].where(layer=layer, expert=expert, found=True)
    rows = zip(table.rows(), marks(table).tolist(), strict=True)
    return [row | {"mark": mark} for row, mark in rows if mark != LESS]


def _kinds(rows: list[Row]) -> Iterator[Claim]:
    for row in rows:
        said = f"{_percent(row['share'])} of {row['kind']} "
        said += f"({_percent(row['random'])} of other pieces as frequent)"
        times = row["share"] / max(row["random"], 1e-9)
        yield Claim(said, row["kind"], times, row["mark"] != ALIKE)


def _labels(rows: list[Row]) -> Iterator[Claim]:
    for row in rows:
        what = _texts(row["label"])
        yield _beside_rest(row, f"the tokens of {what}", what, row["label"])


def _places(rows: list[Row]) -> Iterator[Claim]:
    for row in rows:
        what = f"the {row['place']} of a document"
        yield _beside_rest(row, what, what)


def _beside_rest(row: Row, of: str, what: str, label: str | None = None) -> Claim:
    said = f"{_percent(row['share'])} of {of} ({_percent(row['rest'])} of the rest)"
    return Claim(said, what, row["share"] / max(row["rest"], 1e-9), row["mark"] != ALIKE, label)


def _pieces(rows: list[Row]) -> Iterator[Claim]:
    if rows:
        named = ", ".join(f"“{row['piece'].strip('␣▁ ') or row['piece']}”" for row in rows[:6])
        yield Claim(f"most of {named}", named, float("inf"), True)


def _texts(label: str) -> str:
    return f"texts labelled {label}" if label else "texts without a label"


def _few(parts: list[str]) -> str:
    """Up to three by name, of more the number."""
    rest = len(parts) - MOST
    return _listed(parts if rest <= 0 else [*parts[:MOST], f"{rest} more"])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _signed(value: float) -> str:
    """A change of loss, with the minus sign that print has.

    >>> _signed(0.594), _signed(-0.25), _signed(-0.001)
    ('0.59', '−0.25', '0.00')
    """
    said = f"{value:.2f}"
    return said.replace("-", "−" if float(said) else "")


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
