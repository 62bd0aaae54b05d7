# SPDX-License-Identifier: Apache-2.0
"""The seam: where a decision passes between a router and the experts of another family's model.

In transformers a decision passes twice: as the output of the router, which tells the logits, and as
the input of the experts, `experts(hidden, index, weights)`, which is what is executed. Hooks on the
two modules hear it there, and what a router hook of ours returns goes to the experts instead. Rows
of padding are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from ..errors import CheckpointError
from ..routing import RouterHook, Routing, Scoring, TokenIndex, apply_hooks
from .routers import RouterForm


@dataclass(frozen=True, eq=False)
class Mixture:
    """One layer's router and experts, as modules of a model of transformers."""

    layer: int
    speaker: nn.Module  # whose output holds the logits: the router, or a part of it
    place: (
        nn.Module
    )  # where the decision is changed: the experts, or the router where it has a form
    scoring: Scoring
    width: int  # E, as many as the logits
    k: int
    skips: bool = False  # whether a gate of 0 means that no expert runs
    scored: bool = True  # whether the choice goes by scores
    form: RouterForm | None = None  # of a router that is heard and changed itself

    @property
    def place_dtype(self) -> torch.dtype:
        """What its weights are stored in: scores are rounded to it in some families."""
        return next((w.dtype for w in self.place.parameters()), torch.float32)


#: Tokens of a pass whose choices are compared with the rule.
_LOOKED_AT = 64


@dataclass
class Rows:
    """The tokens of a padded batch: where they lie in it, flat, and which they are."""

    places: Tensor  # (T,) int64
    index: TokenIndex  # of these T tokens
    size: int  # of the batch, with its padding


@dataclass
class Ear:
    """What is heard in one pass, and the hooks that hear it."""

    hooks: Sequence[RouterHook]
    rows: Rows
    logits: dict[int, Tensor] = field(default_factory=dict)
    heard: set[int] = field(default_factory=set)
    unsound: list[Routing] = field(default_factory=list)
    astray: set[int] = field(default_factory=set)  # layers that chose otherwise than by their rule

    def router(self, mixture: Mixture) -> Callable[..., None]:
        """A forward hook that keeps the logits."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self.logits[mixture.layer] = output if isinstance(output, Tensor) else output[0]

        return hook

    def whole(self, mixture: Mixture, form: RouterForm) -> Callable[..., Any]:
        """A forward hook of a router that hears its decision, and puts another in its place."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            self.logits[mixture.layer], index, weights = form.read(output)
            changed = self.decided(mixture, index, weights)
            return None if changed is None else form.written(output, *changed)

        return hook

    def experts(self, mixture: Mixture) -> Callable[..., Any]:
        """A forward pre-hook that shows the decision, and puts another in its place."""

        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            names = list(kwargs)
            hidden, index, weights = (*args, *kwargs.values())[:3]
            changed = self.decided(mixture, index, weights)
            if changed is None:
                return None
            given = (hidden, *changed)
            args = given[: len(args)]
            return args, kwargs | dict(zip(names, given[len(args) :], strict=False))

        return hook

    def decided(
        self, mixture: Mixture, index: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """What is to be executed instead of a decision, (N, k) each; None if it stands."""
        routing, order = self._routing(mixture, index, weights)
        self.heard.add(mixture.layer)
        if bool(routing.unsound):
            self.unsound.append(routing)
        if not _explained(routing, mixture):
            self.astray.add(mixture.layer)
        found = apply_hooks(self.hooks, routing)
        if found is routing:
            return None
        return self._executed(found, order, index, weights)

    def _routing(self, mixture: Mixture, index: Tensor, weights: Tensor) -> tuple[Routing, Tensor]:
        """The decision about the tokens that are no padding, strongest first; its slots' order."""
        layer, places = mixture.layer, self.rows.places
        logits = self.logits.get(layer)
        if logits is None:
            raise CheckpointError(
                f"Layer {layer}: the experts ran before the router was heard. This kernel or "
                "wrapper goes past its modules: load the model without it."
            )
        logits = logits.reshape(-1, logits.shape[-1])
        if len(index) != self.rows.size or len(logits) != self.rows.size:
            raise CheckpointError(
                f"Layer {layer}: a decision was expected for {self.rows.size:,} tokens, and "
                f"{len(logits):,} and {len(index):,} came. This version of the model packs its "
                "tokens in a way that is not known here."
            )
        places = places.to(index.device)
        experts, gates = index[places].long(), weights[places].float()
        if mixture.skips:
            experts = experts.masked_fill(gates == 0, -1)
        gates, order = gates.sort(dim=1, descending=True, stable=True)
        routing = Routing(
            layer, logits[places.to(logits.device)].float(), experts.gather(1, order), gates,
            self.rows.index, scoring=mixture.scoring,
        )  # fmt: skip
        return routing, order

    def _executed(
        self, routing: Routing, order: Tensor, index: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Index and weights of the whole batch, with padding, for another decision.

        Slots go back into the order in which they came, so that what stands is executed bit for
        bit as before; an expert with gate 0 adds nothing.
        """
        places, k = self.rows.places.to(index.device), routing.experts.shape[1]
        more = max(0, k - index.shape[1])
        index, weights = (functional.pad(x, (0, more)).clone() for x in (index, weights))
        fewer = index.shape[1] - k
        slots = torch.arange(index.shape[1], device=order.device).expand(len(order), -1).clone()
        slots[:, : order.shape[1]] = order
        used = functional.pad(routing.experts >= 0, (0, fewer))
        for all_rows, given in ((index, routing.experts), (weights, routing.gates)):
            new = functional.pad(given, (0, fewer)).masked_fill(~used, 0).to(all_rows)
            all_rows[places] = torch.empty_like(new).scatter(1, slots, new)
        return index, weights


def _explained(routing: Routing, mixture: Mixture) -> bool:
    """Whether the rule of these routers leads to the choice that was made, in the first tokens."""
    if mixture.scoring.rule.choice != "scores" or not mixture.scored:
        return True
    experts = routing.experts[:_LOOKED_AT]
    ranking = mixture.scoring.ranking(routing.logits[:_LOOKED_AT])
    used = experts >= 0
    chosen = ranking.gather(1, experts.clamp(min=0))
    others = ranking.scatter(1, experts.clamp(min=0), -torch.inf)
    if mixture.skips:  # the last one scored stands for no expert
        chosen = torch.where(used, chosen, ranking[:, -1:])
        others = others.masked_fill(~used, -torch.inf)
    least = chosen.amin(1)
    tolerance = 1e-5 + 2e-2 * chosen.abs().amax(1) * (mixture.place_dtype != torch.float32)
    return bool((least >= others.amax(1) - tolerance).all())


@contextmanager
def listening(
    mixtures: Sequence[Mixture], hooks: Sequence[RouterHook], rows: Rows
) -> Iterator[Ear]:
    """Hear and change the decisions of one pass; a layer that was not heard is an error.

    Raises `CheckpointError` where the pass went past a router or its experts, as fused kernels do.
    """
    ear = Ear(hooks, rows)
    with ExitStack() as stack:
        for mixture in mixtures:
            for handle in _hooked(ear, mixture):
                stack.callback(handle.remove)
        yield ear
    silent = [mixture.layer for mixture in mixtures if mixture.layer not in ear.heard]
    if silent:
        raise CheckpointError(
            f"Layers {', '.join(map(str, silent[:8]))}{' …' if silent[8:] else ''}: nothing was "
            "heard of their experts, so nothing could be recorded. Fused kernels (MXFP4 on a GPU) "
            "go past them: load the model dequantised."
        )


def _hooked(ear: Ear, mixture: Mixture) -> list[RemovableHandle]:
    """The hooks on one layer's modules."""
    place = mixture.place
    if mixture.form is not None:
        return [place.register_forward_hook(ear.whole(mixture, mixture.form))]
    return [
        mixture.speaker.register_forward_hook(ear.router(mixture)),
        place.register_forward_pre_hook(ear.experts(mixture), with_kwargs=True),
    ]


def flat_rows(lengths: Sequence[int], index: TokenIndex) -> Rows:
    """The rows of prompts that are padded on the right to the longest of them."""
    width = max(lengths)
    places = torch.cat([n * width + torch.arange(length) for n, length in enumerate(lengths)])
    return Rows(places, index, width * len(lengths))
