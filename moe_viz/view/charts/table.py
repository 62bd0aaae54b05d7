# SPDX-License-Identifier: Apache-2.0
"""A small table to be looked at: aligned numbers, shaded by size, the row that matters marked.

In: rows by name. Out: HTML that shows the same in a notebook, on a page and on a slide, and plain
text where there is no HTML. What an analysis found is a table already: `Finding` shows itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ...errors import InputError

SHADES = ("", "all", "rows", "columns")
#: Of the colour, in the cell with the largest number: ink stays readable on it, light or dark.
STRONGEST = 0.42
_STYLE = """.moe-viz-table { overflow-x: auto; margin: 8px 0; }
.moe-viz-table table { border-collapse: collapse; margin: 0; font-variant-numeric: tabular-nums; }
.moe-viz-table caption { text-align: left; padding: 4px 0; font-weight: 600; color: inherit; }
.moe-viz-table :is(th, td) { text-align: right; white-space: nowrap; padding: 3px 10px; }
.moe-viz-table :is(.name, .text) { text-align: left; }
.moe-viz-table th.name { font-weight: 400; }
.moe-viz-table tr.mark > * { font-weight: 700; }
.moe-viz-table tr.mark > :first-child { box-shadow: inset 4px 0 0 currentColor; }
.moe-viz-table tr.first:not(:first-child) > * { border-top: 2px solid currentColor; }
.moe-viz-table p { margin: 4px 0; opacity: 0.8; }"""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of numbers or words; the last line of a notebook's cell shows it."""

    rows: Mapping[Any, Sequence[Any]]
    columns: Sequence[str]
    title: str = ""
    note: str = ""
    form: str | Sequence[str] = ""
    shade: str = ""
    mark: Collection[Any] = ()

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        """As plain text, its numbers below each other."""
        names = [[*map(str, _parts(name))] for name in self.rows]
        cells = [[*name, *values] for name, values in zip(names, self._said(), strict=True)]
        lines = [["", *[""] * (self._names - 1), *map(str, self.columns)], *cells]
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join(
            "  ".join(
                cell.ljust(w) if n < self._names else cell.rjust(w)
                for n, (cell, w) in enumerate(zip(line, wide, strict=True))
            ).rstrip()
            for line in lines
        )
        return "\n".join(filter(None, [self.title, text, self.note]))

    def to_html(self) -> str:
        """The table as an HTML fragment."""
        kinds = [
            ' class="text"' if all(isinstance(value, str) for value in column) else ""
            for column in zip(*self.rows.values(), strict=True)
        ]
        head = f'<td colspan="{self._names}"></td>' + "".join(
            f'<th scope="col"{kind}>{escape(str(name))}</th>'
            for name, kind in zip(self.columns, kinds, strict=True)
        )
        body: list[str] = []
        before: tuple[Any, ...] = ("",)
        grounds = self._grounds()
        for n, (name, said) in enumerate(zip(self.rows, self._said(), strict=True)):
            parts = _parts(name)
            # What a group of rows has in common is said in the first of them.
            shared = len(parts) > 1 and n and parts[0] == before[0]
            told = ["mark"] * (name in self.mark) + ["first"] * (len(parts) > 1 and not shared)
            kind = f' class="{" ".join(told)}"' if told else ""
            heads = ["" if shared and not i else str(part) for i, part in enumerate(parts)]
            cells = "".join(f'<th scope="row" class="name">{escape(part)}</th>' for part in heads)
            for text, ground, words in zip(said, grounds[n], kinds, strict=True):
                look = f' style="background:{ground}"' if ground else ""
                cells += f"<td{words}{look}>{escape(text)}</td>"
            body.append(f"<tr{kind}>{cells}</tr>")
            before = parts
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return (
            f'<div class="moe-viz-table"><style>{_STYLE}</style><table>{caption}<thead><tr>{head}'
            f"</tr></thead><tbody>{''.join(body)}</tbody></table>{note}</div>"
        )

    @property
    def _names(self) -> int:
        return len(_parts(next(iter(self.rows))))

    def _said(self) -> list[list[str]]:
        forms = [self.form] * len(self.columns) if isinstance(self.form, str) else self.form
        return [
            [_number(value, form) for value, form in zip(values, forms, strict=True)]
            for values in self.rows.values()
        ]

    def _grounds(self) -> list[list[str]]:
        """The colour behind each cell: more of it for what is larger."""
        numbers = np.array(
            [
                [float(v) if isinstance(v, int | float | np.number) else np.nan for v in values]
                for values in self.rows.values()
            ]
        )
        size = np.where(np.isfinite(numbers), abs(numbers), 0)
        axis = {"all": None, "rows": 1, "columns": 0}.get(self.shade)
        most = size.max(axis=axis, keepdims=True)
        share = np.divide(size, most, out=np.zeros_like(size), where=most > 0)
        shown = STRONGEST * share if self.shade else np.zeros_like(size)
        return [
            [f"rgb(91 131 255 / {x:.2f})" if x >= 0.01 else "" for x in row]
            for row in shown.tolist()
        ]


def table(
    rows: Mapping[Any, Sequence[Any]],
    columns: Sequence[Any],
    title: str = "",
    *,
    note: str = "",
    form: str | Sequence[str] = "",
    shade: str = "",
    mark: Any = None,
) -> Table:
    """A table of a few rows, to be looked at rather than read.

    `rows` gives each row's values by its name, or by a tuple of names: rows with the same first
    name stand together. `form` says how numbers are written, as in `format`, once or for each
    column. `shade` colours cells by their size: beside "all" others, or those of their "rows" or
    "columns". `mark` names the row that matters, or is a list of them.

    Raises `InputError` for rows that are not as long as `columns`, for none, and for a mark that
    names no row.

    >>> import moe_viz as mv
    >>> mv.table({"stored": [46.7], "used": [12.9]}, ["billion"], mark="used")
            billion
    stored     46.7
    used       12.9
    """
    if not rows:
        raise InputError("A table needs rows: found none.")
    rows = {name: list(values) for name, values in rows.items()}
    wrong = {name: len(values) for name, values in rows.items() if len(values) != len(columns)}
    if wrong:
        raise InputError(f"Each row needs {len(columns)} values, one for each column; {wrong}.")
    depths = {len(_parts(name)) for name in rows}
    if len(depths) > 1:
        raise InputError("All rows must be named alike: by one name, or by as many.")
    if not isinstance(form, str) and len(form) != len(columns):
        raise InputError(f"form needs one entry for each of {len(columns)} columns: {form!r}.")
    if shade not in SHADES:
        raise InputError(f"shade must be one of {SHADES}, found {shade!r}.")
    marked = mark if isinstance(mark, list) else [] if mark is None else [mark]
    if unknown := [name for name in marked if name not in rows]:
        raise InputError(f"mark names no row: {unknown}; there are {list(rows)}.")
    return Table(rows, [str(name) for name in columns], title, note, form, shade, marked)


def _parts(name: Any) -> tuple[Any, ...]:
    return name if isinstance(name, tuple) else (name,)


def _number(value: Any, form: str) -> str:
    """A value as it is written; what is not a number has a dash.

    >>> _number(0.123, ".0%"), _number(float("nan"), ".2f"), _number("as it is", ".2f")
    ('12%', '–', 'as it is')
    >>> _number(-0.5, "+.1f")
    '−0.5'
    """
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return "–"
    if isinstance(value, str):
        return value
    return format(value, form).replace("-", "−")
