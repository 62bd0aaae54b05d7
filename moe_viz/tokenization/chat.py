# SPDX-License-Identifier: Apache-2.0
"""Conversations as token ids, in the template that a model was trained with.

In: messages with a role and a content. Out: ids. A checkpoint's own Jinja template is rendered and
split like a text in which the template's control tokens count, and those that a message holds do
not: whoever writes a message cannot end it. Without a template it is Mixtral Instruct's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import InputError, refused
from .rendering import render
from .vocabulary import Added, Vocabulary

Message = Mapping[str, Any]

#: Noncharacters of Unicode, which no text for interchange holds: two of them mark names.
_MARKS = [chr(n) for n in range(0xFDD0, 0xFDF0)]


def messages_of(turns: Sequence[Any]) -> list[Message]:
    """Messages from what was given: one list of them, or turns as texts, the user's first.

    >>> messages_of(["Hi", "Hello"])
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    if len(turns) == 1 and not isinstance(turns[0], str | Mapping):
        given = turns[0]
        if not isinstance(given, Iterable) or isinstance(given, bytes):
            raise refused("chat", "messages with a role and a content", given)
        turns = list(given)
    if not turns:
        raise InputError("The conversation is empty. Give at least one message.")
    messages: list[Message] = []
    for n, turn in enumerate(turns):
        if isinstance(turn, str):
            turn = {"role": ("user", "assistant")[n % 2], "content": turn}
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise refused(f"chat, in message {n},", "a role and a content, both texts", turn)
        messages.append({key: value for key, value in turn.items() if value is not None})
    return messages


# ---- A checkpoint's own template -------------------------------------------------------------


def from_template(
    vocabulary: Vocabulary,
    template: str,
    messages: Sequence[Message],
    known: Sequence[Added],
    variables: Mapping[str, Any],
) -> list[int]:
    """Ids of a conversation in a template. `known` are all tokens with a name.

    Control tokens are those called special, and others that the template writes out.
    """
    control = {t.content: t for t in known if t.special or t.content in template}
    beyond = "".join(_texts(messages))
    free = [mark for mark in _MARKS if mark not in beyond]
    if len(free) < 2:
        raise InputError(
            "The messages hold nearly all of Unicode's noncharacters, U+FDD0 to U+FDEF, of which "
            "two must be free. Leave them out: no text for interchange has any."
        )
    left, right = free[:2]
    longest_first = sorted(control, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first)) or "(?!)"  # which matches nothing

    def marked(value: Any) -> Any:
        """The same with every name in it between marks."""
        if isinstance(value, str):
            return re.sub(names, rf"{left}\g<0>{right}", value)
        if isinstance(value, Mapping):
            return {key: marked(item) for key, item in value.items()}
        return [marked(item) for item in value] if isinstance(value, list | tuple) else value

    text = render(template, {"messages": marked(list(messages)), **variables}, vocabulary.where)

    def settled(match: re.Match[str]) -> str:
        """A marked name is text; one that the template wrote gets a name that no text holds."""
        if match["typed"] is not None:
            return match["typed"]
        return f"{left}{control[match[0]].id}{right}" if match[0] in control else ""

    text = re.sub(rf"{left}(?P<typed>{names}){right}|[{left}{right}]|{names}", settled, text)
    if not text:
        raise InputError(
            f"The chat template of {vocabulary.where} makes an empty text of this conversation."
        )
    renamed = [replace(t, content=f"{left}{t.id}{right}") for t in control.values()]
    others = [t for t in known if t.content not in control]
    return vocabulary.encode(text, [*renamed, *others])


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


# ---- Mixtral Instruct's ----------------------------------------------------------------------


def instruct(
    vocabulary: Vocabulary,
    messages: Sequence[Message],
    bos: int | None,
    eos: int | None,
    names: Sequence[Added],
) -> list[int]:
    """Ids of a conversation in Mistral's template.

    Where `[INST]` is a control token, as in 8x22B Instruct, each message is split by itself between
    them, and a system prompt goes to the last message of the user's; where it is text, as in 8x7B
    Instruct, to the first.
    """
    begin = next((t.id for t in vocabulary.control if t.content == "[INST]"), None)
    end = next((t.id for t in vocabulary.control if t.content == "[/INST]"), None)
    turns, system = _turns(messages)
    users = [n for n, (role, _) in enumerate(turns) if role == "user"]
    if system and users:
        n = users[0] if begin is None else users[-1]
        turns[n] = ("user", f"{system}\n\n{turns[n][1]}")
    ids = [] if bos is None else [bos]
    for role, content in turns:
        if role == "assistant":
            content = content if begin is None else content.rstrip(" ")
            ids += [*vocabulary.encode(content, names), *([] if eos is None else [eos])]
        elif begin is None or end is None:
            ids += vocabulary.encode(f"[INST] {content} [/INST]", names)
        else:
            ids += [begin, *vocabulary.encode(content, names), end]
    return ids


def _turns(messages: Sequence[Message]) -> tuple[list[tuple[str, str]], str]:
    """Roles and texts, neighbours of one role joined; and the system prompt."""
    turns: list[tuple[str, str]] = []
    system: list[str] = []
    for message in messages:
        role, content = message["role"], _content(message)
        if role == "system":
            system.append(content)
        elif role not in ("user", "assistant"):
            raise InputError(
                f"Mixtral Instruct's template has the roles system, user and assistant; found "
                f"{role!r:.40}. This checkpoint brings no template of its own."
            )
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{content}")
        else:
            turns.append((role, content))
    if not turns or turns[0][0] != "user":
        raise InputError("A conversation begins with a message of the user's.")
    return turns, "\n\n".join(filter(None, system))


def _content(message: Message) -> str:
    """The text of a message, or of its parts."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if parts and len(texts) == len(parts):
            return "\n\n".join(texts)
    if not isinstance(content, str):
        raise refused("A chat message's content", "a text", content)
    return content
