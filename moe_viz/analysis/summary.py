# SPDX-License-Identifier: Apache-2.0
"""The documents of one shard of which counts were kept in place of decisions.

In: a shard's documents and what is to be counted, or a file that says what was. Out: the file, or
the same answers again. What a summary cannot answer, it declines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TraceError
from ..trace.pattern import Pattern
from ..trace.summaryfile import read_summary, write_summary
from .documents import DECISIONS, Documents, Once
from .units import Units, about, said_of_each, token_counts

#: What is known of documents without looking at a trace.
_OF_UNITS: tuple[Callable[..., Any], ...] = (about, said_of_each, token_counts, len)
#: How the names of arrays begin that tell of documents.
_EACH = "documents"


class Summary(Units):
    """Answers that were counted once, as `Documents` gives them."""

    def __init__(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        labels = [header["labels"][n] for n in arrays[f"{_EACH}/label"]]
        super().__init__(
            labels, arrays[f"{_EACH}/tokens"], header["topics"], int(header["left_out"])
        )
        self.number: np.ndarray = np.arange(len(labels)) + int(header["number"])
        self.has_probabilities: bool = bool(header["has_probabilities"])
        self._answers, self._arrays = header["answers"], arrays

    @staticmethod
    def load(path: Path) -> Summary | None:
        """A summary; None where the file is a trace. Raises `TraceError` for a damaged one."""
        if (read := read_summary(path)) is None:
            return None
        try:
            return Summary(*read)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TraceError(
                f"{path}: is damaged ({error!r:.200}). Delete it and call record_corpus again."
            ) from error

    def answer(self, count: Callable[..., Any], args: Sequence[Any]) -> Any:
        """See `Documents.answer`. Raises `InputError` for what was not counted."""
        if count in _OF_UNITS:
            return count(self, *args)
        key = _key(count, args)
        if key not in self._answers:
            raise InputError(DECISIONS)
        kind, said = self._answers[key]
        found = _READING[kind](said, [self._arrays[f"{key}/{n}"] for n in range(_held(kind, said))])
        for arg in args:
            if isinstance(arg, Once):
                found = arg.among(found)
        return found


def save_summary(docs: Documents, requests: Sequence[Any], path: Path) -> int:
    """Count all this for the documents of a shard, and write it; the file's size in bytes."""
    answers, arrays = {}, {}
    for _, count, args in requests:
        key = _key(count, args)
        try:
            kind, said, held = _written(docs.answer(count, args))
        except (InputError, TraceError) as error:
            kind, said, held = "refused", str(error), []
        answers[key] = (kind, said)
        arrays |= {f"{key}/{n}": array for n, array in enumerate(held)}
    arrays |= {f"{_EACH}/label": docs.labels, f"{_EACH}/tokens": docs.tokens}
    header = {
        "pattern": Pattern.of(docs.trace).to_json(), "tokens": len(docs.trace),
        "number": int(docs.number[0]), "labels": docs.names, "topics": docs.topics,
        "left_out": docs.left_out, "has_probabilities": docs.has_probabilities, "answers": answers,
    }  # fmt: skip
    return write_summary(path, header, arrays)


def _key(count: Callable[..., Any], args: Sequence[Any]) -> str:
    """What an answer is called: the function, and its arguments but for those of one call.

    >>> _key(token_counts, (3, None))
    'token_counts(3, -)'
    """
    said = ("-" if arg is None or isinstance(arg, Once) else repr(arg) for arg in args)
    return f"{count.__name__}({', '.join(said)})"


# ---- How answers are written: as arrays, and what else has to be said


def _written(found: Any) -> tuple[str, Any, list[np.ndarray]]:
    if isinstance(found, np.ndarray):
        return "array", None, [found]
    if isinstance(found, tuple):
        return "arrays", len(found), list(found)
    words = json.dumps(list(found.items())).encode()
    return "words", None, [np.frombuffer(words, np.uint8)]


def _held(kind: str, said: Any) -> int:
    return {"arrays": said, "refused": 0}.get(kind, 1)


def _as_it_was(said: Any) -> Any:
    return tuple(said) if isinstance(said, list) else said


def _refuse(said: str, held: list[np.ndarray]) -> Any:
    raise InputError(said)


_READING: dict[str, Callable[[Any, list[np.ndarray]], Any]] = {
    "array": lambda said, held: held[0],
    "arrays": lambda said, held: tuple(held),
    "words": lambda said, held: {
        _as_it_was(key): _as_it_was(words) for key, words in json.loads(held[0].tobytes())
    },
    "refused": _refuse,
}
