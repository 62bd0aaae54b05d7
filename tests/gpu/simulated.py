# SPDX-License-Identifier: Apache-2.0
"""A simulated accelerator, "sim:0", for machines without a GPU.

It is a torch backend written in Python: `torch.utils.backend_registration` gives PrivateUse1 the
name "sim", factories with `device="sim"` are kernels of that backend, and every tensor on it is a
`SimTensor`, which holds a tensor on the CPU and computes with the CPU's kernels. It is there for
what it refuses.

What it catches:
- tensors of two devices in one operation (RuntimeError), where CUDA would refuse them too: all
  but explicit copies (`.to`, `.cpu()`, `copy_`) and 0-dim CPU tensors in pointwise operations;
- silent host syncs (`SilentSync`): `.item()`, `.tolist()`, `bool()`, `int()`, `nonzero`,
  `masked_select`, indexing with a mask, `unique`, `equal`, `repeat_interleave` without
  `output_size`, …: what torch tags as having a shape or a result that depends on data;
- a generator of the CPU handed to an operation on the device, and `.numpy()` on its tensors;
- how often data crosses: `counts.to_device`, `counts.to_host`.

Stricter than CUDA on purpose: a CPU index into a tensor on the device, which CUDA copies silently,
is refused.

What it cannot catch: anything in CUDA's kernels (numerics, tie-breaking, limits on shapes or
dtypes, asserts on the device), anything asynchronous (streams, events, pinned memory, a buffer
reused too early), memory, the branches torch takes for CUDA alone, and `torch.cuda.*` itself.
Copies are counted where torch moves a tensor; CUDA may split or merge them.

Two liberties. `scaled_dot_product_attention` runs whole on the CPU's tensors, since torch would
otherwise take another algorithm for an unknown device and results could not be compared bit for
bit; in a backward pass it is left to torch. And operations that would change a tensor's shape in
place (`resize_`, `t_`) are not simulated: they raise NotImplementedError.

The registration is for the whole process, and there is no way back, hence `install()`: until it
is called, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

aten = torch.ops.aten

#: Operations without tensors to choose the device by: the backend has to make these itself.
FACTORIES = (
    *("empty", "empty_strided", "zeros", "ones", "full", "scalar_tensor", "arange", "linspace"),
    *("logspace", "eye", "tril_indices", "triu_indices", "rand", "randn", "randint", "randperm"),
)
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
#: Not tagged as pointwise, but their value may be a 0-dim CPU tensor on CUDA too.
CPU_SCALARS = {aten.index_put, aten.index_put_, aten.fill, aten.fill_}
CPU_SCALARS |= {aten.masked_fill, aten.masked_fill_}
DEPENDS_ON_DATA = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class SilentSync(RuntimeError):
    """The host would wait for the device without the code saying so."""


@dataclass
class Counts:
    """Copies between host and device since the last reset."""

    to_device: int = 0
    to_host: int = 0

    def reset(self) -> None:
        self.to_device = self.to_host = 0


counts = Counts()


class SimTensor(Tensor):
    """A tensor that says it is on "sim:0", around one that is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> SimTensor:
        # In inference mode a view of an ordinary tensor is an ordinary tensor.
        with torch.inference_mode(held.is_inference()):
            self = Tensor._make_wrapper_subclass(
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device("sim", 0),
            )
        self.held = held
        return self

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on sim:0"

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.tolist, Tensor.__format__):  # further down they cannot be told apart
            raise SilentSync(_advice(func.__name__))
        if func is scaled_dot_product_attention and not (
            torch.is_grad_enabled() and any(t.requires_grad for t in _tensors(args, kwargs))
        ):
            return _compute(func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():  # what comes to the CPU is a plain tensor
            result = func(*args, **kwargs)
        if func == Tensor.data.__set__:  # type: ignore[attr-defined]
            args[0].held = args[1].held
        return result

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _waits_for_data(func, args, kwargs):
            raise SilentSync(_advice(func))
        if func._can_decompose():  # in inference mode composites come whole: look at their parts
            return func.decompose(*args, **kwargs)
        target = torch.device(kwargs.get("device") or "sim").type
        counts.to_host += func is aten._to_copy.default and target == "cpu"
        if func is aten.copy_.default:
            return _copy(*args, **kwargs)
        return _compute(func, args, kwargs)


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    counts.to_device += not isinstance(source, SimTensor)
    counts.to_host += not isinstance(target, SimTensor)
    _held(target).copy_(_held(source))
    return target


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU tensors inside; only there if they all are on the device."""
    _check_devices(func, args, kwargs)
    ours = {id(t.held): t for t in _tensors(args, kwargs) if isinstance(t, SimTensor)}
    device = torch.device(kwargs.get("device") or "sim")
    if device.type == "sim" and "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*_map(_held, args), **_map(_held, kwargs))
    for t in ours.values():
        if t.shape != t.held.shape or t.stride() != t.held.stride():
            raise NotImplementedError(f"{func} changes a shape in place; sim does not follow that.")
    if device.type != "sim":  # empty_like(x, device="cpu"), say
        return result
    # What an in-place operation returns is the very tensor it was given.
    return _map(lambda t: ours[id(t)] if id(t) in ours else SimTensor(t), result)


def _check_devices(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    takes_scalars = torch.Tag.pointwise in getattr(func, "tags", ()) or (
        getattr(func, "overloadpacket", None) in CPU_SCALARS
    )
    in_place = func.__name__.split(".")[0].endswith("_")
    for t in _tensors(args, kwargs):
        scalar = takes_scalars and t.dim() == 0 and t.device.type == "cpu"
        if isinstance(t, SimTensor) or (scalar and not (in_place and t is args[0])):
            continue
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"sim:0 and {t.device}! ({func}, tensor of shape {tuple(t.shape)})"
        )
    generator = kwargs.get("generator")
    if generator is not None:
        raise RuntimeError(
            f"{func}: Expected a 'sim' device type for generator but found '{generator.device}'"
        )


def _waits_for_data(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    packet = func.overloadpacket
    if packet in INDEXING:
        masks = [t for t in args[1] if t is not None and t.dtype in (torch.bool, torch.uint8)]
        # One value for all that a mask covers is a masked_fill, which needs no look at the mask.
        return bool(masks) and not (len(args) > 2 and args[2].numel() == 1)
    if func is aten.repeat_interleave.Tensor:
        return kwargs.get("output_size") is None
    # multinomial checks its probabilities on the host.
    return not DEPENDS_ON_DATA.isdisjoint(func.tags) or packet is aten.multinomial


def _advice(func: Any) -> str:
    return f"{func} makes the host wait for the device. Where that is meant, say .cpu() first."


def _map(change: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same arguments with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _map(change, value) for key, value in tree.items()}
    return type(tree)(_map(change, x) for x in tree) if type(tree) in (tuple, list) else tree


def _tensors(*tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(found.append, tree)
    return found


def _held(t: Tensor) -> Tensor:
    return t.held if isinstance(t, SimTensor) else t


@cache
def install() -> torch.device:
    """Register the backend, once in a process; its device.

    Raises ImportError where torch is too old to have backends in Python.
    """
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("sim")
    library = torch.library.Library("aten", "IMPL")
    for name in FACTORIES:
        packet = getattr(aten, name)
        for overload in packet.overloads():
            if "out" not in overload and "names" not in overload:
                func = getattr(packet, overload)
                library.impl(func.name().removeprefix("aten::"), _factory(func), "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    _libraries.append(library)
    return torch.device("sim", 0)


_libraries: list[torch.library.Library] = []  # registrations live as long as these


def _factory(func: Any) -> Any:
    return lambda *args, **kwargs: _compute(func, args, {**kwargs, "device": "sim"})


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """How `torch.tensor(…, device="sim")` copies: beneath `__torch_dispatch__`."""
    return _copy(target, source)
