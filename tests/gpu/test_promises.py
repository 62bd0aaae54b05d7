"""What moe_viz promises holds on an accelerator as it does on the CPU, which is the oracle here.

On the simulated device, which computes with the CPU's kernels, "the same" is bit for bit. On CUDA
it is: float32 logits within 1e-4 of the largest, and the same experts wherever the k-th expert's
score is clear of the next.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceTrainer

import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.errors import HookError, InputError
from moe_viz.model import KVCache, Mixtral, layers
from moe_viz.routing import Routing, TokenIndex
from tests.conftest import random_model, small_config

from .copies import WatchCopies

LENGTHS = [9, 9, 1, 20, 18]  # two neighbours of equal length, which are attended to as one batch
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
L = small_config().layers


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The CPU's sums depend on how many threads share them, in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cpu() -> Mixtral:
    return random_model()


@pytest.fixture(scope="module")
def there(device) -> Mixtral:
    return random_model().to(device)


@pytest.fixture
def prompts(ids) -> list[list[int]]:
    return [part.tolist() for part in ids.split(LENGTHS)]


def same(found: torch.Tensor, expected: torch.Tensor, device: torch.device) -> bool:
    """Bit for bit, or on CUDA within 1e-4 of the largest value."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    found, expected = found.cpu(), expected.cpu()
    if device.type != "cuda":
        return torch.equal(found, expected)
    return close(found, expected)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    difference = (found.cpu().double() - expected.cpu().double()).abs().max()
    return bool(difference <= 1e-4 * expected.abs().max().cpu())


def assert_same_trace(found: mv.Trace, expected: mv.Trace, exact: bool) -> None:
    """Bit for bit; or the same experts where the margin is clear, and logits within 1e-4."""
    for name in ("token_ids", "generated", "special", "spans"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert (found.tokens, found.prompts) == (expected.tokens, expected.prompts)
    assert (found.loss is None) == (expected.loss is None)
    floats = ["router_logits", "gates", *(["loss"] if expected.loss is not None else [])]
    clear = np.ones(expected.margins.shape, bool) if exact else expected.margins > 1e-3
    assert clear.mean() > 0.9  # what follows is about nearly all tokens
    assert np.array_equal(found.experts[clear], expected.experts[clear])
    for name in floats:
        a, b = (torch.from_numpy(getattr(trace, name)) for trace in (found, expected))
        assert np.array_equal(a.isnan(), b.isnan()), name
        assert (
            torch.equal(a[~a.isnan()], b[~b.isnan()])
            if exact
            else close(a.nan_to_num(), b.nan_to_num())
        ), name


def exact(device: torch.device) -> bool:
    return device.type != "cuda"


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
    model = mv.load(folder, device=device)
    assert model.device == device
    assert {p.device for p in model.parameters()} == {device}
    assert {p.dtype for p in model.parameters()} == {torch.float32}  # never by device
    assert model.provenance.device == str(device)
    assert model.provenance.fingerprint == mv.load(folder, device="cpu").provenance.fingerprint
    assert same(model(ids), cpu(ids), device)
    assert mv.load(folder, device=device.type).device == device  # "cuda" is "cuda:0"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_checkpoint_loads_onto_the_device_in_any_dtype(folder, dtype, device, ids):
    model = mv.load(folder, device=device, dtype=dtype)
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
    assert_same_trace(*(mv.record(model, texts) for model in pair), exact(device))
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


def next_expert(routing: Routing) -> Routing:
    return routing.with_experts((routing.experts + 1) % 8)


def drop_expert_3(routing: Routing) -> Routing:
    dropped = routing.experts == 3
    return replace(
        routing,
        experts=routing.experts.masked_fill(dropped, -1),
        gates=routing.gates.masked_fill(dropped, 0.0),
    )


def drop_all_in_layer_1(routing: Routing) -> Routing | None:
    if routing.layer == 1:
        return replace(
            routing,
            experts=torch.full_like(routing.experts, -1),
            gates=torch.zeros_like(routing.gates),
        )
    return None


def three_experts(routing: Routing) -> Routing:
    return routing.with_experts(routing.logits.topk(3).indices)


def later_tokens_to_expert_5(routing: Routing) -> Routing:
    late = (routing.position > 4) & (routing.prompt != 1) & (routing.tokens % 2 == 0)
    forced = torch.full_like(routing.experts[:, :1], 5)
    return routing.with_experts(torch.where(late[:, None], forced, routing.experts[:, :1]))


HOOKS = [next_expert, drop_expert_3, drop_all_in_layer_1, three_experts, later_tokens_to_expert_5]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_changed_routing_is_executed_as_on_the_cpu(hook, cpu, there, device, ids, prompts):
    logits, traces = [], []
    for model in (there, cpu):
        with model.router_hooks(hook):
            logits.append(model(ids, LENGTHS))
            traces.append(mv.record(model, prompts))
    assert same(*logits, device)
    assert_same_trace(*traces, exact(device))
    assert not close(logits[0], there(ids, LENGTHS))  # the hook did something, and is gone


def test_a_hook_sees_tensors_of_the_device(there, device, ids):
    seen = []
    with there.router_hooks(seen.append):
        there(ids, LENGTHS)
    assert [routing.layer for routing in seen] == list(range(L))
    for routing in seen:
        fields = (routing.logits, routing.experts, routing.gates, routing.tokens, routing.prompt)
        where = {t.device for t in (*fields, routing.position, routing.generated)}
        assert where == {device}


def test_an_expert_that_is_not_there_is_refused_on_the_host(there, ids):
    def ninth(routing: Routing) -> Routing:
        return replace(routing, experts=torch.full_like(routing.experts, 8))

    with there.router_hooks(ninth), pytest.raises(HookError, match="must lie in"):
        there(ids)


def test_twice_is_bit_for_bit_the_same(there, ids, prompts):
    assert torch.equal(there(ids, LENGTHS).cpu(), there(ids, LENGTHS).cpu())
    first, second = (mv.record(there, prompts, loss=True) for _ in range(2))
    assert_same_trace(first, second, exact=True)
    first, second = (mv.generate(there, prompts[0], 8, temperature=1.0) for _ in range(2))
    assert first.token_ids == second.token_ids


# Copies. In every layer the host looks at the device once, to learn how many tokens each expert
# gets (dispatch.py); no other look depends on the number of layers. Token ids and lengths come
# from the host, so checking them costs nothing there; ids that lie on the device are looked at
# once more. To the device go the token ids and the four vectors of a TokenIndex.

IDS, INDEX = 1, 4


def count(run) -> tuple[int, int]:
    """Copies to the device, and to the host."""
    with torch.inference_mode(), WatchCopies() as copies:
        run()
    return copies.to_device, copies.to_host


def test_a_pass_copies_once_a_layer_to_the_host(there, ids):
    assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, L)
    assert count(lambda: there(ids, LENGTHS, "all")) == (IDS + INDEX, L)
    # Where each prompt ends is sent along.
    assert count(lambda: there(ids, LENGTHS, "last")) == (IDS + INDEX + 1, L)


def test_ids_on_the_device_are_checked_with_one_copy_more(there, device, ids):
    on_device = ids.to(device)
    assert count(lambda: there(on_device, LENGTHS, "none")) == (INDEX, L + 1)


def test_an_index_on_the_device_is_not_sent_again(there, device, ids):
    index = TokenIndex.of_prompts(LENGTHS).to(device)
    assert count(lambda: there(ids, LENGTHS, "none", index=index)) == (IDS, L)


def test_each_chunk_copies_once_a_layer(device, ids):
    model = random_model().to(device)
    model.chunk = 10  # 57 tokens: six chunks
    assert count(lambda: model(ids, LENGTHS, "none")) == (IDS + INDEX, 6 * L)


def test_recording_adds_no_copy_per_layer(there, prompts, monkeypatch):
    # By its module's name, since moe_viz.record is the function.
    monkeypatch.setattr(import_module("moe_viz.record"), "LOSS_TOKENS", 10)  # six pieces
    kept = 3  # at the end: logits, experts, gates
    assert count(lambda: mv.record(there, prompts)) == (IDS + INDEX, L + kept)
    # The loss: its targets go there, its values come back.
    assert count(lambda: mv.record(there, prompts, loss=True)) == (IDS + INDEX + 1, L + kept + 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generating_adds_one_copy_a_token(temperature, there, prompts):
    n, kept = 6, 3
    # The prompt; the index of all steps, sent once; then for each new token: its choice comes to
    # the host, its id goes back, and where logits are asked for (not after the last), its end.
    prompt, steps = IDS + INDEX + 1, INDEX + n * IDS + (n - 1)
    found = count(lambda: mv.generate(there, prompts[0], n, temperature=temperature))
    assert found == (prompt + steps, L + n * (L + 1) + kept)


def test_a_hook_that_changes_a_decision_costs_one_look_at_it(there, ids):
    with there.router_hooks(lambda routing: None):
        assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, L)
    with there.router_hooks(next_expert):
        assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, 2 * L)
