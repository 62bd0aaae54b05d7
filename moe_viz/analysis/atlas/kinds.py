# SPDX-License-Identifier: Apache-2.0
"""Kinds of pieces: digits, brackets, little words of a language. Does an expert take a kind?

A kind is compared with as many pieces of like frequency, drawn at random: a router that is constant
for each piece, but knows nothing of kinds, gives such a set what it gives this one. That holds with
a twin and without.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable

import numpy as np

from ..tallies import scrambled
from .pieces import Pieces
from .sureness import false_discovery, holding

#: Random sets that a kind is compared with; fewer where there are very many experts.
SETS, WORK = 9999, 2**31
#: Pieces that a kind must have in a corpus to be asked about.
FEWEST = 4

_LITTLE = {
    "en": "the of and to in is that for it with as was on be by this are at from or an have not",
    "fr": "le la les de des du et en un une que est pour qui dans par sur pas au plus se ce avec",
    "de": "der die das und in den von zu mit sich des auf für ist im dem nicht ein eine als auch",
    "es": "el la los las de que y en un una por con no se del para es al lo como más su sus o",
    "it": "il lo la i gli le di che e un una per in non del della si con è al da sono nel come",
}
_SHARED = {
    word
    for word in " ".join(_LITTLE.values()).split()
    if sum(word in words.split() for words in _LITTLE.values()) > 1
}


def _little(language: str) -> Callable[[str], bool]:
    words = set(_LITTLE[language].split()) - _SHARED
    return lambda piece: piece[:1] == " " and piece.strip().lower() in words


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda piece: compiled.fullmatch(piece) is not None


#: What makes a piece, with a blank before it where it begins a word, one of a kind. A piece
#: may be of several kinds.
KINDS: dict[str, Callable[[str], bool]] = {
    "digits": _matches(r" ?\d+"),
    "sentence marks": _matches(r" ?[.,;:?!…]+"),
    "quotation marks and apostrophes": _matches(r" ?[\"'«»“”„‘’`]+"),
    "brackets": _matches(r" ?[()\[\]{}<>]+"),
    "operators": _matches(r" ?[=+\-*/%&|^~!<>]+"),
    "blanks and line ends": _matches(r"[ \t⏎→]+"),
    "words of Python": lambda piece: piece.strip() in keyword.kwlist,
    "capitalised words": lambda piece: piece[:1] == " " and piece.strip().istitle(),
    "capitals only": lambda piece: len(piece.strip()) > 1 and piece.strip().isupper(),
    "beginnings of words": lambda piece: piece[:1] == " " and piece.strip().isalpha(),
    "ends of words": lambda piece: len(piece) > 1 and piece.isalpha() and piece.islower(),
    "letters with an accent": lambda piece: re.search("[œßà-öø-ÿ]", piece.lower()) is not None,
    **{f"little words of {name}": _little(name) for name in _LITTLE},
}


def plain(piece: str) -> str:
    """A piece with a blank where it shows that one belongs to it.

    >>> plain("␣the"), plain("▁the"), plain("the")
    (' the', ' the', 'the')
    """
    return re.sub("[␣▁Ġ]", " ", piece)


def kinds_in(pieces: Pieces) -> dict[str, np.ndarray]:
    """The kinds of which there are enough pieces: their numbers among the pieces."""
    found = {
        name: np.flatnonzero([is_one(plain(piece)) for piece in pieces.spelled])
        for name, is_one in KINDS.items()
    }
    return {name: members for name, members in found.items() if len(members) >= FEWEST}


def kind_shares(
    members: np.ndarray, shares: np.ndarray, alike: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean share of a kind's pieces, the same of random sets, and p: (columns,) each.

    `shares` (V, columns) are those of all pieces at every expert; `alike` (V,) the lots of like
    frequency from which a set takes as many pieces as the kind has there.

    >>> shares = np.repeat(np.array([[1.0], [0.0]]), [5, 95], axis=0)
    >>> mean, random, p = kind_shares(np.arange(5), shares, np.zeros(100, int))
    >>> mean.tolist(), bool(0.03 < random[0] < 0.07), bool(p[0] < 0.001)
    ([1.0], True, True)
    """
    own = shares[members].mean(0)
    sets = int(max(999, min(SETS, WORK // max(1, len(members) * shares.shape[1]))))
    total, reached = np.zeros(shares.shape[1]), np.zeros(shares.shape[1], np.int64)
    rows = [np.flatnonzero(alike == lot) for lot in np.unique(alike[members])]
    wanted = [int((alike[members] == lot).sum()) for lot in np.unique(alike[members])]
    rng = np.random.default_rng(int(scrambled(seed, len(members), int(members[0]))))
    for done in range(0, sets, 100):
        turns = min(100, sets - done)
        drawn = np.concatenate(
            [
                lot[rng.random((turns, len(lot))).argpartition(n - 1, axis=1)[:, :n]]
                for lot, n in zip(rows, wanted, strict=True)
            ],
            axis=1,
        )  # (turns, pieces)
        means = np.stack([shares[one].mean(0) for one in drawn])
        total += means.sum(0)
        reached += (means >= own - 1e-12).sum(0)
    return own, total / sets, (reached + 1) / (sets + 1)


def kinds_found(
    pieces: Pieces, counts: list[np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each kind its mean share, that of random sets, q and whether it is found: (L, E) each.

    `counts` (2, V, E) are a layer's each.
    """
    shape = (len(counts), counts[0].shape[2])
    whole = np.concatenate([c.sum(0) / pieces.total[:, None] for c in counts], axis=1)
    each = [
        np.concatenate([c[h] / np.maximum(pieces.counts[h], 1)[:, None] for c in counts], axis=1)
        for h in (0, 1)
    ]
    kinds = kinds_in(pieces)
    if not kinds:
        return {}
    own = {name: kind_shares(members, whole, pieces.alike) for name, members in kinds.items()}
    q = false_discovery(np.stack([p for _, _, p in own.values()]))
    found = {}
    for row, (name, members) in zip(q, kinds.items(), strict=True):
        share, random, _ = own[name]
        halves = [kind_shares(members, shares, pieces.alike, 1)[2] for shares in each]
        held = holding(row, *halves)
        found[name] = tuple(x.reshape(shape) for x in (share, random, row, held))
    return found  # type: ignore[return-value]


def most_of_kinds(pieces: Pieces, counts: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The largest mean share of each kind that any expert of a layer takes: (L,)."""
    if not counts:
        return {}
    shares = [c.sum(0) / pieces.total[:, None] for c in counts]
    return {
        name: np.array([share[members].mean(0).max() for share in shares])
        for name, members in kinds_in(pieces).items()
    }
