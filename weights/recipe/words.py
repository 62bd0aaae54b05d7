# SPDX-License-Identifier: Apache-2.0
"""Function words in five languages: does a router part them by meaning, or by language?

In: how often each expert was chosen for each word. Out: the load that would have to move between
two words of the same meaning in different languages, and of the same language with different
meanings; means over pairs. Fixed before the third version was trained; FACTS.md, section 6, has the
same of Mixtral. Words that are not one piece of the vocabulary cannot be counted, and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from sources import LANGUAGES

from moe_viz.tokenization import Tokenizer

#: A row for each meaning: the word in en, fr, de, es, it.
MEANINGS = (
    ("and", "et", "und", "y", "e"),
    ("or", "ou", "oder", "o", "o"),
    ("but", "mais", "aber", "pero", "ma"),
    ("if", "si", "wenn", "si", "se"),
    ("that", "que", "dass", "que", "che"),
    ("the", "la", "die", "la", "la"),
    ("a", "un", "ein", "un", "un"),
    ("this", "cette", "diese", "este", "questo"),
    ("in", "dans", "in", "en", "in"),
    ("of", "de", "von", "de", "di"),
    ("with", "avec", "mit", "con", "con"),
    ("for", "pour", "für", "para", "per"),
    ("from", "depuis", "aus", "desde", "da"),
    ("on", "sur", "auf", "sobre", "su"),
    ("not", "pas", "nicht", "no", "non"),
    ("is", "est", "ist", "es", "è"),
    ("are", "sont", "sind", "son", "sono"),
    ("was", "était", "war", "era", "era"),
    ("can", "peut", "kann", "puede", "può"),
    ("all", "tous", "alle", "todos", "tutti"),
    ("more", "plus", "mehr", "más", "più"),
    ("one", "une", "eine", "una", "una"),
)
LEAST = 20  # occurrences that a word needs


def pieces(tokenizer: Tokenizer) -> list[tuple[int, str, str, int]]:
    """Meaning (a row of the list), language, word and id of every word that is one piece."""
    found = []
    for row, words in enumerate(MEANINGS):
        for language, word in zip(LANGUAGES, words, strict=True):
            ids = tokenizer.encode(word, bos=False).ids
            if len(ids) == 1:
                found.append((row, language, word, ids[0]))
    return found


def moved(counts: np.ndarray, words: Sequence[tuple[int, str, str, int]]) -> np.ndarray:
    """Same meaning and same language, for each layer: (L, 2), from counts (W, L, E).

    The load that would have to move between two words is half the sum of the differences of their
    shares of assignments, 0 to 1. Words that are spelt alike, as French and Italian "la", are no
    pair. NaN where no pair of words is frequent enough.
    """
    total = counts.sum(-1, keepdims=True)
    shares = counts / np.maximum(total, 1)  # W L E
    often = total[:, 0, 0] >= 2 * LEAST  # every occurrence chose two experts
    groups: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for a, b in combinations(np.flatnonzero(often).tolist(), 2):
        same = words[a][0] == words[b][0], words[a][1] == words[b][1]
        if sum(same) == 1 and words[a][2] != words[b][2]:
            groups[same.index(True)].append(np.abs(shares[a] - shares[b]).sum(-1) / 2)
    nothing = np.full(counts.shape[1], np.nan)
    return np.stack([np.mean(g, axis=0) if g else nothing for g in groups], axis=-1)
