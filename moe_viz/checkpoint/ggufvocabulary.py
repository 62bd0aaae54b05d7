"""The vocabulary in a GGUF file's metadata, as the SentencePiece model it was made from.

In: metadata. Out: a serialized SentencePiece model, which `Tokenizer` reads like any other. GGUF
keeps every piece with its score and its type, in SentencePiece's own numbers; what is left to say
is the algorithm (BPE) and how a text is prepared. The message written here is described by
sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import TokenizerError

_BPE = 2
_NORMAL, _LAST_TYPE = 1, 6


def sentencepiece_model(metadata: Mapping[str, Any], path: Path) -> bytes:
    """The SentencePiece model that this metadata describes.

    Raises `TokenizerError` where it describes another kind of tokenizer, or is incomplete.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "llama":
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
    scores = metadata.get("tokenizer.ggml.scores")
    types = metadata.get("tokenizer.ggml.token_type", [_NORMAL] * len(pieces))
    for name, values in (("scores", scores), ("token_type", types)):
        if values is None or len(values) != len(pieces):
            raise TokenizerError(
                f"{path}: tokenizer.ggml.{name} has {0 if values is None else len(values)} entries "
                f"for {len(pieces)} pieces. The file is damaged: download it again."
            )
    assert scores is not None
    message = b"".join(
        _message(1, _text(1, piece) + _float(2, float(score)) + _whole(3, _kind(int(kind))))
        for piece, score, kind in zip(pieces, scores, types, strict=True)
    )

    def special(name: str, default: int) -> int:
        value = metadata.get(f"tokenizer.ggml.{name}_token_id", default)
        return value if isinstance(value, int) else default

    trainer = _whole(3, _BPE) + _whole(35, 1)  # with byte fallback
    trainer += _whole(40, special("unknown", 0)) + _whole(41, special("bos", 1))
    trainer += _whole(42, special("eos", 2)) + _whole(43, -1)  # no padding
    space_first = int(metadata.get("tokenizer.ggml.add_space_prefix", True))
    normalizer = _text(1, "identity") + _whole(3, space_first) + _whole(4, 0) + _whole(5, 1)
    return message + _message(2, trainer) + _message(3, normalizer)


def _kind(number: int) -> int:
    return number if _NORMAL <= number <= _LAST_TYPE else _NORMAL


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
