# SPDX-License-Identifier: Apache-2.0
"""An unfinished recording, kept in a file so that it can continue where it was cut off.

In: after each layer, hidden states and what the layer's router decided. Out: the same, in another
process. The file names the recording it belongs to (model, dtype, tokens), and is removed when that
has been saved as a trace.

Each layer adds its own decisions at the end, so that what is written grows with the tokens and not
with their square. Only the last hidden states are needed: they take turns in two places before
that, so that one of them is whole at any moment. A write that was cut off is recognised by its
checksum, and the recording goes on from the one before it.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..errors import InputError
from ..files import check_writable, open_file, target, writing
from ..guests.guest import Recordable
from ..trace.provenance import Provenance

_FORM = b"moe_viz unfinished recording 2\n"
_HEADER = 128  # bytes: the form, and which recording it is
#: Batch, layers done, whether that ends the batch; checksum of the hidden states; size and checksum
#: of the tensors that follow; then a checksum of all these.
_RECORD = struct.Struct("<III I QI I")


@dataclass(frozen=True)
class Step:
    """What one layer of one batch has added, or the end of the batch."""

    batch: int
    layers: int  # of this batch that are done
    ended: bool
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Entry:
    step: Step
    hidden: int  # checksum of the hidden states
    end: int  # byte of the file


class Unfinished:
    """The file in which a recording keeps what is done, for batches of at most `rows` tokens.

    `size` is about how many bytes the decisions will take in all.

    Raises `InputError` if a file that belongs to something else is already there, and `OutputError`
    if none can be written.
    """

    def __init__(
        self,
        path: str | Path,
        model: Recordable,
        stamp: Provenance,
        ids: Sequence[int],
        lengths: Sequence[int],
        rows: int,
        size: int,
    ) -> None:
        self.path: Path = target(path)
        p, (D, dtype) = stamp, (model.config.hidden_size, model.dtype)
        what = (p.fingerprint, p.weights, p.dtype, p.quantisation, p.interventions)
        identity = hashlib.sha256(repr((what, list(ids), list(lengths))).encode()).hexdigest()
        self._header: bytes = (_FORM + identity.encode() + b"\n").ljust(_HEADER, b" ")
        self._hidden: tuple[int, torch.dtype] = (D, dtype)
        self._place: int = rows * D * dtype.itemsize  # bytes of the largest hidden states
        self._end: int = _HEADER + 2 * self._place
        self._turn: int = 0
        if self.path.exists():
            self._check()
        else:
            check_writable(self.path, size + 2 * self._place)

    def _check(self) -> None:
        """Raise `InputError` unless this file was begun by the same call."""
        try:
            with open_file(self.path) as file:
                found = file.read(_HEADER)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read as an unfinished recording ({error.strerror}). "
                "Choose another path for resume=, or delete the file to start again."
            ) from error
        if self._header.startswith(found):
            return  # cut off while it was begun, if it is shorter
        if not found.startswith(_FORM):
            raise InputError(
                f"{self.path}: is not an unfinished recording of this version. Choose another path "
                "for resume=; this file stays as it is."
            )
        raise InputError(
            f"{self.path}: belongs to another recording: other texts, another model, or another "
            "dtype. Repeat the call that began it, choose another path for resume=, or delete the "
            "file."
        )

    def restore(self, sizes: Sequence[int]) -> tuple[list[Step], Tensor | None]:
        """What has been done, in order; and the hidden states after it, within a batch.

        `sizes` are the tokens of each batch.
        """
        if not self.path.exists():
            return [], None
        with open_file(self.path) as file:
            entries = list(self._entries(file))
            while entries and not entries[-1].step.ended:
                step = entries[-1].step
                hidden = self._read_hidden(file, len(entries) - 1, sizes[step.batch])
                if _checksum(hidden) == entries[-1].hidden:
                    self._continue(entries)
                    D, dtype = self._hidden
                    return [entry.step for entry in entries], hidden.view(dtype).view(-1, D)
                entries.pop()  # its hidden states were cut off: the ones before are still there
        self._continue(entries)
        return [entry.step for entry in entries], None

    def _continue(self, entries: list[_Entry]) -> None:
        self._turn = len(entries)
        self._end = entries[-1].end if entries else self._end

    def _entries(self, file: BinaryIO) -> Iterator[_Entry]:
        """The whole records at the end of the file, up to one that was cut off."""
        at = self._end
        while True:
            file.seek(at)
            head = file.read(_RECORD.size)
            if len(head) < _RECORD.size or zlib.crc32(head[:-4]) != int.from_bytes(
                head[-4:], "little"
            ):
                return
            batch, layers, ended, hidden, size, checksum, _ = _RECORD.unpack(head)
            data = file.read(size)
            if len(data) < size or zlib.crc32(data) != checksum:
                return
            at += _RECORD.size + size
            yield _Entry(Step(batch, layers, bool(ended), load(data)), hidden, at)

    def _read_hidden(self, file: BinaryIO, turn: int, rows: int) -> Tensor:
        D, dtype = self._hidden
        file.seek(_HEADER + turn % 2 * self._place)
        return torch.frombuffer(bytearray(file.read(rows * D * dtype.itemsize)), dtype=torch.uint8)

    def add(self, step: Step, x: Tensor | None = None) -> None:
        """Keep this step, and the hidden states after it unless it ends a batch."""
        whole = {key: tensor.detach().cpu().contiguous() for key, tensor in step.tensors.items()}
        data = save(whole)
        hidden = None if x is None else x.detach().cpu().contiguous().view(torch.uint8).flatten()
        head = _RECORD.pack(
            step.batch, step.layers, step.ended, 0 if hidden is None else _checksum(hidden),
            len(data), zlib.crc32(data), 0,
        )[:-4]  # fmt: skip
        head += zlib.crc32(head).to_bytes(4, "little")
        with writing(self.path):
            # Nobody else's to read: texts could be told from hidden states.
            kind = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            with open(os.open(self.path, kind, 0o600), "r+b") as file:
                if self._turn == 0:
                    file.write(self._header)
                if hidden is not None:
                    file.seek(_HEADER + self._turn % 2 * self._place)
                    file.write(hidden.numpy().data)
                file.seek(self._end)
                file.write(head)
                file.write(data)
        self._turn, self._end = self._turn + 1, self._end + len(head) + len(data)


def _checksum(data: Tensor) -> int:
    return zlib.crc32(data.numpy().data)
