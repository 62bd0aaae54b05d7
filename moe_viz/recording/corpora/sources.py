# SPDX-License-Identifier: Apache-2.0
"""Where documents come from: files of several forms, folders, and what is in memory.

In: a path, a list, or a dataset of Hugging Face's. Out: sources, each a run of rows that can be
read from the beginning, or again from a mark: a worker reads its own rows, wherever it is, and
nothing is ever held whole.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol, cast

from ...errors import InputError, MissingDependencyError, first_line, refused
from ...files import open_file, small_text
from ...trace.shards import ABOUT
from .memory import Held
from .rows import TOGETHER, Columns, Row, row_of

_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


class Source(Protocol):
    """Rows that can be read more than once."""

    @property
    def name(self) -> str:
        """What it is called in the plan."""
        ...

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """Rows from number `first`, each with a mark at which reading can begin again."""
        ...

    def portion(self, first: int, count: int) -> Source | None:
        """What a worker is sent to read these rows by itself; None where it cannot."""
        ...


@dataclass(frozen=True)
class Lines:
    """A file of JSON objects, one on each line; it may be compressed with gzip."""

    path: Path
    columns: Columns
    name: str

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """See `Source`; the mark is a byte of the file, or None in one that is compressed."""
        packed = _is_packed(self.path)
        with _opened(self.path) as file:
            if packed or mark is None:
                number, at = 0, 0
            else:
                number, at = first, int(mark)
                file.seek(at)
            for line in _lines(file, self.path):
                start, at = at, at + len(line)
                if not line.strip():
                    continue
                number += 1
                if number > first:
                    yield (None if packed else start), self._row(line, number)

    def portion(self, first: int, count: int) -> Source | None:
        """See `Source`: a compressed file is read from its beginning, by one reader."""
        return None if _is_packed(self.path) else self

    def _row(self, line: bytes, number: int) -> Row:
        where = f"{self.path}, row {number - 1}"
        try:
            values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{where}: is not a line of JSON ({first_line(error)}). Expected an object on "
                'each line, as {"text": "…"}.'
            ) from error
        if not isinstance(values, dict):
            raise refused(where, "a JSON object", values)
        return row_of(values, self.columns.found_in(list(values), where), where)


@dataclass(frozen=True)
class Parquet:
    """A Parquet file, which is read some rows at a time."""

    path: Path
    columns: Columns
    name: str

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """See `Source`; the mark is a row group, and the number of its first row."""
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                names = self.columns.found_in(file.schema_arrow.names, str(self.path))
                begin, number = (0, 0) if mark is None else mark
                for group in range(begin, file.num_row_groups):
                    start, read = number, [name for name in names if name]
                    for batch in file.iter_batches(TOGETHER, row_groups=[group], columns=read):
                        if number + len(batch) <= first:
                            number += len(batch)
                            continue
                        for values in batch.to_pylist():
                            number += 1
                            if number > first:
                                where = f"{self.path}, row {number - 1}"
                                yield [group, start], row_of(values, names, where)
        except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
            raise _unreadable(self.path, error, "Parquet") from error

    def portion(self, first: int, count: int) -> Source | None:
        """See `Source`."""
        return self


@dataclass(frozen=True)
class Texts:
    """Text files, each a document; its label is the first folder on the way to it."""

    folder: Path
    paths: tuple[str, ...]
    name: str

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """See `Source`; files are known by their numbers."""
        for path in self.paths[first:]:
            try:
                text = small_text(self.folder / path).replace("\r\n", "\n")
            except (OSError, UnicodeDecodeError) as error:
                raise _unreadable(self.folder / path, error, "UTF-8 text") from error
            label = Path(path).parts[0] if len(Path(path).parts) > 1 else ""
            yield None, Row(text, _said(label), _said(path))

    def portion(self, first: int, count: int) -> Source | None:
        """See `Source`: these files alone, since there may be a million."""
        return _Some(replace(self, paths=self.paths[first : first + count]), first)


@dataclass(frozen=True)
class _Some:
    """A part of a source, whose rows keep their numbers."""

    part: Source
    start: int

    @property
    def name(self) -> str:
        """See `Source`."""
        return self.part.name

    def rows(self, first: int = 0, mark: Any = None) -> Iterator[tuple[Any, Row]]:
        """See `Source`."""
        return self.part.rows(first - self.start, mark)

    def portion(self, first: int, count: int) -> Source | None:
        """See `Source`."""
        return self.part.portion(first - self.start, count)


def sources_in(value: Any, columns: Columns) -> list[Source]:
    """The sources that something is: a path, or a list of paths' contents, or what is in memory.

    A text with a path's form is a path, as everywhere in the command line; a list holds documents.

    Raises `InputError` for what does not exist, or is of no form that is known here.
    """
    if isinstance(value, str | Path):
        return _of_path(Path(value), columns)
    if isinstance(value, Iterator):
        raise InputError(
            "record_corpus reads its source more than once, and an iterator can be read only once. "
            "Give a list, or write the documents to a Parquet or JSON-lines file first."
        )
    if hasattr(value, "column_names") and not hasattr(value, "__len__"):
        raise InputError(
            "A streaming dataset cannot be read again from any row. Load it without "
            "streaming=True, or save it as Parquet files and give their folder."
        )
    if isinstance(value, Mapping) and any(hasattr(v, "column_names") for v in value.values()):
        raise InputError(
            f"This holds several splits: {', '.join(map(repr, value))}. Give one of them, as "
            f"dataset[{next(iter(value))!r}]."
        )
    if hasattr(value, "column_names") or isinstance(value, Sequence):
        if len(value) == 0:
            raise InputError("There is nothing to record: the source holds no document.")
        return [Held(value, columns, "memory")]
    if isinstance(value, Mapping):
        items = [{"text": text, "label": label} for label, text in value.items()]
        return [Held(items, Columns(), "memory")]
    raise refused(
        "record_corpus",
        "a file or folder, a list of texts, or a dataset of Hugging Face's",
        value,
    )


def _of_path(path: Path, columns: Columns) -> list[Source]:
    path = path.expanduser().absolute()
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a NUL in it
        exists = False
    if not exists:
        raise InputError(
            f"{str(path)[:300]}: is not there. Give a Parquet or JSON-lines file, a text file, a "
            "folder of these, or a list of texts. What lies on the Hub is loaded first, with "
            "datasets.load_dataset(name, split=…)."
        )
    if not path.is_dir():
        return [_of_file(path, _said(path.name), columns)]
    if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
        return [Held(_from_disk(path), columns, path.name)]
    there = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    there = [p for p in there if not any(part.startswith(".") for part in p.parts)]
    made = [p.parent for p in there if p.name == ABOUT]  # recordings that lie in here
    there = [p for p in there if not any(p.is_relative_to(folder) for folder in made)]
    tables = [p for p in there if _is_table(p)]
    if tables:
        return [_of_file(path / p, _said(p.as_posix()), columns) for p in tables]
    if not there:
        raise InputError(f"{path}: holds no file. Give a folder with documents in it.")
    return [Texts(path, tuple(p.as_posix() for p in there), _said(path.name))]


def _of_file(path: Path, name: str, columns: Columns) -> Source:
    lower = path.name.lower()
    if lower.endswith(_LINES):
        return Lines(path, columns, name)
    if lower.endswith(".parquet"):
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                f"{path}: reading Parquet needs the package pyarrow: pip install 'moe-viz[arrow]'."
            ) from error
        return Parquet(path, columns, name)
    return Texts(path.parent, (path.name,), name)


def _said(path: str) -> str:
    """A file's name as text: what is no Unicode in it becomes "?"."""
    return path.encode("utf-8", "replace").decode()


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith((*_LINES, ".parquet"))


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _opened(path: Path) -> IO[bytes]:
    try:
        file = open_file(path)
        return cast(IO[bytes], gzip.open(file)) if _is_packed(path) else file
    except OSError as error:
        raise _unreadable(path, error, "JSON lines") from error


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from file
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error, "JSON lines") from error


def _unreadable(path: Path, error: Exception, form: str) -> InputError:
    return InputError(
        f"{path}: cannot be read as {form} ({first_line(error)}). Correct or remove the file."
    )


def _from_disk(path: Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: was saved by Hugging Face's datasets, and reading it needs that package: "
            "pip install datasets. Its Parquet files can be read without."
        ) from error
    return datasets.load_from_disk(str(path))
