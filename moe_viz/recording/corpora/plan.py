# SPDX-License-Identifier: Apache-2.0
"""The plan: which rows make which shard, and what each shard is called. It knows no engine.

In: sources, and how many bytes of text a shard takes. Out: shards in the order of the corpus. A
shard's name is a hash of its rows' content and of everything else that its trace depends on (model,
tokenizer, settings), so that a shard that is there never has to be made again, and a source that
has changed makes new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...errors import InputError
from ...trace.shards import Shard
from .rows import Row
from .sources import Source

#: Tokens of a shard, about.
TOKENS = 65_536
#: What names rest on beside what they hash; counts up when shards are made in another way.
FORM = "moe_viz shard 1"


@dataclass
class Tally:
    """What planning has seen so far."""

    shards: int = 0
    documents: int = 0
    size: int = 0
    empty: int = 0
    first_empty: str = ""

    @property
    def left_out_note(self) -> str:
        """A sentence, where rows are left out."""
        if not self.empty:
            return ""
        return (
            f"{self.empty:,} rows hold no text, or none that is valid Unicode, and are left out; "
            f"the first is {self.first_empty}."
        )


@dataclass
class _Open:
    """The shard that is being filled."""

    source: str
    first: int
    mark: object
    digest: hashlib._Hash
    number: int | None
    rows: int = 0
    size: int = 0
    left_out: list[int] = field(default_factory=list)

    def add(self, row: Row) -> None:
        if row.empty:
            self.left_out.append(self.rows)
        else:
            self.size += row.size
        self.rows += 1
        self.digest.update(content(row))

    def closed(self) -> Shard:
        name = self.digest.hexdigest()[:32]
        held = self.rows - len(self.left_out)
        left = tuple(self.left_out)
        return Shard(
            name, self.source, self.first, self.rows, held, self.size, self.mark, left, self.number
        )


def first_rows(sources: Iterable[Source], rows: int, size: int) -> list[Row]:
    """The first rows that hold a text: so many, or about so many bytes, of each its beginning."""
    found, total = [], 0
    for source in sources:
        for _, row in source.rows():
            if row.empty or row.text is None:
                continue
            found.append(replace(row, text=row.text[: size // 4]))
            total += found[-1].size
            if total >= size or len(found) == rows:
                return found
    return found


def planned(
    sources: Iterable[Source], identity: str, size: int, tally: Tally, numbered: bool = False
) -> Iterator[Shard]:
    """Shards of about `size` bytes of text, one after the other; `tally` is kept up to date.

    A shard does not go beyond its source, and a document is never divided between two. Where one
    ends is decided by the content of its last row, so that a row that comes or goes changes the
    shards around it, and not all that follow: unless shards are `numbered`, because what is kept
    of a document depends on how many come before it.
    """
    for source in sources:
        shard: _Open | None = None
        for number, (mark, row) in enumerate(source.rows()):
            if shard is None:
                first = tally.documents if numbered else None
                shard = _Open(source.name, number, mark, _begun(identity, first), first)
            if row.empty:
                tally.empty += 1
                tally.first_empty = tally.first_empty or f"{source.name}, row {number}"
            shard.add(row)
            if _ends(shard, row, size):
                yield _counted(shard, tally)
                shard = None
        if shard is not None and shard.size:
            yield _counted(shard, tally)


def _begun(identity: str, number: int | None) -> hashlib._Hash:
    """The hash that a shard is named by, before its rows."""
    first = "" if number is None else f"{number}\n"
    return hashlib.sha256(f"{FORM}\n{identity}\n{first}".encode())


def _ends(shard: _Open, row: Row, size: int) -> bool:
    """Whether a shard ends with this row: beyond half its size by the row's lot, at 1.5 always.

    A row ends it as often as it is long, so that half of the size is added on average.
    """
    if shard.size < size / 2 or row.empty:
        return False
    lot = int.from_bytes(hashlib.sha256(content(row)).digest()[:8], "little") / 2**64
    return shard.size >= 1.5 * size or lot < row.size / (size / 2)


def _counted(shard: _Open, tally: Tally) -> Shard:
    closed = shard.closed()
    tally.shards += 1
    tally.documents += closed.documents
    tally.size += closed.size
    return closed


def content(row: Row) -> bytes:
    """What a shard's name says of a row: all of it, unmistakably."""
    said = json.dumps([row.text, row.label, row.document]).encode()
    return len(said).to_bytes(8, "little") + said


def check_rows(shard: Shard, rows: Sequence[Row], identity: str) -> None:
    """Raise `InputError` if these are not the rows of which the shard was planned."""
    digest = _begun(identity, shard.number)
    for row in rows:
        digest.update(content(row))
    if digest.hexdigest()[:32] != shard.name:
        raise changed(shard)


def changed(shard: Shard, why: str = "") -> InputError:
    """The error for a source that is not what was planned."""
    return InputError(
        f"{shard.source}, rows {shard.first} to {shard.first + shard.rows - 1}: have changed since "
        "they were planned. Call record_corpus again: it plans anew, and makes only the shards "
        f"that are missing. {why}".rstrip()
    )
