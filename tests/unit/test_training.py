# SPDX-License-Identifier: Apache-2.0
"""The training recipe: a run that is cut off goes on as if it had not been."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.config import MixtralConfig
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.tokenization import Tokenizer
from tests.conftest import small_config

sys.path.insert(0, str(Path(__file__).parents[2] / "weights" / "recipe"))

from losses import HeadLoss
from streams import DOMAINS, Corpus
from trainer import SEED, Settings, Trainer, twin_of

SETTINGS = Settings(batch=512, embedding=1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("tokens")
    rng, index = np.random.default_rng(0), {}
    for domain in DOMAINS:
        tokens = rng.integers(3, 101, 2000).astype("<u2")
        tokens.tofile(folder / f"{domain}.train.bin")
        index[f"{domain}.train"] = {"bytes": 2 * len(tokens)}
    (folder / "index.json").write_text(json.dumps(index))
    return Corpus(folder, "train")


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("batch", [512, 2560])  # with few domains in a batch, and with all
def test_a_resumed_run_equals_an_uninterrupted_one(optimiser, batch, corpus, tmp_path):
    settings = replace(SETTINGS, optimiser=optimiser, batch=batch)
    whole = Trainer(small_config(), settings)
    for step in range(2):
        whole.train_step(corpus, step / 4)
    assert len(whole.loads) == (2 if batch == 512 else 0)
    whole.save(tmp_path / "checkpoint.pt")
    resumed = Trainer(small_config(), settings)
    resumed.load(tmp_path / "checkpoint.pt")
    for step in range(2, 4):
        rows = [run.train_step(corpus, step / 4) for run in (whole, resumed)]
        assert rows[0]["entropy"] == rows[1]["entropy"]
    assert all(map(torch.equal, whole.loads, resumed.loads))
    for a, b in zip(whole.masters, resumed.masters, strict=True):
        assert torch.equal(a, b)


def test_going_on_begins_with_the_weights_it_is_given_and_long_windows(corpus, monkeypatch):
    shape = small_config(context=512)
    given = initialise(Mixtral(shape), seed=5)
    trainer = Trainer(shape, replace(SETTINGS, batch=512))
    trainer.go_on_from(given)
    three = (trainer.masters, given.parameters(), trainer.weights)
    for master, weight, own in zip(*three, strict=True):
        assert torch.equal(master, weight)
        assert torch.equal(own, weight.bfloat16())
    lengths, batch = [], corpus.batch

    def watched(rng, tokens, length, step):
        lengths.append(length)
        return batch(rng, tokens, length, step)

    monkeypatch.setattr(corpus, "batch", watched)
    trainer.train_step(corpus, 0.0)
    Trainer(shape, replace(SETTINGS, batch=512)).train_step(corpus, 0.0)
    assert lengths == [512, 256]


def test_training_learns_what_repeats(corpus):
    counting = Corpus.__new__(Corpus)
    counting.manuals = {d: np.tile(np.arange(3, 19, dtype="<u2"), 100) for d in DOMAINS}
    counting.prose = counting.manuals
    trainer = Trainer(small_config(), replace(SETTINGS, rate=2e-2))
    losses = [trainer.train_step(counting, 0.0)["entropy"] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_head_s_loss_and_gradients_are_torch_s():
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 16, generator=generator) for n in (600, 50))
    targets = torch.randint(0, 50, (600,), generator=generator)
    ours = [t.clone().requires_grad_() for t in (x, weight)]
    theirs = [t.clone().requires_grad_() for t in (x, weight)]
    loss = HeadLoss.apply(*ours, targets)
    expected = torch.nn.functional.cross_entropy(theirs[0] @ theirs[1].T, targets)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_the_untrained_twin_is_step_0_of_the_run():
    twin = twin_of(embedded_folder())
    ours = initialise(Mixtral(MixtralConfig.preset("8x7m")), SEED)
    for found, expected in zip(twin.parameters(), ours.parameters(), strict=True):
        assert torch.equal(found, expected)
    # The run itself kept how it routed before its first step, in bf16.
    tokenizer = Tokenizer(embedded_folder() / "tokenizer.model")
    ids = [tokenizer.encode(text).ids for text in mv.prompts.curated().texts[::8]]
    with np.load(embedded_folder() / "saturation.npz") as kept:
        assert kept["steps"][0] == 0
        trace = mv.record(twin.to(torch.bfloat16), ids)
        assert (trace.experts == kept["experts"][0]).mean() > 0.995
