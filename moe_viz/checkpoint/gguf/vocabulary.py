"""The vocabulary in a GGUF file's metadata, as the SentencePiece model it was made from.

In: metadata. Out: a serialized SentencePiece model, which `Tokenizer` reads like any other. GGUF
keeps every piece with its score and its type, in SentencePiece's own numbers; only the algorithm
(BPE) and how a text is prepared have to be added. The message written here is described by
sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TokenizerError
from ..hub.repository import HubPath

_BPE = 2
_NORMAL, _LAST_TYPE = 1, 6


def sentencepiece_model(metadata: Mapping[str, Any], path: Path | HubPath) -> bytes:
    """The SentencePiece model that this metadata describes.

    Raises `TokenizerError` where it describes another kind of tokenizer, or is incomplete.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if not isinstance(kind, str) or kind != "llama":
        raise TokenizerError(
            f"{path}: its tokenizer is of type {kind!r:.40}; expected 'llama', the SentencePiece "
            "model of every Mixtral. Is this file a Mixtral's?"
        )
    pieces = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(pieces, list) or not pieces:
        raise TokenizerError(
            f"{path}: tokenizer.ggml.tokens is missing; expected the list of all pieces. Download "
            "a file that holds its vocabulary."
        )
    scores = _numbers(metadata, "scores", len(pieces), path)
    types = np.ones(len(pieces))
    if "tokenizer.ggml.token_type" in metadata:
        types = _numbers(metadata, "token_type", len(pieces), path)
    message = b"".join(
        _message(1, _text(1, piece) + _float(2, score) + _whole(3, _kind(kind)))
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


def _kind(number: float) -> int:
    return int(number) if _NORMAL <= number <= _LAST_TYPE else _NORMAL


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
