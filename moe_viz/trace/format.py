# SPDX-License-Identifier: Apache-2.0
"""Format 2 of a trace file: which arrays it holds, and what its header says; format 1 is read.

Format 1 knew one rule, Mixtral's, and every trace had logits. Pieces are indices into a list in the
header; texts are joined end to end as UTF-8.
In and out: a trace's fields on one side, a header and plain arrays on the other; `file` knows the
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import TraceError
from .provenance import Provenance
from .rule import MIXTRAL, Rule

FORMAT = 2
#: Arrays that a trace may lack, all float32.
OPTIONAL = ("router_logits", "choice_scores", "bias", "loss")


def pack(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a trace's fields, as `unpack` gives them back."""
    vocabulary = list(dict.fromkeys(fields["tokens"]))
    number = {piece: n for n, piece in enumerate(vocabulary)}
    texts, labels, _, stops, documents, parts = zip(*fields["prompts"], strict=True)
    encoded = [text.encode("utf-8") for text in texts]
    arrays = {
        "experts": fields["experts"].astype(np.int16, copy=False),
        "gates": fields["gates"].astype(np.float32, copy=False),
        "token_ids": fields["token_ids"].astype(np.int32, copy=False),
        "pieces": np.array([number[piece] for piece in fields["tokens"]], np.int32),
        "spans": fields["spans"].astype(np.int32, copy=False),
        "special": fields["special"].astype(np.uint8),
        "generated": fields["generated"].astype(np.uint8),
        "prompt_stops": np.array(stops, np.int64),
        "text_stops": np.cumsum([len(text) for text in encoded], dtype=np.int64),
        "texts": np.frombuffer(b"".join(encoded), np.uint8),
    }
    for name in OPTIONAL:
        if fields[name] is not None:
            arrays[name] = fields[name].astype(np.float32, copy=False)
    header = {**header_of(fields), "pieces": vocabulary, "labels": list(labels)}
    # Of a corpus: readers of before pass them over.
    header |= {"documents": list(documents)} if any(documents) else {}
    header |= {"parts": list(parts)} if any(parts) else {}
    return header, arrays


def header_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the header says of the model: all but the pieces and labels of one trace."""
    return {
        "format": FORMAT,
        "layers": list(fields["layers"]),
        "rule": fields["rule"].to_json(),
        "scored": list(fields["scored"]),
        "expert_count": fields["expert_count"],
        "model_layers": fields["model_layers"],
        "mixtures": list(fields["mixtures"]),
        "provenance": fields["provenance"].to_json(),
    }


def unpack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A trace's fields, from a header and arrays that have not been checked yet.

    `prompts` are tuples of text, label, start, stop, document and part. Raises `TraceError` for a
    later format, and `ValueError` or one of `file.DAMAGED` where parts do not fit together.
    """
    if header["format"] > FORMAT:
        raise TraceError(
            f"It has trace format {header['format']}, and this moe_viz reads up to {FORMAT}. "
            "Upgrade moe_viz."
        )
    texts = arrays["texts"].tobytes()
    stops, ends = arrays["prompt_stops"].tolist(), arrays["text_stops"].tolist()
    labels = header["labels"]
    logits, first = arrays.get("router_logits"), header["format"] == 1
    if first and logits is None:
        raise TraceError("The array router_logits is missing. Copy the file again.")
    E = int(header["expert_count"]) if logits is None else logits.shape[-1]
    if not 0 < E < 2**15:
        raise ValueError(f"{E} experts")
    if not len(stops) == len(ends) == len(labels):
        raise ValueError(f"{len(stops)} prompts, {len(ends)} texts, {len(labels)} labels")
    if sorted(ends) != ends or (ends and (ends[0] < 0 or ends[-1] != len(texts))):
        raise ValueError("the texts are not joined end to end")
    documents = [str(name) for name in header.get("documents", [""] * len(stops))]
    parts = [int(part) for part in header.get("parts", [0] * len(stops))]
    if not len(documents) == len(parts) == len(stops):
        raise ValueError(f"{len(stops)} prompts, {len(documents)} ids, {len(parts)} parts")
    vocabulary = [str(piece) for piece in header["pieces"]]
    pieces = arrays["pieces"]
    if pieces.size and not (pieces.min() >= 0 and pieces.max() < len(vocabulary)):
        raise ValueError("a token's piece is not in the list of pieces")
    experts = arrays["experts"]
    if experts.size and not (experts.min() >= -1 and experts.max() < E):
        raise ValueError(f"an expert lies outside −1 … {E - 1}")
    return {
        "router_logits": logits,
        "experts": experts,
        "gates": arrays["gates"],
        "token_ids": arrays["token_ids"],
        "tokens": [vocabulary[n] for n in pieces],
        "spans": arrays["spans"],
        "special": arrays["special"] != 0,
        "generated": arrays["generated"] != 0,
        "prompts": [
            (texts[a:b].decode("utf-8"), str(label), start, stop, document, part)
            for label, a, b, start, stop, document, part in zip(
                labels, [0, *ends], ends, [0, *stops], stops, documents, parts, strict=False
            )
        ],
        "provenance": Provenance.from_json(header["provenance"]),
        "layers": tuple(int(n) for n in header["layers"]),
        "loss": arrays.get("loss"),
        "rule": MIXTRAL if first else Rule.from_json(header["rule"]),
        "bias": arrays.get("bias"),
        "choice_scores": arrays.get("choice_scores"),
        "scored": tuple(bool(n) for n in header.get("scored", ())),
        "expert_count": E,
        "model_layers": int(header.get("model_layers", 0)),
        "mixtures": tuple(int(n) for n in header.get("mixtures", ())),
    }


def refuse_surrogates(name: str, texts: Iterable[str]) -> None:
    """Invalid Unicode could not be written to a file or shown on a page."""
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise TraceError(
            f"The {name} are not valid Unicode: there is a lone surrogate among them. Decode what "
            "they came from as UTF-8 first."
        ) from error
