# SPDX-License-Identifier: Apache-2.0
"""The colours of the picture, in one place for Python, JavaScript and the tests that hold them.

Experts are told apart by number first and colour second. Of sixteen or more, only the busiest have
a colour; the rest share a grey. The eight colours keep their distance
under the three common colour-vision deficiencies, and dark ink stays readable on every mixture of
them with the light ground, light ink on every mixture with the dark one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: One colour for each expert of a layer; from 8 to 15 they repeat, with a hatch.
EXPERTS = (
    "#1b519f", "#f18f00", "#27e6aa", "#9a1923", "#beadff", "#d54a05", "#5b83ff", "#a47a9a",
)  # fmt: skip

#: The colours on which a digit is written in white; on the others it is black.
WHITE_DIGITS = (0, 3)


@dataclass(frozen=True)
class Theme:
    """Ground, ink, lines, muted text, and how strongly a gate mixes an expert into the ground."""

    ground: str
    ink: str
    line: str
    muted: str
    others: str  # experts that have no colour of their own, where there are many
    shared: str  # what is shared with the selected token, and what has been touched
    faintest: float  # share of the expert's colour at the smallest possible gate, 1/k
    strongest: float  # and at gate 1


LIGHT = Theme("#ffffff", "#1b1f24", "#d5d9de", "#5b6570", "#d9dce2", "#f2c230", 0.18, 0.50)
DARK = Theme("#15181c", "#f2f4f6", "#3a4047", "#aab2bb", "#474d55", "#7d6210", 0.25, 0.48)

#: Anchors of cividis (Nuñez, Anderton and Renslow 2018), for quantities.
CIVIDIS = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369",
    "#e1cc55", "#fee838",
)  # fmt: skip

#: Differences, from less to more, centred on nothing.
DIFFERENCE = ("#b35806", "#f7f7f7", "#542788")


def expert_colour(expert: int) -> str:
    """Colour of an expert's number within its layer."""
    return EXPERTS[expert % len(EXPERTS)]


def token_share(gate: float, k: int, theme: Theme = LIGHT) -> float:
    """How much of the expert's colour a token's background takes for this gate of its first choice.

    >>> token_share(0.5, 2), token_share(1.0, 2)
    (0.18, 0.5)
    """
    least = 1 / k
    span = (gate - least) / (1 - least) if k > 1 else 1.0
    # In this order, so that a gate of NaN counts as the least.
    return theme.faintest + (theme.strongest - theme.faintest) * min(max(0.0, span), 1.0)


def mix(colour: str, ground: str, share: float) -> str:
    """`share` of a colour and the rest of the ground, in sRGB.

    >>> mix("#000000", "#ffffff", 0.5)
    '#808080'
    """
    a, b = rgb(colour), rgb(ground)
    return "#" + "".join(
        f"{round(x * share + y * (1 - share)):02x}" for x, y in zip(a, b, strict=True)
    )


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue of `#rrggbb`, 0 … 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def for_script() -> dict[str, Any]:
    """Everything above as plain data, for the explorer's JavaScript."""
    return {
        "experts": EXPERTS,
        "white": WHITE_DIGITS,
        "light": asdict(LIGHT),
        "dark": asdict(DARK),
        "cividis": CIVIDIS,
        "difference": DIFFERENCE,
    }
