# SPDX-License-Identifier: Apache-2.0
"""What a folder of shards says of itself: which shards there should be, and what each is made of.

In and out: `corpus.json`, what holds for all, and `plan.jsonl`, a line for each shard in the order
of the corpus. The shards are traces in `shards/`, each named by a hash of what it holds, so that
nothing has to be compared to know whether one is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import TraceError
from ..files import atomic_path

FORMAT = 1
_KINDS = {"name": str, "source": str, "first": int, "rows": int, "documents": int, "size": int}
ABOUT, PLAN = "corpus.json", "plan.jsonl"


@dataclass(frozen=True)
class Shard:
    """Some neighbouring rows of a source, recorded as one trace.

    >>> Shard("0f3a", "books.jsonl", 100, 20, 19, 4096, left_out=(3,)).rows_of_documents[:5]
    [100, 101, 102, 104, 105]
    """

    name: str  # a hash of the rows' content, the model and the settings
    source: str  # the file, or what was given
    first: int  # the source's row that it begins with
    rows: int
    documents: int
    size: int  # bytes of text
    mark: Any = None  # where to open the source for its first row
    left_out: tuple[int, ...] = ()  # rows that hold no text, counted from the first
    number: int | None = None  # of its first document, where what is kept depends on it

    @property
    def file(self) -> str:
        """Where its trace lies in the folder; a folder of a million files is slow everywhere."""
        return f"shards/{self.name[:2]}/{self.name}.safetensors"

    @property
    def rows_of_documents(self) -> list[int]:
        """The source's rows that its documents are."""
        left = set(self.left_out)
        return [self.first + n for n in range(self.rows) if n not in left]


def write_plan(folder: Path, shards: Iterable[Shard], about: Callable[[], dict[str, Any]]) -> None:
    """Write both files, each whole or not at all: shards as they come, then what holds for all."""
    with atomic_path(folder / PLAN) as temporary, temporary.open("w", encoding="utf-8") as file:
        for shard in shards:
            line = {name: value for name, value in asdict(shard).items() if value not in (None, ())}
            file.write(json.dumps(line) + "\n")  # escaped: a name may be no Unicode
    with atomic_path(folder / ABOUT) as temporary:
        text = json.dumps({"format": FORMAT, **about()}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_about(folder: Path) -> dict[str, Any]:
    """What holds for all shards. Raises `TraceError` where this is no folder of shards."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        newer = int(about["format"]) > FORMAT
    except OSError as error:
        raise TraceError(
            f"{folder}: is no folder of shards ({error.strerror}: {ABOUT}). Make one with "
            "moe_viz.record_corpus(model, source, folder)."
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise TraceError(
            f"{folder / ABOUT}: is damaged ({error}). Call record_corpus again: it writes this "
            "file anew, and keeps the shards that are there."
        ) from error
    if newer:
        raise TraceError(
            f"{folder}: has corpus format {about['format']}, and this moe_viz reads up to "
            f"{FORMAT}. Upgrade moe_viz."
        )
    return about


def read_plan(folder: Path) -> Iterator[Shard]:
    """The shards in the order of the corpus. Raises `TraceError` where the file is damaged."""
    path = folder / PLAN
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                said = json.loads(line)
                shard = Shard(**{**said, "left_out": tuple(said.get("left_out", ()))})
                known = all(type(getattr(shard, name)) is kind for name, kind in _KINDS.items())
                numbers = (*shard.left_out, 0 if shard.number is None else shard.number)
                if not known or any(type(number) is not int for number in numbers):
                    raise ValueError(f"found {line[:80]!r}")
                yield shard
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise TraceError(
            f"{path}: is damaged ({error}). Call record_corpus again: it writes this file anew, "
            "and keeps the shards that are there."
        ) from error
