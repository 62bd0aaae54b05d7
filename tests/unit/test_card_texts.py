# SPDX-License-Identifier: Apache-2.0
"""What the model card says of everyday text, and how it is measured."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.files import embedded_folder

sys.path.insert(0, str(Path(__file__).parents[2] / "weights" / "recipe"))

import card_texts
import shown
from openings import OPENINGS
from snapshots import first_piece


@pytest.fixture(scope="module")
def models():
    model = mv.load("8x7m", device="cpu")
    twin = mv.untrained_twin(model)
    return [model, twin]


def test_the_difference_is_positive_where_the_first_is_better(models):
    texts = mv.prompts.passages().select(label="en").texts[:6]
    found = shown.costs(models, texts)
    assert found["model"] < 3 < found["before"]
    assert found["better by"] == pytest.approx(found["before"] - found["model"])
    low, high = found["interval"]
    assert 0 < low < found["better by"] < high
    # A text by itself, by torch: the mean loss of its tokens over its bytes.
    model, text = models[0], texts[0]
    ids = torch.tensor(model.tokenizer.encode(text).ids)
    logits = model(ids[:-1], [len(ids) - 1]).float()
    nats = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
    one = shown.costs(models, [text])
    assert one["model"] == pytest.approx(nats / math.log(2) / len(text.encode()), rel=1e-4)


def test_guesses_are_the_likeliest_and_ranks_count_from_one(models, monkeypatch):
    model, few = models[0], OPENINGS[:3]
    monkeypatch.setattr(shown, "OPENINGS", few)
    found = shown.guesses(model)
    for opening, said in zip(few, found, strict=True):
        ids = model.tokenizer.encode(opening.text).ids
        scores = np.asarray(model(torch.tensor(ids), [len(ids)], "last").float())[0]
        wanted = first_piece(model.tokenizer, opening.text, opening.whole)
        assert said["rank"] == 1 + int((scores > scores[wanted]).sum())
        best = np.argsort(-scores)[:3].tolist()
        joined = [model.tokenizer.describe([*ids, i])[1].pieces[-1] for i in best]
        assert said["guesses"] == joined


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "`a b`"),
        ("a|b\r\n", "`a¦b⏎`"),
        ("a `b`", "`` a `b` ``"),
        ("``", "``` `` ```"),
        ("", "(nothing)"),
        (" ", "(space)"),
    ],
)
def test_any_text_stands_in_a_table_as_it_is(text, said):
    assert card_texts.verbatim(text) == said


def test_the_card_counts_what_it_lists():
    found = [
        {"text": "a", "word": "b", "rank": rank, "guesses": ["␣b", "`", "c"]} for rank in (1, 3, 4)
    ]
    said = card_texts.openings(found, [2, 1, 1])
    assert "first guess in 1 (second version: 2) and among the first three in 2 (3)" in said
    assert said.count("\n| `a` |") == 3
    written = [{"seed": n, "beginning": "Once", "continuation": f" upon\n{n}"} for n in range(3)]
    said = card_texts.continuations(written, {"temperature": 0.7, "tokens": 48})
    assert said.startswith("**3 continuations** (temperature 0.7, at most 48 tokens;")
    assert "- seed 2: `Once` … ` upon⏎2`" in said


def test_the_shipped_card_is_what_its_figures_make():
    import json

    import card

    folder = embedded_folder()
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert card.tables(result).startswith("**Held-out bits per byte**")
