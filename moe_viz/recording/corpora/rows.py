# SPDX-License-Identifier: Apache-2.0
"""One row of a source: a document's text, its label and its id, and whether it can be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, kind_of

#: Rows of a Parquet file, or of a dataset, that are read together.
TOGETHER = 256


@dataclass(frozen=True)
class Row:
    """What a corpus says of one document. A text of None, or an empty one, is left out."""

    text: str | None
    label: str = ""
    document: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to record: no text, blanks alone, or no valid Unicode."""
        return self.text is None or not self.text.strip() or not _valid(self.text)

    @property
    def size(self) -> int:
        """Bytes of text."""
        return 0 if self.text is None else len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what; `label` and `id` of "" are not there.

    A name that the caller has not given may be missing from the table, but for the text's.
    """

    text: str = "text"
    label: str | None = None  # None: "label" where there is one
    document: str | None = None  # None: "id" where there is one

    def found_in(self, names: list[str], where: str) -> tuple[str, str, str]:
        """The columns of text, label and id among these; "" where there is none.

        Raises `InputError` where a column that was asked for is not there.
        """
        asked = {"text": self.text, "label": self.label, "id": self.document}
        for option, name in asked.items():
            if name and name not in names:
                raise InputError(
                    f"{where}: has no column {name!r}; it has {', '.join(map(repr, names))}. Name "
                    f"the one that holds the {option} with {option}=."
                )
        label, document = (
            ("", name)[name in names] if given is None else given
            for name, given in (("label", self.label), ("id", self.document))
        )
        return self.text, label, document


def row_of(values: Mapping[str, Any], columns: tuple[str, str, str], where: str) -> Row:
    """A row from its values by column; raises `InputError` where a text is none.

    >>> row_of({"text": "Hi", "n": 3}, ("text", "n", ""), "here")
    Row(text='Hi', label='3', document='')
    """
    text, label, document = (values.get(name) if name else None for name in columns)
    if text is not None and not isinstance(text, str):
        raise InputError(
            f"{where}: {columns[0]!r} must hold a text, found {kind_of(text)}. Name the column "
            "that does with text=."
        )
    said = ["" if value is None else str(value) for value in (label, document)]
    if not all(map(_valid, said)):
        raise InputError(f"{where}: label or id is not valid Unicode: it holds a lone surrogate.")
    return Row(text, *said)


def _valid(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
