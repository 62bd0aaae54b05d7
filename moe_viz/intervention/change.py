# SPDX-License-Identifier: Apache-2.0
"""One change of routing, as a router hook: ablate, force, swap experts; another k; other gates.

In: a router's decision. Out: the one to execute instead. Nothing here knows the model; `intervene`
attaches these hooks, and stamps what is recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import InputError
from ..routing import Routing
from .choosing import best_of, best_with, members, refilled, same_sum, without
from .lots import drawn_lots

Expert = tuple[int, int]  # layer, expert
FORMS = {"ablate": "(layer, expert)", "force": "(layer, expert)", "swap": "(layer, expert, expert)"}


@dataclass(frozen=True)
class Intervention:
    """One change of routing; the arguments are those of `intervene`."""

    ablate: tuple[Expert, ...] = ()
    instead: Literal["next best", "nothing"] = "next best"
    force: tuple[Expert, ...] = ()
    swap: tuple[tuple[int, int, int], ...] = ()
    top_k: int | None = None
    temperature: float | None = None
    uniform_gates: bool = False
    random: int | None = None
    layers: tuple[int, ...] | None = None
    tokens: tuple[int, ...] | None = None
    prompts: tuple[int, ...] | None = None

    @staticmethod
    def of(**asked: Any) -> Intervention:
        """From lists or tuples; raises `InputError` for anything but numbers in them."""
        known = [field.name for field in fields(Intervention)]
        if unknown := set(asked) - set(known):
            raise InputError(
                f"There is no intervention {', '.join(sorted(unknown))}; there are "
                f"{', '.join(known)}."
            )
        checked = dict(asked)
        for name, form in FORMS.items():
            items = _listed(name, asked.get(name, ()), f"a list of {form}")
            checked[name] = tuple(_numbers(name, item, form) for item in items)
        for name in ("layers", "tokens", "prompts"):
            if asked.get(name) is not None:
                checked[name] = _numbers(name, asked[name], "a list of whole numbers")
        kinds = {"top_k": Integral, "random": Integral, "temperature": Real}
        for name, kind in kinds.items():
            if asked.get(name) is not None and not _is(asked[name], kind):
                whole = "whole " if kind is Integral else ""
                raise InputError(f"{name} takes a {whole}number, found {asked[name]!r}.")
        if not isinstance(uniform := asked.get("uniform_gates", False), bool):
            raise InputError(f"uniform_gates takes True or False, found {uniform!r}.")
        return Intervention(**checked)

    def __str__(self) -> str:
        """What every figure says.

        >>> str(Intervention.of(ablate=[(3, 1)], top_k=1, layers=[2, 3]))
        'ablated 3/1 (next best instead), top-1 in layers 2, 3'
        """
        pairs = {"ablated": self.ablate, "forced": self.force, "swapped": self.swap}
        parts = []
        for verb, items in pairs.items():
            if items:
                named = ", ".join(f"{layer}/" + "↔".join(map(str, e)) for layer, *e in items)
                parts.append(f"{verb} {named}")
            if items and verb == "ablated":
                parts[-1] += f" ({self.instead} instead)"
        if self.top_k is not None:
            parts.append(f"top-{self.top_k}")
        if self.random is not None:
            parts.append(f"random experts, seed {self.random}")
        if self.temperature is not None:
            parts.append(f"router temperature {self.temperature:g}")
        if self.uniform_gates:
            parts.append("uniform gates")
        where = [
            f"{name} {', '.join(map(str, chosen[:8])) or 'none'}{' …' if len(chosen) > 8 else ''}"
            for name in ("layers", "tokens", "prompts")
            if (chosen := getattr(self, name)) is not None
        ]
        return ", ".join(parts or ["nothing changed"]) + (
            f" in {', '.join(where)}" if where else ""
        )

    def __call__(self, routing: Routing) -> Routing | None:
        """The decision to execute instead; None if it stands.

        The steps follow the parts of a decision, each building on those before. Which network has
        which number (swap), since later steps name networks. Which experts exist (ablate), since
        later steps choose among them. How many are chosen, and which must be among them (top_k,
        force, and the temperature of their gates). A random choice instead (random), which keeps
        the gates. Then the gates themselves (uniform). Slots are emptied last: an empty slot is a
        missing gate, which must first have been given.
        """
        if self.layers is not None and routing.layer not in self.layers:
            return None
        changed = self._swapped(routing)
        changed = self._ablated(changed)
        changed = self._chosen(changed)
        changed = self._randomised(changed)
        changed = self._gated(changed)
        changed = self._emptied(changed)
        return None if changed is routing else self._only_where_asked(changed, routing)

    def _swapped(self, routing: Routing) -> Routing:
        """Other networks behind the same scores; an ablated one stays ablated."""
        place = experts = list(range(routing.logits.shape[1]))
        for layer, a, b in self.swap:
            if layer == routing.layer:  # the network that tokens for each expert go to
                place = [b if e == a else a if e == b else e for e in place]
        if place == experts:
            return routing
        there = torch.tensor([*place, -1], device=routing.logits.device)  # and −1 stays −1
        gone = routing.scores == -torch.inf
        moved = replace(
            routing,
            experts=there[routing.experts],
            **_reordered(routing, lambda x: x[:, there[:-1].argsort()], gone),
        )
        return without(moved, gone)

    def _ablated(self, routing: Routing) -> Routing:
        """The next best in place of an ablated expert."""
        gone = _mask(experts_at(routing.layer, self.ablate), routing)
        if gone is None or self.instead == "nothing":
            return routing
        scores, chosen = routing.scores.masked_fill(gone, -torch.inf), routing.experts
        everyone = torch.arange(gone.shape[1], device=gone.device)
        kept = (chosen[:, :, None] == everyone).any(1) & ~gone
        best = refilled(replace(routing, altered=scores), chosen.shape[1], kept)
        # A token that did not go there keeps its decision, bit for bit.
        hit = members(gone, chosen).any(1, keepdim=True)
        return replace(
            best,
            experts=torch.where(hit, best.experts, chosen),
            gates=torch.where(hit, best.gates, routing.gates),
        )

    def _chosen(self, routing: Routing) -> Routing:
        """Another k, experts that must be among the chosen, another temperature."""
        forced = _mask(experts_at(routing.layer, self.force), routing)
        if self.temperature not in (None, 1):
            routing = _tempered(routing, self.temperature)
            if self.top_k is None and forced is None:  # the same experts, by other gates
                return same_sum(routing.with_experts(routing.experts), routing)
        if forced is None:
            return routing if self.top_k is None else best_of(routing, self.top_k)
        if self.top_k is not None:
            return best_with(routing, self.top_k, forced)
        slots = max(routing.experts.shape[1], int(forced[0].sum()))
        return refilled(routing, slots, forced)

    def _randomised(self, routing: Routing) -> Routing:
        """Other experts at random, behind the same scores; never one whose score is −∞."""
        if self.random is None:
            return routing
        k, E = routing.experts.shape[1], routing.logits.shape[1]
        lots = drawn_lots(self.random, routing.layer, routing.tokens, E)
        gone = routing.scores == -torch.inf
        order = lots.masked_fill(gone, -1).argsort(dim=1, descending=True)  # (T, E)
        ranked = routing.scores.argsort(dim=1, descending=True, stable=True)
        experts = order[:, :k].masked_fill(routing.experts < 0, -1)

        def dealt(x: Tensor) -> Tensor:
            return torch.empty_like(x).scatter(1, order, x.gather(1, ranked))

        return without(replace(routing, experts=experts, **_reordered(routing, dealt)), gone)

    def _gated(self, routing: Routing) -> Routing:
        if not self.uniform_gates:
            return routing
        used = (routing.experts >= 0).float()
        gates = used / used.sum(1, keepdim=True).clamp(min=1)
        return same_sum(replace(routing, gates=gates), routing)

    def _emptied(self, routing: Routing) -> Routing:
        """Empty slots in place of ablated experts: the others keep their gates."""
        gone = _mask(experts_at(routing.layer, self.ablate), routing)
        if gone is None or self.instead == "next best":
            return routing
        altered = routing.scores.masked_fill(gone, -torch.inf)
        return without(replace(routing, altered=altered), gone)

    def _only_where_asked(self, changed: Routing, before: Routing) -> Routing:
        """The change for these tokens and prompts alone."""
        if self.tokens is None and self.prompts is None:
            return changed
        rows = torch.ones_like(before.tokens, dtype=torch.bool)
        for asked, there in ((self.tokens, before.tokens), (self.prompts, before.prompt)):
            if asked is not None:
                rows &= torch.isin(there, there.new_tensor(asked))
        k = max(changed.experts.shape[1], before.experts.shape[1])
        wide = [_widened(routing, k) for routing in (changed, before)]
        experts, gates = (
            torch.where(rows[:, None], new, old) for new, old in zip(*wide, strict=True)
        )
        both = {"altered": (changed.scores, before.scores)}
        if not before.scoring.alike:
            both["strengths"] = (changed.strength, before.strength)
        mixed = {name: torch.where(rows[:, None], *pair) for name, pair in both.items()}
        return replace(changed, experts=experts, gates=gates, **mixed)


def _reordered(
    routing: Routing, order: Callable[[Tensor], Tensor], gone: Tensor | None = None
) -> dict[str, Tensor]:
    """What choice and gates go by, the columns in another order; −∞ for experts that are gone."""
    scores = order(routing.scores)
    made = {"altered": scores if gone is None else scores.masked_fill(gone, -torch.inf)}
    if not routing.scoring.alike:
        made["strengths"] = order(routing.strength)
    return made


def _tempered(routing: Routing, temperature: float) -> Routing:
    """Gates of scores to the power of 1 / temperature: of a softmax, those of logits / it."""
    if routing.scoring.alike:
        return replace(routing, altered=routing.scores / temperature)
    return replace(routing, strengths=routing.strength / temperature)


def _mask(experts: Sequence[int], routing: Routing) -> Tensor | None:
    """These experts as a mask (T, E); None where there are none."""
    if not experts:
        return None
    mask = torch.zeros_like(routing.logits, dtype=torch.bool)
    mask[:, list(experts)] = True
    return mask


def experts_at(layer: int, experts: Iterable[Expert]) -> list[int]:
    """Those of one layer."""
    return [expert for where, expert in experts if where == layer]


def _listed(name: str, value: Any, form: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InputError(f"{name} takes {form}, found {value!r}.")
    return tuple(value)


def _numbers(name: str, value: Any, form: str) -> tuple[int, ...]:
    items = _listed(name, value, form)
    if not all(_is(n, Integral) for n in items):
        raise InputError(f"{name} takes {form}, found {value!r}.")
    return tuple(int(n) for n in items)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _widened(routing: Routing, k: int) -> tuple[Tensor, Tensor]:
    missing = k - routing.experts.shape[1]
    pad = torch.nn.functional.pad
    return pad(routing.experts, (0, missing), value=-1), pad(routing.gates, (0, missing))
