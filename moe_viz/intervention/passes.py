# SPDX-License-Identifier: Apache-2.0
"""The loss of every token under each of many interventions, from passes that share their work.

In: a recording and interventions. Out: losses. All passes over a batch share the layers before the
first that they change: hidden states are kept there, and each pass continues from its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..guests.guest import Guest, Recordable
from ..model import Mixtral
from ..progress import progress_bar
from ..recording.recording import prompt_batches, token_losses
from ..routing import TokenIndex
from ..trace import Trace
from .block import intervened
from .change import Intervention


def losses_under(
    model: Recordable, base: Trace, changes: Mapping[str, Intervention]
) -> dict[str, np.ndarray]:
    """Nats of each token of a recording under each intervention: float32 (T,), NaN for a prompt's
    first token.
    """
    token_ids = torch.tensor(base.token_ids, dtype=torch.int64)
    losses = {name: torch.full((len(base),), torch.nan) for name in changes}
    begin = {name: first_layer(change) for name, change in changes.items()}
    with torch.inference_mode(), progress_bar("interventions", len(changes)) as bar:
        for first, group in prompt_batches(base.prompts):
            rows = slice(group[0].start, group[-1].stop)
            sizes = [p.stop - p.start for p in group]
            index = TokenIndex.of_prompts(sizes, None, rows.start, first).to(model.device)
            ids = token_ids[rows]
            if isinstance(model, Guest):  # transformers runs it whole each time
                for name, change in changes.items():
                    with intervened(model, change):
                        losses[name][rows] = model.losses(ids, sizes, index, model.attached)
                    bar.update(len(ids) / len(base))
                continue
            states = _states(model, ids, sizes, index, set(begin.values()))
            for name, change in changes.items():
                with intervened(model, change):
                    start = states[begin[name]]
                    # Only the last layer's hidden states are kept.
                    ((_, x),) = deque(model.sweep(ids, sizes, index=index, resume=start), maxlen=1)
                    losses[name][rows] = token_losses(model, x, ids, sizes)
                bar.update(len(ids) / len(base))
    return {name: found.numpy() for name, found in losses.items()}


def first_layer(change: Intervention) -> int:
    """The first layer that an intervention can change; those before it stay as they were.

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
