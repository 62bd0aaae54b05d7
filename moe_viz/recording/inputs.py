"""What may be recorded: texts and token ids as encodings, checked before anything is computed.

In: what a person hands over. Out: the tokens of all prompts end to end, and where each prompt lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..model import Mixtral
from ..prompts import Prompts
from ..tokenization import Encoding, Tokenizer, visible
from ..trace import TracePrompt


def encode(
    model: Mixtral, texts: Any, labels: Sequence[str] | None
) -> tuple[Encoding, list[TracePrompt]]:
    """All texts as one encoding, end to end, and where each prompt lies in it."""
    if isinstance(texts, Prompts):
        labels = texts.labels if labels is None else labels
        texts = texts.texts
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise InputError(
            f"Expected a text, a list of texts, Prompts, or token ids; found {texts!r:.80}."
        )
    items: list[Any] = [texts] if isinstance(texts, str) else list(texts)
    if items and isinstance(items[0], int | np.integer):
        items = [items]  # one prompt, given as ids
    if not items:
        raise InputError("There is nothing to record: give at least one text.")
    labels = [""] * len(items) if labels is None else [str(label) for label in labels]
    if len(labels) != len(items):
        raise InputError(
            f"Expected one label for each of the {len(items)} texts, found {len(labels)}."
        )
    if any("\ud800" <= c <= "\udfff" for label in labels for c in label):
        raise InputError("A label is not valid Unicode: it holds a lone surrogate.")
    ids, pieces, spans, special = [], [], [], []
    prompts: list[TracePrompt] = []
    for number, (item, label) in enumerate(zip(items, labels, strict=True)):
        try:
            text, encoding = encode_prompt(model, item)
        except InputError as error:
            raise InputError(f"Prompt {number}: {error}") from error
        prompts.append(TracePrompt(text, label, len(ids), len(ids) + len(encoding.ids)))
        ids += encoding.ids
        pieces += encoding.pieces
        spans += encoding.spans
        special += encoding.special
    return Encoding(ids, pieces, spans, special), prompts


def encode_prompt(model: Mixtral, item: str | Iterable[int]) -> tuple[str, Encoding]:
    """The text of a prompt and its tokens, checked against the model's vocabulary and context."""
    if isinstance(item, str):
        text, encoding = item, _tokenizer(model).encode(item)
    elif not isinstance(item, Iterable):
        raise InputError(
            f"Expected a text, or a list of token ids, found {type(item).__name__}: {item!r}."
        )
    else:
        ids = [int(i) for i in item]
        if not ids:
            raise InputError("The list of token ids is empty. Give at least one.")
        if min(ids) < 0 or max(ids) >= model.config.vocab_size:
            raise InputError(
                f"token ids must lie in 0 … {model.config.vocab_size - 1}, found {min(ids)} … "
                f"{max(ids)}. Were they made with another model's tokenizer?"
            )
        text, encoding = model.tokenizer.describe(ids) if model.tokenizer else _undescribed(ids)
    if len(encoding.ids) > model.config.context:
        raise InputError(
            f"It is {len(encoding.ids):,} tokens long; {model.config.name} has a context of "
            f"{model.config.context:,}. Shorten it, or split it into several prompts."
        )
    return text, encoding


def _tokenizer(model: Mixtral) -> Tokenizer:
    if model.tokenizer is None:
        raise InputError(
            "This model has no tokenizer, so it cannot read texts: give lists of token ids."
        )
    return model.tokenizer


def _undescribed(ids: list[int]) -> tuple[str, Encoding]:
    """Ids of a model without a tokenizer, drawn as numbers."""
    words = [f"{i} " for i in ids]
    ends = np.cumsum([len(word) for word in words]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    return "".join(words), Encoding(ids, [visible(w) for w in words], spans, [False] * len(ids))
