# SPDX-License-Identifier: Apache-2.0
"""Changing the routing, to see what it does.

In: a model and what to change. Out: the same model, which routes differently within a `with` block
and says so: every trace made there, and every figure of it, carries the intervention's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from ..config import MixtralConfig
from ..errors import InputError
from ..model import Mixtral
from ..model.attached import Attached, attach
from .change import FORMS, Expert, Intervention, experts_at


def intervene(
    model: Mixtral,
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
) -> AbstractContextManager[Mixtral]:
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
def intervened(model: Mixtral, *changes: Intervention) -> Iterator[Mixtral]:
    """The same for `Intervention`s, in order."""
    for change in changes:
        check(change, model.config)
    with attach(model, Attached(changes, tuple(map(str, changes)))):
        yield model


def check(change: Intervention, config: MixtralConfig) -> None:
    """Raise `InputError` for what a model of this config does not have."""
    L, E = config.layers, config.experts
    if change.instead not in ("next best", "nothing"):
        raise InputError(f"instead must be 'next best' or 'nothing', found {change.instead!r}.")
    if change.top_k is not None and not 1 <= change.top_k <= E:
        raise InputError(f"top_k must lie in 1 … {E}, found {change.top_k}.")
    if change.temperature is not None and not 1e-3 <= change.temperature <= 1e6:
        raise InputError(f"temperature must lie in 0.001 … 1000000, found {change.temperature}.")
    if change.layers is not None and not set(change.layers) <= set(range(L)):
        raise InputError(f"layers must lie in 0 … {L - 1}, found {list(change.layers)}.")
    for name, form in FORMS.items():
        bounds = [L, *[E] * form.count("expert")]
        for item in getattr(change, name):
            if len(item) != len(bounds) or any(
                not 0 <= n < bound for n, bound in zip(item, bounds, strict=True)
            ):
                raise InputError(
                    f"{name} takes {form} with layers 0 … {L - 1} and experts 0 … {E - 1}, "
                    f"found {item}."
                )
    k = config.experts_per_token if change.top_k is None else change.top_k
    for layer in range(L):
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
