# SPDX-License-Identifier: Apache-2.0
"""What a pickle would do, read before it is done: a small one can ask for hours of work.

In: a file of `torch.save`. Out: nothing, or `ValueError` with what is wrong. torch's reader runs no
code, but it does build what it is told to, and looks up keys: a tuple that holds another one twice,
which holds another one twice, and so on, takes time that doubles with every line. Files of tensors
have nothing like it.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: Instructions of one file; how deep tuples that are used again may lie in each other. Weights of
#: thousands of tensors have some hundred thousand, and no such tuples at all.
MOST, DEEPEST = 3_000_000, 3
#: Pickles at the beginning of a file from before 2020: a number, a version, this machine, the
#: tensors, and their storages' names.
_OLD = 5

_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_PUTS, _GETS = {"BINPUT", "LONG_BINPUT", "PUT"}, {"BINGET", "LONG_BINGET", "GET"}


def check_work(path: Path) -> None:
    """Raise `ValueError` where reading this file would take more than its size lets expect."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_OLD):
                _check(file)
        return
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{part.filename:.80} is compressed, which torch does to none")
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise ValueError("its parts are larger than the file that they are in")
        for part in archive.infolist():
            if part.filename.endswith("data.pkl"):
                with archive.open(part) as file:
                    _check(file)  # type: ignore[arg-type]


def _check(file: BinaryIO) -> None:
    """One pickle, up to its end."""
    kept: dict[object, int] = {}  # depth of the tuples that may be used again, by their number
    inside = last = 0  # depth of such tuples in what is being put together, and in the last tuple
    was_tuple = False
    for count, (name, argument) in enumerate(_instructions(file)):
        if count > MOST:
            raise ValueError(f"it has more than {MOST:,} instructions")
        if name in _GETS:
            inside = max(inside, kept.get(argument, 0))
        elif name in _TUPLES:
            last, inside = inside + 1, 0
            if last > DEEPEST + 1:
                raise ValueError("it puts tuples into each other again and again")
        elif name in _PUTS and was_tuple:
            kept[argument] = last
        was_tuple = name in _TUPLES


def _instructions(file: BinaryIO) -> Iterator[tuple[str, object]]:
    for opcode, argument, _ in pickletools.genops(file):
        yield opcode.name, argument
