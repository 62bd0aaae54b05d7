"""One change of routing, as a router hook: ablate, force, swap experts; other k; other gates.

In: a router's decision. Out: the one to execute instead. Nothing here knows a model; `intervene`
attaches these hooks, and stamps what is recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .config import MixtralConfig
from .errors import InputError
from .routing import Routing

Expert = tuple[int, int]  # layer, expert


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
        """From lists as well as tuples."""
        known = [field.name for field in fields(Intervention)]
        if unknown := set(asked) - set(known):
            raise InputError(
                f"There is no intervention {', '.join(sorted(unknown))}; there are "
                f"{', '.join(known)}."
            )
        listed: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list | range) else v for n, v in asked.items()
        }
        for name in ("ablate", "force", "swap"):
            listed[name] = tuple(tuple(int(n) for n in item) for item in listed.get(name, ()))
        return Intervention(**listed)

    def __str__(self) -> str:
        """What stands on every figure.

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
            f"{name} {', '.join(map(str, chosen[:8]))}{' …' if len(chosen) > 8 else ''}"
            for name in ("layers", "tokens", "prompts")
            if (chosen := getattr(self, name)) is not None
        ]
        return ", ".join(parts or ["nothing changed"]) + (
            f" in {', '.join(where)}" if where else ""
        )

    @property
    def first_layer(self) -> int:
        """The first layer that it can change; all before it are as without."""
        named = [layer for layer, *_ in (*self.ablate, *self.force, *self.swap)]
        everywhere = self.top_k is not None or self.temperature is not None
        if everywhere or self.uniform_gates or self.random is not None:
            named.append(0)
        return max(min(named, default=0), min(self.layers or (0,)))

    def check(self, config: MixtralConfig) -> None:
        """Raise `InputError` for what a model of this config does not have."""
        L, E = config.layers, config.experts
        for name in ("ablate", "force", "swap"):
            for layer, *experts in getattr(self, name):
                wanted = 2 if name == "swap" else 1
                if (
                    len(experts) != wanted
                    or not 0 <= layer < L
                    or not set(experts) <= set(range(E))
                ):
                    form = "(layer, expert, expert)" if wanted == 2 else "(layer, expert)"
                    raise InputError(
                        f"{name} takes {form} with layers 0 … {L - 1} and experts 0 … {E - 1}, "
                        f"found {(layer, *experts)}."
                    )
        for layer in range(L):
            gone = {e for at, e in self.ablate if at == layer}
            forced = {e for at, e in self.force if at == layer}
            k = config.experts_per_token if self.top_k is None else self.top_k
            if self.instead == "next best" and E - len(gone) < k:
                raise InputError(
                    f"Without {len(gone)} of its {E} experts, layer {layer} cannot choose {k}. "
                    "Ablate fewer, or say instead='nothing'."
                )
            if len(forced) > k or gone & forced:
                raise InputError(
                    f"Layer {layer} chooses {k} experts; forced are {sorted(forced)}, ablated "
                    f"{sorted(gone)}. Force at most {k}, and none that is ablated."
                )
        if self.instead not in ("next best", "nothing"):
            raise InputError(f"instead must be 'next best' or 'nothing', found {self.instead!r}.")
        if self.top_k is not None and not 1 <= self.top_k <= E:
            raise InputError(f"top_k must lie in 1 … {E}, found {self.top_k}.")
        if self.temperature is not None and not 1e-3 <= self.temperature <= 1e6:
            raise InputError(f"temperature must lie in 0.001 … 1000000, found {self.temperature}.")
        if self.layers is not None and not set(self.layers) <= set(range(L)):
            raise InputError(f"layers must lie in 0 … {L - 1}, found {list(self.layers)}.")

    def __call__(self, routing: Routing) -> Routing | None:
        """The decision to execute instead; None where it stands."""
        if self.layers is not None and routing.layer not in self.layers:
            return None
        changed = routing
        for change in (self._ablated, self._chosen, self._randomised, self._swapped, self._gated):
            changed = change(changed)
        return None if changed is routing else self._only_where_asked(changed, routing)

    def _ablated(self, routing: Routing) -> Routing:
        gone = [expert for layer, expert in self.ablate if layer == routing.layer]
        if not gone:
            return routing
        banned = torch.tensor(gone, device=routing.logits.device)
        scores = routing.scores.index_fill(1, banned, -torch.inf)
        hit = torch.isin(routing.experts, banned)  # (T, k)
        if (
            self.instead == "nothing"
        ):  # the other experts keep their gates: only its part is missing
            return replace(
                routing,
                experts=routing.experts.masked_fill(hit, -1),
                gates=routing.gates.masked_fill(hit, 0),
                altered=scores,
            )
        best = best_of(replace(routing, altered=scores), routing.experts.shape[1])
        # A token that did not go there keeps its decision, bit for bit.
        rows = hit.any(1, keepdim=True)
        return replace(
            routing,
            experts=torch.where(rows, best.experts, routing.experts),
            gates=torch.where(rows, best.gates, routing.gates),
            altered=scores,
        )

    def _chosen(self, routing: Routing) -> Routing:
        """Another k, experts that must be among the chosen, another temperature."""
        forced = [expert for layer, expert in self.force if layer == routing.layer]
        if self.temperature is not None:
            routing = replace(routing, altered=routing.scores / self.temperature)
        elif self.top_k is None and not forced:
            return routing
        if self.top_k is None and not forced:  # the same experts, by other gates
            return routing.with_experts(routing.experts)
        k = routing.experts.shape[1] if self.top_k is None else self.top_k
        return best_of(routing, k, forced)

    def _randomised(self, routing: Routing) -> Routing:
        """Other experts at random, behind the same gates; never one whose score is −∞."""
        if self.random is None:
            return routing
        E = routing.logits.shape[1]
        lots = drawn_lots(self.random, routing.layer, routing.tokens, E)
        lots = lots.masked_fill(routing.scores == -torch.inf, -1)
        experts = lots.topk(routing.experts.shape[1]).indices
        return replace(routing, experts=experts.masked_fill(routing.experts < 0, -1))

    def _swapped(self, routing: Routing) -> Routing:
        for layer, a, b in self.swap:
            if layer == routing.layer and a != b:
                experts = routing.experts
                other = torch.where(experts == a, b, torch.where(experts == b, a, experts))
                routing = replace(routing, experts=other)
        return routing

    def _gated(self, routing: Routing) -> Routing:
        if not self.uniform_gates:
            return routing
        used = (routing.experts >= 0).float()
        return replace(routing, gates=used / used.sum(1, keepdim=True).clamp(min=1))

    def _only_where_asked(self, changed: Routing, before: Routing) -> Routing:
        """The change for these tokens and prompts alone."""
        if self.tokens is None and self.prompts is None:
            return changed
        rows = torch.ones_like(before.tokens, dtype=torch.bool)
        for asked, there in ((self.tokens, before.tokens), (self.prompts, before.prompt)):
            if asked is not None:
                rows &= torch.isin(there, torch.tensor(asked, device=there.device))
        k = max(changed.experts.shape[1], before.experts.shape[1])
        wide = [_widened(routing, k) for routing in (changed, before)]
        experts, gates = (
            torch.where(rows[:, None], new, old) for new, old in zip(*wide, strict=True)
        )
        altered = torch.where(rows[:, None], changed.scores, before.scores)
        return replace(changed, experts=experts, gates=gates, altered=altered)


def best_of(routing: Routing, k: int, forced: Sequence[int] = ()) -> Routing:
    """The k best experts by score, the forced ones among them, strongest first."""
    ranks = routing.scores
    if forced:
        ranks = ranks.index_fill(1, torch.tensor(forced, device=ranks.device), torch.inf)
    experts = ranks.topk(k).indices
    if forced:  # strongest first, by the scores themselves
        order = routing.scores.gather(1, experts).sort(descending=True, stable=True).indices
        experts = experts.gather(1, order)
    gone = routing.scores.gather(1, experts) == -torch.inf  # ablated, and nothing better is left
    return routing.with_experts(experts.masked_fill(gone, -1))


def drawn_lots(seed: int, layer: int, tokens: Tensor, E: int) -> Tensor:
    """A number in [0, 1) for each token and expert, (T, E), that depends on nothing else.

    A hash (splitmix64) instead of a generator: the same however tokens are packed or chunked.

    >>> whole = drawn_lots(0, 1, torch.arange(6), 8)
    >>> torch.equal(whole[4:], drawn_lots(0, 1, torch.arange(4, 6), 8))
    True
    """
    place = tokens[:, None] * E + torch.arange(E, device=tokens.device)
    x = place + _signed(0x9E3779B97F4A7C15 * (seed * 1_000_003 + layer + 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return _shifted(x ^ _shifted(x, 31), 40).float() / 2**24


def _shifted(x: Tensor, bits: int) -> Tensor:
    """To the right with zeros, as of an unsigned number."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    """The signed number with the same low 64 bits."""
    x &= 2**64 - 1
    return x - 2**64 if x >= 2**63 else x


def _widened(routing: Routing, k: int) -> tuple[Tensor, Tensor]:
    missing = k - routing.experts.shape[1]
    pad = torch.nn.functional.pad
    return pad(routing.experts, (0, missing), value=-1), pad(routing.gates, (0, missing))
