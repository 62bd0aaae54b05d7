"""What may be recorded: texts and token ids, checked before anything is computed.

In: what the caller gives. Out: the tokens of all prompts end to end, and where each prompt lies.
This is the one place that says which forms `record`, `generate` and `effects` accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..errors import InputError, refused
from ..model import Mixtral
from ..prompts import Prompt, Prompts
from ..tokenization import Encoding, Tokenizer, visible
from ..trace import TracePrompt

_ONE = "a text, or token ids (whole numbers)"
_SEVERAL = f"{_ONE}; a list of these; or curated Prompts"


def encode(
    model: Mixtral, texts: Any, labels: Sequence[str] | None
) -> tuple[Encoding, list[TracePrompt]]:
    """All texts as one encoding, end to end, and where each prompt lies in it.

    Raises `InputError` for any other form of input, naming it; for no text at all; for labels that
    do not match; and where `encode_prompt` does, with the prompt's number.
    """
    items, labels = _listed(texts, labels)
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


def _listed(texts: Any, labels: Sequence[str] | None) -> tuple[list[Any], list[str]]:
    """The prompts that were given, one after the other, and their labels."""
    if isinstance(texts, Prompt):
        texts = Prompts([texts])
    if isinstance(texts, Prompts):
        labels = texts.labels if labels is None else labels
        texts = texts.texts
    if isinstance(texts, str):
        texts = [texts]
    items = _items(texts)
    if items is None:
        raise refused("record", _SEVERAL, texts)
    if not items:
        raise InputError("There is nothing to record: give at least one text.")
    if all(_is_id(item) for item in items):
        items = [items]  # one prompt, given as ids
    labels = [""] * len(items) if labels is None else [str(label) for label in labels]
    if len(labels) != len(items):
        raise InputError(
            f"Expected one label for each of the {len(items)} texts, found {len(labels)}."
        )
    if any("\ud800" <= c <= "\udfff" for label in labels for c in label):
        raise InputError("A label is not valid Unicode: it holds a lone surrogate.")
    return items, labels


def encode_prompt(model: Mixtral, item: str | Iterable[int]) -> tuple[str, Encoding]:
    """The text of a prompt and its tokens, checked against the model's vocabulary and context."""
    if isinstance(item, str):
        text, encoding = item, _tokenizer(model).encode(item)
    else:
        text, encoding = _described(model, _ids(item))
    if len(encoding.ids) > model.config.context:
        raise InputError(
            f"It is {len(encoding.ids):,} tokens long; {model.config.name} has a context of "
            f"{model.config.context:,}. Shorten it, or split it into several prompts."
        )
    return text, encoding


def _ids(item: Any) -> list[int]:
    """Token ids as whole numbers; anything else is refused, not rounded."""
    found = _items(item)
    if found is None or not all(_is_id(i) for i in found):
        raise refused("A prompt", _ONE, item)
    if not found:
        raise InputError("The list of token ids is empty. Give at least one.")
    return [int(i) for i in found]


def _items(value: Any) -> list[Any] | None:
    """The items of a sequence, in order; None for a mapping, a set, bytes, or a single value."""
    if hasattr(value, "tolist"):  # a NumPy array or a tensor
        value = value.tolist()
    unordered = isinstance(value, Mapping | set | frozenset | str | bytes | bytearray)
    return list(value) if isinstance(value, Iterable) and not unordered else None


def _is_id(value: Any) -> bool:
    """Whether something is a whole number, which NumPy's and a tensor of a single one are too."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return isinstance(value, Integral) and not isinstance(value, bool)


def _described(model: Mixtral, ids: list[int]) -> tuple[str, Encoding]:
    """Ids as the model's tokenizer spells them; for a model without one, as numbers."""
    if min(ids) < 0 or max(ids) >= model.config.vocab_size:
        raise InputError(
            f"token ids must lie in 0 … {model.config.vocab_size - 1}, found {min(ids)} … "
            f"{max(ids)}. Were they made with another model's tokenizer?"
        )
    if model.tokenizer:
        return model.tokenizer.describe(ids)
    words = [f"{i} " for i in ids]
    ends = np.cumsum([len(word) for word in words]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    return "".join(words), Encoding(ids, [visible(w) for w in words], spans, [False] * len(ids))


def _tokenizer(model: Mixtral) -> Tokenizer:
    if model.tokenizer is None:
        raise InputError(
            "This model has no tokenizer, so it cannot read texts: give lists of token ids. "
            f"{model.unread}".rstrip()
        )
    return model.tokenizer
