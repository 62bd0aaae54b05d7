# SPDX-License-Identifier: Apache-2.0
"""What an intervention does to what the model predicts.

In: a model, texts, interventions. Out: a `Finding` with the change of loss, label by label.
`passes` runs the model, `analysis.damage` does the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.damage import damage
from ..analysis.finding import Finding
from ..config import MixtralConfig
from ..errors import InputError
from ..guests.guest import GuestConfig, Recordable
from ..recording.given import Texts
from ..recording.recording import record
from .block import check
from .change import Intervention
from .passes import losses_under


def each_expert(
    config: MixtralConfig | GuestConfig, instead: str = "next best"
) -> dict[str, Intervention]:
    """The ablation of every expert of every layer, by name: what fills a damage matrix.

    >>> list(each_expert(MixtralConfig.preset("8x7m")))[8:10]
    ['1/0', '1/1']
    """
    return {
        f"{layer}/{expert}": Intervention.of(ablate=[(layer, expert)], instead=instead)
        for layer in config.mixtures
        for expert in range(config.experts)
    }


def effects(
    model: Recordable,
    texts: Texts,
    interventions: Mapping[str, Mapping[str, Any] | Intervention] | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> Finding:
    """How much each intervention changes the loss, label by label, in nats per token.

    `interventions` maps names to what `intervene` takes, `{"no 2/5": {"ablate": [(2, 5)]}}`;
    without it, every expert of every layer is ablated in turn (the damage matrix). Loss is the mean
    cross-entropy of all tokens but each document's first. Columns: intervention, layer and expert
    (−1 unless one expert is ablated), label, loss (without it), change, low, high, p (sign flips
    over documents, those of one text together; corrected over all interventions by the largest),
    tokens, documents.

    >>> import moe_viz as mv
    >>> model = mv.load("8x7m")
    >>> found = mv.effects(model, ["Good morning.", "How are you?"], {"top-1": {"top_k": 1}})
    >>> found["intervention"].tolist(), bool(found["change"][0] != 0)
    (['top-1'], True)
    """
    changes = _named(each_expert(model.config) if interventions is None else interventions)
    for change in changes.values():
        check(change, model)
    base = record(model, texts, labels=labels, loss=True)
    alone = {n: c.ablate[0] for n, c in changes.items() if len(c.ablate) == 1}
    return damage(base, losses_under(model, base, changes), alone, seed)


def _named(asked: Any) -> dict[str, Intervention]:
    """The interventions by name, from what `effects` is given."""
    if not isinstance(asked, Mapping):
        raise InputError(
            "interventions maps names to what intervene takes, {'top-1': {'top_k': 1}}; found "
            f"{type(asked).__name__}."
        )
    changes = {}
    for name, change in asked.items():
        if not isinstance(change, Intervention | Mapping):
            raise InputError(f"{name}: expected a mapping, {{'top_k': 1}}, found {change!r:.80}.")
        changes[str(name)] = (
            change if isinstance(change, Intervention) else Intervention.of(**change)
        )
    if not changes:
        raise InputError("There is no intervention to try: name at least one.")
    return changes
