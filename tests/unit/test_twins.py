# SPDX-License-Identifier: Apache-2.0
"""The recipe's pairs: alike but for their experts, cut off, gone on with, shared by processes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import small_config

sys.path.insert(0, str(Path(__file__).parents[2] / "weights" / "recipe"))

import twins
from streams import DOMAINS
from trainer import Settings

STEPS = 32


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """Tokens to train on and to look at, and two models small enough for a test."""
    folder, rng, index = tmp_path / "tokens", np.random.default_rng(0), {}
    folder.mkdir()
    for domain in DOMAINS:
        for split in ("train", "held_out"):
            tokens = rng.integers(3, 101, 1200).astype("<u2")
            tokens.tofile(folder / f"{domain}.{split}.bin")
            index[f"{domain}.{split}"] = {"bytes": 2 * len(tokens)}
    (folder / "index.json").write_text(json.dumps(index))
    mixture = small_config(context=512)
    dense = replace(mixture, experts=1, experts_per_token=1, expert_size=2 * mixture.expert_size)
    monkeypatch.setattr(twins, "shapes", lambda: {"mixture": mixture, "dense twin": dense})
    monkeypatch.setattr(twins, "SETTINGS", Settings(batch=512))
    return tmp_path


def after(count: int):
    """Says stop once it has been asked this many times."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def test_three_pairs_and_a_longer_one():
    pairs = [twins.trainings()[n : n + 2] for n in range(0, 8, 2)]
    assert [{t.model for t in pair} for pair in pairs] == [{"mixture", "dense twin"}] * 4
    assert all(a.seed == b.seed and a.steps == b.steps for a, b in pairs)
    assert len({pair[0].seed for pair in pairs[:3]}) == 3
    assert [pair[0].steps for pair in pairs] == [1536] * 3 + [4608]
    assert len({t.name for pair in pairs for t in pair}) == 8


def test_a_training_that_was_stopped_ends_where_one_that_was_not_does(work):
    training = twins.Training("mixture", 7, STEPS)
    whole, cut = work / "whole", work / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    twins.train(training, work, whole, lambda: False)
    twins.train(training, work, cut, after(5))
    assert twins.curve(training, cut) is None
    twins.train(training, work, cut, lambda: False)
    assert twins.curve(training, cut) == twins.curve(training, whole)
    one, other = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (whole, cut))
    assert all(map(torch.equal, one["masters"], other["masters"]))
    assert len(json.loads((cut / "looks.json").read_text())) == twins.LOOKS + 1


def test_seeds_differ_and_the_models_of_a_pair_see_the_same_windows(work, monkeypatch):
    seen, batch = [], twins.Corpus.batch

    def watched(self, *args):
        rows = batch(self, *args)
        seen[-1].append(rows)
        return rows

    monkeypatch.setattr(twins.Corpus, "batch", watched)
    for n, (model, seed) in enumerate([("mixture", 1), ("dense twin", 1), ("mixture", 2)]):
        seen.append([])
        folder = work / str(n)
        folder.mkdir()
        twins.train(twins.Training(model, seed, STEPS), work, folder, after(2))
    assert [len(batches) for batches in seen] == [2, 2, 2]
    looks = [json.loads((work / str(n) / "looks.json").read_text()) for n in (0, 2)]
    assert looks[0][0]["bits"] != looks[1][0]["bits"]  # at step 0: other weights
    assert all(map(torch.equal, seen[0], seen[1]))
    assert not any(map(torch.equal, seen[0], seen[2]))


def test_what_is_busy_elsewhere_is_passed_over_and_counted_when_it_is_done(work, monkeypatch):
    mixture, dense = (twins.Training(name, 7, STEPS) for name in twins.shapes())
    monkeypatch.setattr(twins, "trainings", lambda: [mixture, dense])
    folders = [work / "twins" / training.name for training in (mixture, dense)]
    with twins.alone(folders[0]):  # another process
        twins.run(work, lambda: False)
        assert twins.curve(mixture, folders[0]) is None
        assert twins.curve(dense, folders[1]) is not None
    twins.run(work, lambda: False)
    curves = [twins.curve(t, f) for t, f in zip((mixture, dense), folders, strict=True)]
    assert [curve and curve["model"] for curve in curves] == ["mixture", "dense twin"]
    assert not list(work.rglob("*.partial"))


def test_what_another_process_is_busy_with_is_left_to_it(tmp_path):
    with twins.alone(tmp_path) as first, twins.alone(tmp_path) as second:
        assert (first, second) == (True, False)
    with twins.alone(tmp_path) as later:
        assert later
