# SPDX-License-Identifier: Apache-2.0
"""The simulated device itself: it refuses what a GPU would refuse or be slowed down by."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from .copies import WatchCopies
from .simulated import SilentSync, SimTensor, counts

MODES = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}


@pytest.fixture(params=MODES.values(), ids=list(MODES), autouse=True)
def mode(request):
    """Everything below holds in each of torch's modes: they take different ways to a kernel."""
    with request.param():
        yield


@pytest.fixture
def x(sim) -> torch.Tensor:
    return torch.arange(6, device=sim)


FACTORIES = {
    "empty": lambda d: torch.empty(2, 3, device=d),
    "zeros": lambda d: torch.zeros(2, 3, dtype=torch.bfloat16, device=d),
    "full": lambda d: torch.full((2,), torch.nan, device=d),
    "arange": lambda d: torch.arange(0, 8, 2, device=d),
    "tensor": lambda d: torch.tensor([[1.0, 2.0]], device=d),
    "as_tensor": lambda d: torch.as_tensor([1, 2], device=d),
    "rand": lambda d: torch.rand(3, device=d),
    "zeros_like": lambda d: torch.zeros_like(torch.ones(3), device=d),
    "new_zeros": lambda d: torch.ones(3, device=d).new_zeros(2, 2),
    "by name": lambda d: torch.ones(3, device="sim"),
}


@pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES.keys())
def test_tensors_are_made_on_the_device(make, sim):
    made, plain = make(sim), make("cpu") if make is not FACTORIES["by name"] else None
    assert isinstance(made, SimTensor)
    assert made.device == torch.device("sim", 0)
    if plain is not None:
        assert (made.shape, made.dtype) == (plain.shape, plain.dtype)


MIXED = {
    "sum": lambda x: x + torch.arange(6),
    "cpu first": lambda x: torch.arange(6) + x,
    "comparison": lambda x: x[:, None] == torch.arange(-1, 8),
    "cat": lambda x: torch.cat([x, torch.arange(2)]),
    "cpu index": lambda x: x[torch.tensor([1, 2])],
    "indexed on the cpu": lambda x: torch.arange(6)[x],
    "index_select": lambda x: x.index_select(0, torch.tensor([1])),
    "index_copy_": lambda x: x.index_copy_(0, torch.tensor([1]), x[:1]),
    "product": lambda x: x.float() @ torch.ones(6),
    "linear": lambda x: functional.linear(x.float(), torch.ones(2, 6)),
    "embedding": lambda x: functional.embedding(x, torch.ones(8, 2)),
    "rms_norm": lambda x: functional.rms_norm(x.float(), (6,), torch.ones(6)),
    "attention": lambda x: functional.scaled_dot_product_attention(
        x.float().view(1, 1, 3, 2), x.float().view(1, 1, 3, 2), torch.ones(1, 1, 3, 2)
    ),
    "out": lambda x: torch.add(x, x, out=torch.empty(6, dtype=torch.int64)),
    "0-dim cpu, changed in place": lambda x: torch.tensor(3).add_(x[0]),
    "0-dim cpu, not pointwise": lambda x: torch.stack([x[0], torch.tensor(3)]),
    "0-dim on the device, vector on the cpu": lambda x: x[0] + torch.arange(3),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED.keys())
def test_devices_do_not_mix(mix, x):
    with pytest.raises(RuntimeError, match="same device"):
        mix(x)


def test_numbers_and_0_dim_cpu_tensors_mix_with_the_device(x):
    assert (x + torch.tensor(1)).cpu().tolist() == [1, 2, 3, 4, 5, 6]
    assert (torch.tensor(2) * x - 1).cpu().tolist() == [-1, 1, 3, 5, 7, 9]
    assert torch.where(x > 1, x, torch.tensor(-1)).cpu().tolist() == [-1, -1, 2, 3, 4, 5]
    changed = x.clone()
    changed[0] = torch.tensor(9)
    assert changed.cpu().tolist() == [9, 1, 2, 3, 4, 5]


def test_random_numbers_need_a_generator_of_the_device(x):
    with pytest.raises(RuntimeError, match="generator"):
        x.float().normal_(generator=torch.Generator())


SYNCS = {
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "bool": lambda x: bool(x[0]),
    "int": lambda x: int(x[0]),
    "float": lambda x: float(x[0]),
    "format": lambda x: f"{x[0]}",
    "index": lambda x: range(x[2]),
    "if": lambda x: 1 if (x > 2).any() else 0,
    "in": lambda x: 3 in x,
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 2),
    "masked_select": lambda x: x.masked_select(x > 2),
    "mask": lambda x: x[x > 2],
    "mask of rows": lambda x: x.view(2, 3)[:, x[:3] > 0],
    "values set by mask": lambda x: x.index_put_((x > 2,), x[:3]),
    "unique": lambda x: x.unique(),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "bincount": lambda x: x.bincount(),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "repeat_interleave": lambda x: x.repeat_interleave(x),
    "multinomial": lambda x: x.float().multinomial(1),
    "full": lambda x: torch.full((2,), x[0]),
}


@pytest.mark.parametrize("sync", SYNCS.values(), ids=SYNCS.keys())
def test_silent_syncs_are_refused(sync, x):
    before = copy.copy(counts)
    with pytest.raises(SilentSync, match=r"say \.cpu\(\) first"):
        sync(x)
    assert counts == before


@pytest.mark.parametrize("turn", [np.asarray, torch.Tensor.numpy], ids=["asarray", "numpy"])
def test_numpy_needs_a_copy_first(turn, x):
    with pytest.raises((RuntimeError, TypeError), match="numpy"):
        turn(x)
    assert x.cpu().numpy().tolist() == [0, 1, 2, 3, 4, 5]


def test_what_only_sounds_like_a_sync_is_allowed(x):
    repeated = x.repeat_interleave(x, output_size=15)
    assert repeated.cpu().tolist() == torch.arange(6).repeat_interleave(torch.arange(6)).tolist()
    assert x.repeat_interleave(2)[-3:].cpu().tolist() == [4, 5, 5]
    cleared = x.clone()
    cleared[cleared > 2] = 0  # one value: a masked_fill
    assert cleared.cpu().tolist() == [0, 1, 2, 0, 0, 0]
    assert x[x.flip(0)].cpu().tolist() == [5, 4, 3, 2, 1, 0]
    assert len(x) == x.shape[0] == x.numel() == 6


CROSSINGS = {
    "cpu": (lambda x: x.cpu(), (0, 1)),
    "to cpu": (lambda x: x.to("cpu", torch.float32), (0, 1)),
    "copied into the cpu's": (lambda x: torch.empty(6).copy_(x), (0, 1)),
    "to the device": (lambda x: torch.ones(3).to(x.device), (1, 0)),
    "to the device, other dtype": (lambda x: torch.ones(3).to("sim", torch.bfloat16), (1, 0)),
    "copied into the device's": (lambda x: x.copy_(torch.ones(6)), (1, 0)),
    "a slice set": (lambda x: x[2:4].copy_(torch.ones(2)), (1, 0)),
    "there and back": (lambda x: torch.ones(3).to(x.device).cpu(), (1, 1)),
    "already there": (lambda x: x.to(x.device).to("sim"), (0, 0)),
    "another dtype": (lambda x: x.float().bfloat16(), (0, 0)),
    "on the device": (lambda x: x.clone().copy_(x.flip(0)), (0, 0)),
    "made there": (lambda x: torch.zeros(3, device=x.device), (0, 0)),
    "made here": (lambda x: torch.zeros_like(x, device="cpu"), (0, 0)),
}


@pytest.mark.parametrize(("cross", "expected"), CROSSINGS.values(), ids=CROSSINGS.keys())
def test_copies_are_counted(cross, expected, x):
    counts.reset()
    with WatchCopies() as copies:
        cross(x)
    assert (counts.to_device, counts.to_host) == expected
    assert (copies.to_device, copies.to_host) == expected


def test_a_tensor_from_python_numbers_is_a_copy(sim):
    counts.reset()
    torch.tensor([1, 2, 3], device=sim)
    assert (counts.to_device, counts.to_host) == (1, 0)


def test_what_comes_to_the_host_is_plain_and_its_own(x):
    host = x.cpu()
    assert type(host) is torch.Tensor
    assert host.tolist() == [0, 1, 2, 3, 4, 5]
    x.add_(1)
    assert host.tolist() == [0, 1, 2, 3, 4, 5]


def test_views_and_writes_in_place_reach_the_same_memory(x):
    assert torch.ops.aten.add_.Tensor(x, 1) is x
    view = x.view(2, 3)[1]
    view.index_copy_(0, torch.tensor([0, 2], device="sim"), x[:2])
    x[1:3] = torch.tensor([7, 8], device="sim")
    assert x.cpu().tolist() == [1, 7, 8, 1, 5, 2]
    assert view.cpu().tolist() == [1, 5, 2]


def test_inference_mode_takes_views_of_tensors_made_outside_it(sim):
    with torch.inference_mode(False):
        weight = torch.arange(6.0, device=sim)
    with torch.inference_mode():
        row = weight.view(2, 3)[1]
        assert not row.is_inference()
        assert (row * 2).is_inference()
        assert row.sum().cpu().tolist() == 12.0


def test_changing_a_shape_in_place_is_not_simulated(x):
    with pytest.raises(NotImplementedError, match="in place"):
        x.clone().resize_(3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("queries", [1, 7])
def test_attention_and_norm_are_the_cpu_s_bit_for_bit(dtype, queries, sim):
    q, k, v = torch.randn(3, 2, 4, 7, 16).to(dtype)
    q, mask = q[:, :, :queries], torch.ones(queries, 7, dtype=torch.bool).tril(7 - queries)
    weight = torch.randn(16).to(dtype)
    attention: Any = functional.scaled_dot_product_attention  # of three tensors, or four
    for args in ((q, k, v, mask), (q, k, v)):
        there = attention(*(a.to(sim) for a in args))
        assert torch.equal(there.cpu(), attention(*args))
    normed = functional.rms_norm(q.to(sim), (16,), weight.to(sim), 1e-5)
    assert torch.equal(normed.cpu(), functional.rms_norm(q, (16,), weight, 1e-5))


def test_modules_move_there_change_dtype_and_come_back(sim):
    plain = nn.Linear(3, 2, bias=False)
    moved = copy.deepcopy(plain).to(sim)
    assert isinstance(moved.weight, SimTensor)
    assert isinstance(moved.weight, nn.Parameter)
    ones = torch.ones(1, 3)
    assert torch.equal(moved(ones.to(sim)).cpu(), plain(ones))
    moved.to(torch.bfloat16)
    assert moved.weight.dtype == torch.bfloat16
    assert moved(ones.to(sim, torch.bfloat16)).dtype == torch.bfloat16
    back = moved.to("cpu").weight
    assert not isinstance(back, SimTensor)
    assert torch.equal(back, plain.weight.bfloat16())


def test_a_module_made_on_meta_takes_weights_of_the_device(sim):
    with torch.device("meta"):
        module = nn.Linear(3, 2, bias=False)
    weight = torch.arange(6.0).view(2, 3)
    module.load_state_dict({"weight": weight.to(sim)}, strict=True, assign=True)
    assert module.weight.device == sim
    assert torch.equal(module(torch.ones(1, 3, device=sim)).cpu(), torch.tensor([[3.0, 12.0]]))
    with pytest.raises(RuntimeError, match="same device"):
        module(torch.ones(1, 3))
