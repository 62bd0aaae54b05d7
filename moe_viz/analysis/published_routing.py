# SPDX-License-Identifier: Apache-2.0
"""How real models route, as published: Mixtral 8x7B and OLMoE on five kinds of text. Never ours.

From the counts that the authors of OLMoE put into their repository (arXiv 2409.02060,
allenai/OLMoE, scripts/routing_output, Apache-2.0): 208,896 tokens of each kind of text, three
layers of each model. The figures worked out from them lie in `published_routing.json`. They are
counts alone: which token stood in which document is not known, so there are no intervals over
documents; and layers 16 to 31 of Mixtral were not counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import package_text
from ..trace import Trace
from .finding import Finding

SOURCE = "arXiv 2409.02060"
#: The models that were counted.
MODELS = {"mixtral": "Mixtral 8x7B", "olmoe": "OLMoE 1B-7B"}
#: What must be said beside every figure.
NOTES = (
    "Counts published with arXiv 2409.02060, no recordings of ours: no documents, so no intervals.",
    "Only the first, eighth and sixteenth layer were counted.",
)
#: Words that a recording has less often are not counted in it.
LEAST = 20
#: And beside words.
WORDS_NOTE = "The list of words was made after a first look; a piece carries no language tag."

#: Function words by what they mean, each with the languages that have it among these texts. The
#: texts are encyclopaedia articles in many languages; a piece that several of them use is counted
#: once, for all.
MEANINGS: dict[str, dict[str, str]] = {
    "and": {
        "and": "en", "und": "de", "et": "fr", "y": "es", "e": "it pt", "och": "sv", "og": "da no",
        "и": "ru", "і": "uk", "i": "ca pl",
    },
    "the": {
        "the": "en", "der": "de", "die": "de", "das": "de", "den": "de sv", "des": "de fr",
        "le": "fr it", "la": "es fr it", "les": "ca fr", "el": "es", "los": "es", "il": "it",
        "o": "pt", "os": "pt", "het": "nl",
    },
    "of": {
        "of": "en", "von": "de", "de": "es fr pt", "du": "fr", "del": "es it", "di": "it",
        "della": "it", "da": "it pt", "do": "pt",
    },
    "in": {
        "in": "de en it", "im": "de", "dans": "fr", "en": "es fr", "em": "pt", "w": "pl", "в": "ru",
        "у": "uk",
    },
    "for": {
        "for": "en", "für": "de", "pour": "fr", "para": "es pt", "för": "sv", "для": "ru uk",
    },
    "by": {"par": "fr", "por": "es pt"},
    "with": {
        "with": "en", "mit": "de", "avec": "fr", "con": "es it", "com": "pt", "med": "sv",
        "met": "nl", "с": "ru", "z": "pl",
    },
    "from": {"from": "en", "от": "ru"},
    "on": {"на": "ru", "na": "pl", "по": "ru"},
    "is": {"is": "en", "ist": "de", "est": "fr", "es": "es", "è": "it", "är": "sv", "er": "da no"},
    "are": {"are": "en", "sont": "fr"},
    "be": {"be": "en"},
    "was": {
        "was": "en", "war": "de", "était": "fr", "fue": "es", "era": "es it", "foi": "pt",
        "var": "sv",
    },
    "were": {"were": "en"},
    "was made": {"wurde": "de"},
    "not": {
        "not": "en", "nicht": "de", "pas": "fr", "não": "pt", "nie": "pl", "не": "ru",
        "no": "es it",
    },
    "several": {"a": "", "és": "ca hu", "ja": "", "son": "es fr"},
}  # fmt: skip


@cache
def _figures() -> dict[str, Any]:
    return json.loads(package_text("analysis/published_routing.json"))


def _of(model: str) -> dict[str, Any]:
    if model not in MODELS:
        raise InputError(f"Routing was published of {', '.join(MODELS)}; found {model!r}.")
    return _figures()[model]


def published_loads(model: str = "mixtral", choice: str = "any") -> Finding:
    """Share of each expert in the assignments of five kinds of text, three layers.

    `choice` is "any" (all k, baseline 1/E) or "first". Columns: label, layer, expert, share,
    uniform, assignments.

    >>> found = published_loads("mixtral", "first")
    >>> round(float(found["share"].max()), 3), round(float(found["share"].min()), 3)
    (0.197, 0.048)
    """
    if choice not in ("any", "first"):
        raise InputError(f"choice is any or first, found {choice!r}.")
    said = _of(model)
    E, rows = said["experts"], []
    for label, counted in said["domains"].items():
        table = counted["first_choices" if choice == "first" else "assignments"]
        for layer, counts in zip(said["layers"], table, strict=True):
            rows += [(label, layer, e, n / sum(counts), 1 / E, sum(counts))
                     for e, n in enumerate(counts)]  # fmt: skip
    names = ("label", "layer", "expert", "share", "uniform", "assignments")
    what = "assignments" if choice == "any" else "first choices"
    return _found("published load", MODELS[model], what, names, rows)


def leading_pieces(layer: int = 7, expert: int = 6) -> Finding:
    """What one expert of Mixtral took most, in each kind of text: its twelve leading pieces.

    A piece leads by the share of its occurrences that chose the expert, at any rank; pieces of 60
    occurrences and more. Columns: label, place, piece, occurrences, share. None is left out.

    >>> found = leading_pieces(7, 6).where(label="github")
    >>> found["piece"][:3].tolist()
    ['␣==', '␣!=', '␣===']
    """
    said = _of("mixtral")
    if layer not in said["layers"] or not 0 <= expert < said["experts"]:
        raise InputError(
            f"Layers {', '.join(map(str, said['layers']))} and experts 0 to {said['experts'] - 1} "
            f"of Mixtral were counted; found layer {layer}, expert {expert}."
        )
    row = said["layers"].index(layer)
    rows = [
        (label, place + 1, piece.replace("▁", "␣"), n, share)
        for label, counted in said["domains"].items()
        for place, (piece, n, share) in enumerate(counted["pieces"][row][expert])
    ]
    names = ("label", "place", "piece", "occurrences", "share")
    what = f"occurrences of a piece that chose expert {expert} of layer {layer}"
    return _found("leading pieces", MODELS["mixtral"], what, names, rows)


def function_words(trace: Trace | None = None) -> Finding:
    """Which experts take "and", "of", "is" … in many languages: of Mixtral, three layers.

    Columns: layer, meaning, language, piece, occurrences, expert, share of its occurrences that
    chose the expert at any rank, uniform (k/E). Every listed word with 20 occurrences or more. Of a
    `trace` of ours: the same words, in prompts whose label is one of their languages; only those
    languages are named.

    >>> found = function_words().where(layer=15, meaning="and", expert=6)
    >>> bool(found["share"].min() > 0.8), "и" in found["piece"].tolist()
    (True, True)
    """
    recorded = None if trace is None else set(trace.labels)
    rows = [
        (layer, word.meaning, _spoken(word, recorded), word.piece, word.times, e, share, uniform)
        for word, uniform in _words(trace)
        for layer, shares in word.shares.items()
        for e, share in enumerate(shares)
    ]
    names = ("layer", "meaning", "language", "piece", "occurrences", "expert", "share", "uniform")
    return _of_words("function words", "occurrences of a piece", trace, names, rows)


def word_meanings(trace: Trace | None = None) -> Finding:
    """The same by meaning: the mean over its words, in all languages, none left out.

    Columns: layer, meaning, piece (how many words), expert, share, uniform (k/E).

    >>> found = word_meanings().where(layer=15, meaning="and")
    >>> int(found["expert"][found["share"].argmax()]), str(found["piece"][0])
    (6, '10 words')
    """
    words = list(_words(trace))
    rows = []
    for layer in words[0][0].shares:
        for meaning in dict.fromkeys(word.meaning for word, _ in words):
            group = [word.shares[layer] for word, _ in words if word.meaning == meaning]
            said = f"{len(group)} word{'s' * (len(group) > 1)}"
            rows += [(layer, meaning, said, e, share, words[0][1])
                     for e, share in enumerate(np.mean(group, axis=0))]  # fmt: skip
    names = ("layer", "meaning", "piece", "expert", "share", "uniform")
    return _of_words("word meanings", "mean over words", trace, names, rows)


def meaning_and_language(
    trace: Trace | None = None, permutations: int = 1999, seed: int = 0
) -> Finding:
    """How much of the load would have to move between two words: of Mixtral's texts, or a trace's.

    `meaning`: between two words of one meaning in two languages; `language`: between two words of
    one language with two meanings; `p`: how often meanings permuted within each language bring
    words of one meaning as near. Words that one language alone has, of meanings that several have.
    Columns: layer, meaning, language, p, words.

    >>> found = meaning_and_language(permutations=99)
    >>> bool((found["meaning"] < found["language"]).all()), float(found["p"].max())
    (True, 0.01)
    """
    counted = list(_words(trace))
    words = [w for w, _ in counted if len(w.languages.split()) == 1 and w.meaning != "several"]
    meanings = [w.meaning for w in words]
    words = [w for w in words if meanings.count(w.meaning) > 1]
    meaning = np.unique([w.meaning for w in words], return_inverse=True)[1]
    language = np.unique([w.languages for w in words], return_inverse=True)[1]
    rng, rows = np.random.default_rng(seed), []
    two_languages = language[:, None] != language
    for layer in words[0].shares:
        shares = np.array([w.shares[layer] for w in words])
        shares = shares / shares.sum(axis=1, keepdims=True)
        apart = np.abs(shares[:, None] - shares).sum(axis=2) / 2

        def near(of: np.ndarray, apart: np.ndarray = apart) -> float:
            return float(apart[(of[:, None] == of) & two_languages].mean())

        other = apart[~two_languages & (meaning[:, None] != meaning)].mean()
        observed, reached = near(meaning), 1
        for _ in range(permutations):
            mixed = meaning.copy()
            for one in np.unique(language):
                here = language == one
                mixed[here] = rng.permutation(meaning[here])
            reached += near(mixed) <= observed
        rows.append((layer, observed, other, reached / (permutations + 1), len(words)))
    names = ("layer", "meaning", "language", "p", "words")
    return _of_words("meaning and language", "load between two words", trace, names, rows)


@dataclass(frozen=True)
class _Word:
    """A word that was counted, and who took it."""

    meaning: str
    languages: str
    piece: str
    times: int
    shares: dict[int, list[float]]  # by layer: of its occurrences, that chose each expert


def _words(trace: Trace | None) -> Iterator[tuple[_Word, float]]:
    """Every listed word that was counted, in the order of `MEANINGS`, and k/E."""
    for meaning, words in MEANINGS.items():
        for piece, languages in words.items():
            found = _published(piece) if trace is None else _recorded(trace, piece, languages)
            if found:
                times, shares = found
                uniform = 0.25 if trace is None else trace.experts.shape[2] / trace.expert_count
                yield _Word(meaning, languages, piece, times, shares), uniform


def _spoken(word: _Word, recorded: set[str] | None) -> str:
    named = word.languages.split()
    return " ".join(x for x in named if recorded is None or x in recorded)


def _published(piece: str) -> tuple[int, dict[int, list[float]]]:
    counted = _figures()["words"][f"▁{piece}"]
    return counted["n"], dict(zip(_of("mixtral")["layers"], counted["shares"], strict=True))


def _recorded(
    trace: Trace, piece: str, languages: str
) -> tuple[int, dict[int, list[float]]] | None:
    """How often a recording has a word in texts of its languages, and who took it; None: rarely."""
    spoken = [p for p in trace.prompts if p.label in languages.split()]
    at = [t for p in spoken for t in range(p.start, p.stop) if trace.tokens[t] == f"␣{piece}"]
    if len(at) < LEAST:
        return None
    return len(at), {
        layer: [float((row[at] == e).sum()) / len(at) for e in range(trace.expert_count)]
        for layer, row in zip(trace.layers, trace.experts, strict=True)
    }


def _of_words(
    name: str, counted: str, trace: Trace | None, names: tuple[str, ...], rows: list[Any]
) -> Finding:
    found = _found(name, MODELS["mixtral"], counted, names, rows)
    title = found.title if trace is None else trace.provenance.title
    notes = (*NOTES, WORDS_NOTE) if trace is None else (WORDS_NOTE,)
    return Finding(name, title, counted, found.columns, notes)


def _found(
    name: str, model: str, counted: str, names: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> Finding:
    columns = {
        n: np.array(column) for n, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    return Finding(name, f"PUBLISHED for {model}, {SOURCE}", counted, columns, NOTES)
