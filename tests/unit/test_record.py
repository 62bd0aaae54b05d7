# SPDX-License-Identifier: Apache-2.0
"""Recording and generating: nothing is changed, and nothing is missed."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz import prompts
from moe_viz.errors import InputError
from moe_viz.recording import Recorder, generation, recording
from tests.conftest import random_model


@pytest.fixture(scope="module")
def embedded():
    return mv.load("8x7m")


def test_recording_changes_nothing_bit_for_bit(model, ids):
    plain = model(ids)
    with model.router_hooks(Recorder(model, len(ids))):
        assert torch.equal(model(ids), plain)


def test_a_trace_says_what_was_run(embedded):
    chosen = prompts.curated().select(topic=["recipe", "gcd"])
    trace = mv.record(embedded, chosen)
    assert trace.labels == ("en", "fr", "de", "es", "it", "python", "c", "javascript", "html")
    assert [p.text for p in trace.prompts] == chosen.texts
    assert trace.router_logits.shape == (6, len(trace), 8)
    assert trace.router_logits.dtype == np.float32
    assert np.isfinite(trace.router_logits).all()
    assert trace.special.sum() == len(chosen)  # one BOS each
    assert trace.provenance.model == "8x7m"
    assert trace.provenance.fingerprint
    assert trace.provenance.date
    assert np.allclose(trace.gates.sum(-1), 1)


def test_one_prompt_equals_the_same_among_a_hundred(embedded):
    texts = prompts.passages().texts[:40]
    together, alone = mv.record(embedded, texts), mv.record(embedded, texts[17])
    part = together.select(prompt=17)
    assert np.allclose(part.router_logits, alone.router_logits, atol=1e-4)
    clear = alone.margins > 1e-4
    assert (part.experts[clear] == alone.experts[clear]).all()
    assert list(part.tokens) == list(alone.tokens)


def test_batches_of_prompts_make_no_difference(monkeypatch, model):
    items = [[n + 1] * (n + 3) for n in range(9)]
    whole = mv.record(model, items, loss=True)
    monkeypatch.setattr(recording, "BATCH_TOKENS", 12)
    monkeypatch.setattr(recording, "LOSS_TOKENS", 5)
    sizes = []
    with model.router_hooks(lambda routing: sizes.append(len(routing.tokens))):
        parts = mv.record(model, items, loss=True)
    assert max(sizes) <= 12
    assert np.allclose(whole.router_logits, parts.router_logits, atol=1e-4)
    assert whole.loss is not None
    assert parts.loss is not None
    assert np.allclose(whole.loss, parts.loss, atol=1e-4, equal_nan=True)
    assert not np.isnan(parts.router_logits).any()


def test_loss_is_the_cross_entropy_of_each_token(model, ids):
    trace = mv.record(model, [ids[:20].tolist(), ids[20:].tolist()], loss=True)
    for prompt in trace.prompts:
        part = ids[prompt.start : prompt.stop]
        expected = torch.nn.functional.cross_entropy(model(part)[:-1], part[1:], reduction="none")
        assert trace.loss is not None
        found = trace.loss[prompt.start : prompt.stop]
        assert math.isnan(found[0])
        assert np.allclose(found[1:], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("", None, "empty"),
        ([], None, "nothing to record"),
        (["a", ""], None, "Prompt 1"),
        (["a", "b"], ["x"], "one label"),
        ("word " * 400_000, None, "context of 2,048"),
        ("x" * 10_000_000, None, "10,000,000"),
        ([[1, 8192]], None, "8191"),
        ([[]], None, "empty"),
        ([3.5], None, "float"),
    ],
)
def test_impossible_texts_are_refused_before_anything_is_computed(
    embedded, monkeypatch, texts, labels, message
):
    monkeypatch.setattr(embedded, "sweep", lambda *a, **k: pytest.fail("it was computed"))
    with pytest.raises(InputError, match=message):
        mv.record(embedded, texts, labels)


def test_texts_need_a_tokenizer(model):
    with pytest.raises(InputError, match="token ids"):
        mv.record(model, "text")


def test_generating_equals_recording_the_same_ids(embedded):
    out = mv.generate(embedded, "Das Paket enthält", max_new_tokens=24, ignore_eos=True)
    again = mv.record(embedded, [out.trace.token_ids.tolist()])
    assert len(out.trace) == len(again) == out.trace.generated.sum() + (~out.trace.generated).sum()
    assert out.trace.generated.sum() == 24
    assert np.allclose(out.trace.router_logits, again.router_logits, atol=2e-3)
    clear = again.margins > 1e-2
    assert (out.trace.experts[clear] == again.experts[clear]).all()
    assert out.trace.prompts[0].text == again.prompts[0].text
    assert out.trace.prompts[0].text == "Das Paket enthält" + out.text


def test_hooks_are_told_which_tokens_were_generated(model):
    seen = []
    with model.router_hooks(lambda r: seen.append(r) if r.layer == 0 else None):
        trace = mv.generate(model, [5, 6, 7], max_new_tokens=4).trace
    assert torch.cat([r.tokens for r in seen]).tolist() == list(range(7))
    assert torch.cat([r.generated for r in seen]).tolist() == trace.generated.tolist()


def test_greedy_generation_is_the_argmax_of_each_step(model):
    out = mv.generate(model, [5, 6, 7], max_new_tokens=9)
    ids = [5, 6, 7]
    for _ in range(9):
        ids.append(int(model(torch.tensor(ids), logits="last").argmax()))
    assert out.token_ids == ids[3:]


def test_greedy_generation_equals_transformers(embedded):
    transformers = pytest.importorskip("transformers")
    from moe_viz.files import embedded_folder

    theirs = transformers.MixtralForCausalLM.from_pretrained(embedded_folder(), dtype="float32")
    ids = embedded.tokenizer.encode("def main():\n").ids
    expected = theirs.generate(
        torch.tensor([ids]), do_sample=False, max_new_tokens=20, min_new_tokens=20
    )[0, len(ids) :].tolist()
    assert mv.generate(embedded, ids, max_new_tokens=20, ignore_eos=True).token_ids == expected


def test_sampling_is_seeded(model):
    run = lambda seed: mv.generate(model, [1], 20, temperature=1.0, seed=seed).token_ids  # noqa: E731
    assert run(3) == run(3)
    assert run(3) != run(4)


def test_sampling_follows_the_distribution():
    """A thousand draws against the probabilities, and nothing from outside the top p."""
    from moe_viz.recording.generation import choose

    logits = torch.log(torch.tensor([0.1, 0.5, 0.05, 0.35]))
    generator = torch.Generator().manual_seed(0)
    draws = torch.tensor([choose(logits, 1.0, 1.0, generator) for _ in range(4000)])
    shares = torch.bincount(draws, minlength=4) / 4000
    assert torch.allclose(shares, logits.exp(), atol=0.03)
    nucleus = {choose(logits, 1.0, 0.8, generator) for _ in range(300)}
    assert nucleus == {1, 3}
    assert {choose(logits, 1e-6, 1.0, generator) for _ in range(20)} == {1}


def test_the_new_text_keeps_the_space_it_begins_with(monkeypatch, embedded):
    word = embedded.tokenizer.encode("The file").ids[-1]
    monkeypatch.setattr("moe_viz.recording.generation.choose", lambda *a: word)
    assert mv.generate(embedded, "The", max_new_tokens=2).text == " file file"


def test_generation_stops_at_eos_and_runs_it(monkeypatch, embedded):
    monkeypatch.setattr(generation, "choose", lambda *a: embedded.tokenizer.eos)
    out = mv.generate(embedded, "a", max_new_tokens=9)
    assert out.token_ids == [embedded.tokenizer.eos]
    assert len(out.trace) == len(embedded.tokenizer.encode("a").ids) + 1
    assert out.text == ""
    assert np.isfinite(out.trace.router_logits).all()
    assert len(mv.generate(embedded, "a", max_new_tokens=3, ignore_eos=True).token_ids) == 3


def test_generation_ends_with_the_context():
    model = random_model()
    out = mv.generate(model, [1] * 250, max_new_tokens=50)
    assert len(out.token_ids) == 6
    with pytest.raises(InputError, match="fills the context"):
        mv.generate(model, [1] * 256)


@pytest.mark.parametrize(
    "settings",
    [{"max_new_tokens": 0}, {"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}],
)
def test_impossible_settings_are_refused(model, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        mv.generate(model, [1], **settings)


@pytest.mark.parametrize("fails", [False, True])
def test_torch_s_threads_are_given_back_also_after_an_error(model, fails):
    seen = []

    def hook(routing) -> None:
        seen.append(torch.get_num_threads())
        if fails and routing.generated.any():
            raise RuntimeError("no")

    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # so that there is something to give back on any machine
    try:
        with model.router_hooks(hook):
            with pytest.raises(RuntimeError) if fails else nullcontext():
                mv.generate(model, [1], max_new_tokens=2)
            assert seen[-1] == 1
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
