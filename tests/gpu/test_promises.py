# SPDX-License-Identifier: Apache-2.0
"""What moe_viz promises holds on an accelerator as it does on the CPU, which is the oracle here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceTrainer

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.errors import InputError
from moe_viz.model import KVCache, layers
from tests.conftest import random_model, small_config

from .agreement import LENGTHS, assert_same_trace, close, exact, same

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
L = small_config().layers


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("where", ["all", "last"])
def test_logits_equal_the_cpu_s(dtype, where, device, ids):
    found = random_model().to(device, dtype)(ids, LENGTHS, where)
    assert found.device == device
    assert found.dtype == dtype
    assert found.isfinite().all().cpu()
    if dtype == torch.float32 or exact(device):
        assert same(found, random_model().to(dtype)(ids, LENGTHS, where), device)


def test_token_ids_may_lie_on_either_side(there, device, ids):
    assert torch.equal(there(ids.to(device)).cpu(), there(ids).cpu())
    assert there(ids, logits="none") is None


def test_bad_token_ids_are_refused_before_they_reach_a_kernel(there, device, ids):
    for side in ("cpu", device):
        with pytest.raises(InputError, match="token_ids must lie in"):
            there((ids + 101).to(side))


@pytest.fixture(scope="module")
def folder(cpu, tmp_path_factory):
    """The model as a checkpoint, with a tokenizer of its own: 101 pieces of nonsense."""
    folder = tmp_path_factory.mktemp("checkpoint")
    words = np.random.default_rng(0).choice(list("abcdefghij"), (200, 5))
    SentencePieceTrainer.train(
        sentence_iterator=iter("".join(word) for word in words),
        model_prefix=str(folder / "trained"),
        vocab_size=101,
        model_type="bpe",
        minloglevel=2,
    )
    save_checkpoint(cpu, folder, tokenizer=folder / "trained.model", dtype=torch.float32)
    return folder


def test_a_checkpoint_loads_onto_the_device(folder, cpu, device, ids):
    model: Any = mv.load(folder, device=device)
    assert model.device == device
    assert {p.device for p in model.parameters()} == {device}
    assert {p.dtype for p in model.parameters()} == {torch.float32}  # never by device
    assert model.provenance.device == str(device)
    assert model.provenance.fingerprint == mv.load(folder, device="cpu").provenance.fingerprint
    assert same(model(ids), cpu(ids), device)
    assert mv.load(folder, device=device.type).device == device  # "cuda" is "cuda:0"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_checkpoint_loads_onto_the_device_in_any_dtype(folder, dtype, device, ids):
    model: Any = mv.load(folder, device=device, dtype=dtype)
    assert {(p.dtype, p.device) for p in model.parameters()} == {(dtype, device)}
    assert model(ids, logits="last").isfinite().all().cpu()


def test_a_checkpoint_saved_from_the_device_is_the_cpu_s(there, folder, tmp_path):
    save_checkpoint(there, tmp_path, dtype=torch.float32)
    found, expected = (load_file(at / "model.safetensors") for at in (tmp_path, folder))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_text_is_recorded_and_continued_as_on_the_cpu(folder, device):
    pair = mv.load(folder, device=device), mv.load(folder, device="cpu")
    texts = ["abc jade", "a", "hi"]
    there, here = (mv.record(model, texts) for model in pair)
    assert_same_trace(there, here, exact(device))
    found, expected = (mv.generate(m, "abba", 6, temperature=1.0, seed=2) for m in pair)
    assert found.text == expected.text


@pytest.mark.parametrize("loss", [False, True])
def test_a_recording_equals_the_cpu_s(loss, cpu, there, device, prompts):
    found, expected = (mv.record(model, prompts, loss=loss) for model in (there, cpu))
    assert_same_trace(found, expected, exact(device))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_recordings_are_float32_whatever_the_dtype(dtype, device, prompts):
    trace = mv.record(random_model().to(device, dtype), prompts)
    assert trace.router_logits.dtype == trace.gates.dtype == np.float32
    assert np.isfinite(trace.router_logits).all()
    assert np.allclose(trace.gates.sum(-1), 1)
    if dtype != torch.float32:  # not numbers of the smaller type, written as float32
        logits = torch.from_numpy(trace.router_logits)
        assert not torch.equal(logits, logits.to(dtype).float())
    if exact(device):
        assert_same_trace(trace, mv.record(random_model().to(dtype), prompts), exact=True)


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.7, "seed": 1}, {"temperature": 1.3, "top_p": 0.8, "seed": 5}],
    ids=["greedy", "sampled", "sampled from the top"],
)
def test_generating_writes_what_the_cpu_writes(settings, cpu, there, device, prompts):
    found, expected = (mv.generate(m, prompts[3], 12, **settings) for m in (there, cpu))
    assert found.token_ids == expected.token_ids
    assert_same_trace(found.trace, expected.trace, exact(device))


def test_generating_equals_recording_the_same_ids(there, prompts):
    written = mv.generate(there, prompts[3], 12).trace
    recorded = mv.record(there, [written.token_ids.tolist()])
    recorded = replace(recorded, generated=written.generated)
    assert_same_trace(written, recorded, exact=False)


@pytest.mark.parametrize("block", [1, 7])
def test_cached_decode_equals_prefill(block, there, ids, monkeypatch):
    monkeypatch.setattr(layers, "QUERY_BLOCK", 4)  # blocks with a past are run in two parts
    cache, steps = KVCache(capacity=8), []  # which has to grow on the way
    for n in range(0, len(ids), block):
        steps.append(there(ids[n : n + block], cache=cache))
    assert cache.length(0) == len(ids)
    assert close(torch.cat(steps), there(ids))


def test_packed_prompts_do_not_see_each_other(there, ids, prompts):
    packed = there(ids, LENGTHS)
    alone = torch.cat([there(torch.tensor(prompt)) for prompt in prompts])
    assert close(packed, alone)
    together, each = mv.record(there, prompts), [mv.record(there, [p]) for p in prompts]
    clear = together.margins > 1e-3
    assert clear.mean() > 0.9
    experts = np.concatenate([trace.experts for trace in each], axis=1)
    assert np.array_equal(together.experts[clear], experts[clear])


@pytest.mark.parametrize("chunk", [1, 10])
def test_chunked_equals_whole(chunk, there, device, prompts, ids):
    chunked = random_model().to(device)
    chunked.chunk = chunk
    assert close(chunked(ids, LENGTHS), there(ids, LENGTHS))
    assert_same_trace(mv.record(chunked, prompts), mv.record(there, prompts), exact=False)


def test_twice_is_bit_for_bit_the_same(there, ids, prompts):
    assert torch.equal(there(ids, LENGTHS).cpu(), there(ids, LENGTHS).cpu())
    first, second = (mv.record(there, prompts, loss=True) for _ in range(2))
    assert_same_trace(first, second, exact=True)
    first, second = (mv.generate(there, prompts[0], 8, temperature=1.0) for _ in range(2))
    assert first.token_ids == second.token_ids
