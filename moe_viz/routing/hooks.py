# SPDX-License-Identifier: Apache-2.0
"""Hooks of a router: what they may return, and what is refused.

Recording and intervening are both just hooks. They see a decision before any expert runs: what a
hook returns replaces the decision, and `None` lets it stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from ..errors import HookError
from .decision import NotFiniteError, Routing

#: Sees a decision; returns the one to execute instead, or None to let it stand.
RouterHook = Callable[[Routing], Routing | None]


def apply_hooks(hooks: Iterable[RouterHook], routing: Routing) -> Routing:
    """Run the hooks in order, each on its predecessor's result.

    Raises `HookError` if a hook returns something that the experts could not execute.
    """
    for hook in hooks:
        changed = hook(routing)
        if changed is not None:
            _check(changed, routing, hook)
            routing = changed
    return routing


_OVERRIDES = ("altered", "strengths")
_INDEX = ("tokens", "prompt", "position", "generated")
_KEEP = "Change the Routing it was given, with routing.with_experts(…) or dataclasses.replace."


def _check(changed: Routing, before: Routing, hook: RouterHook) -> None:
    name = getattr(hook, "__qualname__", type(hook).__name__)
    where = f"router hook {name}, layer {before.layer}"
    if not isinstance(changed, Routing):
        raise HookError(
            f"{where}: expected a Routing or None, found {type(changed).__name__}. "
            "Return dataclasses.replace(routing, …) to change a decision."
        )
    if changed.layer != before.layer:
        raise HookError(
            f"{where}: expected a decision of layer {before.layer}, found one of layer "
            f"{changed.layer}. {_KEEP}"
        )
    _check_form(changed, before, where)
    if len(before.tokens):
        _check_values(changed, before, where)


def _check_form(changed: Routing, before: Routing, where: str) -> None:
    """Check shapes, types and devices: all that can be checked without reading values."""
    T, E = before.logits.shape
    tensors = {"logits": changed.logits}
    for name in _OVERRIDES:
        if (found := getattr(changed, name)) is not None:
            tensors[name] = found
    for name, tensor in tensors.items():
        if tensor.shape != (T, E) or tensor.dtype != torch.float32:
            raise HookError(
                f"{where}: {name} must stay float32 of shape {(T, E)}, found "
                f"{tensor.dtype} {tuple(tensor.shape)}."
            )
    shape = tuple(changed.experts.shape)
    if len(shape) != 2 or shape[0] != T or tuple(changed.gates.shape) != shape:
        raise HookError(
            f"{where}: experts and gates must both be of shape ({T}, k), found "
            f"{shape} and {tuple(changed.gates.shape)}."
        )
    if changed.experts.dtype != torch.int64 or changed.gates.dtype != torch.float32:
        raise HookError(
            f"{where}: expected experts as int64 and gates as float32, found "
            f"{changed.experts.dtype} and {changed.gates.dtype}."
        )
    tensors |= {"experts": changed.experts, "gates": changed.gates}
    for name in _INDEX if changed.index is not before.index else ():
        tensors[name] = found = getattr(changed.index, name)
        expected = getattr(before.index, name)
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise HookError(
                f"{where}: expected a decision for the {T} tokens it was given, found another "
                f"{name}: {found.dtype} {tuple(found.shape)}. {_KEEP}"
            )
    device = before.logits.device
    for name, tensor in tensors.items():
        if tensor.device != device:
            raise HookError(
                f"{where}: {name} must stay on {device}, found them on {tensor.device}. Make new "
                "tensors on routing.logits.device."
            )


def _check_values(changed: Routing, before: Routing, where: str) -> None:
    """Check the values, with one transfer to the host however many checks are made.

    A nonexistent expert would read foreign memory, and NaN would spread to every token that attends
    to this one.
    """
    E = before.logits.shape[1]
    wrong = {
        "logits": ~changed.logits.isfinite().all(),
        "gates": ~changed.gates.isfinite().all(),
    }
    for name in _OVERRIDES:  # −∞ is the score of an expert that must not be chosen
        if (found := getattr(changed, name)) is not None:
            wrong[name] = ~(found < torch.inf).all()
    for name in _INDEX if changed.index is not before.index else ():
        wrong[name] = (getattr(changed.index, name) != getattr(before.index, name)).any()
    looked = torch.stack([*changed.experts.aminmax(), *(flag.long() for flag in wrong.values())])
    low, high, *flags = looked.cpu().tolist()
    if low < -1 or high >= E:
        raise HookError(
            f"{where}: experts must lie in −1 … {E - 1} (−1 leaves a slot unused), found "
            f"{low} … {high}."
        )
    for name, flag in zip(wrong, flags, strict=True):
        if flag and name in _INDEX:
            asked, found = (getattr(r.index, name).cpu().tolist() for r in (before, changed))
            row = next(n for n, (a, b) in enumerate(zip(asked, found, strict=True)) if a != b)
            raise HookError(
                f"{where}: expected a decision for the tokens it was given, found another {name}: "
                f"{found[row]} instead of {asked[row]} in row {row} of {len(asked)}. {_KEEP}"
            )
        if flag and bool(before.unsound.cpu()):
            raise NotFiniteError(before)  # not the hook's doing
        if flag:
            raise HookError(
                f"{where}: {name} must be finite{' or −∞' if name in _OVERRIDES else ''}, found "
                "NaN or infinity. Fix the hook; expert −1 with gate 0 leaves a slot unused."
            )
