# SPDX-License-Identifier: Apache-2.0
"""Prompts as tokens, checked against the model before anything is computed.

In: what the caller gives, in any of the forms of `given`. Out: the tokens of all prompts end to
end, and where each prompt lies.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..guests.guest import Recordable
from ..tokenization import Encoding, Tokenizer
from ..trace import TracePrompt
from .foreign import spelled
from .given import Given, Texts, prompts_in


def encode(
    model: Recordable, texts: Texts, labels: Sequence[str] | None
) -> tuple[Encoding, list[TracePrompt]]:
    """All texts as one encoding, end to end, and where each prompt lies in it.

    Raises `InputError` for any other form of input, naming it; for no text at all; for labels that
    do not match; and where `encode_prompt` does, with the prompt's number.
    """
    given = _labelled(prompts_in(texts), labels)
    ids, pieces, spans, special = [], [], [], []
    prompts: list[TracePrompt] = []
    for number, one in enumerate(given):
        try:
            text, encoding = encode_prompt(model, one)
        except InputError as error:
            raise InputError(f"Prompt {number}: {error}") from error
        prompts.append(TracePrompt(text, one.label, len(ids), len(ids) + len(encoding.ids)))
        ids += encoding.ids
        pieces += encoding.pieces
        spans += encoding.spans
        special += encoding.special
    return Encoding(ids, pieces, spans, special), prompts


def _labelled(given: list[Given], labels: Sequence[str] | None) -> list[Given]:
    """The same prompts, with the caller's labels if there are any."""
    if labels is not None:
        names = [labels] if isinstance(labels, str) else [str(label) for label in labels]
        if len(names) != len(given):
            raise InputError(
                f"Expected one label for each of the {len(given)} texts, found {len(names)}."
            )
        given = [Given(one.content, name) for one, name in zip(given, names, strict=True)]
    if any("\ud800" <= c <= "\udfff" for one in given for c in one.label):
        raise InputError("A label is not valid Unicode: it holds a lone surrogate.")
    return given


def encode_prompt(
    model: Recordable, given: Given, generation_prompt: bool = False
) -> tuple[str, Encoding]:
    """The text of a prompt and its tokens, checked against the model's vocabulary and context.

    `generation_prompt` ends a chat with what opens the answer, where its template has that.
    """
    content = given.content
    if isinstance(content, str):
        text, encoding = content, _tokenizer(model).encode(content)
    elif isinstance(content, tuple):
        ids = _tokenizer(model).chat(content, generation_prompt=generation_prompt)
        text, encoding = _described(model, ids)
    else:
        text, encoding = _described(model, content)
    if len(encoding.ids) > model.config.context:
        raise InputError(
            f"It is {len(encoding.ids):,} tokens long; {model.config.name} has a context of "
            f"{model.config.context:,}. Shorten it, or split it into several prompts."
        )
    return text, encoding


def _described(model: Recordable, ids: list[int]) -> tuple[str, Encoding]:
    """Ids as the model's tokenizer spells them; for a model without one, as numbers."""
    if min(ids) < 0 or max(ids) >= model.config.vocab_size:
        raise InputError(
            f"token ids must lie in 0 … {model.config.vocab_size - 1}, found {min(ids)} … "
            f"{max(ids)}. Were they made with another model's tokenizer?"
        )
    text, pieces, spans, special = spelled(ids, model.tokenizer)
    return text, Encoding(ids, pieces, spans, special)


def _tokenizer(model: Recordable) -> Tokenizer:
    if model.tokenizer is None:
        raise InputError(
            "This model has no tokenizer, so it cannot read texts: give lists of token ids. "
            f"{model.unread}".rstrip()
        )
    return model.tokenizer
