# SPDX-License-Identifier: Apache-2.0
"""A vocabulary as a page carries it: pieces, scores, and which ids are bytes or spell nothing.

In: a tokenizer. Out: what `js/tokenizer.js` splits texts by. It knows SentencePiece's byte pair
encoding with bytes as fallback, which is what Mixtrals have; any other is refused, since it would
split texts another way and nobody would see it.
"""

from __future__ import annotations

from typing import Any

from ...errors import InputError
from ...tokenization import Tokenizer

#: Texts that a vocabulary which normalises would change: ligatures, circled digits, spaces.
_TRICKY = "ﬁ ① é é Å  ½\u3000ａ a  b "


def vocabulary_of(tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Pieces by id, their scores, the ids of bytes, control tokens, BOS and EOS.

    Raises `InputError` for a vocabulary that a page cannot split texts by.
    """
    model = tokenizer and tokenizer.sentencepieces
    if tokenizer is None or model is None:
        raise InputError(
            "A page splits texts by SentencePiece's byte pair encoding (tokenizer.model). Expected "
            f"a model with one, found {tokenizer.where if tokenizer else 'no tokenizer'}."
        )
    ids = range(model.vocab_size())
    pieces = [model.id_to_piece(i) for i in ids]
    scores = [model.get_score(i) for i in ids]
    by_byte = {piece: i for i, piece in enumerate(pieces) if model.is_byte(i)}
    control = [i for i in ids if model.is_control(i) or model.is_unknown(i)]
    plain = [i for i in ids if not model.is_byte(i) and i not in set(control)]
    reasons = {
        "it has added tokens": bool(tokenizer.added),
        "it is no byte pair encoding": any(scores[i] != round(scores[i]) for i in plain),
        "it has pieces that are found before others": sum(scores[i] == 0 for i in plain) > 1,
        "it has no bytes to fall back on": len(by_byte) != 256,
        "it changes texts before it splits them": model.normalize(_TRICKY)
        != "▁" + _TRICKY.replace(" ", "▁"),
        "its pieces go on past a space": any("▁" in piece.lstrip("▁") for piece in pieces),
    }
    if why := [reason for reason, holds in reasons.items() if holds]:
        raise InputError(
            f"{tokenizer.where}: a page cannot split texts by this vocabulary: {', '.join(why)}. "
            "Expected SentencePiece's byte pair encoding as Mixtral has it."
        )
    return {
        "pieces": pieces,
        "scores": [round(score) for score in scores],
        "bytes": [by_byte[f"<0x{n:02X}>"] for n in range(256)],
        "control": control,
        "bos": tokenizer.bos,
        "eos": tokenizer.eos,
    }
