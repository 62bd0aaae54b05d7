# SPDX-License-Identifier: Apache-2.0
"""The routing decision, and the hook through which it is recorded and changed.

A router scores every expert for every token; the k best are chosen, and a softmax over their
scores alone says how much each counts. `Routing` is that decision for some tokens of one layer.
Hooks see it before any expert runs. Recording and intervening are both just hooks: what a hook
returns replaces the decision, and `None` lets it stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import HookError, NumberError


@dataclass(frozen=True)
class TokenIndex:
    """Which tokens a block of hidden states belongs to: four vectors of shape (T,)."""

    tokens: Tensor  # row of the recording, counted over all prompts
    prompt: Tensor  # number of the prompt
    position: Tensor  # position within its prompt
    generated: Tensor  # bool: sampled from the model rather than given to it

    def __getitem__(self, rows: slice) -> TokenIndex:
        return TokenIndex(
            self.tokens[rows], self.prompt[rows], self.position[rows], self.generated[rows]
        )

    def to(self, device: torch.device) -> TokenIndex:
        """The same on another device."""
        return TokenIndex(
            self.tokens.to(device),
            self.prompt.to(device),
            self.position.to(device),
            self.generated.to(device),
        )

    @staticmethod
    def of_prompts(
        lengths: Sequence[int],
        past: Sequence[int] | None = None,
        first_token: int = 0,
        first_prompt: int = 0,
        generated: bool = False,
    ) -> TokenIndex:
        """The tokens of prompts that lie end to end, each after `past` tokens seen before."""
        past = past or [0] * len(lengths)
        T = sum(lengths)
        numbers = torch.arange(first_prompt, first_prompt + len(lengths))
        return TokenIndex(
            tokens=torch.arange(first_token, first_token + T),
            prompt=numbers.repeat_interleave(torch.tensor(lengths)),
            position=torch.cat(
                [torch.arange(p, p + n) for p, n in zip(past, lengths, strict=True)]
            ),
            generated=torch.full((T,), generated),
        )


@dataclass(frozen=True)
class Routing:
    """What one layer's router decided for T tokens, before the experts run.

    Experts are listed strongest first. Expert −1 with gate 0 means that a slot is left unused.
    Change a decision with `with_experts`, or with `dataclasses.replace`.
    """

    layer: int
    logits: Tensor  # (T, E) float32: the router's raw scores, before any softmax
    experts: Tensor  # (T, k) int64
    gates: Tensor  # (T, k) float32, adding up to 1
    index: TokenIndex
    altered: Tensor | None = None  # (T, E) float32: what the choice is made by, if not the logits

    @property
    def scores(self) -> Tensor:
        """What experts are chosen by, (T, E): the logits, unless an intervention altered them."""
        return self.logits if self.altered is None else self.altered

    @property
    def unsound(self) -> Tensor:
        """Whether any of the logits is NaN or infinite: a single truth value, on their device."""
        return (self.logits * 0).sum().isnan()  # 0 · ∞ is NaN; fewer steps than isfinite takes

    @property
    def tokens(self) -> Tensor:
        """Rows of the recording, (T,)."""
        return self.index.tokens

    @property
    def prompt(self) -> Tensor:
        """Number of each token's prompt, (T,)."""
        return self.index.prompt

    @property
    def position(self) -> Tensor:
        """Position of each token within its prompt, (T,)."""
        return self.index.position

    @property
    def generated(self) -> Tensor:
        """True where a token was sampled from the model, (T,)."""
        return self.index.generated

    def with_experts(self, experts: Tensor) -> Routing:
        """The same scores with other experts: gates are the softmax over their scores."""
        chosen = self.scores.gather(1, experts.clamp(0, self.logits.shape[1] - 1))
        gates = chosen.masked_fill(experts < 0, -torch.inf).softmax(-1)
        return replace(self, experts=experts, gates=gates.nan_to_num(0))  # NaN: no slot is used


class NotFiniteError(NumberError):
    """A router's logits that are NaN or infinite, with the decision that holds them."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(f"Layer {routing.layer}: the router's logits are NaN or infinite.")
        self.routing: Routing = routing


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
    if changed.altered is not None:
        tensors["altered"] = changed.altered
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
    if changed.altered is not None:  # −∞ is the score of an expert that must not be chosen
        wrong["altered"] = ~(changed.altered < torch.inf).all()
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
                f"{where}: {name} must be finite{' or −∞' if name == 'altered' else ''}, found NaN "
                "or infinity. Fix the hook; expert −1 with gate 0 leaves a slot unused."
            )
