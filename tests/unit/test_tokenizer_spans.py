# SPDX-License-Identifier: Apache-2.0
"""Characters of several bytes: which piece stands for which, by hand and by counting bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_viz.files import embedded_folder
from moe_viz.tokenization import Tokenizer

tokenizer = Tokenizer(embedded_folder() / "tokenizer.model")

#: How many bytes UTF-8 spends on each, none of them a piece of this vocabulary.
WIDE = [("中", 3), ("😀", 4), ("Ω", 2), ("\u0301", 2)]


def byte(n: int) -> int:
    """The token of one byte: they follow the three special ones."""
    return 3 + n


@pytest.mark.parametrize(("character", "size"), WIDE)
def test_bytes_of_a_character_share_its_span_wherever_it_stands(character, size):
    ids = [byte(b) for b in character.encode()]
    assert len(ids) == size
    a, b = byte(ord("a")), byte(ord("b"))
    text, encoding = tokenizer.describe([a, *ids, b, *ids, *ids])
    assert text == f"a{character}b{character}{character}"
    assert encoding.pieces == ["a", *[character] * size, "b", *[character] * (2 * size)]
    expected = [(0, 1), *[(1, 2)] * size, (2, 3), *[(3, 4)] * size, *[(4, 5)] * size]
    assert encoding.spans == expected


def test_a_text_of_all_widths_by_hand():
    encoding = tokenizer.encode("é中a")
    assert encoding.pieces[-4:] == ["中", "中", "中", "a"]
    assert encoding.spans[-4:] == [(1, 2), (1, 2), (1, 2), (2, 3)]
    assert encoding.spans[0] == (0, 0)  # BOS
    assert {span for span in encoding.spans[1:-4] if span[0] < span[1]} == {(0, 1)}


INVALID = [
    ([0xFF], "\ufffd", [(0, 1)]),
    ([0xE4, 0xB8], "\ufffd\ufffd", [(0, 1), (1, 2)]),  # 中 without its last byte
    ([0x41, 0x80, 0x42], "A\ufffdB", [(0, 1), (1, 2), (2, 3)]),
    ([0xE4, 0xB8, 0xAD, 0xAD], "中\ufffd", [(0, 1), (0, 1), (0, 1), (1, 2)]),
]


@pytest.mark.parametrize(("numbers", "text", "spans"), INVALID)
def test_bytes_that_are_no_text_count_one_by_one(numbers, text, spans):
    found, encoding = tokenizer.describe([byte(n) for n in numbers])
    assert found == text
    assert encoding.spans == spans
    assert encoding.pieces == [text[a:b] for a, b in spans]
    assert not any(encoding.special)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_bytes_one_by_one_find_their_characters(text):
    """Python's own encoder says which character each byte belongs to."""
    ids = [byte(b) for b in text.encode()]
    owners = [n for n, c in enumerate(text) for _ in c.encode()]
    found, encoding = tokenizer.describe(ids)
    assert found == text
    assert encoding.spans == [(n, n + 1) for n in owners]


def test_the_space_in_front_belongs_to_no_character():
    """SentencePiece writes ▁Good: the first piece shows the word and spans it alone."""
    ids = tokenizer.encode("Good").ids
    with_space = tokenizer.describe(ids)[1]
    assert with_space.spans[0] == (0, 0)
    assert with_space.spans[1][0] == 0
    assert with_space.spans[-1] == (with_space.spans[-1][0], 4)
    assert tokenizer.encode("Good", bos=False).ids == ids[1:]
    assert tokenizer.encode("Good", bos=False).spans == with_space.spans[1:]
