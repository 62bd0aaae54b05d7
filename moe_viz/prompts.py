"""Curated prompts: the same short passages in five languages, the same algorithms in four codes.

In: the files of the package folder `curated`, read when first asked for. Out: immutable `Prompts`,
which `record` takes as they are. All texts were written for this project; nothing here tokenizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import overload

from .errors import PromptError

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

    >>> gcd = code().parallel("gcd")
    >>> gcd
    <Prompts 4: topics 1, labels 4>
    >>> gcd[1:3].names
    ['gcd/c', 'gcd/javascript']
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
        """The prompts with these labels and topics; `PromptError` for one that none of them has.

        >>> code().select(label=["python", "c"], topic="stack").names
        ['stack/python', 'stack/c']
        """
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
            f"expected a {what} of these prompts: {', '.join(dict.fromkeys(known)) or 'none left'}; "
            f"found {', '.join(map(repr, unknown))}. Choose from that list, or leave {what} out."
        )
    return names


@cache
def curated() -> Prompts:
    """All curated prompts: the passages, then the code."""
    return passages() + code()


@cache
def passages() -> Prompts:
    """The curated passages, topic by topic, each in all five `LANGUAGES`."""
    return Prompts(prompt for file in _files(".txt") for prompt in _sections(file))


@cache
def code() -> Prompts:
    """The curated programs and pages, algorithm by algorithm, in the order of `CODE`."""
    found = [
        Prompt(file.name.removesuffix(suffix), label, file.read_text("utf-8").strip())
        for label, suffix in zip(CODE, (".py", ".c", ".js", ".html"), strict=True)
        for file in _files(suffix)
    ]
    return Prompts(sorted(found, key=lambda p: p.topic))  # stable: the labels stay in order


def _files(suffix: str) -> list[Traversable]:
    found = (
        file for file in (files("moe_viz") / "curated").iterdir() if file.name.endswith(suffix)
    )
    return sorted(found, key=lambda file: file.name)


def _sections(file: Traversable) -> list[Prompt]:
    """The passages of one topic: `[en]` alone on a line, the passage, a blank line, `[fr]` …"""
    before, *parts = re.split(r"^\[(\w+)\][ \t]*$", file.read_text("utf-8"), flags=re.MULTILINE)
    labels, texts = tuple(parts[::2]), [text.strip() for text in parts[1::2]]
    if before.strip() or labels != LANGUAGES or not all(texts):
        raise PromptError(
            f"{file}: expected one text under each of the lines {', '.join(LANGUAGES)}; found under "
            f"{', '.join(labels)} texts of {[*map(len, texts)]} characters, and before them "
            f"{before.strip()[:40]!r}. Mend the file, or install moe_viz again."
        )
    return [Prompt(file.name[:-4], *section) for section in zip(labels, texts, strict=True)]
