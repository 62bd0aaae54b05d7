# SPDX-License-Identifier: Apache-2.0
"""Recordings that are kept to be compared: the last few texts, each once.

In: recordings of one prompt each. Out: one trace of all of them, numbered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import TraceError
from .trace import Trace


class Kept:
    """The last `most` recordings, the newest last; what was given again replaces what was."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: list[tuple[Any, Trace]] = []

    def add(self, given: Any, trace: Trace) -> str:
        """Keep a recording of what was given; a sentence, if earlier ones had to go for it."""
        kept = [(text, one) for text, one in self._kept if text != given]
        self._kept = [*kept, (given, trace)][-self.most :]
        try:
            Trace.join([one for _, one in self._kept])
        except TraceError:
            self._kept = [(given, trace)]
            return " Earlier prompts were run in another way, and are left out."
        return ""

    @property
    def texts(self) -> list[str]:
        """Their texts."""
        return [trace.prompts[-1].text for _, trace in self._kept]

    def joined(self) -> Trace:
        """All as one trace, labelled 1, 2 and so on. Raises `TraceError` where there is none."""
        numbered = [
            replace(trace, prompts=tuple(replace(p, label=str(n)) for p in trace.prompts))
            for n, (_, trace) in enumerate(self._kept, 1)
        ]
        return Trace.join(numbered)
