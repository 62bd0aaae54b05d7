# SPDX-License-Identifier: Apache-2.0
"""Documents in memory: lists, and datasets of Hugging Face's, which give rows by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, refused
from ...prompts import Prompt
from .rows import TOGETHER, Columns, Row, row_of


@dataclass(frozen=True)
class Held:
    """Rows in memory, or in a dataset that gives them by number."""

    items: Any
    columns: Columns
    name: str

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """See `Source`; rows are known by their numbers."""
        if hasattr(self.items, "column_names"):
            yield from ((None, row) for row in _of_dataset(self.items, self.columns, first))
            return
        for number in range(first, len(self.items)):
            yield None, _held_row(self.items[number], self.columns, number)

    def portion(self, first: int, count: int) -> None:
        """See `Source`: a worker is sent the rows."""


def _held_row(item: Any, columns: Columns, number: int) -> Row:
    """A document of a list: a text, a curated prompt, or its values by column."""
    where = f"row {number}"
    if isinstance(item, str) or item is None:
        if columns.label or columns.document:
            column = columns.label or columns.document
            raise InputError(
                f"{where}: is a text alone, and has no column {column!r}. Give mappings with a "
                "text and a label, or leave label= and id= out."
            )
        return Row(item)
    if isinstance(item, Prompt):
        return Row(item.text, item.label)
    if isinstance(item, Mapping) and "role" not in item:
        return row_of(item, columns.found_in(list(item), where), where)
    raise refused(where, "a text, a Prompt, or a mapping of a text, a label and an id", item)


def _of_dataset(dataset: Any, columns: Columns, first: int) -> Iterator[Row]:
    """Rows of a dataset of Hugging Face's, whose labels may be numbers with names."""
    names = columns.found_in(list(dataset.column_names), "the dataset")
    if hasattr(dataset, "with_format"):
        dataset = dataset.with_format(None)  # plain values, whatever it gives otherwise
    feature: Any = (getattr(dataset, "features", None) or {}).get(names[1])
    number = first
    while number < len(dataset):
        some = dataset[number : number + TOGETHER]
        values = [some[name] if name else [None] * len(some[names[0]]) for name in names]
        for text, label, document in zip(*values, strict=True):
            if label is not None and hasattr(feature, "int2str"):
                label = feature.int2str(label) if label >= 0 else None  # −1 stands for no label
            said = {"text": text, "label": label, "id": document}
            yield row_of(said, ("text", "label", "id"), f"the dataset, row {number}")
            number += 1
