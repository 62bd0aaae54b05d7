# SPDX-License-Identifier: Apache-2.0
"""The forms in which people have prompts: texts, chats, token ids, and what tokenizers return.

In: what the caller gives. Out: the prompts in it, each a text, a list of ids or the messages of a
chat. This is the one place that says what `record`, `generate`, `effects` and the live box take;
everything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from ..errors import InputError, refused
from ..prompts import Prompt, Prompts
from ..tokenization import Encoding

Ids: TypeAlias = Sequence[int] | np.ndarray | Tensor
#: One prompt, and what `record` takes. A mapping is {label: text}, or what a tokenizer returned.
Text: TypeAlias = str | Prompt | Ids | Sequence[Mapping[str, Any]] | Mapping[str, Any] | Encoding
Texts: TypeAlias = Text | Prompts | Sequence[Text] | Mapping[str, Text]

_ONE = (
    "a text, a Prompt, token ids (whole numbers, or what a tokenizer returned), or chat messages "
    "[{'role': …, 'content': …}]"
)
_SEVERAL = f"{_ONE}; a list of these; {{label: text}}; or curated Prompts"

#: What tokenizers return beside the ids, and what no token's number depends on.
_BESIDE = {
    "attention_mask", "token_type_ids", "special_tokens_mask", "offset_mapping", "length",
    "overflowing_tokens", "num_truncated_tokens", "overflow_to_sample_mapping", "assistant_masks",
    "labels",
}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """One prompt as it was given: a text, token ids, or the messages of a chat."""

    content: str | list[int] | tuple[dict[str, Any], ...]
    label: str = ""


def prompts_in(value: Any, what: str = "record") -> list[Given]:
    """The prompts that something holds, one after the other.

    >>> [(p.label, p.content) for p in prompts_in({"en": "Good morning.", "ids": [1, 5]})]
    [('en', 'Good morning.'), ('ids', [1, 5])]
    >>> padded = {"input_ids": [[0, 0, 1, 5], [1, 5, 6, 7]],
    ...           "attention_mask": [[0, 0, 1, 1], [1, 1, 1, 1]]}
    >>> [p.content for p in prompts_in(padded)]
    [[1, 5], [1, 5, 6, 7]]
    """
    value = list(value) if isinstance(value, Iterator) else value  # which can be read once
    one = _one(value)
    if one is not None:
        return [one]
    rows = _tokenized(value)
    if rows is not None:
        return [Given(ids) for ids in rows]
    names = [str(label) for label in value] if isinstance(value, Mapping) else None
    items = list(value.values()) if isinstance(value, Mapping) else _items(value)
    if items is None:
        raise refused(what, _SEVERAL, value)
    if not items:
        raise InputError("There is nothing to record: give at least one text.")
    found = []
    for number, item in enumerate(items):
        one = _one(item)
        if one is None:
            raise _no_prompt(item, f"Prompt {number}" if names is None else f"{names[number]!r}")
        found.append(one if names is None else Given(one.content, names[number]))
    return found


def one_prompt(value: Any, what: str) -> Given:
    """The single prompt that a call takes; `InputError` for several."""
    found = prompts_in(value, what)
    if len(found) != 1:
        raise refused(what, f"one prompt: {_ONE}", value, "Run one after the other.")
    return found[0]


def _one(value: Any) -> Given | None:
    """The prompt that something is, alone or as the only one in a list; None if it is none."""
    if isinstance(value, str):
        return Given(value)
    if isinstance(value, Prompt):
        return Given(value.text, value.label)
    if _is_message(value):
        return Given((_message(value, 0),))
    rows = _tokenized(value)
    items = _items(value) if rows is None else None
    if rows is not None:
        return Given(rows[0]) if len(rows) == 1 else None
    if not items:
        return None
    if all(_is_id(item) for item in items):
        return Given([int(i) for i in items])
    if all(_is_message(item) for item in items):
        return Given(tuple(_message(item, n) for n, item in enumerate(items)))
    return _one(items[0]) if len(items) == 1 else None


def _no_prompt(item: Any, name: str) -> InputError:
    if _items(item) == []:
        return InputError(f"{name}: the list of token ids is empty. Give at least one.")
    return refused(name, _ONE, item)


def _items(value: Any) -> list[Any] | None:
    """The items of a sequence, in order; None for a mapping, a set, bytes, or a single value."""
    if hasattr(value, "tolist"):  # a NumPy array, a tensor, a column of a table
        try:
            value = value.tolist()
        except RuntimeError:  # a tensor without rows: sparse, nested, or one of no device
            return None
    unordered = isinstance(value, set | frozenset | str | bytes | bytearray)
    named = hasattr(value, "keys") or hasattr(value, "columns")  # iterating would give the names
    if hasattr(value, "to_pylist") and not named:  # a column of Arrow's in chunks
        value = value.to_pylist()
    return list(value) if isinstance(value, Iterable) and not unordered and not named else None


def _is_id(value: Any) -> bool:
    """Whether something is a whole number, which NumPy's and a tensor of a single one are too."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return isinstance(value, Integral) and not isinstance(value, bool)


# ---- What a tokenizer returned


def _tokenized(value: Any) -> list[list[int]] | None:
    """The ids that a tokenizer returned, prompt by prompt, without padding; None for other things.

    transformers returns a mapping, for one text or for a batch; tokenizers, and `encode` here, an
    object with `ids`.
    """
    if not isinstance(value, Mapping):
        ids = getattr(value, "ids", None)
        if not (isinstance(value, Encoding) or (ids and hasattr(value, "attention_mask"))):
            return None
        value = {"input_ids": ids, "attention_mask": getattr(value, "attention_mask", None)}
    if "input_ids" not in value:
        return None
    if more := [str(key) for key in value if key not in _BESIDE | {"input_ids"}]:
        raise InputError(
            f"With input_ids comes {more[0]!r}, which would change what is computed, or nothing "
            "here knows. Give input_ids alone, with attention_mask if they are padded."
        )
    rows = _matrix("input_ids", value["input_ids"], _is_id)
    if value.get("attention_mask") is None:
        return rows
    masks = _matrix("attention_mask", value["attention_mask"], _is_mark)
    if [len(row) for row in rows] != [len(mask) for mask in masks]:
        raise InputError(
            f"attention_mask must be of the shape of input_ids, found "
            f"{[len(mask) for mask in masks][:8]} for {[len(row) for row in rows][:8]} ids."
        )
    return [_unpadded(*pair, n) for n, pair in enumerate(zip(rows, masks, strict=True))]


def _matrix(name: str, value: Any, fits: Callable[[Any], bool]) -> list[list[int]]:
    """Rows of whole numbers; a vector is one row."""
    items = _items(value) or []
    rows = [items] if all(fits(item) for item in items) else [_items(item) for item in items]
    if not all(row and all(fits(item) for item in row) for row in rows):
        raise refused(name, "whole numbers, in one row or one for each prompt", value)
    return [[int(item) for item in row or []] for row in rows]


def _is_mark(value: Any) -> bool:
    """Whether something marks a token as kept or left out, as a number or a truth value."""
    return (value.tolist() if hasattr(value, "tolist") else value) in (0, 1)


def _unpadded(ids: list[int], mask: list[int], number: int) -> list[int]:
    """The ids that the mask keeps: padding stands before or after them."""
    kept = [n for n, mark in enumerate(mask) if mark]
    if not kept or kept[-1] - kept[0] != len(kept) - 1:
        raise InputError(
            f"attention_mask, prompt {number}: expected ones with the zeros of padding before or "
            f"after them, found {mask[:12]}{' …' if mask[12:] else ''}. Tokens that only some "
            "others may see cannot be recorded: here each sees all before it."
        )
    return ids[kept[0] : kept[-1] + 1]


# ---- Chats


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and "content" in value


def _message(value: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A message whose content is one text; several parts of text are joined."""
    content, role = value["content"], value["role"]
    if isinstance(content, list | tuple):
        parts = [part if isinstance(part, Mapping) else {} for part in content]
        if not parts or any(not isinstance(part.get("text"), str) for part in parts):
            kinds = ", ".join(
                sorted({str(p.get("type", "other")) for p in parts if "text" not in p})
            )
            raise InputError(
                f"Message {number}: content must be text, found parts of the kind {kinds or 'none'}"
                ". This model reads text only."
            )
        content = "".join(part["text"] for part in parts)
    if not isinstance(content, str) or not isinstance(role, str):
        raise refused(f"Message {number}", "a role and a content, both texts", value)
    return {**value, "content": content}
