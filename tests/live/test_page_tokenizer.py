# SPDX-License-Identifier: Apache-2.0
"""The page splits texts as Python does: ids, pieces and characters of each token."""

from __future__ import annotations

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.view.live.vocabulary import vocabulary_of
from tests.hardtexts import hard_texts
from tests.live.node import ask


@pytest.fixture(scope="module")
def tokenizer():
    return mv.load("8x7m").tokenizer


def test_a_thousand_texts_have_the_same_ids_pieces_and_spans(tokenizer, tmp_path):
    curated = mv.prompts.curated().texts
    texts = [*hard_texts(1000 - len(curated)), *curated]
    assert len(texts) == 1000
    found = ask(
        tmp_path, {"does": "tokens", "vocabulary": vocabulary_of(tokenizer), "texts": texts}
    )
    for text, own in zip(texts, found, strict=True):
        expected = tokenizer.encode(text)
        assert own["ids"] == expected.ids, text
        assert own["pieces"] == expected.pieces, text
        assert np.reshape(own["spans"], (-1, 2)).tolist() == [list(s) for s in expected.spans], text
        assert own["special"] == expected.special, text


def test_ids_that_a_model_might_write_are_spelled_alike(tokenizer, tmp_path):
    """Halves of characters, bytes that are none, control tokens in the middle."""
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 8192, rng.integers(1, 30)).tolist() for _ in range(300)]
    sequences += [rng.integers(3, 259, rng.integers(1, 12)).tolist() for _ in range(300)]
    sequences += [[1, *some] for some in sequences[:100]] + [[1], [2], [0, 1, 2]]
    asked = {"does": "spellings", "vocabulary": vocabulary_of(tokenizer), "sequences": sequences}
    for ids, own in zip(sequences, ask(tmp_path, asked), strict=True):
        text, expected = tokenizer.describe(ids)
        assert own["text"] == text, ids
        assert own["pieces"] == expected.pieces, ids
        assert np.reshape(own["spans"], (-1, 2)).tolist() == [list(s) for s in expected.spans], ids


def test_other_vocabularies_are_refused_by_name(tokenizer):
    with pytest.raises(InputError, match="found no tokenizer"):
        vocabulary_of(None)
