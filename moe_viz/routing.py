"""The routing decision, and the hook through which it is recorded and changed.

A router scores every expert for every token; the k best are chosen, and a softmax over their
scores alone says how much each counts. `Routing` is that decision for some tokens of one layer.
Hooks see it before any expert runs. Recording and intervening are both nothing but hooks: what a
hook returns replaces the decision, and what it returns `None` for stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import HookError


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
        """The tokens of prompts that lie end to end, each behind `past` tokens seen before."""
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


#: Sees a decision; returns the one to execute instead, or None to let it stand.
RouterHook = Callable[[Routing], Routing | None]


def apply_hooks(hooks: Iterable[RouterHook], routing: Routing) -> Routing:
    """Run the hooks in their order, each on its predecessor's result.

    Raises `HookError` if a hook returns something that the experts could not execute.
    """
    for hook in hooks:
        changed = hook(routing)
        if changed is not None:
            _check(changed, routing, hook)
            routing = changed
    return routing


def _check(changed: Routing, before: Routing, hook: RouterHook) -> None:
    name = getattr(hook, "__qualname__", type(hook).__name__)
    where = f"router hook {name}, layer {before.layer}"
    if not isinstance(changed, Routing):
        raise HookError(
            f"{where}: expected a Routing or None, found {type(changed).__name__}. "
            "Return dataclasses.replace(routing, …) to change a decision."
        )
    T, E = before.logits.shape
    if changed.logits.shape != (T, E) or changed.logits.dtype != torch.float32:
        raise HookError(
            f"{where}: logits must stay float32 of shape {(T, E)}, found "
            f"{changed.logits.dtype} {tuple(changed.logits.shape)}."
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
    device = before.logits.device
    for name in ("logits", "experts", "gates"):
        where_it_is = getattr(changed, name).device
        if where_it_is != device:
            raise HookError(
                f"{where}: {name} must stay on {device}, found them on {where_it_is}. Make new "
                "tensors on routing.logits.device."
            )
    # One look at the values, on the host: an expert that is not there would read foreign memory.
    low, high = torch.stack(changed.experts.aminmax()).cpu().tolist() if T else (0, 0)
    if low < -1 or high >= E:
        raise HookError(
            f"{where}: experts must lie in −1 … {E - 1} (−1 leaves a slot unused), found "
            f"{low} … {high}."
        )
