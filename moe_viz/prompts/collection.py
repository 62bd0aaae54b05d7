# SPDX-License-Identifier: Apache-2.0
"""Curated prompts: passages, each in five languages; algorithms, each in four kinds of code.

In: the files of the folder `texts`, read when first asked for. Out: immutable `Prompts`,
which `record` takes as they are. All texts were written for this project; nothing here tokenizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import overload

from ..errors import PromptError

LANGUAGES = ("en", "fr", "de", "es", "it")
CODE = ("python", "c", "javascript", "html")
LABELS = LANGUAGES + CODE
LICENSE = "Apache-2.0"  # of every curated text
_Choice = str | Iterable[str] | None


@dataclass(frozen=True)
class Prompt:
    """One text, its label (the language), and its topic: what is parallel across labels.

    >>> Prompt("recipe", "fr", "Épluchez les carottes.").name
    'recipe/fr'
    """

    topic: str
    label: str
    text: str

    @property
    def name(self) -> str:
        """Topic and label in one word, as figures show them."""
        return f"{self.topic}/{self.label}"


@dataclass(frozen=True, init=False, repr=False)
class Prompts(Sequence[Prompt]):
    """An immutable sequence of prompts; slices and sums are `Prompts` too.

    >>> code().select("c", topic=["gcd", "stack"])
    <Prompts 2: topics 2, labels 1>
    >>> code().parallel("gcd")[:2].names
    ['gcd/python', 'gcd/c']
    """

    _items: tuple[Prompt, ...]

    def __init__(self, prompts: Iterable[Prompt] = ()):
        object.__setattr__(self, "_items", tuple(prompts))  # the class is frozen

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> Prompts: ...
    def __getitem__(self, index: int | slice) -> Prompt | Prompts:
        return Prompts(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __add__(self, other: Prompts) -> Prompts:
        return Prompts(self._items + other._items) if isinstance(other, Prompts) else NotImplemented

    def __repr__(self) -> str:
        return f"<Prompts {len(self)}: topics {len(self.topics)}, labels {len(set(self.labels))}>"

    @property
    def texts(self) -> list[str]:
        """The text of each prompt."""
        return [prompt.text for prompt in self]

    @property
    def labels(self) -> list[str]:
        """The label of each prompt, in step with `texts`."""
        return [prompt.label for prompt in self]

    @property
    def names(self) -> list[str]:
        """The name of each prompt, in step with `texts`."""
        return [prompt.name for prompt in self]

    @property
    def topics(self) -> list[str]:
        """The topics, each once, in the order in which they first appear."""
        return list(dict.fromkeys(prompt.topic for prompt in self))

    def select(self, label: _Choice = None, topic: _Choice = None) -> Prompts:
        """The prompts with these labels and topics; `PromptError` for an unknown one."""
        labels, topics = _known("label", label, self.labels), _known("topic", topic, self.topics)
        return Prompts(p for p in self if p.label in labels and p.topic in topics)

    def parallel(self, topic: str) -> Prompts:
        """One topic in every label that has it, in the order of `LABELS`, then any others."""
        chosen = self.select(topic=topic)
        return Prompts(sorted(chosen, key=lambda p: (*LABELS, p.label).index(p.label)))


def _known(what: str, wanted: _Choice, known: list[str]) -> list[str]:
    names = known if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    if unknown := [name for name in names if name not in known]:
        raise PromptError(
            f"expected a {what} from {', '.join(dict.fromkeys(known)) or 'none (empty)'}; "
            f"found {', '.join(map(repr, unknown))}. Choose from that list, or leave {what} out."
        )
    return names


def topics_of(texts: Iterable[str]) -> list[str]:
    """The topic of each text where it is a curated one, and "" where it is not.

    >>> topics_of([passages()[0].text, "something else"]) == [passages()[0].topic, ""]
    True
    """
    known = {prompt.text: prompt.topic for prompt in curated()}
    return [known.get(text, "") for text in texts]


@cache
def curated() -> Prompts:
    """All curated prompts: the passages, then the code."""
    return passages() + code()


@cache
def passages() -> Prompts:
    """The curated passages, topic by topic, each in all five `LANGUAGES`."""
    return Prompts(p for topic, text in _files(".txt") for p in _sections(topic, text))


@cache
def code() -> Prompts:
    """The curated programs and pages, algorithm by algorithm, in the order of `CODE`."""
    suffixes = zip(CODE, (".py", ".c", ".js", ".html"), strict=True)
    found = [Prompt(topic, label, text) for label, end in suffixes for topic, text in _files(end)]
    return Prompts(sorted(found, key=lambda p: p.topic))  # stable: the labels stay in order


def _files(suffix: str) -> list[tuple[str, str]]:  # topic and text of each, by topic
    found = [f for f in (files("moe_viz") / "prompts/texts").iterdir() if f.name.endswith(suffix)]
    return sorted((f.name.removesuffix(suffix), f.read_text("utf-8").strip()) for f in found)


def _sections(topic: str, text: str) -> list[Prompt]:
    """The passages of one file: `[en]` alone on a line, the passage, a blank line, `[fr]` …"""
    before, *parts = re.split(r"(?m)^\[(\w+)\][ \t]*$", text)
    sections = [(label, part.strip()) for label, part in zip(parts[::2], parts[1::2], strict=True)]
    found = [label if part else f"{label} (empty)" for label, part in sections]
    if before or tuple(found) != LANGUAGES:
        raise PromptError(
            f"prompts/texts/{topic}.txt: expected a text under each of {', '.join(LANGUAGES)}; "
            f"found {before[:40]!r}, then {', '.join(found) or 'nothing'}. Correct it, or "
            "reinstall moe_viz."
        )
    return [Prompt(topic, label, part) for label, part in sections]
