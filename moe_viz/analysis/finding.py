# SPDX-License-Identifier: Apache-2.0
"""What an analysis found: one table, and the notes that belong to it.

In: columns of equal length. Out: the same, filtered, as Arrow, CSV or JSON, or shown in a notebook.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..trace.table import arrow_table

if TYPE_CHECKING:
    import pyarrow

#: Results that rest on fewer documents are flagged: an interval over documents means little there.
FEW = 20

#: How a formula begins, for one spreadsheet or another.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\n]))(?=[=+\-@])|^(?=[\t\n])")
_FORMULA_IN_PROSE = re.compile(r"(?<=[,;\t])(?=\s*[=+\-@])")


@dataclass(frozen=True, eq=False)
class Finding:
    """One analysis of one trace, as a table in long form.

    A column `documents` says how many documents each row rests on; `low` and `high` bound the 95 %
    interval over them.

    >>> import numpy as np
    >>> columns = {"layer": np.array([0, 1]), "share": np.array([0.25, 0.5])}
    >>> columns |= {"low": np.zeros(2), "documents": np.array([30, 3])}
    >>> found = Finding("load", "8x7m", "2 × tokens", columns)
    >>> found.where(layer=1)["share"], found.few
    (array([0.5]), True)
    """

    name: str  # what was asked
    title: str  # of the trace: model, dtype, interventions
    counted: str  # the denominator, in words
    columns: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"The columns of {self.name} must be equally long, found {lengths}.")

    def __getitem__(self, column: str) -> np.ndarray:
        try:
            return self.columns[column]
        except KeyError:
            raise InputError(
                f"{self.name} has no column {column!r}; it has {', '.join(self.columns)}."
            ) from None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __repr__(self) -> str:
        flag = ", FEW DOCUMENTS" if self.few else ""
        return f"<{self.name} of {self.title}: {len(self)} rows ({', '.join(self.columns)}){flag}>"

    @property
    def few(self) -> bool:
        """Whether some of it rests on fewer than 20 documents."""
        if "low" not in self.columns:  # `documents` counts those in which a path or token occurs
            return any(note.startswith("Few documents") for note in self.notes)
        documents = self.columns.get("documents")
        return documents is not None and bool((np.asarray(documents) < FEW).any())

    def where(self, **equal: Any) -> Finding:
        """The rows in which these columns have these values (or one of a list of them)."""
        kept = np.ones(len(self), bool)
        for name, value in equal.items():
            several = isinstance(value, list | tuple | set | np.ndarray)
            kept &= np.isin(self[name], list(value) if several else [value])
        return replace(self, columns={name: column[kept] for name, column in self.columns.items()})

    def by(self, column: str) -> Finding:
        """The same rows, those of one value together; values and rows in their order.

        >>> import numpy as np
        >>> found = Finding("", "", "", {"word": np.array(["und", "et", "der"]),
        ...                              "language": np.array(["de", "fr", "de"])})
        >>> found.by("language")["word"].tolist()
        ['und', 'der', 'et']
        """
        _, first, which = np.unique(self[column], return_index=True, return_inverse=True)
        order = np.argsort(first[which], kind="stable")
        return replace(self, columns={name: held[order] for name, held in self.columns.items()})

    def rows(self) -> Iterator[dict[str, Any]]:
        """Row by row, as plain Python values."""
        names = list(self.columns)
        for values in zip(*(column.tolist() for column in self.columns.values()), strict=True):
            yield dict(zip(names, values, strict=True))

    def table(self) -> pyarrow.Table:
        """As an Arrow table; needs pyarrow."""
        about = {"name": self.name, "title": self.title, "counted": self.counted}
        return arrow_table(
            {n: c.tolist() for n, c in self.columns.items()},
            {**about, "notes": "\n".join(self.notes)},
        )

    def csv(self) -> str:
        """As CSV, with a header; comment lines above it say what was counted.

        A text that a spreadsheet would take for a formula has an apostrophe before it. Parquet and
        JSON have texts as they are.
        """
        out = io.StringIO()
        for line in (f"{self.name}: {self.title}", f"counted: {self.counted}", *self.notes):
            out.write(f"{_remark(line)}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_guarded(value) for value in row.values()] for row in self.rows())
        return out.getvalue()

    def to_json(self) -> dict[str, Any]:
        """As plain data; numbers that are not finite become None."""
        columns = {
            name: [None if isinstance(v, float) and not np.isfinite(v) else v for v in c.tolist()]
            for name, c in self.columns.items()
        }
        return {"name": self.name, "title": self.title, "counted": self.counted,
                "notes": list(self.notes), "columns": columns}  # fmt: skip

    def to_html(self, limit: int | None = 24) -> str:
        """As an HTML table of at most so many rows, with its notes."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.columns)
        shown = [row for row, _ in zip(self.rows(), range(limit or len(self)), strict=False)]
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_said(v))}</td>" for v in row.values()) + "</tr>"
            for row in shown
        )
        left = len(self) - len(shown)
        notes = [
            f"Counted: {self.counted}.",
            *self.notes,
            *([f"{left} more rows."] if left else []),
        ]
        caption = escape(f"{self.name} · {self.title}")
        said = escape(" ".join(notes))
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p>{said}</p>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()


def columns_of(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    """Rows as columns of these names.

    >>> columns_of(("layer", "share"), [(0, 0.5), (1, 0.25)])["share"]
    array([0.5 , 0.25])
    """
    parts = zip(*rows, strict=True)
    return {name: np.array(part) for name, part in zip(names, parts, strict=True)}


def _guarded(value: Any) -> Any:
    """A cell that no spreadsheet runs, by whatever it parts cells: labels come from anywhere.

    >>> _guarded("=1+1"), _guarded("-"), _guarded(-1.5), _guarded("a-b"), _guarded("a;=1")
    ("'=1+1", "'-", -1.5, 'a-b', "a;'=1")
    """
    if not isinstance(value, str):
        return value
    return _FORMULA.sub("'", re.sub("\r\n?", "\n", value))  # csv.writer leaves a bare CR unquoted


def _remark(text: str) -> str:
    """A line of a comment, which nothing quotes: a comma would begin a cell, a quote a long one.

    >>> _remark('a model, =1+1 "x')
    "# a model,' =1+1 'x"
    """
    plain = " ".join(text.splitlines()).replace('"', "'")
    return "# " + _FORMULA_IN_PROSE.sub("'", plain)


def _said(value: Any) -> str:
    """A value as a table shows it.

    >>> _said(0.12345), _said(3), _said(37748736), _said("en"), _said(float("nan"))
    ('0.123', '3', '37,748,736', 'en', '–')
    """
    if isinstance(value, float):
        large = abs(value) >= 1000
        return "–" if not np.isfinite(value) else f"{value:,.0f}" if large else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
