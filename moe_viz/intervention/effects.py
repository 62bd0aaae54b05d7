"""What an intervention does to what the model predicts.

In: a model, texts, interventions. Out: a `Finding` with the change of loss, label by label. All
interventions share the work before the first layer they touch: hidden states are kept there, and
each pass goes on from its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.documents import Documents
from ..analysis.finding import Finding, columns_of
from ..analysis.statistics import REPEATS, corrected, interval, ratio, resamples, standardised_flips
from ..config import MixtralConfig
from ..errors import InputError
from ..model import Mixtral
from ..progress import progress_bar
from ..prompts import Prompts
from ..recording.recording import prompt_batches, record, token_losses
from ..routing import TokenIndex
from .block import check, intervened
from .change import Intervention


def each_expert(config: MixtralConfig, instead: str = "next best") -> dict[str, Intervention]:
    """The ablation of every expert of every layer, by name: what fills a damage matrix.

    >>> list(each_expert(MixtralConfig.preset("8x7m")))[8:10]
    ['1/0', '1/1']
    """
    return {
        f"{layer}/{expert}": Intervention.of(ablate=[(layer, expert)], instead=instead)
        for layer in range(config.layers)
        for expert in range(config.experts)
    }


def effects(
    model: Mixtral,
    texts: str | Prompts | Sequence[str] | Sequence[int] | Sequence[Sequence[int]],
    interventions: Mapping[str, Mapping[str, Any] | Intervention] | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> Finding:
    """By how much each intervention changes the loss, label by label, in nats per token.

    `interventions` maps names to what `intervene` takes, `{"no 2/5": {"ablate": [(2, 5)]}}`;
    without it, every expert of every layer is ablated in turn (the damage matrix). Loss is the mean
    cross-entropy of all tokens that something precedes. Columns: intervention, layer and expert
    (−1 unless one expert is ablated), label, loss (without), change, low, high, p (sign flips over
    documents, those of one text together; corrected over all interventions by the largest), tokens,
    documents.

    >>> import moe_viz as mv
    >>> model = mv.load("8x7m")
    >>> found = mv.effects(model, ["Good morning.", "How are you?"], {"top-1": {"top_k": 1}})
    >>> found["intervention"].tolist(), bool(found["change"][0] != 0)
    (['top-1'], True)
    """
    asked = each_expert(model.config) if interventions is None else interventions
    changes = _named(asked)
    for change in changes.values():
        check(change, model.config)
    base = record(model, texts, labels=labels, loss=True)
    assert base.loss is not None
    token_ids = torch.tensor(base.token_ids, dtype=torch.int64)
    losses = {name: torch.full((len(base),), torch.nan) for name in changes}
    begin = {name: first_layer(change) for name, change in changes.items()}
    with torch.inference_mode(), progress_bar("interventions", len(changes)) as bar:
        for first, group in prompt_batches(base.prompts):
            rows = slice(group[0].start, group[-1].stop)
            sizes = [p.stop - p.start for p in group]
            index = TokenIndex.of_prompts(sizes, None, rows.start, first).to(model.device)
            ids = token_ids[rows]
            states = _states(model, ids, sizes, index, set(begin.values()))
            for name, change in changes.items():
                with intervened(model, change):
                    start = states[begin[name]]
                    # Of all layers' hidden states only the last are kept.
                    ((_, x),) = deque(model.sweep(ids, sizes, index=index, resume=start), maxlen=1)
                    losses[name][rows] = token_losses(model, x, ids, sizes)
                bar.update(len(ids) / len(base))
    docs = Documents(base)
    counted = ~np.isnan(base.loss) & ~base.special
    N, document = (
        len(docs),
        np.repeat(np.arange(len(docs)), [p.stop - p.start for p in base.prompts]),
    )
    tokens = np.bincount(document[counted], minlength=N).astype(np.float64)
    before = np.bincount(document[counted], base.loss[counted], N)
    after = [np.bincount(document[counted], v.numpy()[counted], N) for v in losses.values()]
    return _summed(docs, changes, before, np.array(after), tokens, seed)


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


def first_layer(change: Intervention) -> int:
    """The first layer that an intervention can change; all before it are as without.

    >>> first_layer(Intervention.of(ablate=[(3, 1)])), first_layer(Intervention.of(top_k=1))
    (3, 0)
    """
    named = [layer for layer, *_ in (*change.ablate, *change.force, *change.swap)]
    everywhere = change.top_k is not None or change.temperature is not None
    if everywhere or change.uniform_gates or change.random is not None:
        named.append(0)
    return max(min(named, default=0), min(change.layers or (0,)))


def _states(
    model: Mixtral, ids: Tensor, sizes: list[int], index: TokenIndex, needed: set[int]
) -> dict[int, tuple[int, Tensor] | None]:
    """Hidden states before each of these layers; None before the first, which is the beginning."""
    states: dict[int, tuple[int, Tensor] | None] = {0: None}
    if max(needed) == 0:
        return states
    for done, x in model.sweep(ids, sizes, index=index):
        if done in needed:
            states[done] = (done, x)
        if done == max(needed):
            break
    return states


def _summed(
    docs: Documents,
    changes: Mapping[str, Intervention],
    before: np.ndarray,
    after: np.ndarray,
    tokens: np.ndarray,
    seed: int,
) -> Finding:
    """The table, from summed losses of each document: `before` (N,), `after` (interventions, N)."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, name in enumerate(docs.names):
        members = np.flatnonzero((docs.labels == label) & (tokens > 0))
        if not len(members):
            continue
        difference = (after - before)[:, members].T  # (n, interventions)
        n, units = tokens[members], docs.units[members]
        drawn = resamples(units, rng)
        low, high = interval(ratio(drawn @ difference, (drawn @ n)[:, None]), len(members))
        _, unit = np.unique(units, return_inverse=True)
        together = np.zeros((unit.max() + 1, len(changes)))
        np.add.at(together, unit, difference)
        signs = rng.choice((-1.0, 1.0), (REPEATS, len(together)))
        p = corrected(*standardised_flips(together, signs))
        for i, (intervention, change) in enumerate(changes.items()):
            layer, expert = change.ablate[0] if len(change.ablate) == 1 else (-1, -1)
            rows.append(
                (intervention, layer, expert, name, before[members].sum() / n.sum(),
                 difference[:, i].sum() / n.sum(), low[i], high[i], p[i], int(n.sum()),
                 len(members))
            )  # fmt: skip
    if not rows:
        raise InputError("No token of these texts has one before it: there is no loss to compare.")
    names = ("intervention", "layer", "expert", "label", "loss", "change", "low", "high", "p",
             "tokens", "documents")  # fmt: skip
    columns = columns_of(names, rows)
    few = docs.few(int(columns["documents"].min()))
    title = docs.trace.provenance.title
    return Finding("effects of interventions", title, "tokens after the first", columns, few)
