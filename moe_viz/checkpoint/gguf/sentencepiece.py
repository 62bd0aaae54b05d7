# SPDX-License-Identifier: Apache-2.0
"""The vocabulary in a GGUF file's metadata, as the SentencePiece model it was made from.

In: metadata. Out: a serialized SentencePiece model, which `SentencePieceVocabulary` reads like any
other. GGUF keeps every piece with its score and its type, in SentencePiece's own numbers; only the
algorithm (BPE) and how a text is prepared have to be added. The message written here is described
by sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CheckpointError, TokenizerError
from ..hub.repository import HubPath

_BPE = 2
NORMAL, CONTROL, USER_DEFINED, _LAST_TYPE = 1, 3, 4, 6


def sentencepiece_model(metadata: Mapping[str, Any], path: Path | HubPath) -> bytes:
    """The SentencePiece model that this metadata describes.

    Tokens that were added behind the last ordinary piece are control tokens in it, so that
    SentencePiece leaves finding them to the caller.

    Raises `TokenizerError` where the metadata is incomplete, and `CheckpointError` for a file whose
    scores are all equal: it would be read, and texts would be split wrongly.
    """
    pieces = pieces_of(metadata, path)
    scores = _numbers(metadata, "scores", len(pieces), path)
    types = types_of(metadata, path)
    ordinary = scores[types == NORMAL]
    if len(ordinary) > 1 and (ordinary == ordinary[0]).all():
        raise CheckpointError(
            f"{path}: tokenizer.ggml.scores are all equal ({ordinary[0]:g}, {len(ordinary):,} "
            "times). They say which pieces are joined first; without them texts would be split "
            "into other tokens than in training. Take another file of this model, or convert it "
            "again from a folder that holds its tokenizer.model."
        )
    types[first_added(types) :] = CONTROL
    message = b"".join(
        _message(1, _text(1, piece) + _float(2, score) + _whole(3, int(kind)))
        for piece, score, kind in zip(pieces, scores, types, strict=True)
    )
    trainer = _whole(3, _BPE) + _whole(35, 1)  # with byte fallback
    # Which tokens begin and end a text: SentencePiece needs their pieces too.
    for n, (name, default) in enumerate((("unknown", 0), ("bos", 1), ("eos", 2))):
        number = metadata.get(f"tokenizer.ggml.{name}_token_id", default)
        number = number if isinstance(number, int) and 0 <= number < len(pieces) else default
        trainer += _whole(40 + n, number)
        if number < len(pieces):
            trainer += _text(45 + n, pieces[number])
    trainer += _whole(43, -1)  # no padding
    space_first = metadata.get("tokenizer.ggml.add_space_prefix", True)
    normalizer = _text(1, "identity") + _whole(3, int(space_first is not False))
    normalizer += _whole(4, 0) + _whole(5, 1)  # spaces stay as they are, and become ▁
    return message + _message(2, trainer) + _message(3, normalizer)


def pieces_of(metadata: Mapping[str, Any], path: Path | HubPath) -> list[str]:
    """All pieces, by id."""
    pieces = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(pieces, list) or not pieces:
        raise TokenizerError(
            f"{path}: tokenizer.ggml.tokens is missing; expected the list of all pieces. Download "
            "a file that holds its vocabulary."
        )
    return pieces


def types_of(metadata: Mapping[str, Any], path: Path | HubPath) -> np.ndarray:
    """What kind of token each piece is, in SentencePiece's numbers; ordinary where nothing else is
    said.
    """
    count = len(pieces_of(metadata, path))
    if "tokenizer.ggml.token_type" not in metadata:
        return np.full(count, NORMAL)
    numbers = _numbers(metadata, "token_type", count, path)
    known = (numbers >= NORMAL) & (numbers <= _LAST_TYPE)
    return np.where(known, numbers, NORMAL).astype(np.int64)


def first_added(types: np.ndarray) -> int:
    """Where tokens begin that were added to a vocabulary: behind its last ordinary piece."""
    ordinary = np.flatnonzero((types != CONTROL) & (types != USER_DEFINED))
    return int(ordinary[-1]) + 1 if len(ordinary) else len(types)


def _numbers(
    metadata: Mapping[str, Any], name: str, count: int, path: Path | HubPath
) -> np.ndarray:
    """A list of numbers in the metadata, one for each piece; finite, in float32."""
    values = metadata.get(f"tokenizer.ggml.{name}")
    found = len(values) if isinstance(values, np.ndarray) else 0
    if not isinstance(values, np.ndarray) or found != count:
        raise TokenizerError(
            f"{path}: tokenizer.ggml.{name} has {found} numbers for {count} pieces. The file is "
            "damaged: download it again."
        )
    with np.errstate(over="ignore"):
        return np.nan_to_num(values.astype(np.float32))


# ---- Protocol buffers: a field is its number and wire type, then its value --------------------


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers as their two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8"))
