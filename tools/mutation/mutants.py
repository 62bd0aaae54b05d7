# SPDX-License-Identifier: Apache-2.0
"""Small breakages of a source file, one replacement each: what the tests should notice.

In: a path and its text, Python or JavaScript. Out: mutants, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tools.mutation.javascript import javascript
from tools.mutation.python import python


@dataclass(frozen=True)
class Mutant:
    """One replacement: characters `start … stop` of a file's text give way to `new`."""

    path: str
    source: str
    start: int
    stop: int
    new: str
    operator: str

    @property
    def text(self) -> str:
        """The file as broken."""
        return self.source[: self.start] + self.new + self.source[self.stop :]

    @cached_property
    def lines(self) -> range:
        """Numbers of the lines that are replaced, from 1."""
        first = self.source.count("\n", 0, self.start) + 1
        return range(first, first + self.source.count("\n", self.start, self.stop) + 1)

    @property
    def before(self) -> str:
        """The first line that is replaced, or so much of a long one as is near the change."""
        return self._line(self.source)

    @property
    def after(self) -> str:
        """The same line as broken."""
        return self._line(self.text)

    def _line(self, text: str) -> str:
        row = self.source.rfind("\n", 0, self.start) + 1
        line = text[row:].partition("\n")[0]
        near = max(0, self.start - row - 60) if len(line) > 120 else 0
        return line[near : near + 120].strip()


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its text.

    >>> [m.after for m in mutants("a.py", "x = a < b")]
    ['x = a <= b']
    """
    found = javascript(source) if path.endswith(".js") else python(source)
    for start, stop, new, operator in sorted(set(found)):
        yield Mutant(path, source, start, stop, new, operator)
