# SPDX-License-Identifier: Apache-2.0
"""Changing the routing, to see what it does.

In: a model and what to change. Out: the same model, which routes differently within a `with` block
and says so: every trace made there, and every figure of it, carries the intervention's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

from ..errors import InputError
from ..guests.guest import Guest, Recordable
from ..model.attached import Attached, attach
from .change import FORMS, Expert, Intervention, experts_at


def intervene(
    model: Recordable,
    *,
    ablate: Iterable[Expert] = (),
    instead: Literal["next best", "nothing"] = "next best",
    force: Iterable[Expert] = (),
    swap: Iterable[tuple[int, int, int]] = (),
    top_k: int | None = None,
    temperature: float | None = None,
    uniform_gates: bool = False,
    random: int | None = None,
    layers: Sequence[int] | None = None,
    tokens: Sequence[int] | None = None,
    prompts: Sequence[int] | None = None,
) -> AbstractContextManager[Any]:
    """Route differently within a `with` block.

    - `ablate=[(layer, expert), …]`: these experts are never used. Their tokens go to the next best
      (`instead="next best"`: as if the router's logit were −∞) or the slot stays empty
      (`instead="nothing"`: the others keep their gates, and the layer's output is smaller).
    - `force=[(layer, expert), …]`: every token goes there, and to the best of the rest.
    - `swap=[(layer, a, b), …]`: tokens for expert a go to b and those for b to a, gates unchanged:
      the two networks exchange places.
    - `top_k=`: this many experts for each token, 1 … E.
    - `temperature=`: gates are the softmax of logits / temperature; the experts stay.
    - `uniform_gates=True`: the chosen experts count equally.
    - `random=seed`: other experts at random, the same however tokens are packed; gates stay.

    `layers`, `tokens` (rows of the recording) and `prompts` (numbers) limit all of these. The
    logits in a trace stay what the router said; experts and gates are what was executed.

    Blocks compose, the inner one on the outer's result. Experts ablated outside are never used
    inside. An inner `top_k` chooses again, by score: it keeps a swap, a temperature and random
    experts, and undoes forced ones, uniform gates and empty slots.

    A run is changed by the blocks it is called in, from its beginning to its end. A thread that is
    started inside a block does not inherit it: enter one there.

    Raises `InputError` for what the model does not have.

    >>> import moe_viz as mv
    >>> model = mv.load("8x7m")
    >>> with mv.intervene(model, ablate=[(2, 5)]):
    ...     trace = mv.record(model, "Good morning.")
    >>> bool((trace.experts[2] == 5).any()), trace.provenance.interventions
    (False, ('ablated 2/5 (next best instead)',))
    """
    change = Intervention.of(
        ablate=ablate, instead=instead, force=force, swap=swap, top_k=top_k,
        temperature=temperature, uniform_gates=uniform_gates, random=random,
        layers=layers, tokens=tokens, prompts=prompts,
    )  # fmt: skip
    return intervened(model, change)


@contextmanager
def intervened(model: Recordable, *changes: Intervention) -> Iterator[Any]:
    """The same for `Intervention`s, in order."""
    for change in changes:
        check(change, model)
    with attach(model, Attached(changes, tuple(map(str, changes)))):
        yield model


def check(change: Intervention, model: Recordable) -> None:
    """Raise `InputError` for what a model does not have, or what its routers do not allow."""
    config = model.config
    L, E, mixtures = config.layers, config.experts, config.mixtures
    if change.instead not in ("next best", "nothing"):
        raise InputError(f"instead must be 'next best' or 'nothing', found {change.instead!r}.")
    if change.top_k is not None and not 1 <= change.top_k <= E:
        raise InputError(f"top_k must lie in 1 … {E}, found {change.top_k}.")
    if change.temperature is not None and not 1e-3 <= change.temperature <= 1e6:
        raise InputError(f"temperature must lie in 0.001 … 1000000, found {change.temperature}.")
    if change.layers is not None and not set(change.layers) <= set(mixtures):
        where = f"0 … {L - 1}" if len(mixtures) == L else f"{list(mixtures)}, which have experts"
        raise InputError(f"layers must lie in {where}, found {list(change.layers)}.")
    for name, form in FORMS.items():
        bounds = [L, *[E] * form.count("expert")]
        for item in getattr(change, name):
            inside = all(0 <= n < bound for n, bound in zip(item, bounds, strict=False))
            if len(item) != len(bounds) or not inside or item[0] not in mixtures:
                where = f"0 … {L - 1}" if len(mixtures) == L else f"{list(mixtures)}"
                raise InputError(
                    f"{name} takes {form} with layers {where} and experts 0 … {E - 1}, found "
                    f"{item}."
                )
    k = config.experts_per_token if change.top_k is None else change.top_k
    for layer in mixtures:
        gone, forced = set(experts_at(layer, change.ablate)), set(experts_at(layer, change.force))
        if change.instead == "next best" and E - len(gone) < k:
            raise InputError(
                f"Without {len(gone)} of its {E} experts, layer {layer} cannot choose {k}. "
                "Ablate fewer, or say instead='nothing'."
            )
        if len(forced) > k or gone & forced:
            raise InputError(
                f"Layer {layer} chooses {k} experts; found forced {sorted(forced)} and ablated "
                f"{sorted(gone)}. Force at most {k}, and none that is ablated."
            )
    if isinstance(model, Guest):
        _refuse_unfit(change, model)


def _refuse_unfit(change: Intervention, guest: Guest) -> None:
    """Raise `InputError` for what this guest's routers do not allow to be done rightly."""
    routers = guest.routers()
    rule, scored = routers["rule"], routers["scored"]
    by_score = {
        "an ablation with the next best instead": change.ablate and change.instead == "next best",
        "force": change.force,
        "top_k": change.top_k is not None,
        "random": change.random is not None,
    }
    by_gate = {**by_score, "temperature": change.temperature is not None}
    asked = [name for name, wanted in by_gate.items() if wanted and not rule.gates]
    # One of what zaya's routers score is no expert: another choice could be none.
    fixed = rule.choice != "scores" or any(mixture.skips for mixture in guest.mixtures)
    asked += [name for name, wanted in by_score.items() if wanted and fixed]
    layers = guest.config.mixtures if change.layers is None else change.layers
    named = {layer for layer, *_ in (*change.ablate, *change.force)} or set(layers)
    blind = [layer for layer, goes in zip(guest.config.mixtures, scored, strict=False) if not goes]
    if any(by_score.values()) and named & set(blind):
        asked += [name for name, wanted in by_score.items() if wanted]
    if asked:
        raise InputError(
            f"{guest.config.name}: {asked[0]} cannot be done rightly with this family's routers "
            f"({guest.config.model_type}): what another choice or its gates would be does not "
            f"follow from the scores. {rule.note} Expected an ablation with instead='nothing', "
            "swap or uniform_gates, or layers= without those."
        )
