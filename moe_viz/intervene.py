"""Changing the routing, to see what it does.

In: a model and what to change. Out: the same model, which routes otherwise within a `with` block
and says so: every trace made there, and every figure of it, carries the intervention's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Literal

from .intervention import Expert, Intervention
from .model import Mixtral


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
    """Route otherwise within a `with` block; blocks compose, the inner one on the outer's result.

    - `ablate=[(layer, expert), …]`: these experts are never used. Their tokens go to the next best
      (`instead="next best"`: as if the router's logit were −∞) or the slot stays empty
      (`instead="nothing"`: the others keep their gates, and the layer's output is smaller).
    - `force=[(layer, expert), …]`: every token goes there, and to the best of the rest.
    - `swap=[(layer, a, b), …]`: tokens for expert a go to b and those for b to a, gates unchanged:
      the two networks exchange their places.
    - `top_k=`: so many experts for each token, 1 … E.
    - `temperature=`: gates are the softmax of logits / temperature; the experts stay.
    - `uniform_gates=True`: the chosen experts count alike.
    - `random=seed`: other experts at random, the same however tokens are packed; gates stay.

    `layers`, `tokens` (rows of the recording) and `prompts` (numbers) bound all of these. The
    logits in a trace stay what the router said; experts and gates are what was executed.

    Raises `InputError` for what the model does not have.

    >>> import moe_viz as mv
    >>> model = mv.load("8x7m")
    >>> with mv.intervene(model, ablate=[(2, 5)]):
    ...     trace = mv.record(model, "Good morning.")
    >>> bool((trace.experts[2] == 5).any()), trace.provenance.interventions
    (False, ('ablated 2/5 (next best instead)',))
    """
    change = Intervention.of(
        ablate=list(ablate), instead=instead, force=list(force), swap=list(swap), top_k=top_k,
        temperature=temperature, uniform_gates=uniform_gates, random=random,
        layers=layers, tokens=tokens, prompts=prompts,
    )  # fmt: skip
    return intervened(model, change)


@contextmanager
def intervened(model: Mixtral, *changes: Intervention) -> Iterator[Mixtral]:
    """The same for interventions that are there already, in their order."""
    for change in changes:
        change.check(model.config)
    before = model.provenance
    stamped = (*before.interventions, *map(str, changes))
    model.provenance = replace(before, interventions=stamped)
    try:
        with model.router_hooks(*changes):
            yield model
    finally:
        model.provenance = before
