# SPDX-License-Identifier: Apache-2.0
"""Cutting: the parts put together are the text, and each fits the context by itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from moe_viz.prompts import curated
from moe_viz.recording.corpora.cutting import ROOM, parts_of
from tests.hardtexts import PICKED, hard_texts

from .made import embedded

CONTEXTS = (16, 17, 23, 40, 100)


@pytest.fixture(scope="module")
def tokenizer():
    return embedded().tokenizer


def check(text, tokenizer, context) -> list[str]:
    parts = parts_of(text, tokenizer, context)
    assert "".join(parts) == text
    sizes = [len(tokenizer.encode(part).ids) for part in parts]
    assert max(sizes) <= context
    assert all(parts), "no part is empty"
    if len(tokenizer.encode(text).ids) <= context:
        assert parts == [text]
    return parts


@pytest.mark.parametrize("context", CONTEXTS)
def test_parts_of_hard_texts_fit_and_are_the_text(tokenizer, context):
    hard = hard_texts(300)
    for n in range(0, len(hard), 12):
        check(" ".join(hard[n : n + 12]), tokenizer, context)
        check("".join(hard[n : n + 12]), tokenizer, context)


@pytest.mark.parametrize("context", [16, 40])
def test_one_hard_text_over_and_over(tokenizer, context):
    for text in PICKED:
        check(text * 30, tokenizer, context)


LETTERS = st.sampled_from("a bé\n\t 漢😀\u0301\u200d▁\x00�🇩👍🏽שह") | st.characters(codec="utf-8")


@settings(deadline=None, max_examples=100)
@drawn(st.text(LETTERS, min_size=1, max_size=300), st.integers(16, 60), st.integers(1, 4))
def test_parts_of_any_text_fit_and_are_the_text(text, context, times):
    check(text * times, embedded().tokenizer, context)


def at_spaces(text, tokenizer, context) -> list[bool]:
    parts = check(text, tokenizer, context)
    assert len(parts) > 1
    return [b[:1].isspace() or a[-1:].isspace() for a, b in pairwise(parts)]


@pytest.mark.parametrize("context", [80, 200])
def test_plain_prose_is_cut_at_a_space_or_a_line_s_end(tokenizer, context):
    for prompt in curated()[::5]:
        if prompt.text.isascii():
            cuts = at_spaces(f"{prompt.text}\n" * 8, tokenizer, context)
            assert sum(cuts) >= 0.9 * len(cuts)


def test_typographic_prose_is_cut_at_a_space_too(tokenizer):
    """Pieces that are too long by a few tokens are halved, in the middle of a word."""
    [text] = [prompt.text for prompt in curated() if prompt.name == "dialogue/es"]
    cuts = at_spaces(f"{text}\n" * 8, tokenizer, 200)
    assert len(cuts) <= 7  # 1,138 tokens
    assert all(cuts)


@pytest.mark.parametrize("context", [40, 200, 2048])
def test_there_are_no_more_parts_than_are_needed(tokenizer, context):
    text = "\n".join(prompt.text for prompt in curated())
    parts = check(text, tokenizer, context)
    tokens = len(tokenizer.encode(text).ids)
    assert tokens / context <= len(parts) <= 2 * tokens / (context - ROOM) + 1


def test_a_text_without_spaces_is_cut_between_tokens(tokenizer):
    for letters in ("a", "漢字", "😀", "\u0301", "\n", " "):
        parts = check(letters * 2000, tokenizer, 50)
        assert len(parts) >= 2


def test_cutting_takes_time_like_the_text_s_length(tokenizer):
    """Each part is encoded once more, and only where it does not fit, its halves."""

    class Counted:
        characters = 0

        def encode(self, text):
            self.characters += len(text)
            return tokenizer.encode(text)

    cost = []
    for times in (1, 10):
        counted = Counted()
        text = "\n".join(prompt.text for prompt in curated()[::5]) * times
        parts_of(text, counted, 64)  # type: ignore[arg-type]
        cost.append(counted.characters / len(text))
    assert cost[1] < 1.2 * cost[0] < 3


def test_a_character_of_many_tokens_stands_alone(tokenizer):
    """What cannot be divided is left whole, and does not halve for ever."""
    assert parts_of("😀", tokenizer, 2) == ["😀"]
    assert parts_of("😀😀", tokenizer, 2) == ["😀", "😀"]
